//! Databases of all versions.

use std::collections::BTreeSet;

use hod_spec::{DagHash, Database, DatabaseError, Record, SpecFile, render_buildcache_index};
use rstest::rstest;
use serde_json::{Value, json};

use crate::read;

/// A database of this version with the nodes of a spec file.
fn database(version: u32, file: &str) -> Value {
    let file: Value = serde_json::from_slice(&read(file)).unwrap();
    let nodes = file["spec"].as_array().or_else(|| file["spec"]["nodes"].as_array()).unwrap();
    let records = nodes.iter().map(|node| {
        let inner =
            if version == 5 { node.as_object().unwrap().values().next().unwrap() } else { node };
        let hash = inner["hash"].as_str().unwrap().to_owned();
        (hash, json!({"spec": node, "ref_count": 1, "path": "None", "installed": true}))
    });
    let installs: serde_json::Map<String, Value> = records.collect();
    json!({"database": {"version": version.to_string(), "installs": installs}})
}

fn parse(database: &Value) -> Result<Database, DatabaseError> {
    Database::parse(database.to_string().into_bytes())
}

#[rstest]
#[case::version_6(6, "spec/v3.json")]
#[case::version_7(7, "spec/v4.json")]
#[case::version_8(8, "spec/v5.json")]
fn records_are_as_in_spec_files(#[case] version: u32, #[case] path: &str) {
    let found = parse(&database(version, path)).unwrap();
    assert_eq!(found.version(), version);
    let file = SpecFile::parse(read(path)).unwrap();
    assert_eq!(found.len(), file.nodes().len());
    for record in found.records() {
        let spec = file.get(&record.spec.hash).unwrap();
        assert_eq!(record.spec.dependencies, spec.dependencies);
        assert_eq!(record.spec.computed_hash(), spec.computed_hash());
        assert_eq!(record.spec.original_format(), spec.original_format());
        assert_eq!((record.installed, record.path.as_deref()), (true, None));
    }
}

