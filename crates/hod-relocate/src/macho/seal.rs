//! New signatures for all architectures of a file: decided first, then written.

use sha2::{Digest, Sha256};

use super::MachOError;
use super::container::{Container, Slice};
use super::object::{LINKEDIT_DATA, Object, Segment, kind};
use super::signature::{ALIGN, HASH, Old, PROGRAM, Signature};
use crate::Image;

/// What becomes of one architecture.
struct Plan {
    /// With the commands as they will be.
    object: Object,
    signature: Signature,
    /// Offset and size of the property list within the image.
    info: Option<(u64, u64)>,
    /// How many bytes the commands had.
    old_commands: usize,
    /// Where the content ends that is not signature, before it is filled up to the limit.
    content_end: u64,
    /// The size the image will have, with all that follows it.
    length: u64,
    /// The size of the signature, filled up with zeros.
    size: u64,
}

/// How much is read at once: a multiple of any page's size.
const BUFFER: usize = 256 << 10;

/// Signs what has to be signed. Says whether anything had to be.
pub(super) fn seal(
    name: &[u8],
    image: &mut dyn Image,
    container: &Container,
) -> Result<bool, MachOError> {
    let mut plans = Vec::new();
    let mut lengths: Vec<u64> = container.slices.iter().map(|slice| slice.length).collect();
    for (index, slice) in container.slices.iter().enumerate() {
        let Some(object) = Object::read(&*image, slice)? else { continue };
        if let Some(plan) = plan(name, &*image, object)? {
            lengths[index] = plan.length;
            plans.push((index, plan));
        }
    }
    if plans.is_empty() {
        return Ok(false);
    }
    let slices = container.laid_out(&lengths)?;
    if let Some(&last) = container.by_offset().last() {
        let old_end = container.slices[last].end();
        let tail = image.length()? - old_end;
        if tail > 0 && slices[last].end() > old_end {
            return Err(MachOError::TrailingData { length: tail });
        }
    }
    move_slices(image, container, &slices)?;
    container.write_table(image, &slices)?;
    for (index, plan) in &plans {
        write(image, plan, slices[*index].offset)?;
    }
    Ok(true)
}

/// What to do with an image; nothing if it has no signature and needs none.
fn plan(name: &[u8], image: &dyn Image, mut object: Object) -> Result<Option<Plan>, MachOError> {
    let existing = existing(&object)?;
    if existing.is_none() && !object.must_be_signed() {
        return Ok(None);
    }
    let Some(linkedit) = object.segment(b"__LINKEDIT")? else {
        return Err(MachOError::malformed("no __LINKEDIT to sign", object.offset));
    };
    let linkedit_end = linkedit.start.checked_add(linkedit.length);
    let Some(linkedit_end) = linkedit_end.filter(|&end| end <= object.length) else {
        return Err(object.malformed("__LINKEDIT exceeds the image", linkedit.at));
    };
    let old_commands = object.commands.len();
    let (command, old, content_end, old_end) = match existing {
        Some((at, offset, size)) => {
            let end = offset + size;
            if offset < linkedit.start || end < linkedit_end || end > object.length {
                return Err(object.malformed("the signature is not the end of __LINKEDIT", at));
            }
            (at, Old::read(image, object.offset + offset, size)?, offset, end)
        }
        None => (add_command(&mut object)?, Old::default(), linkedit_end, linkedit_end),
    };
    if content_end < object.header() + object.commands.len() as u64 {
        return Err(object.malformed("__LINKEDIT ends within the load commands", linkedit.at));
    }
    let limit = u32::try_from(content_end.next_multiple_of(ALIGN));
    let limit = limit.map_err(|_| MachOError::TooLarge)?;
    let identifier = old.identifier.unwrap_or_else(|| file_name(name));
    // Some programs have their property list in the image, and `codesign` binds it.
    let info = object.section(b"__info_plist")?;
    if info.is_some_and(|(start, length)| start + length > u64::from(limit)) {
        let what = "the property list is not in the part that is signed";
        return Err(MachOError::malformed(what, object.offset));
    }
    let program = if object.is_program() { PROGRAM } else { 0 };
    let text = object.segment(b"__TEXT")?;
    let (text_start, text_length) = text.map_or((0, 0), |text| (text.start, text.length));
    let signature = Signature {
        identifier,
        page: old.page,
        entitlements: old.entitlements,
        limit,
        segment: [text_start, text_length, old.segment_flags & !PROGRAM | program],
    };
    // The space of the old one is kept, as `codesign` leaves some too, and with it all that follows.
    let (need, room) = (signature.length(), old_end.saturating_sub(u64::from(limit)));
    let tail = object.length - old_end;
    if need > room && tail > 0 {
        return Err(MachOError::TrailingData { length: tail });
    }
    let size = need.max(room);
    let end = u64::from(limit) + size;
    resize_linkedit(&mut object, linkedit, end - linkedit.start)?;
    let fields = [limit, u32::try_from(size).map_err(|_| MachOError::TooLarge)?];
    let fields = fields.map(|value| object.endian.u32_bytes(value)).concat();
    object.commands[command + 8..command + LINKEDIT_DATA].copy_from_slice(&fields);
    Ok(Some(Plan { object, signature, info, old_commands, content_end, length: end + tail, size }))
}

/// Where the command of the old signature is, and offset and size of the signature.
fn existing(object: &Object) -> Result<Option<(usize, u64, u64)>, MachOError> {
    let mut found = None;
    for command in object.commands().filter(|command| command.kind == kind::CODE_SIGNATURE) {
        let field = |at| object.endian.u32(command.bytes, at).map(u64::from);
        let fields = field(8).zip(field(12)).filter(|_| found.is_none());
        let (offset, size) = fields.ok_or_else(|| {
            object.malformed("the signature's command is truncated or repeated", command.at)
        })?;
        found = Some((command.at, offset, size));
    }
    Ok(found)
}

