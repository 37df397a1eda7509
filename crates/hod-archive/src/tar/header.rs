//! One 512-byte header block, as fields.

use super::BLOCK;

/// Which writer's conventions the block follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// POSIX: the prefix field is part of the name.
    Ustar,
    /// GNU: the prefix field holds times.
    Gnu,
    /// Before 1988: a directory is a regular file whose name ends in `/`.
    V7,
}

/// A view of the fields.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header<'a>(pub(super) &'a [u8; BLOCK]);

impl<'a> Header<'a> {
    /// Whether the stored checksum is that of the block. Only the unsigned sum counts; the signed
    /// one is of writers that died before UTF-8.
    pub(super) fn checksum_holds(self) -> bool {
        let sum = |bytes: &[u8]| bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>();
        let computed = sum(&self.0[..148]) + 8 * u64::from(b' ') + sum(&self.0[156..]);
        octal(&self.0[148..156]) == Some(computed)
    }

    /// The dialect, `None` for magic or version bytes of no known writer. A POSIX magic with a
    /// NUL version is refused: some readers take it for ustar, some do not.
    pub(super) fn dialect(self) -> Option<Dialect> {
        match &self.0[257..265] {
            b"ustar\x0000" => Some(Dialect::Ustar),
            b"ustar  \0" => Some(Dialect::Gnu),
            [0, 0, 0, 0, 0, 0, 0, 0] => Some(Dialect::V7),
            _ => None,
        }
    }

    pub(super) fn name(self) -> &'a [u8] {
        text(&self.0[..100])
    }

    pub(super) fn prefix(self) -> &'a [u8] {
        text(&self.0[345..500])
    }

    pub(super) fn link_name(self) -> &'a [u8] {
        text(&self.0[157..257])
    }

    pub(super) fn type_flag(self) -> u8 {
        self.0[156]
    }

    pub(super) fn mode(self) -> Option<u32> {
        number(&self.0[100..108]).and_then(|mode| u32::try_from(mode).ok())
    }

    pub(super) fn size(self) -> Option<u64> {
        number(&self.0[124..136]).and_then(|size| u64::try_from(size).ok())
    }

    pub(super) fn mtime(self) -> Option<i64> {
        number(&self.0[136..148])
    }
}

/// A field up to its first NUL, if it has one.
fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
    &field[..end]
}

/// A numeric field: octal, or base 256 where the first byte is 0x80 (positive) or 0xff (negative).
fn number(field: &[u8]) -> Option<i64> {
    match field[0] {
        0x80 | 0xff => {
            let negative = field[0] == 0xff;
            let (high, low) = field[1..].split_at((field.len() - 1).saturating_sub(8));
            let filler = if negative { 0xff } else { 0 };
            if high.iter().any(|&byte| byte != filler) {
                return None;
            }
            let start = if negative { -1 } else { 0 };
            let value = low.iter().fold(start, |value: i64, &byte| value << 8 | i64::from(byte));
            ((value < 0) == negative).then_some(value)
        }
        _ => octal(field).and_then(|value| i64::try_from(value).ok()),
    }
}

/// Octal digits among blanks and NULs; a field of only those is zero.
fn octal(field: &[u8]) -> Option<u64> {
    let is_blank = |byte: &u8| matches!(byte, b' ' | 0);
    let start = field.iter().position(|byte| !is_blank(byte)).unwrap_or(field.len());
    let rest = &field[start..];
    let end = rest.iter().position(is_blank).unwrap_or(rest.len());
    let (digits, after) = rest.split_at(end);
    if !after.iter().all(is_blank) {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, &digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case::python(b"0000755\0", Some(0o755))]
    #[case::leading_blanks(b"   755 \0", Some(0o755))]
    #[case::full_width(b"77777777", Some(0o77_777_777))]
    #[case::nothing(b"\0\0\0\0\0\0\0\0", Some(0))]
    #[case::base_256(b"\x80\0\0\0\0\0\x01\0", Some(256))]
    #[case::negative(b"\xff\xff\xff\xff\xff\xff\xff\xfe", Some(-2))]
    #[case::decimal(b"0000889\0", None)]
    #[case::two_numbers(b"01 02 \0\0", None)]
    #[case::signed(b"-000001\0", None)]
    fn a_numeric_field_is_octal_or_base_256(#[case] field: &[u8], #[case] value: Option<i64>) {
        assert_eq!(number(field), value);
    }

    #[test]
    fn a_base_256_number_beyond_63_bits_is_no_number() {
        assert_eq!(number(b"\x80\0\0\x01\0\0\0\0\0\0\0\0"), None);
        assert_eq!(number(b"\x80\0\0\0\xff\0\0\0\0\0\0\0"), None);
        assert_eq!(number(b"\x80\0\0\0\x7f\0\0\0\0\0\0\x05"), Some(0x7f00_0000_0000_0005));
    }
}
