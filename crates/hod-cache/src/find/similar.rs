//! What somebody may have meant.

/// The name most like `wanted`, if it is like it at all.
pub fn closest(wanted: &str, names: Vec<String>) -> Option<String> {
    let most = wanted.len().div_ceil(3).max(1);
    names
        .into_iter()
        .map(|name| (distance(wanted, &name), name))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, name)| name)
}

/// Edits (insert, delete, replace) from one text to the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, &y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_its_name() {
        let names = || vec!["hdf5".to_owned(), "zlib".to_owned()];
        assert_eq!(closest("hdff5", names()).as_deref(), Some("hdf5"));
        assert_eq!(closest("python", names()), None);
    }
}
