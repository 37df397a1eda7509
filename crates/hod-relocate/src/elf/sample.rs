//! Small ELF files, byte by byte, in both widths and orders.

/// What to build. Nothing in it need be true.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) is_wide: bool,
    pub(crate) is_big: bool,
    /// `e_type`
    pub(crate) kind: u16,
    pub(crate) interpreter: Option<&'static str>,
    /// Dynamic tags whose value is the place of a string.
    pub(crate) strings: Vec<(u64, &'static str)>,
    /// Dynamic tags as they are.
    pub(crate) tags: Vec<(u64, u64)>,
    /// How often the string table is named.
    pub(crate) tables: usize,
    pub(crate) has_sections: bool,
    /// Bytes at the end that belong to nothing.
    pub(crate) rest: Vec<u8>,
}

pub(crate) const NEEDED: u64 = 1;
pub(crate) const SONAME: u64 = 14;
pub(crate) const RPATH: u64 = 15;
pub(crate) const RUNPATH: u64 = 29;

impl Default for Sample {
    fn default() -> Self {
        Self {
            is_wide: true,
            is_big: false,
            kind: 3,
            interpreter: Some("/old/lib/ld.so"),
            strings: vec![(NEEDED, "libc.so"), (SONAME, "libx.so"), (RUNPATH, "/old/lib:$ORIGIN")],
            tags: Vec::new(),
            tables: 1,
            has_sections: true,
            rest: Vec::new(),
        }
    }
}

/// What is written into the file, number by number.
struct Writer {
    is_wide: bool,
    is_big: bool,
    bytes: Vec<u8>,
}

impl Writer {
    fn number(&mut self, value: u64, length: usize) {
        if self.is_big {
            self.bytes.extend_from_slice(&value.to_be_bytes()[8 - length..]);
        } else {
            self.bytes.extend_from_slice(&value.to_le_bytes()[..length]);
        }
    }

    fn words(&mut self, values: &[u64]) {
        for value in values {
            self.number(*value, 4);
        }
    }

    fn halves(&mut self, values: &[u64]) {
        for value in values {
            self.number(*value, 2);
        }
    }

    fn longs(&mut self, values: &[u64]) {
        let length = if self.is_wide { 8 } else { 4 };
        for value in values {
            self.number(*value, length);
        }
    }

    fn segment(&mut self, kind: u64, offset: u64, length: u64) {
        let address = offset + ADDRESS;
        if self.is_wide {
            self.words(&[kind, 7]);
            self.longs(&[offset, address, address, length, length, 1]);
        } else {
            self.words(&[kind, offset, address, address, length, length, 7, 1]);
        }
    }

    fn section(&mut self, kind: u64, offset: u64, length: u64) {
        self.words(&[0, kind]);
        self.longs(&[2, offset + ADDRESS, offset, length]);
        self.words(&[0, 0]);
        self.longs(&[1, 0]);
    }
}

/// Where the file is in memory.
const ADDRESS: u64 = 0x1000;

impl Sample {
    pub(crate) fn build(&self) -> Vec<u8> {
        let of = |wide, narrow| if self.is_wide { wide } else { narrow };
        let (header, segment, section, tag): (u64, u64, u64, u64) =
            (of(64, 52), of(56, 32), of(64, 40), of(16, 8));

        let mut table = b"\0".to_vec();
        let mut tags = self.tags.clone();
        for (tag, text) in &self.strings {
            tags.push((*tag, table.len() as u64));
            table.extend_from_slice(text.as_bytes());
            table.push(0);
        }
        let interpreter: Vec<u8> =
            self.interpreter.map(|text| [text.as_bytes(), b"\0"].concat()).unwrap_or_default();

        let interpreter_at = header + 3 * segment;
        let table_at = interpreter_at + interpreter.len() as u64;
        let dynamic_at = table_at + table.len() as u64;
        tags.extend((0..self.tables).map(|_| (5, table_at + ADDRESS)));
        tags.push((0, 0));
        let dynamic_length = tags.len() as u64 * tag;
        let sections_at = dynamic_at + dynamic_length;
        let sections = if self.has_sections { 2 } else { 0 };
        let end = sections_at + sections * section;

        let mut out = Writer { is_wide: self.is_wide, is_big: self.is_big, bytes: Vec::new() };
        out.bytes.extend_from_slice(b"\x7fELF");
        out.bytes.extend_from_slice(&[1 + u8::from(self.is_wide), 1 + u8::from(self.is_big), 1]);
        out.bytes.resize(16, 0);
        out.halves(&[self.kind.into(), 62]);
        out.words(&[1]);
        out.longs(&[0, header, sections_at]);
        out.words(&[0]);
        out.halves(&[header, segment, 3, section, sections, 0]);
        out.segment(3, interpreter_at, interpreter.len() as u64);
        out.segment(1, 0, end);
        out.segment(2, dynamic_at, dynamic_length);
        out.bytes.extend_from_slice(&interpreter);
        out.bytes.extend_from_slice(&table);
        for (tag, value) in tags {
            out.longs(&[tag, value]);
        }
        if self.has_sections {
            out.section(0, 0, 0);
            out.section(3, table_at, table.len() as u64);
        }
        assert_eq!(out.bytes.len() as u64, end);
        out.bytes.extend_from_slice(&self.rest);
        out.bytes
    }
}
