//! An image as it will be after changes that are not yet written.

use std::io;

use crate::image::Image;

/// Bytes to be put somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Patch {
    pub(crate) offset: u64,
    pub(crate) bytes: Vec<u8>,
}

/// Shows an image with patches in it, so that later changes are checked against earlier ones and
/// nothing is written before all are known to be possible.
pub(crate) struct View<'i> {
    image: &'i dyn Image,
    length: u64,
    patches: &'i [Patch],
}

impl<'i> View<'i> {
    /// The patches must be within the image; of two at one place the last counts.
    pub(crate) fn new(image: &'i dyn Image, patches: &'i [Patch]) -> io::Result<Self> {
        Ok(Self { image, length: image.length()?, patches })
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Fills `buffer` with what begins at `offset`; `UnexpectedEof` if there is less, also where
    /// a file would call the offset itself invalid.
    pub(crate) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64).filter(|end| *end <= self.length);
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        self.image.read_at(offset, buffer)?;
        for patch in self.patches {
            let first = patch.offset.max(offset);
            let last = end.min(patch.offset + patch.bytes.len() as u64);
            if first < last {
                let length = index(last - first);
                let from = index(first - patch.offset);
                let to = index(first - offset);
                buffer[to..to + length].copy_from_slice(&patch.bytes[from..from + length]);
            }
        }
        Ok(())
    }
}

/// A distance within bytes that are in memory.
fn index(distance: u64) -> usize {
    usize::try_from(distance).expect("it is within a slice")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_are_seen_through_every_window_and_the_image_stays() {
        let image = b"0123456789".to_vec();
        let patch = |offset, bytes: &[u8]| Patch { offset, bytes: bytes.to_vec() };
        let patches = [patch(2, b"abc"), patch(4, b"XY"), patch(9, b"z")];
        let view = View::new(&image, &patches).unwrap();
        for start in 0..10 {
            for end in start..=10 {
                let mut read = vec![0; end - start];
                view.read_at(start as u64, &mut read).unwrap();
                assert_eq!(read, b"01abXY678z"[start..end]);
            }
        }
        assert_eq!(image, b"0123456789");
        assert_eq!(
            view.read_at(u64::MAX, &mut [0]).unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
    }
}
