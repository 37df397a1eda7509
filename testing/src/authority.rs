//! A certificate authority that nobody knows but the test.

use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    PublicKeyData,
};

/// A private authority. Its files go with it.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: tempfile::TempDir,
}

/// A certificate for 127.0.0.1 and localhost, with its key.
#[derive(Debug)]
pub struct Certificate {
    /// The certificate, PEM.
    pub pem: PathBuf,
    /// Its private key, PKCS #8 as PEM.
    pub key_pem: PathBuf,
    pub(crate) der: Vec<u8>,
    pub(crate) key_der: Vec<u8>,
}

impl Authority {
    /// A new one, with a key of its own.
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        // Two of one name would be a broken signature, not a stranger.
        let name = format!("Authority {}", HEXLOWER.encode(&key.der_bytes()[1..9]));
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        let directory = tempfile::tempdir().unwrap();
        fs_err::write(directory.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, directory }
    }

    /// The authority's own certificate, PEM: what a client must be told to trust.
    pub fn ca_pem_path(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// The directory with `ca.crt` alone, as Docker and skopeo want it (`--cert-dir`).
    pub fn certificate_directory(&self) -> PathBuf {
        let directory = self.directory.path().join("trusted");
        fs_err::create_dir_all(&directory).unwrap();
        fs_err::copy(self.ca_pem_path(), directory.join("ca.crt")).unwrap();
        directory
    }

    /// A certificate for 127.0.0.1 and localhost, its files in the given directory.
    pub fn certify(&self, directory: &Path) -> Certificate {
        let key = KeyPair::generate().unwrap();
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, "localhost");
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let (pem, key_pem) = (directory.join("certificate.pem"), directory.join("key.pem"));
        fs_err::write(&pem, certificate.pem()).unwrap();
        fs_err::write(&key_pem, key.serialize_pem()).unwrap();
        Certificate { pem, key_pem, der: certificate.der().to_vec(), key_der: key.serialize_der() }
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}