/// In version 5 the nodes are of specfile version 1, and edges lead to keys.
#[test]
fn records_of_version_5_are_read() {
    let mut value = database(5, "spec/v1.json");
    let app = "qumngf6esvqn6i4wy7eb5gfrkegziqjo";
    let lib: DagHash = "v34fgzoftcamv7cuk4jci4znfg5qwiey".parse().unwrap();
    // There the edges have the hashes that are the keys.
    let dependency = &mut value["database"]["installs"][app]["spec"]["app"]["dependencies"]["lib"];
    dependency["hash"] = lib.to_string().into();
    let found = parse(&value).unwrap();
    let app = &found.get(&app.parse().unwrap()).unwrap().spec;
    assert_eq!((&*app.name, app.original_format()), ("app", 1));
    assert!(app.dependencies.iter().any(|edge| edge.hash == lib && &*edge.name == "lib"));
    assert!(app.v5_text().contains(r#""original_specfile_version":1"#));
}

#[test]
fn an_index_by_old_spack_is_read() {
    let found = Database::parse(read("spack/v2-unsigned/build_cache/index.json")).unwrap();
    assert_eq!((found.version(), found.len()), (7, 8));
    assert_eq!(found.records().filter(|record| record.in_buildcache).count(), 6);
    // Its specs make the same new index as the spec files beside it.
    let available: BTreeSet<DagHash> = found
        .records()
        .filter(|record| record.in_buildcache)
        .map(|record| record.spec.hash)
        .collect();
    let rendered = render_buildcache_index(&available, &found);
    let expected: Value = serde_json::from_slice(&read("spec/v2-unsigned.index.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&rendered).unwrap(), expected);
}

#[rstest]
#[case::too_old("4", "the database has version 4, and this program reads 5 to 8")]
#[case::too_new("9", "the database has version 9, and this program reads 5 to 8")]
#[case::no_number("0.9.3", "the database has version 0.9.3, and this program reads 5 to 8")]
fn other_versions_are_refused(#[case] version: &str, #[case] message: &str) {
    let database = json!({"database": {"version": version, "installs": {}}});
    assert_eq!(parse(&database).unwrap_err().to_string(), message);
}

#[test]
fn another_version_is_refused_before_its_records_are_found_odd() {
    let installs = json!({"hl3q3aieskc7wxhkzyhprrx5lmbqee7g": {"specs": []}});
    let database = json!({"database": {"version": "9", "installs": installs}});
    assert!(matches!(parse(&database), Err(DatabaseError::Version { .. })));
}

#[rstest]
#[case::version_as_number(json!({"database": {"version": 8, "installs": {}}}))]
#[case::no_records(json!({"database": {"version": "8"}}))]
#[case::no_database(json!({}))]
#[case::key_that_is_no_hash(json!({"database": {"version": "8", "installs": {"abc": {}}}}))]
fn other_json_is_no_database(#[case] database: Value) {
    assert!(matches!(parse(&database), Err(DatabaseError::Json(_))));
}

#[test]
fn a_damaged_record_is_named() {
    let hash = "hl3q3aieskc7wxhkzyhprrx5lmbqee7g";
    for (field, wrong) in [("spec", json!(7)), ("spec", json!({"name": "x"})), ("path", json!(7))] {
        let mut value = database(8, "spec/v5.json");
        value["database"]["installs"][hash][field] = wrong;
        let error = parse(&value).unwrap_err();
        assert_eq!(error.to_string(), format!("the record of `{hash}` in the database is damaged"));
    }
}

/// The key of a record counts; the text of the spec is completed or corrected.
#[test]
fn a_node_without_its_hash_gets_it() {
    let mut value = database(8, "spec/v5.json");
    let hash = "hl3q3aieskc7wxhkzyhprrx5lmbqee7g";
    let node = value["database"]["installs"][hash]["spec"].as_object_mut().unwrap();
    node.remove("hash");
    let found = parse(&value).unwrap();
    let spec = &found.get(&hash.parse().unwrap()).unwrap().spec;
    assert_eq!(spec.computed_hash(), Some(spec.hash));
    assert!(spec.v5_text().ends_with(&format!(r#","hash":"{hash}"}}"#)));
}

/// Enough records for several threads.
#[test]
fn large_databases_are_read_as_small_ones() {
    let hash = |number: u32| {
        let mut bytes = [0; DagHash::BYTES];
        bytes[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b9).to_be_bytes());
        bytes[16..].copy_from_slice(&number.to_be_bytes());
        DagHash::from_bytes(bytes).to_string()
    };
    let records = (0..5000).map(|number| {
        let mut spec = json!({"name": format!("p{number}"), "version": "1", "hash": hash(number)});
        if number > 0 {
            let edge = json!({"name": "p", "hash": hash(number / 2), "parameters": {"deptypes": ["link"]}});
            spec["dependencies"] = json!([edge]);
        }
        (hash(number), json!({"spec": spec, "ref_count": number}))
    });
    let installs: serde_json::Map<String, Value> = records.collect();
    let value = json!({"database": {"version": "8", "installs": installs}});
    let found = parse(&value).unwrap();
    assert_eq!(found.len(), 5000);
    // With other spaces, which is another text and the same otherwise.
    let pretty = Database::parse(serde_json::to_vec_pretty(&value).unwrap()).unwrap();
    for (record, same) in found.records().zip(pretty.records()) {
        assert_eq!(record.spec.hash, same.spec.hash);
        assert_eq!(record.spec.name, same.spec.name);
        assert_eq!(record.spec.dependencies, same.spec.dependencies);
        assert_eq!(record.ref_count, same.ref_count);
    }
    for number in [0, 1, 2499, 2500, 4999] {
        let record = found.get(&hash(number).parse().unwrap()).unwrap();
        assert_eq!(&*record.spec.name, format!("p{number}"));
        assert_eq!(record.ref_count, u64::from(number));
        assert_eq!(record.spec.dependencies.len(), usize::from(number > 0));
    }
    let hashes: Vec<DagHash> = found.records().map(|record| record.spec.hash).collect();
    assert!(hashes.is_sorted());

    let mut value = value;
    value["database"]["installs"][hash(4000)]["spec"]["version"] = Value::Null;
    let message = parse(&value).unwrap_err().to_string();
    assert_eq!(message, format!("the record of `{}` in the database is damaged", hash(4000)));
}

#[test]
fn databases_are_put_together() {
    assert_eq!(Database::default().version(), Database::NEWEST);
    assert!(Database::default().is_empty());
    let file = SpecFile::parse(read("spec/v5.json")).unwrap();
    let mut database: Database = file.nodes().iter().cloned().map(Record::from).collect();
    assert_eq!((database.version(), database.len()), (8, 6));
    let root = file.root().clone();
    let record = Record { explicit: true, ..Record::from(root.clone()) };
    assert_eq!(database.insert(record), Some(Record::from(root.clone())));
    assert!(database.get(&root.hash).unwrap().explicit);
}

/// What Spack wrote is written again, but for the order of the records.
#[test]
fn a_store_that_spack_filled_is_written_as_spack_does() {
    let text = r#"{"database":{"version":"8","installs":{"arbvturvzrczc6dyodbycjav7qqhraus":{"spec":{"name":"caf\u00e9","version":"1","namespace":"builtin","hash":"arbvturvzrczc6dyodbycjav7qqhraus"},"ref_count":2,"path":"/opt/\u00e9/x","installed":true,"explicit":false,"installation_time":1795334230.8848867,"deprecated_for":null},"yox7nsrab6dhdlxlapu6hg33h4atwgrx":{"spec":{"name":"zlib","version":"1","hash":"yox7nsrab6dhdlxlapu6hg33h4atwgrx"},"ref_count":0,"path":null,"installed":false,"explicit":true,"installation_time":1795334230.0,"deprecated_for":"arbvturvzrczc6dyodbycjav7qqhraus","origin":"external-db"}}}}"#;
    let database = Database::parse(text.as_bytes().to_vec()).unwrap();
    assert_eq!(database.render(), text);
}

/// A key that Spack does not know would make the database unreadable to it.
#[test]
fn what_no_record_may_have_is_not_written() {
    let mut value = database(8, "spec/v5.json");
    for record in value["database"]["installs"].as_object_mut().unwrap().values_mut() {
        record["in_buildcache"] = true.into();
        record["hod"] = "was here".into();
    }
    let text = parse(&value).unwrap().render();
    assert!(!text.contains("in_buildcache") && !text.contains("was here"));
    assert_eq!(parse(&serde_json::from_str(&text).unwrap()).unwrap().render(), text);
}
