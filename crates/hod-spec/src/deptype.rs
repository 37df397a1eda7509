//! What a dependency is needed for.

use std::fmt;
use std::ops::BitOr;

/// A set of dependency types, numbered as Spack numbers them (`spack-format` 2.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Deptypes(u8);

impl Deptypes {
    /// None.
    pub const NONE: Self = Self(0);
    /// To be linked with.
    pub const LINK: Self = Self(1);
    /// To be there at run time.
    pub const RUN: Self = Self(2);
    /// To build with.
    pub const BUILD: Self = Self(4);
    /// To test with.
    pub const TEST: Self = Self(8);
    /// Link and run: what a program needs to work.
    pub const RUNTIME: Self = Self(3);
    /// All four.
    pub const ALL: Self = Self(15);

    /// In the order in which Spack writes them.
    const NAMES: [(Self, &'static str); 4] =
        [(Self::BUILD, "build"), (Self::LINK, "link"), (Self::RUN, "run"), (Self::TEST, "test")];

    /// The type of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|(_, known)| *known == name).map(|(deptype, _)| deptype)
    }

    /// Whether any type is in both sets.
    pub fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The names, in the order in which Spack writes them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(one, _)| self.intersects(*one)).map(|(_, name)| name)
    }

    /// The number Spack sorts by.
    pub fn bits(self) -> u8 {
        self.0
    }
}

impl BitOr for Deptypes {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for Deptypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}
