//! Certificate authorities that are trusted beside those that the web trusts: what is inside of a network often has its
//! certificate from one of its own.

use assay_core::{Code, Error, Result};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// Certificates of private authorities; none by default.
#[derive(Debug, Clone, Default)]
pub struct Authorities(Vec<CertificateDer<'static>>);

impl Authorities {
    /// The certificates in a text of PEM; what else it holds is passed over.
    ///
    /// # Errors
    /// `InvalidParameter` when there is none, or one cannot be read.
    pub fn from_pem(text: &[u8]) -> Result<Self> {
        let refused = |reason: &str| {
            Error::new(
                Code::InvalidParameter,
                format!("the certificates cannot be used: {reason}"),
            )
            .hint("a file of them has blocks that begin with `-----BEGIN CERTIFICATE-----`")
        };
        let found: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
        let found = found.map_err(|_| refused("a block is damaged"))?;
        if found.is_empty() {
            return Err(refused("there is none"));
        }
        let mut roots = RootCertStore::empty();
        for certificate in &found {
            let added = roots.add(certificate.clone());
            added.map_err(|_| refused("what a block holds is not a certificate"))?;
        }
        Ok(Self(found))
    }

    pub(super) fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.0
    }

    /// These and those that the web trusts.
    pub(super) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        };
        // They were all taken once before.
        roots.add_parsable_certificates(self.0.iter().cloned());
        roots
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    fn block(name: &str, bytes: &[u8]) -> String {
        format!(
            "-----BEGIN {name}-----\n{}\n-----END {name}-----\n",
            STANDARD.encode(bytes)
        )
    }

    #[test]
    fn certificates_are_taken_from_pem_and_anything_else_is_refused() {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let certificate = block("CERTIFICATE", made.cert.der());
        let text = format!("# of our house\n{certificate}{certificate}");
        let authorities = Authorities::from_pem(text.as_bytes()).unwrap();
        assert_eq!(authorities.certificates().len(), 2);
        assert_eq!(authorities.roots().len(), webpki_roots::TLS_SERVER_ROOTS.len() + 2);

        let key = block("PRIVATE KEY", &made.signing_key.serialize_der());
        for wrong in [
            "",
            "no certificate",
            &key,
            &block("CERTIFICATE", b"x"),
            &certificate[..200],
        ] {
            let error = Authorities::from_pem(wrong.as_bytes()).unwrap_err();
            assert_eq!(error.code, Code::InvalidParameter, "{wrong}");
        }
    }
}
