use std::collections::BTreeSet;
use std::fmt::Write;

use proptest::prelude::*;

use super::*;
use crate::{Query, Record, render_buildcache_index};

/// Edges from a number to a number, with the numbers of their types.
type Edges = Vec<(usize, usize, u8)>;

fn hash(number: usize) -> DagHash {
    let mut bytes = [0; DagHash::BYTES];
    bytes[..8].copy_from_slice(&(number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    bytes[12..].copy_from_slice(&(number as u64).to_be_bytes());
    DagHash::from_bytes(bytes)
}

/// A spec file with these edges among `count` nodes. Every seventh is external, every fifth of the
/// same name as the one before, every eleventh was built as another.
fn graph(count: usize, edges: &Edges) -> SpecFile {
    let name = |number: usize| format!("p{}", if number % 5 == 4 { number - 1 } else { number });
    let mut by_parent: Vec<Vec<(usize, u8)>> = vec![Vec::new(); count];
    for (from, to, types) in edges {
        by_parent[*from].push((*to, *types));
    }
    let mut text = String::from(r#"{"spec":{"_meta":{"version":5},"nodes":["#);
    for (number, edges) in by_parent.iter().enumerate() {
        let comma = if number > 0 { "," } else { "" };
        write!(text, r#"{comma}{{"name":"{}","version":"{number}""#, name(number)).unwrap();
        if number % 7 == 6 {
            text.push_str(r#","external":{"path":"/usr","module":null,"extra_attributes":{}}"#);
        }
        if number % 11 == 10 {
            write!(text, r#","build_spec":{{"name":"b","hash":"{}"}}"#, hash((number + 3) % count))
                .unwrap();
        }
        let edges = edges.iter().map(|(to, types)| {
            let all = ["link", "run", "build", "test"];
            let types = all.iter().enumerate().filter(|(bit, _)| types & (1 << bit) != 0);
            let types: Vec<String> = types.map(|(_, name)| format!("\"{name}\"")).collect();
            format!(
                r#"{{"name":"{}","hash":"{}","parameters":{{"deptypes":[{}],"virtuals":[]}}}}"#,
                name(*to),
                hash(*to),
                types.join(",")
            )
        });
        let edges: Vec<String> = edges.collect();
        write!(text, r#","dependencies":[{}],"hash":"{}"}}"#, edges.join(","), hash(number))
            .unwrap();
    }
    text.push_str("]}}");
    SpecFile::parse(text.into_bytes()).unwrap()
}

/// What can be reached from these, the simple way.
fn reachable(file: &SpecFile, roots: &[usize], deptypes: Deptypes) -> BTreeSet<DagHash> {
    let mut found: BTreeSet<DagHash> = roots.iter().copied().map(hash).collect();
    loop {
        let specs = file.nodes().iter().filter(|spec| found.contains(&spec.hash));
        let edges = specs.flat_map(|spec| &spec.dependencies);
        let edges = edges.filter(|edge| edge.deptypes.intersects(deptypes));
        let next: BTreeSet<DagHash> = edges.map(|edge| edge.hash).collect();
        let before = found.len();
        found.extend(next);
        if found.len() == before {
            return found;
        }
    }
}

fn edges(count: usize) -> impl Strategy<Value = Edges> {
    proptest::collection::vec((0..count, 0..count, 1..16u8), 0..count * 3)
}

/// Only downwards: without cycles.
fn downwards(edges: Edges) -> Edges {
    let edges = edges.into_iter().filter(|(from, to, _)| from != to);
    edges.map(|(a, b, types)| (a.min(b), a.max(b), types)).collect()
}

proptest! {
    #[test]
    fn each_spec_of_a_closure_comes_once_and_after_what_needs_it(
        edges in edges(30).prop_map(downwards),
        roots in proptest::collection::vec(0..30usize, 1..4),
    ) {
        let file = graph(30, &edges);
        let specs = || roots.iter().map(|root| &file.nodes()[*root]);
        let order = Topological::new(&file, specs());
        let hashes: Vec<DagHash> = order.dependents_first().map(|spec| spec.hash).collect();
        let expected = reachable(&file, &roots, Deptypes::RUNTIME);
        prop_assert_eq!(hashes.len(), expected.len());
        prop_assert_eq!(&hashes.iter().copied().collect::<BTreeSet<_>>(), &expected);
        let place = |hash| hashes.iter().position(|known| *known == hash);
        for spec in order.dependents_first() {
            for edge in spec.dependencies.iter().filter(|e| e.deptypes.intersects(Deptypes::RUNTIME)) {
                prop_assert!(place(spec.hash) < place(edge.hash));
            }
        }
        let closure: BTreeSet<DagHash> =
            runtime_closure(&file, specs()).iter().map(|spec| spec.hash).collect();
        prop_assert_eq!(closure, expected);
        let mut reversed = hashes;
        reversed.reverse();
        let other: Vec<DagHash> = order.dependencies_first().map(|spec| spec.hash).collect();
        prop_assert_eq!(other, reversed);
    }

    #[test]
    fn an_index_is_read_as_it_was_written(
        edges in edges(30).prop_map(downwards),
        available in proptest::collection::btree_set(0..30usize, 0..5),
    ) {
        let file = graph(30, &edges);
        let roots: Vec<usize> = available.iter().copied().collect();
        let available: BTreeSet<DagHash> = available.into_iter().map(hash).collect();
        let rendered = render_buildcache_index(&available, &file);
        let database = Database::parse(rendered.clone().into_bytes()).unwrap();
        let expected = reachable(&file, &roots, Deptypes::ALL);
        prop_assert_eq!(database.len(), expected.len());
        for record in database.records() {
            let Record { spec, ref_count, in_buildcache, .. } = record;
            prop_assert!(expected.contains(&spec.hash));
            prop_assert_eq!(*in_buildcache, available.contains(&spec.hash));
            prop_assert_eq!(&spec.dependencies, &file.get(&spec.hash).unwrap().dependencies);
            let dependents = database.records().filter(|record| {
                record.spec.dependencies.iter().any(|edge| edge.hash == spec.hash)
            });
            prop_assert_eq!(*ref_count, dependents.count() as u64);
        }
        prop_assert_eq!(render_buildcache_index(&available, &database), rendered);
    }

    #[test]
    fn a_rendered_spec_is_read_as_it_was(edges in edges(20).prop_map(downwards)) {
        let file = graph(20, &edges);
        let text = format!(r#"{{"spec":{}}}"#, render_spec(&file, file.root()));
        let again = SpecFile::parse(text.clone().into_bytes()).unwrap();
        prop_assert_eq!(&again.root().hash, &file.root().hash);
        for spec in again.nodes() {
            prop_assert_eq!(Some(spec), file.get(&spec.hash));
        }
        prop_assert_eq!(format!(r#"{{"spec":{}}}"#, render_spec(&again, again.root())), text);
    }

    /// Nothing Spack writes has cycles; whatever has must not keep us.
    #[test]
    fn cycles_come_to_an_end(edges in edges(12)) {
        let file = graph(12, &edges);
        let roots = || [file.root(), &file.nodes()[5]];
        let order = Topological::new(&file, roots());
        prop_assert!(order.dependents_first().count() <= 12);
        prop_assert_eq!(
            runtime_closure(&file, roots()).len(),
            reachable(&file, &[0, 5], Deptypes::RUNTIME).len()
        );
        push_order(&file, roots(), Selection::WithBuildDependencies);
        relocation_set(&file, file.root());
        render_spec(&file, file.root());
        render_buildcache_index(&BTreeSet::from([file.root().hash]), &file);
        let query: Query = "^p1+x %p2 ^*".parse().unwrap();
        query.matches(file.root(), &file);
    }
}

/// A chain, which recursion would not survive, and a ladder, which walks that forget would not.
#[test]
fn large_graphs_are_walked_in_time() {
    const COUNT: usize = 10_000;
    let chain = (0..COUNT - 1).map(|number| (number, number + 1, 3));
    let ladder = (0..COUNT - 2).map(|number| (number, number + 2, 7));
    let file = graph(COUNT, &chain.chain(ladder).collect());
    let root = || [file.root()];
    assert_eq!(Topological::new(&file, root()).dependents_first().count(), COUNT);
    assert_eq!(runtime_closure(&file, root()).len(), COUNT);
    let externals = COUNT / 7;
    assert_eq!(push_order(&file, root(), Selection::default()).len(), COUNT - externals);
    assert_eq!(relocation_set(&file, file.root()).len(), COUNT - externals);
    assert_eq!(document_order(&file, file.root()).len(), COUNT);
    let query: Query = "^p9998@9998".parse().unwrap();
    assert!(query.matches(file.root(), &file));
}
