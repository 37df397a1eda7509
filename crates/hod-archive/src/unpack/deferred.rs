//! What can be done only after all files are there: times of directories, and hard links.
//!
//! Kept in a few bytes each, since an archive may have millions of them.

use super::UnpackError;

/// Paths with a note each, in order. A path is stored as what differs from the one before.
#[derive(Debug)]
pub(super) struct Deferred {
    bytes: Vec<u8>,
    last: Vec<u8>,
    what: &'static str,
    limit: usize,
}

impl Deferred {
    /// An empty list of `what`, which may grow to `limit` bytes.
    pub(super) fn new(what: &'static str, limit: usize) -> Self {
        Self { bytes: Vec::new(), last: Vec::new(), what, limit }
    }

    /// Notes `path` with `note`.
    pub(super) fn push(&mut self, path: &[u8], note: &[u8]) -> Result<(), UnpackError> {
        let shared = self.last.iter().zip(path).take_while(|(a, b)| a == b).count();
        for length in [shared, path.len() - shared, note.len()] {
            // Lengths are bounded by the limits on paths and extension headers, far below 2³².
            let length = u32::try_from(length).unwrap_or(u32::MAX);
            write_length(&mut self.bytes, length);
        }
        self.bytes.extend_from_slice(&path[shared..]);
        self.bytes.extend_from_slice(note);
        self.last.truncate(shared);
        self.last.extend_from_slice(&path[shared..]);
        if self.bytes.len() > self.limit {
            let limit = self.limit as u64;
            return Err(UnpackError::Limit { what: self.what, limit });
        }
        Ok(())
    }

    /// Hands every path and note to `each`, in the order they came.
    pub(super) fn for_each(
        &self,
        mut each: impl FnMut(&[u8], &[u8]) -> Result<(), UnpackError>,
    ) -> Result<(), UnpackError> {
        let mut rest = &self.bytes[..];
        let mut path = Vec::new();
        while !rest.is_empty() {
            let [shared, added, note] = [(); 3].map(|()| read_length(&mut rest));
            let (suffix, after) = rest.split_at(added);
            let (note, after) = after.split_at(note);
            path.truncate(shared);
            path.extend_from_slice(suffix);
            each(&path, note)?;
            rest = after;
        }
        Ok(())
    }
}

/// Seven bits a byte, lowest first.
fn write_length(bytes: &mut Vec<u8>, mut length: u32) {
    loop {
        let low = (length & 0x7f) as u8;
        length >>= 7;
        if length == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}

fn read_length(rest: &mut &[u8]) -> usize {
    let (mut length, mut shift) = (0, 0);
    while let [byte, after @ ..] = rest {
        *rest = after;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
        shift += 7;
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_comes_back_in_order_and_takes_little_room() {
        let noted: Vec<_> = (0..1000).map(|n| format!("usr/lib/python/{n:05}/x")).collect();
        let mut deferred = Deferred::new("directories", 1 << 20);
        for path in &noted {
            deferred.push(path.as_bytes(), path.as_bytes()[..3].as_ref()).unwrap();
        }
        deferred.push(&b"long".repeat(100), b"").unwrap();
        assert!(deferred.bytes.len() < 15_000, "{}", deferred.bytes.len());
        let mut seen = Vec::new();
        deferred
            .for_each(|path, note| {
                seen.push((path.to_vec(), note.to_vec()));
                Ok(())
            })
            .unwrap();
        assert_eq!(seen.pop(), Some((b"long".repeat(100), Vec::new())));
        let expected = noted.iter().map(|path| (path.clone().into_bytes(), b"usr".to_vec()));
        assert!(seen.into_iter().eq(expected));
    }

    #[test]
    fn the_limit_holds() {
        let mut deferred = Deferred::new("directories", 10);
        assert!(deferred.push(b"abcdefghij", b"").is_err());
    }
}
