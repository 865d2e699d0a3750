//! Logging in to NATS: the settings, and what is sent to a server. Files are read anew at each attempt.

use std::fmt;
use std::path::{Path, PathBuf};

use async_nats::Auth;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use runtime::clock;
use runtime::settings::UsageError;
use types::time::{SECOND, rfc3339};

use crate::address::{NatsAddress, UrlLogin};

const HEADING: &str = "Login to NATS";

/// How to log in to NATS, and which servers are trusted.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct NatsLoginArgs {
    /// Credentials file of a user: its JWT and the seed of its nkey, as `nsc` writes it
    #[arg(long, env = "DEVTRAIL_NATS_CREDS", value_name = "FILE", help_heading = HEADING)]
    pub nats_creds: Option<PathBuf>,
    /// File with the seed of an nkey
    #[arg(long, env = "DEVTRAIL_NATS_NKEY", value_name = "FILE", help_heading = HEADING)]
    pub nats_nkey: Option<PathBuf>,
    /// File with a token
    #[arg(long, env = "DEVTRAIL_NATS_TOKEN_FILE", value_name = "FILE", help_heading = HEADING)]
    pub nats_token_file: Option<PathBuf>,
    /// PEM file with the authorities that servers' certificates are checked with; TLS is required then
    /// [default: the system's]
    #[arg(long, env = "DEVTRAIL_NATS_CA", value_name = "FILE", help_heading = HEADING)]
    pub nats_ca: Option<PathBuf>,
    /// PEM file with this client's certificate, for servers that ask for one; with --nats-key
    #[arg(long, env = "DEVTRAIL_NATS_CERT", value_name = "FILE", help_heading = HEADING)]
    pub nats_cert: Option<PathBuf>,
    /// PEM file with the private key of --nats-cert
    #[arg(long, env = "DEVTRAIL_NATS_KEY", value_name = "FILE", help_heading = HEADING)]
    pub nats_key: Option<PathBuf>,
}

impl NatsLoginArgs {
    /// All that it takes to connect to these servers.
    ///
    /// # Errors
    /// Returns [`UsageError`] if two kinds of login are given, or one of certificate and key without the other.
    pub fn access(&self, address: &NatsAddress) -> Result<NatsAccess, UsageError> {
        let in_url = address.login().cloned().map(Login::Url);
        let in_files = [
            self.nats_creds.clone().map(Login::Creds),
            self.nats_nkey.clone().map(Login::Nkey),
            self.nats_token_file.clone().map(Login::TokenFile),
        ];
        let mut logins: Vec<Login> = in_url
            .into_iter()
            .chain(in_files.into_iter().flatten())
            .collect();
        if let [first, second, ..] = &logins[..] {
            return Err(UsageError(format!(
                "There are two logins to NATS, {first} and {second}. Give one: flags, environment and file count \
                 together."
            )));
        }
        let certificate = match (&self.nats_cert, &self.nats_key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some(ClientCertificate {
                certificate: certificate.clone(),
                key: key.clone(),
            }),
            (Some(_), None) => {
                return Err(UsageError(
                    "--nats-cert needs --nats-key, the file of its key.".to_owned(),
                ));
            }
            (None, Some(_)) => {
                return Err(UsageError(
                    "--nats-key needs --nats-cert, the file of its certificate.".to_owned(),
                ));
            }
        };
        Ok(NatsAccess {
            address: address.clone(),
            login: logins.pop(),
            ca: self.nats_ca.clone(),
            certificate,
        })
    }
}

/// All that it takes to connect to nats-servers. Debugged, it shows no secret.
#[derive(Debug, Clone)]
pub struct NatsAccess {
    pub(crate) address: NatsAddress,
    pub(crate) login: Option<Login>,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) certificate: Option<ClientCertificate>,
}

impl NatsAccess {
    /// Servers that ask nobody who they are.
    #[must_use]
    pub fn open(address: NatsAddress) -> Self {
        Self {
            address,
            login: None,
            ca: None,
            certificate: None,
        }
    }

    /// The addresses of the servers.
    #[must_use]
    pub fn address(&self) -> &NatsAddress {
        &self.address
    }

