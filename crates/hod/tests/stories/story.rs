//! One session at the command line, written down.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::ops::Deref;
use std::process::{Command, Output};
use std::time::Duration;

use regex::Regex;

use crate::support::{Place, ZLIB};

/// What differs from run to run, and what stands for it. Paths of the test become `[DIR]`.
const FILTERS: &[(&str, &str)] = &[
    (r"\b(\d+ms|\d+\.\ds|\d+m \d+s)\b", "[time]"),
    // The archive holds the path of the test, which has random letters.
    (r" *\b\d+(\.\d)? ([KMG]i)?B\b", " [size]"),
    (r"\( \[size\]", "([size]"),
    (r"\b\d+ bytes\b", "[n] bytes"),
    // A server of the test.
    (r"127\.0\.0\.1:\d{4,5}\b", "[HOST]"),
    (r"sha256:[0-9a-f]{64}\b", "sha256:[digest]"),
    (r"\.hod/tmp/[0-9a-f-]+", ".hod/tmp/[name]"),
    (r"index\.json\.\S+\.\d+\.temp", "index.json.[host].[process].temp"),
    (r"\b[0-9a-f]{64}\b", "[digest]"),
    (r"\b[a-z2-7]{32}\b", "[hash]"),
    (r"(@[^/\s`]+/|`/|oci:\S+-|[+=] [a-z]+-[\d.]+-|\(zlib-1.3.1-)[a-z2-7]{7}\b", "$1[hash]"),
    (r"((?:manifests/|\[HOST\]/[a-z0-9/]+:)\S+-)[a-z2-7]{7}\b", "$1[hash]"),
    (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "[upload]"),
    (r"@image/[0-9a-f]{7}\b", "@image/[hash]"),
    (r"spool/\d+-\d+\.", "spool/[name]."),
    (r"linux/\w+", "[platform]"),
];

/// A place, and the transcript of what happened there.
pub(crate) struct Story {
    place: Place,
    transcript: RefCell<String>,
}

impl Deref for Story {
    type Target = Place;

    fn deref(&self) -> &Place {
        &self.place
    }
}

/// How a program ended and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Story {
    pub(crate) fn new() -> Self {
        Self { place: Place::new(), transcript: RefCell::default() }
    }

    /// One in a directory with a short path, in which packages find the room that they had.
    pub(crate) fn short() -> Self {
        Self { place: Place::short(), transcript: RefCell::default() }
    }

    /// A story that begins with the prefix `zlib-1.3.1`, old enough to be remembered.
    pub(crate) fn with_zlib() -> Self {
        let story = Self::new();
        story.tree("zlib-1.3.1", ZLIB);
        settle();
        story
    }

    /// Runs hod with arguments and writes it down.
    pub(crate) fn tell(&self, words: &str) -> Ended {
        self.tell_as(&format!("hod {words}"), self.hod(words))
    }

    /// Runs a command and writes it down under the given words.
    pub(crate) fn tell_as(&self, shown: &str, mut command: Command) -> Ended {
        let ended = Ended::from(command.output().unwrap());
        self.note(shown, &ended);
        ended
    }

    /// Writes down what ran elsewhere.
    pub(crate) fn note(&self, shown: &str, ended: &Ended) {
        let mut transcript = self.transcript.borrow_mut();
        writeln!(transcript, "$ {shown}").unwrap();
        for line in ended.stdout.lines() {
            writeln!(transcript, "{line}").unwrap();
        }
        for line in ended.stderr.lines() {
            writeln!(transcript, "{}", format!("2> {line}").trim_end()).unwrap();
        }
        match ended.code {
            Some(code) => writeln!(transcript, "exit {code}").unwrap(),
            None => writeln!(transcript, "killed").unwrap(),
        }
    }

    /// Runs hod without writing it down.
    pub(crate) fn run(&self, words: &str) -> Ended {
        self.hod(words).output().unwrap().into()
    }

    /// Runs hod, which must succeed; its stdout.
    pub(crate) fn done(&self, words: &str) -> String {
        let ended = self.run(words);
        assert_eq!(ended.code, Some(0), "hod {words}: {ended:#?}");
        ended.stdout
    }

    /// The transcript since the last time.
    pub(crate) fn told(&self) -> String {
        self.filtered(&self.transcript.take())
    }

    /// Text without what differs from run to run.
    pub(crate) fn filtered(&self, text: &str) -> String {
        let text = text.replace(&self.at("").display().to_string(), "[DIR]/");
        FILTERS.iter().fold(text, |text, (pattern, replacement)| {
            Regex::new(pattern).unwrap().replace_all(&text, *replacement).into_owned()
        })
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("hod speaks UTF-8");
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

/// A tree that was changed a moment ago is not remembered: a later change might have the same
/// time stamp. After this it is.
pub(crate) fn settle() {
    std::thread::sleep(Duration::from_millis(150));
}
