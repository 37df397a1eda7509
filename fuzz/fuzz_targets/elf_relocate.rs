//! Whatever is called an ELF file is changed in place and keeps its length, or is left as it was.
#![no_main]

use hod_relocate::{
    Forecast, PrefixMap, Prefixes, relocate_binary, relocate_strings, retain_rpaths, rpaths,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| {
    let pairs =
        [("/opt/store/a", "/opt/store/b"), ("/opt/store", "/s"), ("/s", "/t"), ("/x", "/yy")];
    let map = PrefixMap::new(pairs);
    let mut image = content.to_vec();
    if let Ok(has_changed) = relocate_binary(b"file", &mut image, &map) {
        assert!(has_changed || image == content);
        // What needs more room than there is may get it at the end.
        assert!(image.len() >= content.len());
    } else {
        assert_eq!(image, content);
    }

    let mut image = content.to_vec();
    let done = relocate_strings(&mut image, &map);
    assert_eq!(image.len(), content.len());
    assert!(done.is_ok() || image == content);
    let prefixes = Prefixes::new(map.iter().map(|(old, _)| old));
    let mut forecast = Forecast::new(&prefixes);
    forecast.push(content);
    let needs = forecast.finish();
    let fits = needs.iter().all(|need| {
        let (old, new) = pairs[need.prefix];
        need.fits(old.as_bytes(), new.as_bytes()).is_ok()
    });
    assert_eq!(fits, done.is_ok());

    let mut image = content.to_vec();
    let before = rpaths(&image).expect("memory can be read");
    let has_changed = retain_rpaths(&mut image, &|path| path.starts_with(b"$")).expect("memory");
    assert_eq!(image.len(), content.len());
    assert_eq!(image != content, has_changed);
    assert!(before.is_some() || !has_changed);
});
