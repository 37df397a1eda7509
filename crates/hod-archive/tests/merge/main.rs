//! Merging layers: what is in all of them together is in the one, and nothing else.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use hod_archive::{
    Codec, DiffId, Digest, Encoders, Encoding, LayerBlob, Level, Members, MergeError, MergeOptions,
    Merged, PackOptions, UnpackOptions, merge, pack, unpack,
};

/// A packed tree.
struct Layer {
    blob: Vec<u8>,
    described: LayerBlob,
}

fn write(path: PathBuf, content: &[u8]) {
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::write(path, content).unwrap();
}

/// A package with everything in it that an archive can hold.
fn package(place: &Path, name: &str) -> PathBuf {
    let prefix = place.join("opt/store").join(name);
    write(prefix.join("bin/tool"), format!("#!/bin/sh\necho {name}\n").as_bytes());
    let mode = std::fs::Permissions::from_mode(0o755);
    fs_err::set_permissions(prefix.join("bin/tool"), mode).unwrap();
    fs_err::hard_link(prefix.join("bin/tool"), prefix.join("bin/twin")).unwrap();
    symlink("../bin/tool", prefix.join("link")).unwrap();
    symlink("/nowhere", prefix.join("dangling")).unwrap();
    fs_err::create_dir_all(prefix.join("empty")).unwrap();
    let long = format!("share/{}/{}", "d".repeat(120), "f".repeat(150));
    write(prefix.join(long), b"far away");
    write(prefix.join("share/ümlaut"), b"");
    let noise: Vec<u8> = (0..700_000u32).flat_map(|n| (n / 3).to_le_bytes()).collect();
    write(prefix.join("lib/large"), &noise);
    prefix
}

fn packed(prefix: &Path, encoding: Encoding, named: &Path) -> Layer {
    let mut blob = Vec::new();
    let options = PackOptions { encoding, named: Some(named.to_owned()), ..PackOptions::default() };
    let packed = pack(prefix, &mut blob, &Encoders::new(2), &options, &(), None, &|_| {}).unwrap();
    let codec = encoding.codec();
    let described = LayerBlob { codec, digest: packed.digest, diff_id: packed.diff_id };
    Layer { blob, described }
}

fn encoding(codec: Codec) -> Encoding {
    Encoding::new(codec, Level::Fast, Members::Multi).unwrap()
}

/// Three packages in one store, one of them in another codec.
fn layers(place: &Path) -> Vec<Layer> {
    ["one", "two", "three"]
        .iter()
        .map(|name| {
            let codec = if *name == "two" { Codec::None } else { Codec::Gzip };
            let named = Path::new("/opt/store").join(name);
            packed(&package(place, name), encoding(codec), &named)
        })
        .collect()
}

fn merged(layers: &[Layer], jobs: usize) -> Result<(Merged, Vec<u8>), MergeError> {
    let mut blob = Vec::new();
    let described: Vec<LayerBlob> = layers.iter().map(|layer| layer.described).collect();
    let open = |index: usize| -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(io::Cursor::new(layers[index].blob.clone())))
    };
    let options = MergeOptions { encoding: encoding(Codec::Gzip), ..MergeOptions::default() };
    let merged = merge(&described, &open, &mut blob, &Encoders::new(jobs), &options)?;
    Ok((merged, blob))
}

/// Every path with what is there; hard links by the first path of their inode.
fn contents(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    let mut inodes = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        let mut entries: Vec<PathBuf> =
            fs_err::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            let name = path.strip_prefix(root).unwrap().to_owned();
            let metadata = fs_err::symlink_metadata(&path).unwrap();
            let what = if metadata.is_dir() {
                open.push(path.clone());
                format!("directory {:o}", metadata.mode())
            } else if metadata.is_symlink() {
                format!("link to {}", fs_err::read_link(&path).unwrap().display())
            } else {
                let first = inodes.entry(metadata.ino()).or_insert_with(|| name.clone());
                let digest = Digest::of(&fs_err::read(&path).unwrap());
                format!("{digest} {:o} {}", metadata.mode(), first.display())
            };
            all.insert(name, what);
        }
    }
    all
}

fn unpack_into(root: &Path, blob: &[u8], codec: Codec) {
    let options = UnpackOptions { jobs: 2, ..UnpackOptions::default() };
    unpack(blob, codec, root, &options).unwrap();
}

