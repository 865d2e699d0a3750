//! TLS to the server, as `sslmode` says (PostgreSQL's documentation, 32.19).

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::StoreError;

/// What of the server's certificate is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// Nothing: the line is encrypted, the server may be anyone.
    Nothing,
    /// The signature and, if `name`, the host name.
    Signed {
        /// Whether it must be for the URL's host.
        name: bool,
        /// The file of the trusted authorities; `None` for the system's.
        roots: Option<PathBuf>,
    },
}

/// What the options `sslmode` and `sslrootcert` ask for.
pub fn mode(options: &[(&str, &str)]) -> Result<(SslMode, Check), String> {
    let value = |key| {
        options
            .iter()
            .rev()
            .find(|(name, _)| *name == key)
            .map(|(_, value)| *value)
    };
    let roots = value("sslrootcert").map(PathBuf::from);
    match value("sslmode") {
        Some("disable") => Ok((SslMode::Disable, Check::Nothing)),
        None | Some("prefer") => Ok((SslMode::Prefer, Check::Nothing)),
        Some("require") => Ok((SslMode::Require, Check::Nothing)),
        Some("verify-ca") => Ok((SslMode::Require, Check::Signed { name: false, roots })),
        Some("verify-full") => Ok((SslMode::Require, Check::Signed { name: true, roots })),
        Some(_) => Err("sslmode is disable, prefer, require, verify-ca or verify-full".to_owned()),
    }
}

/// Makes TLS sessions that check this much. If TLS is off (`used` is false), nothing is read.
pub fn connector(check: &Check, used: bool) -> Result<MakeRustlsConnect, StoreError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| StoreError::Failed(error.to_string()))?;
    let verifier: Arc<dyn ServerCertVerifier> = match check {
        Check::Signed { name, roots } if used => {
            let inner = WebPkiServerVerifier::builder_with_provider(
                Arc::new(trusted(roots.as_ref())?),
                provider,
            )
            .build()
            .map_err(|error| StoreError::Failed(error.to_string()))?;
            if *name {
                inner
            } else {
                Arc::new(AnyName(inner))
            }
        }
        _ => Arc::new(Anyone(provider)),
    };
    let config = builder
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn trusted(file: Option<&PathBuf>) -> Result<RootCertStore, StoreError> {
    let mut roots = RootCertStore::empty();
    let unusable = |from: &str, reason: String| {
        StoreError::Unavailable(format!(
            "The authorities that may sign the Postgres server's certificate cannot be read from {from}: \
             {reason}. Name a PEM file with sslrootcert=PATH in the database's URL."
        ))
    };
    match file {
        Some(path) => {
            let from = path.display().to_string();
            let certificates = CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|error| unusable(&from, error.to_string()))?;
            for certificate in certificates {
                roots
                    .add(certificate)
                    .map_err(|error| unusable(&from, error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(unusable(&from, "it holds no certificate".to_owned()));
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                let reason = found
                    .errors
                    .first()
                    .map_or("there are none".to_owned(), ToString::to_string);
                return Err(unusable("the system's store", reason));
            }
        }
    }
    Ok(roots)
}

/// Accepts any certificate: `prefer` and `require` encrypt, they do not authenticate the server.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

/// Accepts a certificate that a trusted authority signed, for any name: `verify-ca`.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // The name is checked last: an error about it means that all else is well.
        match self
            .0
            .verify_server_cert(certificate, between, name, ocsp, now)
        {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
