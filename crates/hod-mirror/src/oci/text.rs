//! Digests as JSON strings: parsed strictly, so that nothing unchecked becomes a file name.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(super) mod digest {
    use hod_archive::Digest;

    use super::{Deserializer, Serializer};

    pub(in crate::oci) fn serialize<S: Serializer>(
        digest: &Digest,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_str(digest)
    }

    pub(in crate::oci) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Digest, D::Error> {
        let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

pub(super) mod diff_ids {
    use hod_archive::DiffId;
    use serde::ser::SerializeSeq;

    use super::{Deserialize, Deserializer, Serializer};

    pub(in crate::oci) fn serialize<S: Serializer>(
        ids: &[DiffId],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let mut seq = to.serialize_seq(Some(ids.len()))?;
        for id in ids {
            seq.serialize_element(&id.to_string())?;
        }
        seq.end()
    }

    pub(in crate::oci) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<DiffId>, D::Error> {
        let texts = Option::<Vec<String>>::deserialize(from)?.unwrap_or_default();
        let parse = |text: &String| text.parse().map(DiffId).map_err(serde::de::Error::custom);
        texts.iter().map(parse).collect()
    }
}

/// `null` for an absent list or map: what Go writes for a nil slice.
pub(super) fn null_as_default<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// So that optional nested structs are left out when they say nothing.
pub(super) fn is_default<T: Default + PartialEq + Serialize>(value: &T) -> bool {
    *value == T::default()
}
