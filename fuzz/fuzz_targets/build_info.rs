//! Whatever is read as build information is read again as the same after it was written.
#![no_main]

use hod_store::BuildInfo;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(info) = BuildInfo::parse(bytes) {
        let again = BuildInfo::parse(&info.render());
        assert_eq!(again.expect("what we write can be read"), info);
    }
});
