//! A certificate for `localhost`, made for one run.

use std::path::PathBuf;

/// Files of a certificate that signs itself.
#[derive(Debug)]
pub struct Certificate {
    /// The certificate, which is also the authority that clients are to trust.
    pub pem: String,
    /// Its file.
    pub cert_file: PathBuf,
    /// The file of its key.
    pub key_file: PathBuf,
    _directory: tempfile::TempDir,
}

impl Certificate {
    /// Makes one, in a directory that goes with it.
    pub fn make() -> Result<Self, Box<dyn std::error::Error>> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let directory = tempfile::tempdir()?;
        let (cert_file, key_file) = (directory.path().join("cert.pem"), directory.path().join("key.pem"));
        let pem = made.cert.pem();
        std::fs::write(&cert_file, &pem)?;
        std::fs::write(&key_file, made.signing_key.serialize_pem())?;
        Ok(Self { pem, cert_file, key_file, _directory: directory })
    }
}
