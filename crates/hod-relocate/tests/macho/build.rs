//! Small images, made field by field from `mach-o/loader.h` and `mach-o/fat.h`.

pub(crate) const RPATH: u32 = 0x8000_001c;
pub(crate) const LOAD: u32 = 0xc;
pub(crate) const ID: u32 = 0xd;
pub(crate) const WEAK: u32 = 0x8000_0018;
pub(crate) const REEXPORT: u32 = 0x8000_001f;
pub(crate) const LAZY: u32 = 0x20;
pub(crate) const UPWARD: u32 = 0x8000_0023;

pub(crate) const X86_64: u32 = 0x0100_0007;
pub(crate) const ARM64: u32 = 0x0100_000c;
pub(crate) const POWERPC: u32 = 18;
pub(crate) const I386: u32 = 7;

pub(crate) const DYLIB: u32 = 6;
pub(crate) const PROGRAM: u32 = 2;
pub(crate) const DEBUG_SYMBOLS: u32 = 10;

/// What the content of `__text` and of `__LINKEDIT` is filled with.
pub(crate) const CONTENT: u8 = 0x90;

/// An image to be made: a `__TEXT` with one section, and a `__LINKEDIT`.
#[derive(Debug, Clone)]
pub(crate) struct Form {
    pub(crate) big: bool,
    pub(crate) wide: bool,
    pub(crate) cpu: u32,
    pub(crate) file_type: u32,
    /// Kind of command and name.
    pub(crate) names: Vec<(u32, String)>,
    /// Zeros between the commands and the content.
    pub(crate) padding: usize,
    pub(crate) content: usize,
    /// An old signature at the end.
    pub(crate) signature: Option<Vec<u8>>,
    /// A second section, `__info_plist`, with this content.
    pub(crate) info: Option<Vec<u8>>,
}

impl Default for Form {
    fn default() -> Self {
        Self {
            big: false,
            wide: true,
            cpu: X86_64,
            file_type: DYLIB,
            names: Vec::new(),
            padding: 256,
            content: 5000,
            signature: None,
            info: None,
        }
    }
}

impl Form {
    pub(crate) fn named(names: &[(u32, &str)]) -> Self {
        let names = names.iter().map(|&(kind, name)| (kind, name.to_owned())).collect();
        Self { names, ..Self::default() }
    }

    fn number(&self, value: usize) -> Vec<u8> {
        let value = u32::try_from(value).unwrap();
        if self.big { value.to_be_bytes() } else { value.to_le_bytes() }.to_vec()
    }

    fn word(&self, value: usize) -> Vec<u8> {
        let pad = [0; 4];
        match (self.wide, self.big) {
            (false, _) => self.number(value),
            (true, false) => [self.number(value), pad.to_vec()].concat(),
            (true, true) => [pad.to_vec(), self.number(value)].concat(),
        }
    }

    /// The size of a command that holds this name.
    fn command(&self, kind: u32, name: &str) -> Vec<u8> {
        let fixed = if kind == RPATH { 12 } else { 24 };
        let align = if self.wide { 8 } else { 4 };
        let size = (fixed + name.len() + 1).next_multiple_of(align);
        let mut bytes =
            [self.number(kind as usize), self.number(size), self.number(fixed)].concat();
        if kind != RPATH {
            // Time, version, compatible version.
            bytes.extend([2, 0x10203, 0x10000].iter().flat_map(|&value| self.number(value)));
        }
        bytes.extend(name.as_bytes());
        bytes.resize(size, 0);
        bytes
    }

    fn segment(&self, name: &str, start: usize, length: usize, sections: &[Vec<u8>]) -> Vec<u8> {
        let (kind, fixed) = if self.wide { (0x19, 72) } else { (0x1, 56) };
        let sections_size: usize = sections.iter().map(Vec::len).sum();
        let mut bytes = [self.number(kind), self.number(fixed + sections_size)].concat();
        bytes.extend(padded(name));
        for value in [start, length.next_multiple_of(0x4000), start, length] {
            bytes.extend(self.word(value));
        }
        for value in [7, 5, sections.len(), 0] {
            bytes.extend(self.number(value));
        }
        bytes.extend(sections.concat());
        bytes
    }

