//! The hash Spack would compute (`spack-format` 2.2).

use sha1::{Digest, Sha1};

use super::{Spec, field};
use crate::DagHash;
use crate::python::write_compact;
use crate::text::Pairs;

impl Spec {
    /// The DAG hash as Spack would compute it from this node, for diagnostics: the stored
    /// [`hash`](Self::hash) is the one that counts, and Spack's own test data has some that differ.
    ///
    /// `None` for specs first written before version 5, whose hashes were taken over another text.
    pub fn computed_hash(&self) -> Option<DagHash> {
        if self.original_format < 5 {
            return None;
        }
        let pairs: Pairs<'_> = serde_json::from_str(self.text()).ok()?;
        let mut node = String::with_capacity(self.text().len());
        for (key, value) in pairs.0.iter().filter(|(key, _)| &**key != "hash") {
            write_compact(field(&mut node, key), value.get());
        }
        node.push('}');
        let digest: [u8; DagHash::BYTES] = Sha1::digest(node).into();
        let computed = DagHash::from_bytes(digest);
        Some(self.build_spec.map_or(computed, |built| computed.spliced_onto(built)))
    }
}