/// Appends the command of a signature, without its numbers. Returns where it is.
fn add_command(object: &mut Object) -> Result<usize, MachOError> {
    let at = object.commands.len();
    let (room, need) = (object.room()?, (at + LINKEDIT_DATA) as u64);
    if need > room {
        return Err(MachOError::NoRoom { room, need });
    }
    for field in [kind::CODE_SIGNATURE, 16, 0, 0] {
        object.commands.extend(object.endian.u32_bytes(field));
    }
    object.count += 1;
    Ok(at)
}

/// Gives the segment that the signature belongs to its new size, and memory for all of it.
fn resize_linkedit(object: &mut Object, linkedit: Segment, length: u64) -> Result<(), MachOError> {
    let memory = linkedit.memory.max(length.next_multiple_of(object.page()));
    let end = linkedit.address.checked_add(memory).ok_or(MachOError::TooLarge)?;
    if memory > linkedit.memory {
        for other in object.segments() {
            let other = other?;
            let is_other = other.at != linkedit.at && other.memory > 0;
            if is_other && (linkedit.address..end).contains(&other.address) {
                let what = "another segment's memory follows that of __LINKEDIT";
                return Err(object.malformed(what, other.at));
            }
        }
    }
    // Address, memory, start and length follow the name.
    let word = if linkedit.wide { 8 } else { 4 };
    for (index, value) in [(1, memory), (3, length)] {
        let at = linkedit.at + 24 + index * word;
        let bytes = object.endian.word_bytes(value, linkedit.wide)?;
        object.commands[at..at + word].copy_from_slice(&bytes);
    }
    Ok(())
}

/// The last component of a path, for an identifier.
fn file_name(path: &[u8]) -> Vec<u8> {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
    let name: Vec<u8> = name.iter().copied().filter(|&byte| byte != 0).collect();
    if name.is_empty() { b"a.out".to_vec() } else { name }
}

/// Brings the images to their new places, the last one first: none ever moves towards the start.
fn move_slices(
    image: &mut dyn Image,
    container: &Container,
    slices: &[Slice],
) -> Result<(), MachOError> {
    let mut next: Option<(Slice, Slice)> = None;
    for index in container.by_offset().into_iter().rev() {
        let (old, new) = (container.slices[index], slices[index]);
        if next.is_none() && new.end() > old.end() {
            image.resize(new.end())?;
        }
        if new.offset > old.offset {
            copy_up(image, old.offset, new.offset, old.length)?;
        }
        // What is left of the beginning of one that has moved.
        if let Some((old_next, new_next)) = next {
            let end = new.offset + old.length;
            fill(image, end.max(old_next.offset), new_next.offset)?;
        }
        next = Some((old, new));
    }
    Ok(())
}

/// Writes header, commands and signature of an image that now begins at `offset`.
fn write(image: &mut dyn Image, plan: &Plan, offset: u64) -> Result<(), MachOError> {
    plan.object.write(image, offset, plan.old_commands)?;
    let limit = u64::from(plan.signature.limit);
    fill(image, offset + plan.content_end, offset + limit)?;
    let mut hashes = Vec::with_capacity(plan.signature.pages() * HASH);
    each_chunk(&*image, offset, limit, |chunk| {
        let pages = chunk.chunks(plan.signature.page_size());
        pages.for_each(|page| hashes.extend(Sha256::digest(page)));
    })?;
    let info = plan.info.map(|(start, length)| {
        let mut hash = Sha256::new();
        each_chunk(&*image, offset + start, length, |chunk| hash.update(chunk))?;
        Ok::<[u8; HASH], MachOError>(hash.finalize().into())
    });
    let signature = plan.signature.render(&hashes, info.transpose()?)?;
    image.write_at(offset + limit, &signature)?;
    fill(image, offset + limit + signature.len() as u64, offset + limit + plan.size)
}

/// Reads a range in pieces, each but the last of whole pages.
fn each_chunk(
    image: &dyn Image,
    offset: u64,
    length: u64,
    mut take: impl FnMut(&[u8]),
) -> Result<(), MachOError> {
    let mut buffer = vec![0; BUFFER];
    let mut done = 0;
    while done < length {
        let size = usize::try_from(length - done).unwrap_or(BUFFER).min(BUFFER);
        image.read_at(offset + done, &mut buffer[..size])?;
        take(&buffer[..size]);
        done += size as u64;
    }
    Ok(())
}

/// Copies a range towards the end, from its end on, since the two may overlap.
fn copy_up(image: &mut dyn Image, from: u64, to: u64, length: u64) -> Result<(), MachOError> {
    let mut buffer = vec![0; BUFFER];
    let mut left = length;
    while left > 0 {
        let size = usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
        left -= size as u64;
        image.read_at(from + left, &mut buffer[..size])?;
        image.write_at(to + left, &buffer[..size])?;
    }
    Ok(())
}

/// Puts zeros from `start` up to `end`, if it is behind.
fn fill(image: &mut dyn Image, start: u64, end: u64) -> Result<(), MachOError> {
    let zeros = vec![0; BUFFER];
    let mut at = start;
    while at < end {
        let size = usize::try_from(end - at).unwrap_or(BUFFER).min(BUFFER);
        image.write_at(at, &zeros[..size])?;
        at += size as u64;
    }
    Ok(())
}