    /// The file of the authorities that servers are trusted by; `None`: the system's.
    #[must_use]
    pub fn ca(&self) -> Option<&Path> {
        self.ca.as_deref()
    }

    /// Checks that the files can be used, for a message that names the one that cannot.
    ///
    /// # Errors
    /// Returns [`LoginFileError`] with the file and what is wrong with it.
    pub(crate) async fn check_files(&self) -> Result<(), LoginFileError> {
        if let Some(login) = &self.login {
            login.auth(&[]).await?;
        }
        let certificate = self.certificate.as_ref();
        let pems = [
            ("--nats-ca", self.ca.as_ref(), "CERTIFICATE"),
            (
                "--nats-cert",
                certificate.map(|one| &one.certificate),
                "CERTIFICATE",
            ),
            ("--nats-key", certificate.map(|one| &one.key), "PRIVATE KEY"),
        ];
        for (flag, path, kind) in pems {
            let Some(path) = path else { continue };
            let file = LoginFile { flag, path };
            if !file.read().await?.contains(&format!("{kind}-----")) {
                return Err(file.bad(format!(
                    "it holds no PEM block of a {}",
                    kind.to_lowercase()
                )));
            }
        }
        Ok(())
    }

    /// Warns of files with secrets that other users of the machine may read.
    pub(crate) fn warn_of_shared_files(&self) {
        use std::os::unix::fs::PermissionsExt as _;
        let login = self.login.as_ref().and_then(Login::file);
        let key = self.certificate.as_ref().map(|one| one.key.as_path());
        for path in login.into_iter().chain(key) {
            // One that is missing is reported by whoever reads it.
            let Ok(metadata) = path.metadata() else {
                continue;
            };
            let mode = metadata.permissions().mode() & 0o777;
            if mode & 0o077 != 0 {
                tracing::warn!(
                    file = %path.display(),
                    mode = format!("{mode:04o}"),
                    "others on this machine may read a secret of NATS; `chmod 600` makes the file yours alone"
                );
            }
        }
    }
}

/// The files of a client's certificate and its key.
#[derive(Debug, Clone)]
pub(crate) struct ClientCertificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// What a server is told of who one is. Displayed and debugged as the setting that it comes from.
#[derive(Clone)]
pub(crate) enum Login {
    Url(UrlLogin),
    Creds(PathBuf),
    Nkey(PathBuf),
    TokenFile(PathBuf),
}

impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(UrlLogin::User { name, .. }) => write!(f, "the user {name:?} in --nats-url"),
            Self::Url(UrlLogin::Token(_)) => write!(f, "the token in --nats-url"),
            Self::Creds(path) => write!(f, "--nats-creds {}", path.display()),
            Self::Nkey(path) => write!(f, "--nats-nkey {}", path.display()),
            Self::TokenFile(path) => write!(f, "--nats-token-file {}", path.display()),
        }
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A file of a login cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[error("The file {path} of {flag} cannot be used: {reason}.")]
pub(crate) struct LoginFileError {
    flag: &'static str,
    path: String,
    reason: String,
}

/// A file with a part of a login, and the flag that named it.
struct LoginFile<'a> {
    flag: &'static str,
    path: &'a Path,
}

impl LoginFile<'_> {
    async fn read(&self) -> Result<String, LoginFileError> {
        let text = tokio::fs::read_to_string(self.path).await;
        text.map_err(|error| self.bad(error.to_string()))
    }

    fn key_pair(&self, seed: &str) -> Result<KeyPair, LoginFileError> {
        KeyPair::from_seed(seed)
            .map_err(|_| self.bad("the seed in it is none of an nkey".to_owned()))
    }

    fn bad(&self, reason: String) -> LoginFileError {
        LoginFileError {
            flag: self.flag,
            path: self.path.display().to_string(),
            reason,
        }
    }
}

impl Login {
    fn file(&self) -> Option<&Path> {
        match self {
            Self::Url(_) => None,
            Self::Creds(path) | Self::Nkey(path) | Self::TokenFile(path) => Some(path),
        }
    }

