//! PAX records (`LENGTH KEY=VALUE\n`), of which four matter: path, linkpath, size and mtime.

/// What an extended header says, of what is understood here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Extension {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link_path: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) mtime: Option<i64>,
}

impl Extension {
    /// Parses the payload of an `x` header. A repeated key counts as last written, as POSIX says.
    pub(super) fn parse(payload: &[u8]) -> Result<Self, &'static str> {
        let mut extension = Self::default();
        for record in records(payload) {
            let (key, value) = record?;
            match key {
                b"path" => extension.path = Some(name(value)?),
                b"linkpath" => extension.link_path = Some(name(value)?),
                b"size" => extension.size = Some(decimal(value).ok_or("without a valid size")?),
                b"mtime" => extension.mtime = Some(seconds(value).ok_or("without a valid mtime")?),
                // Names are bytes here whatever their character set; readers that would translate
                // other charsets see other names, so those are refused.
                b"hdrcharset" => match value {
                    b"BINARY" | b"ISO-IR 10646 2000 UTF-8" => {}
                    _ => return Err("in an unknown character set"),
                },
                _ if is_sparse(key) => return Err("of a sparse file, which is not supported"),
                _ => {}
            }
        }
        Ok(extension)
    }

    /// Checks the payload of a `g` header, which may hold comments (`git archive` puts the commit
    /// there) but nothing that changes the members after it: readers disagree on how long it lasts.
    pub(super) fn check_global(payload: &[u8]) -> Result<(), &'static str> {
        for record in records(payload) {
            let (key, _) = record?;
            if matches!(key, b"path" | b"linkpath" | b"size" | b"mtime" | b"hdrcharset")
                || is_sparse(key)
            {
                return Err("global and would change the members after it");
            }
        }
        Ok(())
    }
}

fn is_sparse(key: &[u8]) -> bool {
    key.starts_with(b"GNU.sparse.") || matches!(key, b"SCHILY.realsize" | b"SUN.holesdata")
}

fn name(value: &[u8]) -> Result<Vec<u8>, &'static str> {
    if value.is_empty() {
        return Err("malformed: a name is empty");
    }
    if value.contains(&0) {
        return Err("malformed: a name contains NUL");
    }
    Ok(value.to_vec())
}

/// The records of a payload, which must be filled by them to its last byte.
fn records(payload: &[u8]) -> impl Iterator<Item = Result<(&[u8], &[u8]), &'static str>> {
    let mut rest = payload;
    let mut is_first = true;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return std::mem::take(&mut is_first).then_some(Err("malformed: it is empty"));
        }
        is_first = false;
        let (record, after) = match split(rest) {
            Some(found) => found,
            None => (Err("malformed: a record has a wrong length or no end"), &rest[..0]),
        };
        rest = after;
        Some(record)
    })
}

type Split<'a> = (Result<(&'a [u8], &'a [u8]), &'static str>, &'a [u8]);

fn split(rest: &[u8]) -> Option<Split<'_>> {
    let blank = rest.iter().take(20).position(|&byte| byte == b' ')?;
    let length = usize::try_from(decimal(&rest[..blank])?).ok()?;
    let record = rest.get(blank + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|&byte| byte == b'=').filter(|&at| at > 0)?;
    Some((Ok((&record[..equals], &record[equals + 1..])), &rest[length..]))
}

/// Digits only, without a leading zero: nothing two parsers could read differently.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || (digits.len() > 1 && digits[0] == b'0') {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, &digit| match digit {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

/// Whole seconds of a time such as `-12.25`.
fn seconds(value: &[u8]) -> Option<i64> {
    let (negative, digits) = match value.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, value),
    };
    let whole = digits.split(|&byte| byte == b'.').next()?;
    let fraction = &digits[whole.len()..];
    if !fraction.iter().skip(1).all(u8::is_ascii_digit) {
        return None;
    }
    let whole = i64::try_from(decimal(whole)?).ok()?;
    Some(if negative { -whole } else { whole })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_records_python_writes_are_understood() {
        let payload =
            b"21 hdrcharset=BINARY\n12 path=a\xff\n\n16 linkpath=b/c\n18 size=123456789\n\
            20 mtime=1700000.25\n";
        let extension = Extension::parse(payload).unwrap();
        assert_eq!(extension.path.as_deref(), Some(&b"a\xff\n"[..]));
        assert_eq!(extension.link_path.as_deref(), Some(&b"b/c"[..]));
        assert_eq!(extension.size, Some(123_456_789));
        assert_eq!(extension.mtime, Some(1_700_000));
    }

    #[rstest::rstest]
    #[case::nothing(b"")]
    #[case::no_length(b"path=a\n")]
    #[case::no_newline(b"10 path=ab")]
    #[case::length_too_short(b"5 path=a\n")]
    #[case::length_too_long(b"99 path=a\n")]
    #[case::length_of_twenty_digits(b"99999999999999999999 path=a\n")]
    #[case::leading_zero(b"010 path=a\n")]
    #[case::no_key(b"5 =a\n")]
    #[case::no_equals(b"7 path\n")]
    #[case::empty_path(b"8 path=\n")]
    #[case::nul_in_path(b"11 path=a\0b\n")]
    #[case::junk_after(b"9 path=a\n\0\0")]
    #[case::negative_size(b"11 size=-1\n")]
    #[case::huge_size(b"29 size=99999999999999999999\n")]
    #[case::sparse(b"22 GNU.sparse.major=1\n")]
    #[case::ebcdic(b"21 hdrcharset=EBCDIC\n")]
    fn a_malformed_record_is_refused_not_skipped(#[case] payload: &[u8]) {
        assert!(Extension::parse(payload).is_err(), "{}", payload.escape_ascii());
    }

    #[test]
    fn a_global_header_may_comment_but_not_rename() {
        assert!(Extension::check_global(b"15 comment=abc\n").is_ok());
        assert!(Extension::check_global(b"9 path=a\n").is_err());
    }
}
