//! Configurations of more weight over those of less (`merge_yaml` in `spack/schema/__init__.py`).

use super::{Value, Yaml};

/// `under` with `over` laid over it: mappings are merged, keys of `over` first; lists are put
/// before one another, without what is in both; anything else is replaced.
///
/// Spack's documentation also has keys that end in `+:` and `-:`. Spack knows them on its command
/// line only; in files they are keys of their own, as here.
pub(crate) fn merge(under: Yaml, over: Yaml) -> Yaml {
    let place = over.place;
    let value = match (under.value, over.value) {
        (Value::List(under), Value::List(mut over)) => {
            let rest: Vec<_> = under.into_iter().filter(|item| !over.contains(item)).collect();
            over.extend(rest);
            Value::List(over)
        }
        (Value::Map(mut under), Value::Map(over)) => {
            let mut merged = Vec::with_capacity(under.len() + over.len());
            for (key, value) in over {
                let index = under.iter().position(|(under, _)| under.text == key.text);
                let value = match index.map(|index| under.remove(index).1) {
                    Some(under) if !key.replaces => merge(under, value),
                    _ => value,
                };
                merged.push((key, value));
            }
            merged.append(&mut under);
            Value::Map(merged)
        }
        (_, over) => over,
    };
    Yaml { value, place }
}
