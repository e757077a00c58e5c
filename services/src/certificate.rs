//! A certificate for a server, signed by an authority that exists for it alone.

use std::hash::{BuildHasher as _, RandomState};

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

/// Connections over TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The names and addresses that the certificate is for.
    pub names: Vec<String>,
    /// Whether TCP connections without TLS are refused.
    pub required: bool,
}

impl Default for Tls {
    /// TLS is required, and the certificate is for where the server is.
    fn default() -> Self {
        Self { names: ["127.0.0.1", "localhost"].map(str::to_owned).into(), required: true }
    }
}

/// A server's certificate, its key, and who signed it, in PEM.
pub(crate) struct Certificate {
    pub(crate) certificate: String,
    pub(crate) key: String,
    pub(crate) authority: String,
}

impl Certificate {
    /// Makes one for `names`.
    pub(crate) fn new(names: &[String]) -> Result<Self> {
        let authority_key = KeyPair::generate()?;
        // One authority is not mistaken for another.
        let number = RandomState::new().hash_one(());
        let mut params = CertificateParams::default();
        let name = format!("an authority for tests, {number:016x}");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority = params.self_signed(&authority_key)?;
        let issuer = Issuer::new(params, authority_key);
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, "a server for tests");
        let certificate = params.signed_by(&key, &issuer)?;
        Ok(Self {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            authority: authority.pem(),
        })
    }
}
