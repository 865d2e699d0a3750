//! Ways in which a nats-server asks who one is: each with its configuration, its files and what clients are told.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use harness::NatsGuard;
use nkeys::KeyPair;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose,
};
use serde_json::{Value, json};

/// What no log and no message may hold: part of each password, token and seed of these tests that is chosen freely.
pub const SECRET: &str = "s3cr3t";

/// Writes a file that its owner alone may read; gives its path.
pub fn file(folder: &Path, name: &str, text: &str) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A user with a password that must be written percent-encoded.
pub fn user(_: &Path) -> NatsGuard {
    NatsGuard {
        conf: format!("authorization {{ user: ada, password: \"{SECRET}@,/1\" }}"),
        url_login: format!("ada:{SECRET}%40%2C%2F1@"),
        ..NatsGuard::default()
    }
}

/// A token in the address.
pub fn token_in_url(_: &Path) -> NatsGuard {
    NatsGuard {
        conf: format!("authorization {{ token: {SECRET} }}"),
        url_login: format!("{SECRET}@"),
        ..NatsGuard::default()
    }
}

/// A token in a file.
pub fn token(folder: &Path) -> NatsGuard {
    let path = file(folder, "token", &format!("{SECRET}\n"));
    NatsGuard {
        conf: format!("authorization {{ token: {SECRET} }}"),
        environment: BTreeMap::from([("DEVTRAIL_NATS_TOKEN_FILE", path)]),
        ..NatsGuard::default()
    }
}

/// A user that signs with an nkey.
pub fn nkey(folder: &Path) -> NatsGuard {
    let pair = KeyPair::new_user();
    let path = file(folder, "seed", &pair.seed().unwrap());
    NatsGuard {
        conf: format!(
            "authorization {{ users: [ {{ nkey: {} }} ] }}",
            pair.public_key()
        ),
        environment: BTreeMap::from([("DEVTRAIL_NATS_NKEY", path)]),
        ..NatsGuard::default()
    }
}

/// An operator's server with one account, in memory.
pub struct Operator {
    key: KeyPair,
    account: KeyPair,
    system: KeyPair,
}

impl Operator {
    pub fn new() -> Self {
        Self {
            key: KeyPair::new_operator(),
            account: KeyPair::new_account(),
            system: KeyPair::new_account(),
        }
    }

    fn conf(&self) -> String {
        let operator = jwt(
            &self.key,
            &self.key,
            "operator",
            &json!({"type": "operator", "version": 2}),
            None,
        );
        let limits = |disk: i64| {
            json!({"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1,
                "leaf": -1, "mem_storage": disk, "disk_storage": disk, "streams": disk, "consumer": disk})
        };
        let account = |key: &KeyPair, name: &str, disk: i64| {
            let claims = json!({"limits": limits(disk), "type": "account", "version": 2});
            format!(
                "{}: {}",
                key.public_key(),
                jwt(&self.key, key, name, &claims, None)
            )
        };
        let own = account(&self.account, "devtrail", -1);
        let system = account(&self.system, "system", 0);
        let name = self.system.public_key();
        format!(
            "operator: {operator}\nsystem_account: {name}\nresolver: MEMORY\nresolver_preload: {{ {own}, {system} }}"
        )
    }

    /// The credentials file of a new user of the account; `expires` is a second since 1970.
    pub fn creds(&self, expires: Option<i64>) -> String {
        let user = KeyPair::new_user();
        let claims = json!({"pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1, "type": "user", "version": 2});
        let token = jwt(&self.account, &user, "worker", &claims, expires);
        format!(
            "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            user.seed().unwrap()
        )
    }

    pub fn guard(&self, folder: &Path) -> NatsGuard {
        let path = file(folder, "user.creds", &self.creds(None));
        NatsGuard {
            conf: self.conf(),
            environment: BTreeMap::from([("DEVTRAIL_NATS_CREDS", path)]),
            ..NatsGuard::default()
        }
    }
}

/// A user of an account of an operator.
pub fn operator(folder: &Path) -> NatsGuard {
    Operator::new().guard(folder)
}

/// A JWT as NATS reads it (nats-io/jwt, version 2).
fn jwt(
    issuer: &KeyPair,
    subject: &KeyPair,
    name: &str,
    nats: &Value,
    expires: Option<i64>,
) -> String {
    let mut claims = json!({"jti": uuid::Uuid::new_v4().simple().to_string(), "iat": 1_700_000_000,
        "iss": issuer.public_key(), "sub": subject.public_key(), "name": name, "nats": nats});
    if let Some(at) = expires {
        claims["exp"] = at.into();
    }
    let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = encoded(&json!({"typ": "JWT", "alg": "ed25519-nkey"}));
    let signed = format!("{head}.{}", encoded(&claims));
    let signature = issuer.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// An authority that signs certificates.
pub struct Authority {
    pub pem: String,
    issuer: Issuer<'static, rcgen::KeyPair>,
}

/// A certificate and its key, in PEM.
pub struct Certificate {
    pub pem: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        params.distinguished_name.push(DnType::CommonName, name);
        let key = rcgen::KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    /// A certificate for a server at `name`, or of a client.
    pub fn sign(&self, name: &str) -> Certificate {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = rcgen::KeyPair::generate().unwrap();
        let signed = params.signed_by(&key, &self.issuer).unwrap();
        Certificate {
            pem: signed.pem(),
            key: key.serialize_pem(),
        }
    }
}

/// The lines of a server that speaks TLS with a certificate for `host`.
fn tls_conf(folder: &Path, authority: &Authority, host: &str, more: &str) -> String {
    let server = authority.sign(host);
    let ca = file(folder, "ca.pem", &authority.pem);
    let cert = file(folder, "server.pem", &server.pem);
    let key = file(folder, "server.key", &server.key);
    format!("tls {{ cert_file: \"{cert}\", key_file: \"{key}\", ca_file: \"{ca}\", {more} }}")
}

/// TLS with a certificate of an authority of one's own, and a token.
pub fn tls(folder: &Path) -> NatsGuard {
    tls_for(folder, "127.0.0.1")
}

/// The same with a certificate for another host.
pub fn tls_for(folder: &Path, host: &str) -> NatsGuard {
    let conf = tls_conf(folder, &Authority::new("devtrail test"), host, "timeout: 5");
    let mut guard = token(folder);
    guard.conf += &format!("\n{conf}");
    let ca = folder.join("ca.pem").to_str().unwrap().to_owned();
    guard.environment.insert("DEVTRAIL_NATS_CA", ca);
    guard
}

/// TLS where the client shows a certificate as well.
pub fn mutual_tls(folder: &Path) -> NatsGuard {
    let authority = Authority::new("devtrail test");
    let client = authority.sign("worker.devtrail.example");
    let conf = tls_conf(folder, &authority, "127.0.0.1", "verify: true, timeout: 5");
    NatsGuard {
        conf,
        environment: BTreeMap::from([
            (
                "DEVTRAIL_NATS_CA",
                folder.join("ca.pem").to_str().unwrap().to_owned(),
            ),
            (
                "DEVTRAIL_NATS_CERT",
                file(folder, "client.pem", &client.pem),
            ),
            ("DEVTRAIL_NATS_KEY", file(folder, "client.key", &client.key)),
        ]),
        ..NatsGuard::default()
    }
}
