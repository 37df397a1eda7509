//! Orders are those in which Spack pushed.

use hod_spec::{
    Nodes, Selection, Spec, SpecFile, Topological, push_order, relocation_set, render_spec,
    runtime_closure,
};
use serde_json::Value;

use crate::{blobs, read};

#[test]
fn layers_are_in_the_order_in_which_spack_pushed_them() {
    let images: Value = serde_json::from_slice(&read("spec/images.json")).unwrap();
    let (files, _) = blobs("spack/v3-unsigned");
    let mut count = 0;
    for (tag, layers) in images["layers"].as_object().unwrap() {
        let roots = match tag.rsplit('/').next().unwrap() {
            "all-in-one" => vec![files.named("linkfarm"), files.named("hello")],
            "hello-and-libpng" => vec![files.named("hello"), files.named("libpng")],
            single => {
                let hash = &single[single.len() - 38..][..32];
                vec![files.node(&hash.parse().unwrap()).unwrap()]
            }
        };
        let order = Topological::new(&files, roots);
        let packages = order.dependencies_first().filter(|spec| spec.external.is_none());
        let packages: Vec<String> = packages.map(|spec| spec.hash.to_string()).collect();
        let layers: Vec<&str> =
            layers.as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert_eq!(packages, layers, "{tag}");
        count += 1;
    }
    assert_eq!(count, 7);
}

/// A made-up graph, walked by Spack in all ways that matter.
#[test]
fn walks_are_in_the_order_of_spack() {
    let file = SpecFile::parse(read("spec/graph.json")).unwrap();
    let orders: Value = serde_json::from_slice(&read("spec/graph.orders.json")).unwrap();
    let orders = orders.as_array().unwrap();
    assert_eq!(orders.len(), 9);
    for order in orders {
        // Each node has its own version; the root of the file has that of the first.
        let node = |version: &str| {
            let mut nodes = file.nodes().iter().rev();
            nodes.find(|spec| *spec.version == *version && &*spec.name != "root").unwrap()
        };
        let list = |name: &str| {
            let list = order[name].as_array().unwrap().iter().filter_map(Value::as_str);
            list.collect::<Vec<_>>()
        };
        let roots: Vec<&Spec> = list("roots").into_iter().map(node).collect();
        let check = |name: &str, specs: Vec<&Spec>| {
            let versions: Vec<&str> = specs.iter().map(|spec| &*spec.version).collect();
            assert_eq!(versions, list(name), "{name} of {:?}", list("roots"));
        };
        let given = || roots.iter().copied();
        let topological = Topological::new(&file, given());
        check("topological", topological.dependents_first().collect());
        check("runtime", runtime_closure(&file, given()));
        let with = Selection::WithBuildDependencies;
        check("push_with_build", push_order(&file, given(), with));
        let without = Selection::WithoutBuildDependencies;
        check("push_without_build", push_order(&file, given(), without));
        check("push_only_roots", push_order(&file, given(), Selection::RootsOnly));
        check("relocate", relocation_set(&file, roots[0]));
        let document = format!(r#"{{"spec":{}}}"#, render_spec(&file, roots[0]));
        let document = SpecFile::parse(document.into_bytes()).unwrap();
        check("document", document.nodes().iter().collect());
    }
}

#[test]
fn a_file_written_by_spack_is_rendered_as_it_was() {
    let text = String::from_utf8(read("spec/graph.json")).unwrap();
    let file = SpecFile::parse(text.clone().into_bytes()).unwrap();
    assert_eq!(format!(r#"{{"spec":{}}}"#, render_spec(&file, file.root())), text);
}
