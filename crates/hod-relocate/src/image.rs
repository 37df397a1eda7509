//! The bytes of one object file, in memory or on disk: relocation changes a few of them and must
//! not need all of them at once.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes that can be read and overwritten anywhere, and made longer at their end.
pub trait Image {
    /// How many there are.
    fn length(&self) -> io::Result<u64>;

    /// Fills `buffer` with what begins at `offset`; `UnexpectedEof` if there is less.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Puts `bytes` at `offset`. Beyond the end, the image grows; a gap is filled with zeros.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts off what is beyond `length`, or grows with zeros.
    fn resize(&mut self, length: u64) -> io::Result<()>;
}

impl Image for Vec<u8> {
    fn length(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.checked_add(buffer.len());
        let part = end.and_then(|end| self.get(start..end));
        buffer.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let end = offset.checked_add(bytes.len() as u64).ok_or(io::ErrorKind::FileTooLarge)?;
        if end > self.len() as u64 {
            Image::resize(self, end)?;
        }
        // In bounds now, and so within what a `usize` holds.
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        self[start..start + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn resize(&mut self, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).map_err(|_| io::ErrorKind::FileTooLarge)?;
        Vec::resize(self, length, 0);
        Ok(())
    }
}

impl Image for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(buffer, offset)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn resize(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn story(mut image: impl Image) {
        image.write_at(2, b"abc").unwrap();
        assert_eq!(image.length().unwrap(), 5);
        image.write_at(0, b"xy").unwrap();
        let mut read = [0; 5];
        image.read_at(0, &mut read).unwrap();
        assert_eq!(&read, b"xyabc");
        assert!(image.read_at(1, &mut read).is_err());
        assert!(image.read_at(u64::MAX, &mut read).is_err());
        image.resize(3).unwrap();
        assert_eq!(image.length().unwrap(), 3);
    }

    #[test]
    fn bytes_in_memory_and_on_disk_behave_alike() {
        story(Vec::new());
        story(tempfile::tempfile().unwrap());
    }
}
