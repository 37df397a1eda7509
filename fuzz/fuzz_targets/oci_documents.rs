//! Any bytes are a manifest, a config or an index, or an error; what parses keeps its bytes.
#![no_main]

use hod_mirror::oci::{Document, ImageConfig, Index, Kind, Manifest, Tag};
use libfuzzer_sys::fuzz_target;

fn parse<T: Kind>(bytes: &[u8]) {
    if let Ok(document) = Document::<T>::parse(bytes.to_vec()) {
        assert_eq!(document.bytes(), bytes);
        let rendered =
            Document::render(document.into_view()).expect("what was read can be written");
        Document::<T>::parse(rendered.bytes().to_vec()).expect("what was written can be read");
    }
}

fuzz_target!(|bytes: &[u8]| {
    parse::<Manifest>(bytes);
    parse::<ImageConfig>(bytes);
    parse::<Index>(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Tag::new(text);
    }
});
