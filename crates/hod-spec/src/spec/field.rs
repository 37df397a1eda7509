//! The parts of a node that have the same form in all versions.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Arch, External};
use crate::text::Text;

#[derive(Deserialize, Default)]
pub(super) struct ArchText<'a> {
    #[serde(borrow, default)]
    platform: Text<'a>,
    #[serde(borrow, default)]
    platform_os: Text<'a>,
    #[serde(borrow, default)]
    target: TargetName<'a>,
}

impl From<ArchText<'_>> for Arch {
    fn from(arch: ArchText<'_>) -> Self {
        Self {
            platform: arch.platform.into(),
            os: arch.platform_os.into(),
            target: arch.target.0.into(),
        }
    }
}

/// A name for generic targets, an object with a `name` for all others.
#[derive(Default)]
struct TargetName<'a>(Text<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for TargetName<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TargetVisitor;
        impl<'de> Visitor<'de> for TargetVisitor {
            type Value = TargetName<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a target, or an object with one")
            }

            fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Self::Value, E> {
                Ok(TargetName(Text(name.into())))
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
                Ok(TargetName(Text(name.to_owned().into())))
            }

            fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
                Ok(TargetName::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut name = None;
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    if &*key == "name" {
                        name = Some(map.next_value()?);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                name.map(TargetName).ok_or_else(|| A::Error::missing_field("name"))
            }
        }
        deserializer.deserialize_any(TargetVisitor)
    }
}

#[derive(Deserialize)]
pub(super) struct ExternalText<'a> {
    #[serde(borrow, default)]
    path: Option<Text<'a>>,
    #[serde(borrow, default)]
    module: Modules<'a>,
}

impl ExternalText<'_> {
    /// A spec is external if it has a path or a module (`spack-format` 2.1).
    pub(super) fn into_external(self) -> Option<External> {
        let path = self.path.filter(|path| !path.is_empty());
        if path.is_none() && self.module.0.is_empty() {
            return None;
        }
        let modules = self.module.0.into_iter().map(Into::into).collect();
        Some(External { path: path.map(Into::into), modules })
    }
}

/// A list, one name, or `null` or `false` for none.
#[derive(Default)]
struct Modules<'a>(Vec<Text<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Modules<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ModulesVisitor;
        impl<'de> Visitor<'de> for ModulesVisitor {
            type Value = Modules<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of modules")
            }

            fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
                Ok(Modules::default())
            }

            fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
                Ok(Modules::default())
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
                let name = (!name.is_empty()).then(|| Text(name.to_owned().into()));
                Ok(Modules(name.into_iter().collect()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut modules = Vec::new();
                while let Some(module) = list.next_element()? {
                    modules.push(module);
                }
                Ok(Modules(modules))
            }
        }
        deserializer.deserialize_any(ModulesVisitor)
    }
}