    fn section(&self, name: &str, start: usize, length: usize) -> Vec<u8> {
        let mut bytes = [padded(name), padded("__TEXT")].concat();
        bytes.extend(self.word(start));
        bytes.extend(self.word(length));
        bytes.extend(self.number(start));
        bytes.resize(if self.wide { 80 } else { 68 }, 0);
        bytes
    }

    /// The bytes of the image.
    pub(crate) fn build(&self) -> Vec<u8> {
        // Twice: what the commands say depends on their size.
        let size = self.commands(0).0.len();
        let (commands, count, content) = self.commands(size);
        let magic = if self.wide { 0xfeed_facf_u32 } else { 0xfeed_face };
        let mut bytes = Vec::new();
        for value in [magic, self.cpu, 0, self.file_type, count, u32::try_from(size).unwrap(), 0x85]
        {
            bytes.extend(self.number(value as usize));
        }
        if self.wide {
            bytes.extend([0; 4]);
        }
        bytes.extend(commands);
        bytes.resize(bytes.len() + self.padding, 0);
        bytes.extend(content);
        bytes
    }

    /// Commands, their number, and the content that follows the padding.
    fn commands(&self, size: usize) -> (Vec<u8>, u32, Vec<u8>) {
        let text_start = if self.wide { 32 } else { 28 } + size + self.padding;
        let mut content = vec![CONTENT; self.content];
        let mut sections = vec![self.section("__text", text_start, self.content)];
        if let Some(info) = &self.info {
            sections.push(self.section("__info_plist", text_start + content.len(), info.len()));
            content.extend(info);
        }
        let linkedit_start = text_start + content.len();
        content.extend([CONTENT; 100]);
        let mut commands = self.segment("__TEXT", 0, linkedit_start, &sections);
        let mut signature_command = Vec::new();
        if let Some(signature) = &self.signature {
            let at = (text_start + content.len()).next_multiple_of(16);
            content.resize(at - text_start, 0);
            content.extend(signature);
            signature_command =
                [0x1d, 16, at, signature.len()].iter().flat_map(|&v| self.number(v)).collect();
        }
        let linkedit_length = text_start + content.len() - linkedit_start;
        commands.extend(self.segment("__LINKEDIT", linkedit_start, linkedit_length, &[]));
        for (kind, name) in &self.names {
            commands.extend(self.command(*kind, name));
        }
        let signed = u32::from(self.signature.is_some());
        commands.extend(signature_command);
        (commands, 2 + u32::try_from(self.names.len()).unwrap() + signed, content)
    }
}

fn padded(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(16, 0);
    bytes
}

/// A file of several images, each at a multiple of 2^`align`.
pub(crate) fn universal(wide: bool, align: u32, images: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let magic = if wide { 0xcafe_babf_u32 } else { 0xcafe_babe };
    let mut table =
        [magic.to_be_bytes(), u32::try_from(images.len()).unwrap().to_be_bytes()].concat();
    let mut content = Vec::new();
    let table_end = 8 + images.len() * if wide { 32 } else { 20 };
    for (cpu, image) in images {
        let start = (table_end + content.len()).next_multiple_of(1 << align);
        content.resize(start - table_end, 0);
        content.extend(image);
        table.extend(cpu.to_be_bytes());
        table.extend([0; 4]);
        for value in [start as u64, image.len() as u64] {
            if wide {
                table.extend(value.to_be_bytes());
            } else {
                table.extend(u32::try_from(value).unwrap().to_be_bytes());
            }
        }
        table.extend(align.to_be_bytes());
        if wide {
            table.extend([0; 4]);
        }
    }
    [table, content].concat()
}

/// The images of such a file, by its table.
pub(crate) fn slices(file: &[u8]) -> Vec<&[u8]> {
    let number = |at: usize| u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) as usize;
    let (each, low) = match number(0) {
        0xcafe_babe => (20, [8, 12]),
        0xcafe_babf => (32, [12, 20]),
        _ => return vec![file],
    };
    (0..number(4))
        .map(|index| {
            let [start, length] = low.map(|at| number(8 + index * each + at));
            &file[start..start + length]
        })
        .collect()
}