    /// What the server is sent; it has asked to sign `nonce`. Reads the file.
    pub(crate) async fn auth(&self, nonce: &[u8]) -> Result<Auth, LoginFileError> {
        let mut auth = Auth::new();
        match self {
            Self::Url(UrlLogin::User { name, password }) => {
                (auth.username, auth.password) = (Some(name.clone()), Some(password.clone()));
            }
            Self::Url(UrlLogin::Token(token)) => auth.token = Some(token.clone()),
            Self::TokenFile(path) => {
                let file = LoginFile {
                    flag: "--nats-token-file",
                    path,
                };
                let token = file.read().await?.trim().to_owned();
                if token.is_empty() {
                    return Err(file.bad("it holds no token".to_owned()));
                }
                auth.token = Some(token);
            }
            Self::Nkey(path) => {
                let file = LoginFile {
                    flag: "--nats-nkey",
                    path,
                };
                let text = file.read().await?;
                let seed = text
                    .lines()
                    .map(str::trim)
                    .find(|line| line.starts_with('S'));
                let seed = seed
                    .ok_or_else(|| file.bad("it holds no seed, which begins with SU".to_owned()))?;
                let pair = file.key_pair(seed)?;
                auth.nkey = Some(pair.public_key());
                auth.signature = Some(signature(&file, &pair, nonce)?);
            }
            Self::Creds(path) => {
                let file = LoginFile {
                    flag: "--nats-creds",
                    path,
                };
                let text = file.read().await?;
                let (Some(jwt), Some(seed)) = (block(&text, "USER JWT"), block(&text, "NKEY SEED"))
                else {
                    return Err(
                        file.bad("it holds no user JWT with the seed of its nkey".to_owned())
                    );
                };
                let pair = file.key_pair(seed)?;
                auth.signature = Some(signature(&file, &pair, nonce)?);
                auth.jwt = Some(jwt.to_owned());
            }
        }
        Ok(auth)
    }

    /// Why a server refuses this login and what to do, as far as it shows here.
    pub(crate) async fn remedy(&self) -> String {
        match self {
            Self::Url(_) => {
                "Give --nats-url a user and password, or a token, that the server knows.".to_owned()
            }
            Self::Nkey(path) => format!(
                "Let the server know the public key of the seed in {}, or put the seed of a key there that it knows.",
                path.display()
            ),
            Self::TokenFile(path) => {
                format!("Put the server's token in {}.", path.display())
            }
            Self::Creds(path) => {
                let text = tokio::fs::read_to_string(path).await.unwrap_or_default();
                let expiry = block(&text, "USER JWT").and_then(expires_at);
                let shown = path.display();
                match expiry.filter(|&at| at.saturating_mul(SECOND) <= clock::now()) {
                    Some(at) => format!(
                        "The user JWT in {shown} expired at {}: put a new credentials file there.",
                        rfc3339(at.saturating_mul(SECOND))
                    ),
                    None => format!(
                        "See whether the server knows the account of the user in {shown}, or put another credentials \
                         file there."
                    ),
                }
            }
        }
    }
}

fn signature(
    file: &LoginFile<'_>,
    pair: &KeyPair,
    nonce: &[u8],
) -> Result<Vec<u8>, LoginFileError> {
    pair.sign(nonce)
        .map_err(|_| file.bad("the seed in it cannot sign".to_owned()))
}

/// The line of a block `-----BEGIN NATS <name>-----` of a credentials file.
fn block<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = text.lines().map(str::trim);
    lines.find(|line| line.starts_with("---") && line.contains("BEGIN") && line.contains(name))?;
    lines
        .find(|line| !line.is_empty())
        .filter(|line| !line.starts_with('-'))
}

