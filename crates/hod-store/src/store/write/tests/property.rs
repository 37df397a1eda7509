//! Whatever is installed and removed in whatever order, the counts are right.

use proptest::prelude::*;

use super::*;

/// A graph: each spec depends on some of those before it.
fn graph(edges: &[Vec<usize>]) -> Files {
    let hash = |index: usize| {
        let digits =
            [index / 26, index % 26].map(|digit| char::from(b'a' + u8::try_from(digit).unwrap()));
        format!("{}{}{}", digits[0], digits[1], "a".repeat(30))
    };
    let node = |index: usize| {
        let dependencies: Vec<_> = edges[index]
            .iter()
            .map(|to| {
                let deptypes = if to % 2 == 0 { ["link"] } else { ["build"] };
                let parameters = serde_json::json!({"deptypes": deptypes, "virtuals": []});
                serde_json::json!({"name": format!("p{to}"), "hash": hash(*to), "parameters": parameters})
            })
            .collect();
        serde_json::json!({
            "name": format!("p{index}"),
            "version": "1",
            "arch": {"platform": "linux", "platform_os": "debian12", "target": "x86_64"},
            "dependencies": dependencies,
            "hash": hash(index),
        })
    };
    let nodes: Vec<_> = (0..edges.len()).rev().map(node).collect();
    let file = serde_json::json!({"spec": {"_meta": {"version": 5}, "nodes": nodes}});
    Files(vec![SpecFile::parse(file.to_string().into_bytes()).unwrap()])
}

prop_compose! {
    fn graphs()(raw in prop::collection::vec(prop::collection::btree_set(0..12_usize, 0..4), 1..12))
        -> Vec<Vec<usize>> {
        let below = |(index, to): (usize, std::collections::BTreeSet<usize>)| {
            to.into_iter().filter(|to| *to < index).collect()
        };
        raw.into_iter().enumerate().map(below).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn counts_are_right(
        edges in graphs(),
        steps in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 1..24),
    ) {
        let place = tempfile::tempdir().unwrap();
        let writer = writer(place.path());
        let files = graph(&edges);
        let specs = files.0[0].nodes();
        let mut transaction = writer.transaction(&now()).unwrap();
        for (adds, index) in steps {
            let spec = &specs[index.index(specs.len())];
            if adds {
                let prefix = writer.layout().prefix_of(spec, &files).unwrap().unwrap();
                fs::create_dir_all(prefix.join(".spack")).unwrap();
                let text = format!(
                    r#"{{"spec":{{"_meta":{{"version":5}},"nodes":[{}]}}}}"#, spec.text());
                fs::write(prefix.join(".spack/spec.json"), text).unwrap();
                let installation = Installation { path: None, explicit: None, time: 1.5 };
                let registered = transaction.add(&files, &spec.hash, &installation).unwrap();
                prop_assert_eq!(registered, Registered::Installed);
            } else if transaction.database().get(&spec.hash).is_some() {
                transaction.remove(&spec.hash).unwrap();
            }
            assert_counted(transaction.database());
            // What is not installed and what nobody needs has no record.
            for record in transaction.database().records() {
                prop_assert!(record.installed || record.ref_count > 0);
            }
        }
        let before = transaction.database().clone();
        transaction.commit().unwrap();
        let after = writer.transaction(&now()).unwrap();
        prop_assert_eq!(after.database(), &before);
    }
}