#[test]
fn a_merged_layer_holds_what_all_of_them_hold() {
    let place = tempfile::tempdir().unwrap();
    let layers = layers(&place.path().join("from"));
    let (result, blob) = merged(&layers, 2).unwrap();
    assert_eq!(Digest::of(&blob), result.digest);
    assert_eq!(blob.len() as u64, result.size);

    let one_by_one = place.path().join("one-by-one");
    for (number, layer) in layers.iter().enumerate() {
        // Each to its own root, then put together: nothing may overwrite anything.
        let root = place.path().join(format!("root-{number}"));
        unpack_into(&root, &layer.blob, layer.described.codec);
        let store = one_by_one.join("opt/store");
        fs_err::create_dir_all(&store).unwrap();
        for entry in fs_err::read_dir(root.join("opt/store")).unwrap() {
            let entry = entry.unwrap();
            fs_err::rename(entry.path(), store.join(entry.file_name())).unwrap();
        }
    }
    let at_once = place.path().join("at-once");
    unpack_into(&at_once, &blob, Codec::Gzip);
    let (expected, found) = (contents(&one_by_one), contents(&at_once));
    assert_eq!(expected.len(), 2 + 3 * 13);
    assert_eq!(found, expected);
}

#[test]
fn no_path_is_in_a_merged_layer_twice() {
    let place = tempfile::tempdir().unwrap();
    let (_, blob) = merged(&layers(place.path()), 2).unwrap();
    let tar = hod_archive::decoder(Codec::Gzip, &blob[..]).unwrap();
    let mut archive = tar::Archive::new(tar);
    let mut paths: Vec<Vec<u8>> =
        archive.entries().unwrap().map(|e| e.unwrap().path_bytes().into_owned()).collect();
    let all = paths.len();
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), all);
}

#[test]
fn threads_and_codecs_of_the_parts_do_not_show() {
    let place = tempfile::tempdir().unwrap();
    let first = layers(place.path());
    let (one, blob) = merged(&first, 1).unwrap();
    for jobs in [2, 5] {
        let (again, bytes) = merged(&first, jobs).unwrap();
        assert_eq!((again, &bytes), (one, &blob), "{jobs} threads");
    }
    let repacked: Vec<Layer> = ["one", "two", "three"]
        .iter()
        .map(|name| {
            let named = Path::new("/opt/store").join(name);
            packed(&place.path().join("opt/store").join(name), encoding(Codec::Zstd), &named)
        })
        .collect();
    assert_eq!(merged(&repacked, 3).unwrap(), (one, blob));
}

#[test]
fn a_single_layer_stays_the_stream_it_is() {
    let place = tempfile::tempdir().unwrap();
    let one = &layers(place.path())[..1];
    assert_eq!(merged(one, 2).unwrap().0.diff_id, one[0].described.diff_id);
}

#[test]
fn a_layer_of_other_bytes_than_its_name_says_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let mut layers = layers(place.path());
    let wrong = Digest::of(b"something else");
    let right = layers[1].described;
    layers[1].described.digest = wrong;
    let error = merged(&layers, 2).unwrap_err();
    assert!(matches!(error, MergeError::Digest { expected, .. } if expected == wrong), "{error:?}");
    layers[1].described = LayerBlob { diff_id: DiffId(wrong), ..right };
    let error = merged(&layers, 2).unwrap_err();
    assert!(matches!(error, MergeError::Digest { expected, .. } if expected == wrong), "{error:?}");
    layers[1].described = right;
    let half = layers[2].blob.len() / 2;
    layers[2].blob.truncate(half);
    assert!(matches!(merged(&layers, 2).unwrap_err(), MergeError::Read { .. }));
}

#[test]
fn two_files_of_one_path_are_refused() {
    let place = tempfile::tempdir().unwrap();
    let named = Path::new("/opt/store/same");
    let layers = ["one", "two"]
        .map(|name| packed(&package(place.path(), name), encoding(Codec::Gzip), named));
    let error = merged(&layers, 2).unwrap_err();
    assert!(
        matches!(&error, MergeError::SamePath { path } if path.starts_with("opt/store/same/")),
        "{error:?}"
    );
}

#[test]
fn a_whiteout_is_refused() {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(0);
    builder.append_data(&mut header, "opt/.wh.gone", io::empty()).unwrap();
    let blob = builder.into_inner().unwrap();
    let digest = Digest::of(&blob);
    let described = LayerBlob { codec: Codec::None, digest, diff_id: DiffId(digest) };
    let error = merged(&[Layer { blob, described }], 1).unwrap_err();
    assert_eq!(error.to_string(), format!("`opt/.wh.gone` in the layer {digest} is a whiteout"));
}

#[test]
fn a_full_disk_is_told_as_such() {
    struct Full;
    impl io::Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let place = tempfile::tempdir().unwrap();
    let layers = layers(place.path());
    let described: Vec<LayerBlob> = layers.iter().map(|layer| layer.described).collect();
    let open = |index: usize| -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(io::Cursor::new(layers[index].blob.clone())))
    };
    let error =
        merge(&described, &open, Full, &Encoders::new(2), &MergeOptions::default()).unwrap_err();
    assert!(
        matches!(&error, MergeError::Write(source) if source.kind() == io::ErrorKind::StorageFull),
        "{error:?}"
    );
}