/// The second since 1970 at which a JWT expires; `None` if it never does.
fn expires_at(jwt: &str) -> Option<i64> {
    let claims = URL_SAFE_NO_PAD.decode(jwt.split('.').nth(1)?).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
    claims["exp"].as_i64().filter(|&at| at > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: &str = "SUACH75SWCM5D2JMJM6EKLR2WDARVGZT4QC6LX3AGHSWOMVAKERABBBRWM";

    fn address(text: &str) -> NatsAddress {
        NatsAddress::parse(text).unwrap()
    }

    fn refusal(args: &NatsLoginArgs, url: &str) -> String {
        args.access(&address(url)).unwrap_err().to_string()
    }

    #[test]
    fn two_logins_and_half_a_certificate_are_wrong_usage() {
        let args = NatsLoginArgs {
            nats_creds: Some("a.creds".into()),
            nats_token_file: Some("token".into()),
            ..NatsLoginArgs::default()
        };
        let both = refusal(&args, "nats://host");
        assert!(
            both.contains("--nats-creds") && both.contains("--nats-token-file"),
            "{both}"
        );
        let args = NatsLoginArgs {
            nats_nkey: Some("seed".into()),
            ..NatsLoginArgs::default()
        };
        let both = refusal(&args, "nats://ada:s3cret@host");
        assert!(
            both.contains("--nats-url") && !both.contains("s3cret"),
            "{both}"
        );
        let args = NatsLoginArgs {
            nats_cert: Some("c".into()),
            ..NatsLoginArgs::default()
        };
        assert!(refusal(&args, "nats://host").contains("needs --nats-key"));
        let args = NatsLoginArgs {
            nats_key: Some("k".into()),
            ..NatsLoginArgs::default()
        };
        assert!(refusal(&args, "nats://host").contains("needs --nats-cert"));
    }

    #[tokio::test]
    async fn files_are_read_at_each_attempt() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let login = Login::TokenFile(path.clone());
        assert!(login.auth(&[]).await.is_err(), "it is missing");
        for token in ["first", "second"] {
            std::fs::write(&path, format!("{token}\n")).unwrap();
            assert_eq!(
                login.auth(&[]).await.ok().unwrap().token.as_deref(),
                Some(token)
            );
        }
    }

    #[tokio::test]
    async fn credentials_and_seeds_sign_what_the_server_asks() {
        let folder = tempfile::tempdir().unwrap();
        let pair = KeyPair::from_seed(SEED).unwrap();
        let creds = folder.path().join("a.creds");
        let text = format!(
            "-----BEGIN NATS USER JWT-----\r\nhead.claims.sig\r\n------END NATS USER JWT------\r\n\r\n\
             *** IMPORTANT ***\r\n\
             -----BEGIN USER NKEY SEED-----\r\n{SEED}\r\n------END USER NKEY SEED------\r\n"
        );
        std::fs::write(&creds, text).unwrap();
        let auth = Login::Creds(creds.clone())
            .auth(b"nonce")
            .await
            .ok()
            .unwrap();
        assert_eq!(auth.jwt.as_deref(), Some("head.claims.sig"));
        pair.verify(b"nonce", &auth.signature.unwrap()).unwrap();
        let seed = folder.path().join("seed");
        std::fs::write(&seed, format!("# mine\n{SEED}\n")).unwrap();
        let auth = Login::Nkey(seed.clone()).auth(b"nonce").await.ok().unwrap();
        assert_eq!(auth.nkey, Some(pair.public_key()));
        pair.verify(b"nonce", &auth.signature.unwrap()).unwrap();
        for (login, path) in [
            (Login::Creds(creds.clone()), &creds),
            (Login::Nkey(seed.clone()), &seed),
        ] {
            std::fs::write(path, "SUnothing\n").unwrap();
            let refusal = login.auth(&[]).await.err().unwrap().to_string();
            assert!(
                refusal.contains(&path.display().to_string()) && !refusal.contains("SUnothing"),
                "{refusal}"
            );
        }
    }

    #[test]
    fn the_expiry_of_a_jwt_is_read() {
        let jwt = |claims: &str| format!("h.{}.s", URL_SAFE_NO_PAD.encode(claims));
        assert_eq!(
            expires_at(&jwt(r#"{"exp":1700000000}"#)),
            Some(1_700_000_000)
        );
        assert_eq!(expires_at(&jwt("{}")), None);
        assert_eq!(expires_at("nothing"), None);
    }
}
