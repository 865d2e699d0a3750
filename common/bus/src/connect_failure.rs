//! Why there is no connection to NATS, in words that name the remedy.

use std::error::Error;
use std::io;

use async_nats::rustls::{self, CertificateError};
use async_nats::{ConnectError, ConnectErrorKind, ServerError};

use crate::address::NatsAddress;
use crate::login::{LoginFileError, NatsAccess};

/// There is no connection to NATS.
#[derive(Debug, thiserror::Error)]
pub enum ConnectFailure {
    /// No server answers, or it is none.
    #[error(
        "No nats-server answers at {address}: {reason}. If one runs there, see in its log whether it hangs; else start \
         one (`devtrail up` does), or name another with --nats-url."
    )]
    Unreachable {
        /// The addresses tried.
        address: NatsAddress,
        /// What went wrong.
        reason: String,
    },
    /// A server answers and does not take the login.
    #[error("The nats-server at {address} refuses the login ({login}); it says: {said}. {remedy}")]
    LoginRefused {
        /// The addresses tried.
        address: NatsAddress,
        /// What it was told of who one is.
        login: String,
        /// The server's words.
        said: String,
        /// What to do.
        remedy: String,
    },
    /// A file of the login cannot be used.
    #[error("{reason}")]
    LoginFile {
        /// The file, the flag that named it, and what is wrong.
        reason: String,
    },
    /// Server and client do not agree on TLS.
    #[error("There is no TLS connection with the nats-server at {address}: {reason}. {remedy}")]
    Tls {
        /// The addresses tried.
        address: NatsAddress,
        /// What went wrong.
        reason: String,
        /// What to do.
        remedy: String,
    },
}

impl From<LoginFileError> for ConnectFailure {
    fn from(error: LoginFileError) -> Self {
        Self::LoginFile {
            reason: error.to_string(),
        }
    }
}

impl ConnectFailure {
    /// What an attempt with `access` failed of.
    pub(crate) async fn of(access: &NatsAccess, error: ConnectError) -> Self {
        // A file that changed since it was checked.
        if let Err(error) = access.check_files().await {
            return error.into();
        }
        let address = access.address.clone();
        let server = find::<ServerError>(&error);
        if let Some(said) = refusal(error.kind(), server) {
            return Self::refused(access, said).await;
        }
        if let Some(tls) = find::<rustls::Error>(&error) {
            let has_certificate = access.certificate.is_some();
            let Trouble { reason, remedy } = Trouble::of(tls, has_certificate);
            return Self::Tls {
                address,
                reason,
                remedy: remedy.to_owned(),
            };
        }
        Self::Unreachable {
            address,
            reason: error.to_string(),
        }
    }

    /// A server's refusal of this login.
    pub(crate) async fn refused(access: &NatsAccess, said: String) -> Self {
        let (login, remedy) = match (&access.login, &access.certificate) {
            (Some(login), _) => (login.to_string(), login.remedy().await),
            (None, Some(certificate)) => (
                format!("--nats-cert {}", certificate.certificate.display()),
                "Give a certificate that the server maps to a user, or a login beside it.".to_owned(),
            ),
            (None, None) => (
                "none was given".to_owned(),
                "Give a user and password in --nats-url (nats://user:password@host), or --nats-creds, --nats-nkey or \
                 --nats-token-file."
                    .to_owned(),
            ),
        };
        Self::LoginRefused {
            address: access.address.clone(),
            login,
            said,
            remedy,
        }
    }
}

/// The server's words if it refused the login.
fn refusal(kind: ConnectErrorKind, server: Option<&ServerError>) -> Option<String> {
    match (kind, server) {
        (ConnectErrorKind::AuthorizationViolation, _) => Some(kind.to_string()),
        (_, Some(ServerError::Other(said))) if is_refusal(said) => Some(said.clone()),
        _ => None,
    }
}

/// Whether a server's error is about who one is, such as "User Authentication Expired".
pub(crate) fn is_refusal(said: &str) -> bool {
    let said = said.to_lowercase();
    [
        "authentication",
        "authorization violation",
        "jwt",
        "credentials",
    ]
    .iter()
    .any(|word| said.contains(word))
}

/// Finds an error among the causes; an `io::Error` hides the one that it holds.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        let inner = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    None
}

/// What is wrong with TLS, and what to do.
struct Trouble {
    reason: String,
    remedy: &'static str,
}

impl Trouble {
    fn of(error: &rustls::Error, has_certificate: bool) -> Self {
        use CertificateError::{
            Expired, ExpiredContext, NotValidForName, NotValidForNameContext, UnknownIssuer,
        };
        let (reason, remedy) = match error {
            rustls::Error::InvalidCertificate(UnknownIssuer) => (
                "no authority that is trusted here has signed the server's certificate (certificate \
                 unknown)"
                    .to_owned(),
                "Name the file of the authority's certificate with --nats-ca.",
            ),
            rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => (
                format!("the server's certificate is for another host ({error})"),
                "Write in --nats-url a host that the certificate names.",
            ),
            rustls::Error::InvalidCertificate(Expired | ExpiredContext { .. }) => (
                format!("the server's certificate has expired ({error})"),
                "Renew the server's certificate.",
            ),
            rustls::Error::AlertReceived(alert) if has_certificate => (
                format!("the server refuses the client's certificate ({alert:?})"),
                "Give with --nats-cert and --nats-key a certificate of an authority that the server trusts.",
            ),
            rustls::Error::AlertReceived(alert) => (
                format!("the server ends it ({alert:?}); it asks for a client's certificate"),
                "Give one with --nats-cert and --nats-key.",
            ),
            rustls::Error::InvalidMessage(_) => (
                "the server speaks no TLS there".to_owned(),
                "Set TLS up on the server, or leave out --nats-ca, --nats-cert and tls://.",
            ),
            other => (other.to_string(), "See the server's log."),
        };
        Self { reason, remedy }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_found_below_others() {
        let tls = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let error = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, tls.clone()));
        assert_eq!(find::<rustls::Error>(&error), Some(&tls));
        assert_eq!(find::<ServerError>(&error), None);
    }

    #[test]
    fn a_refusal_of_the_login_is_told_from_other_errors() {
        for said in [
            "Authorization Violation",
            "User Authentication Expired",
            "Account Authentication Expired",
        ] {
            assert!(is_refusal(said), "{said}");
        }
        assert!(!is_refusal("maximum connections exceeded"));
        assert!(!is_refusal("Permissions Violation for Publish to \"x\""));
    }
}
