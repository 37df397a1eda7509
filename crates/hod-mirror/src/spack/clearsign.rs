//! Clear-signed text, as far as its frame (`spack-format` 9).

/// Whether a document is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[non_exhaustive]
pub enum Signature {
    /// It is not.
    #[default]
    None,
    /// It is, by somebody; whether the signature is good was not looked at.
    NotVerified,
}

/// What is wrong with the frame of a clear-signed text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClearsignError {
    /// Something stands before the first line. Spack takes such a text for unsigned.
    #[error("something stands before `{BEGIN_MESSAGE}`")]
    Leading,
    /// The first line goes on.
    #[error("something follows `{BEGIN_MESSAGE}` on its line")]
    FirstLine,
    /// There is no `Hash` header, which Spack needs to find the text.
    #[error("there is no `Hash:` header")]
    NoHash,
    /// There is a second header, which Spack takes for the text.
    #[error("there is more than one header")]
    SecondHeader,
    /// A line of the text begins with a dash: a second frame, or text that would need escaping.
    #[error("a line of the signed text begins with a dash")]
    Dash,
    /// The text does not end in a signature.
    #[error("there is no `{BEGIN_SIGNATURE}`")]
    NoSignature,
    /// The signature has no end.
    #[error("there is no `{END_SIGNATURE}`")]
    NoEnd,
    /// Something follows the signature.
    #[error("something follows `{END_SIGNATURE}`")]
    Trailing,
}

const BEGIN_MESSAGE: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const BEGIN_SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
const END_SIGNATURE: &str = "-----END PGP SIGNATURE-----";

/// The text inside the frame, or all of it where there is no frame. Nothing but white space may
/// be outside: what is not covered by a signature must not pass as signed.
pub(super) fn cleartext(text: &str) -> Result<(&str, Signature), ClearsignError> {
    let Some(framed) = text.strip_prefix(BEGIN_MESSAGE) else {
        let start = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
        if start.starts_with(BEGIN_MESSAGE) {
            return Err(ClearsignError::Leading);
        }
        return Ok((text, Signature::None));
    };
    let mut lines = Lines(framed);
    if !lines.next().is_some_and(is_blank) {
        return Err(ClearsignError::FirstLine);
    }
    let hash = lines.next().and_then(|line| line.strip_prefix("Hash:"));
    if hash.is_none_or(|hash| hash.split_whitespace().count() != 1) {
        return Err(ClearsignError::NoHash);
    }
    if !lines.next().is_some_and(is_blank) {
        return Err(ClearsignError::SecondHeader);
    }

    let rest = lines.0;
    let signed = loop {
        let at = lines.0;
        match lines.next() {
            None => return Err(ClearsignError::NoSignature),
            Some(line) if line.trim_end() == BEGIN_SIGNATURE => {
                break &rest[..rest.len() - at.len()];
            }
            Some(line) if line.starts_with('-') => return Err(ClearsignError::Dash),
            Some(_) => {}
        }
    };
    loop {
        match lines.next() {
            None => return Err(ClearsignError::NoEnd),
            Some(line) if line.trim_end() == END_SIGNATURE => break,
            // A second message inside the first one's signature.
            Some(line) if line.starts_with('-') => return Err(ClearsignError::NoEnd),
            Some(_) => {}
        }
    }
    if is_blank(lines.0) {
        Ok((signed, Signature::NotVerified))
    } else {
        Err(ClearsignError::Trailing)
    }
}

fn is_blank(line: &str) -> bool {
    line.trim().is_empty()
}

/// Lines with whatever ends them cut off; what is left stays at hand.
struct Lines<'a>(&'a str);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.0.is_empty() {
            return None;
        }
        let (line, rest) = self.0.split_once('\n').unwrap_or((self.0, ""));
        self.0 = rest;
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const SIGNED: &str = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{\n\"a\":1\n}\n\
                          -----BEGIN PGP SIGNATURE-----\n\niQ==\n=2dOp\n\
                          -----END PGP SIGNATURE-----\n";

    #[test]
    fn a_signed_text_is_what_its_frame_holds() {
        assert_eq!(cleartext(SIGNED), Ok(("{\n\"a\":1\n}\n", Signature::NotVerified)));
        let dos = SIGNED.replace('\n', "\r\n");
        assert_eq!(cleartext(&dos), Ok(("{\r\n\"a\":1\r\n}\r\n", Signature::NotVerified)));
        assert_eq!(cleartext("{}"), Ok(("{}", Signature::None)));
    }

    #[rstest]
    #[case::blank_before("\n", "", ClearsignError::Leading)]
    #[case::byte_order_mark("\u{feff}", "", ClearsignError::Leading)]
    #[case::after("", "{}", ClearsignError::Trailing)]
    #[case::a_second_message("", SIGNED, ClearsignError::Trailing)]
    fn nothing_may_be_outside(
        #[case] before: &str,
        #[case] after: &str,
        #[case] expected: ClearsignError,
    ) {
        assert_eq!(cleartext(&format!("{before}{SIGNED}{after}")), Err(expected));
    }

    #[rstest]
    #[case::no_header("Hash: SHA512\n", "", ClearsignError::NoHash)]
    #[case::empty_header("SHA512", "", ClearsignError::NoHash)]
    #[case::two_headers("SHA512\n", "SHA512\nHash: SHA256\n", ClearsignError::SecondHeader)]
    #[case::another_header("SHA512\n", "SHA512\nCharset: UTF-8\n", ClearsignError::SecondHeader)]
    #[case::first_line("MESSAGE-----\n", "MESSAGE----- \u{2026}\n", ClearsignError::FirstLine)]
    #[case::escaped("{\n\"a\"", "- -\n\"a\"", ClearsignError::Dash)]
    #[case::nested("{\n", "-----BEGIN PGP SIGNED MESSAGE-----\n", ClearsignError::Dash)]
    #[case::no_signature("-----BEGIN PGP SIGNATURE-----", "", ClearsignError::Dash)]
    #[case::no_end("-----END PGP SIGNATURE-----", "", ClearsignError::NoEnd)]
    #[case::another_end("-----END PGP SIGNATURE", "-----END PGP MESSAGE", ClearsignError::NoEnd)]
    fn the_frame_is_exact(
        #[case] what: &str,
        #[case] becomes: &str,
        #[case] expected: ClearsignError,
    ) {
        assert_eq!(cleartext(&SIGNED.replacen(what, becomes, 1)), Err(expected));
    }

    #[test]
    fn every_cut_is_an_error() {
        let end = SIGNED.trim_end().len();
        for cut in BEGIN_MESSAGE.len()..end {
            assert!(cleartext(&SIGNED[..cut]).is_err(), "{cut}");
        }
    }
}
