//! Any bytes are a manifest or a spec file of a build cache, signed or not, or an error.
#![no_main]

use hod_mirror::spack::{EntryName, Manifest, Signature, SpecManifest, V2SpecFile};
use libfuzzer_sys::fuzz_target;

fn signed(bytes: &[u8]) -> Vec<u8> {
    let mut text = b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n".to_vec();
    text.extend_from_slice(bytes);
    text.extend_from_slice(
        b"\n-----BEGIN PGP SIGNATURE-----\n\n=2dOp\n-----END PGP SIGNATURE-----\n",
    );
    text
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(manifest) = Manifest::parse(bytes.to_vec()) {
        assert_eq!(manifest.bytes(), bytes);
        let records = manifest.records().to_vec();
        let again = Manifest::render(records.clone());
        assert_eq!(again.records(), records);
        let again = Manifest::parse(again.bytes().to_vec()).expect("what is written can be read");
        assert_eq!(again.records(), records);
        assert_eq!(again.signature(), Signature::None);
        // A frame changes nothing but the signature, unless it would have to be escaped.
        if manifest.signature() == Signature::None
            && let Ok(framed) = Manifest::parse(signed(bytes))
        {
            assert_eq!(framed.records(), records);
            assert_eq!(framed.signature(), Signature::NotVerified);
        }
        for record in records {
            if let Some(digest) = record.digest() {
                assert_eq!(digest.hex(), record.checksum);
            }
        }
    }
    if let Ok(manifest) = SpecManifest::parse(bytes.to_vec()) {
        assert_eq!(Some(manifest.layer_digest()), manifest.layer().digest());
        assert_eq!(Some(manifest.spec_digest()), manifest.spec().digest());
    }
    if let Ok(file) = V2SpecFile::parse(bytes)
        && let Ok(name) = EntryName::of(file.spec().root())
    {
        assert!(!name.to_string().contains(['/', '\0']));
        assert!(!name.name().starts_with('.'));
    }
});
