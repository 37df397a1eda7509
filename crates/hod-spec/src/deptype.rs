//! What a dependency is needed for.

use std::fmt;
use std::ops::{BitOr, BitOrAssign};

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

use crate::text::Text;

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

impl BitOrAssign for Deptypes {
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
    }
}

impl fmt::Debug for Deptypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// A list of names, one name, or `all`. Other names are errors, as they are to Spack: an edge of
/// unknown meaning must not be taken for one that can be ignored.
impl<'de> Deserialize<'de> for Deptypes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DeptypesVisitor;
        impl<'de> Visitor<'de> for DeptypesVisitor {
            type Value = Deptypes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of dependency types")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Deptypes, E> {
                if name == "all" { Ok(Deptypes::ALL) } else { known(name) }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Deptypes, A::Error> {
                let mut all = Deptypes::NONE;
                while let Some(name) = names.next_element::<Text<'de>>()? {
                    all |= known(&name)?;
                }
                Ok(all)
            }
        }
        deserializer.deserialize_any(DeptypesVisitor)
    }
}

fn known<E: Error>(name: &str) -> Result<Deptypes, E> {
    Deptypes::from_name(name)
        .ok_or_else(|| E::custom(format_args!("unknown dependency type `{}`", name.escape_debug())))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::none("[]", Some(Deptypes::NONE))]
    #[case::two(r#"["link","build"]"#, Some(Deptypes::LINK | Deptypes::BUILD))]
    #[case::twice(r#"["run","run"]"#, Some(Deptypes::RUN))]
    #[case::one(r#""test""#, Some(Deptypes::TEST))]
    #[case::all(r#""all""#, Some(Deptypes::ALL))]
    #[case::unknown(r#"["link","deploy"]"#, None)]
    #[case::a_number("7", None)]
    #[case::null("null", None)]
    fn names_are_read(#[case] json: &str, #[case] expected: Option<Deptypes>) {
        assert_eq!(serde_json::from_str::<Deptypes>(json).ok(), expected);
    }

    #[test]
    fn names_are_written_in_the_order_spack_has() {
        let names: Vec<_> = Deptypes::ALL.names().collect();
        assert_eq!(names, ["build", "link", "run", "test"]);
    }
}
