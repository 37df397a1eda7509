//! The name of one concrete spec.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE32_NOPAD, Encoding};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A DAG hash: SHA-1 over a spec's node and, through it, all its dependencies; written as 32
/// characters of lower-case base 32 (`spack-format` 2.2). Ordered by its
/// bytes, which is not quite the order of the text: there, digits come before letters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DagHash([u8; Self::BYTES]);

/// Text that is no DAG hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a DAG hash, which has 32 characters from `a` to `z` and `2` to `7`")]
pub struct DagHashError {
    /// The text.
    pub text: String,
}

impl DagHash {
    /// Characters in the written form.
    pub const LENGTH: usize = 32;

    /// Bytes of the SHA-1.
    pub const BYTES: usize = 20;

    /// From the bytes of the SHA-1.
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes of the SHA-1.
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// With the last seven characters of `built`: the hash of a spliced spec ends like the one of
    /// the spec that was built, so that prefixes of both end alike (`spack-format` 2.2).
    pub(crate) fn spliced_onto(self, built: Self) -> Self {
        // Seven characters of five bits: the last four bytes and three bits more.
        let mut bytes = self.0;
        bytes[15] = bytes[15] & 0b1111_1000 | built.0[15] & 0b0000_0111;
        bytes[16..].copy_from_slice(&built.0[16..]);
        Self(bytes)
    }

    /// Whether it is written with this at its beginning.
    pub fn starts_with(&self, prefix: &str) -> bool {
        self.text().starts_with(prefix.as_bytes())
    }

    fn text(&self) -> [u8; Self::LENGTH] {
        let mut text = [0; Self::LENGTH];
        BASE32_NOPAD.encode_mut(&self.0, &mut text);
        text.make_ascii_lowercase();
        text
    }

    /// The first seven characters, by which people know a spec.
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(7);
        text
    }

    /// Where in Spack's `prefix_lock` this spec's byte is: the first 63 bits (`spack-format` 1.6).
    pub fn lock_offset(&self) -> u64 {
        let mut first = [0; 8];
        first.copy_from_slice(&self.0[..8]);
        u64::from_be_bytes(first) >> 1
    }
}

impl fmt::Display for DagHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(std::str::from_utf8(&self.text()).expect("base 32 is ASCII"))
    }
}

impl fmt::Debug for DagHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DagHash({self})")
    }
}

impl FromStr for DagHash {
    type Err = DagHashError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || DagHashError { text: text.chars().take(64).collect() };
        if text.len() != Self::LENGTH || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(error());
        }
        let mut upper = [0; Self::LENGTH];
        upper.copy_from_slice(text.as_bytes());
        upper.make_ascii_uppercase();
        let mut bytes = [0; Self::BYTES];
        let encoding: &Encoding = &BASE32_NOPAD;
        encoding.decode_mut(&upper, &mut bytes).map_err(|_| error())?;
        Ok(Self(bytes))
    }
}

impl Serialize for DagHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DagHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = DagHash;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a DAG hash")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<DagHash, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("fclvz4q65y4iejarrijycs22dpdzpnqj", 1_462_454_338_985_598_017)]
    #[case("7aar5zxhmxq43d36v6pp3a25dfyul25h", 8_935_299_386_728_181_990)]
    #[case("aaa6aqt6lel4yuslexphxskbqhlvjtck", 264_025_584_471_014)]
    fn a_hash_is_read_written_and_locked_as_spack_does(#[case] text: &str, #[case] offset: u64) {
        let hash: DagHash = text.parse().unwrap();
        assert_eq!(hash.to_string(), text);
        assert_eq!(hash.lock_offset(), offset);
        assert_eq!(hash.short(), &text[..7]);
    }

    #[test]
    fn a_spliced_hash_ends_as_the_one_it_was_built_as() {
        let [new, built]: [DagHash; 2] =
            ["3rby3lgmtuiqz4urhynjn3ruaaaaaaaa", "ggm6nd4skgufap7c2ga6watk5ka7coho"]
                .map(|text| text.parse().unwrap());
        assert_eq!(new.spliced_onto(built).to_string(), "3rby3lgmtuiqz4urhynjn3ruaka7coho");
    }

    #[rstest]
    #[case::empty("")]
    #[case::too_short("fclvz4q")]
    #[case::upper_case("FCLVZ4Q65Y4IEJARRIJYCS22DPDZPNQJ")]
    #[case::a_digit_base_32_lacks("1clvz4q65y4iejarrijycs22dpdzpnqj")]
    #[case::not_ascii("üclvz4q65y4iejarrijycs22dpdzpnq")]
    fn other_text_is_no_hash(#[case] text: &str) {
        assert!(text.parse::<DagHash>().is_err());
    }
}
