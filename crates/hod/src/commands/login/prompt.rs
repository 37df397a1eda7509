//! A question on the terminal.

use std::io::{self, Read as _};

use rustix::stdio::stdin;
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};

use crate::ui::Printer;

/// Whether what is typed is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Echo {
    On,
    Off,
}

/// The terminal as it was, once this is dropped.
struct Restored(Termios);

impl Drop for Restored {
    fn drop(&mut self) {
        // If the terminal is gone, nobody misses its settings.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.0);
    }
}

/// Asks, and reads a line. `None` for Ctrl-C, which is read like a letter: as a signal it would
/// leave the terminal silent.
pub(super) fn ask(question: &str, echo: Echo, printer: &Printer) -> io::Result<Option<String>> {
    let before = tcgetattr(stdin())?;
    let mut modes = before.clone();
    modes.local_modes.remove(LocalModes::ICANON | LocalModes::ISIG | LocalModes::ECHO);
    modes.special_codes[SpecialCodeIndex::VMIN] = 1;
    modes.special_codes[SpecialCodeIndex::VTIME] = 0;
    let restored = Restored(before);
    tcsetattr(stdin(), OptionalActions::Flush, &modes)?;
    printer.ask(question);
    let line = read_line(io::stdin().lock().bytes(), |shown| {
        if echo == Echo::On {
            printer.ask(shown);
        }
    });
    drop(restored);
    printer.ask("\n");
    line
}

/// A line from single keys. `show` gets what is to appear.
fn read_line(
    keys: impl Iterator<Item = io::Result<u8>>,
    show: impl Fn(&str),
) -> io::Result<Option<String>> {
    const CTRL_C: u8 = 0x03;
    const CTRL_D: u8 = 0x04;
    const CTRL_U: u8 = 0x15;
    let mut line: Vec<u8> = Vec::new();
    let mut shown = 0;
    for key in keys {
        match key? {
            b'\r' | b'\n' => break,
            CTRL_D if line.is_empty() => return Ok(None),
            CTRL_C => return Ok(None),
            CTRL_U => line.clear(),
            0x08 | 0x7f => {
                // A letter may be of several bytes.
                while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
            }
            key if key < 0x20 => continue,
            key => line.push(key),
        }
        // Half a letter is shown once the rest has come.
        let Ok(text) = std::str::from_utf8(&line) else { continue };
        let length = text.chars().count();
        if length < shown {
            show(&"\u{8} \u{8}".repeat(shown - length));
        } else {
            show(&text.chars().skip(shown).collect::<String>());
        }
        shown = length;
    }
    let error = |_| io::Error::new(io::ErrorKind::InvalidData, "what was typed is no UTF-8");
    String::from_utf8(line).map(Some).map_err(error)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn typed(keys: &[u8]) -> (Option<String>, String) {
        let shown = RefCell::new(String::new());
        let keys = keys.iter().map(|key| Ok(*key));
        let line = read_line(keys, |text| shown.borrow_mut().push_str(text)).unwrap();
        (line, shown.into_inner())
    }

    #[test]
    fn keys_make_a_line() {
        assert_eq!(typed(b"ada\nrest"), (Some("ada".into()), "ada".into()));
        assert_eq!(typed(b"ax\x7fda\r").0.unwrap(), "ada");
        assert_eq!(typed("aü\u{7f}da\n".as_bytes()).0.unwrap(), "ada");
        assert_eq!(typed("ü\n".as_bytes()).1, "ü");
        assert_eq!(typed(b"wrong\x15ada\n").0.unwrap(), "ada");
        assert_eq!(typed(b"\x7fa\x1b\n").0.unwrap(), "a");
        assert_eq!(typed(b"a\x03"), (None, "a".into()));
        assert_eq!(typed(b"\x04").0, None);
        assert_eq!(typed(b"\n").0.unwrap(), "");
    }
}
