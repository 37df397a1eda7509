//! Whatever specs there are, everything that is done with them comes to an end, and what is written
//! is read as the same. Shared by targets; not one itself.

use std::collections::BTreeSet;

use hod_spec::{
    Database, Nodes, Query, Selection, Spec, SpecFile, Topological, push_order, relocation_set,
    render_buildcache_index, render_spec, runtime_closure,
};

pub(crate) fn exercise(nodes: &dyn Nodes, specs: &[&Spec]) {
    let query: Query = "%gcc@:12 ^mpi+x ^zlib@1.2:/a %c=clang".parse().expect("it is a query");
    for spec in specs {
        spec.describe();
        spec.summary();
        spec.label();
        spec.parameters();
        spec.package_hash();
        spec.target().goarch();
        spec.computed_hash();
        spec.compiler_of(nodes);
        query.matches(spec, nodes);
        relocation_set(nodes, spec);
    }
    let roots = || specs.iter().copied().take(3);
    let topological = Topological::new(nodes, roots());
    let closure = runtime_closure(nodes, roots());
    assert!(topological.dependencies_first().count() <= closure.len());
    push_order(nodes, roots(), Selection::WithBuildDependencies);

    let Some(root) = specs.first() else { return };
    let text = format!("{{\"spec\":{}}}", render_spec(nodes, root));
    let again = SpecFile::parse(text.clone().into_bytes()).expect("what was written can be read");
    assert_eq!(again.root().hash, root.hash);
    assert_eq!(format!("{{\"spec\":{}}}", render_spec(&again, again.root())), text);

    let available: BTreeSet<_> = roots().map(|spec| spec.hash).collect();
    let index = render_buildcache_index(&available, nodes);
    let again = Database::parse(index.clone().into_bytes()).expect("what was written can be read");
    assert_eq!(render_buildcache_index(&available, &again), index);
}
