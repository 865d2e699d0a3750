//! Addresses of nats-servers, with the login that they may carry.

use std::fmt;

use async_nats::ServerAddr;
use percent_encoding::percent_decode_str;
use runtime::settings::{Address, SecretParser};

/// The addresses of nats-servers, and the login that they carry.
///
/// Displayed or debugged, it has `***` in place of password or token.
#[derive(Clone, PartialEq, Eq)]
pub struct NatsAddress {
    whole: Address,
    servers: Vec<ServerAddr>,
    login: Option<UrlLogin>,
}

/// A login that stands in an address. No `Debug`: nobody may print it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum UrlLogin {
    User { name: String, password: String },
    Token(String),
}

/// What clap reads addresses of nats-servers with.
pub const NATS_ADDRESS: SecretParser<NatsAddress> = SecretParser::new(NatsAddress::parse);

impl NatsAddress {
    /// Reads the address of a nats-server, or several with commas between. A user with a password, or a token, stands
    /// before an `@`; of several addresses one login serves all.
    ///
    /// # Errors
    /// Returns a sentence for the user if one of them is no address of a nats-server, or if two logins differ.
    pub fn parse(text: &str) -> Result<Self, String> {
        let whole = Address::new(text);
        let mut servers = Vec::new();
        let mut login = None;
        for one in text.split(',') {
            let (server, own) = parse_one(one).ok_or_else(|| {
                format!(
                    "{whole} is no address of a nats-server; write nats://host:4222 or tls://host:4222, or several \
                     with commas between (in a user, password or token write @ as %40, : as %3A, / as %2F, , as %2C \
                     and % as %25)"
                )
            })?;
            if own.is_some() && login.is_some() && own != login {
                return Err(format!(
                    "{whole} has two logins that differ; one login serves all servers"
                ));
            }
            login = login.or(own);
            servers.push(server);
        }
        Ok(Self {
            whole,
            servers,
            login,
        })
    }

    /// The servers, of which the client takes any that answers. They carry no login.
    #[must_use]
    pub fn servers(&self) -> &[ServerAddr] {
        &self.servers
    }

    pub(crate) fn login(&self) -> Option<&UrlLogin> {
        self.login.as_ref()
    }
}

impl fmt::Display for NatsAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.whole)
    }
}

impl fmt::Debug for NatsAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.whole)
    }
}

fn parse_one(text: &str) -> Option<(ServerAddr, Option<UrlLogin>)> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("nats", text));
    if !["nats", "tls"].contains(&scheme) {
        return None;
    }
    let (login, place) = match rest.rsplit_once('@') {
        Some((login, place)) => (Some(parse_login(login)?), place),
        None => (None, rest),
    };
    let server: ServerAddr = format!("{scheme}://{place}").parse().ok()?;
    (!server.host().is_empty()).then_some((server, login))
}

fn parse_login(text: &str) -> Option<UrlLogin> {
    Some(match text.split_once(':') {
        Some((name, password)) => UrlLogin::User {
            name: decoded(name)?,
            password: decoded(password)?,
        },
        None if text.is_empty() => return None,
        None => UrlLogin::Token(decoded(text)?),
    })
}

/// `None` if a `%` begins no escape, or the bytes are not UTF-8.
fn decoded(text: &str) -> Option<String> {
    let is_escape = |after: &str| {
        let digits = after.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if !text.split('%').skip(1).all(is_escape) {
        return None;
    }
    Some(percent_decode_str(text).decode_utf8().ok()?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn user(name: &str, password: &str) -> Option<UrlLogin> {
        Some(UrlLogin::User {
            name: name.to_owned(),
            password: password.to_owned(),
        })
    }

    fn is_login(address: &str, login: Option<&UrlLogin>) {
        let parsed = NatsAddress::parse(address).unwrap();
        assert!(parsed.login() == login, "{address}");
        let servers = parsed.servers().iter();
        assert!(servers.clone().all(|server| !server.has_user_pass()));
    }

    #[test]
    fn the_login_is_taken_from_the_address() {
        is_login("nats://127.0.0.1:4222", None);
        is_login("localhost", None);
        is_login("nats://ada:pw@host", user("ada", "pw").as_ref());
        is_login("tls://a%40b:p%3Aw%2C@host:1", user("a@b", "p:w,").as_ref());
        is_login("nats://ada:p@w@host", user("ada", "p@w").as_ref());
        is_login(
            "nats://t%2Fk@host",
            Some(&UrlLogin::Token("t/k".to_owned())),
        );
        is_login(
            "nats://ada:pw@a,nats://b,nats://ada:pw@c",
            user("ada", "pw").as_ref(),
        );
    }

    #[test]
    fn several_addresses_are_several_servers() {
        let two = NatsAddress::parse("nats://127.0.0.1:4222,tls://[::1]:4223").unwrap();
        let ports: Vec<u16> = two.servers().iter().map(ServerAddr::port).collect();
        assert_eq!(ports, [4222, 4223]);
        assert!(two.servers()[1].tls_required());
    }

    #[test]
    fn what_is_no_address_is_refused_without_its_password() {
        for bad in [
            "",
            "http://a",
            "ws://a",
            "nats://",
            "nats://a,",
            "nats://@a",
            "nats://u:s3cret@a:no",
            "nats://u:s3cret@",
            "nats://u:s3cret%zz@a",
            "nats://u:s3cret%ff@a",
            "nats://u:s3cret,s3cret@a",
            "nats://u:s3cret/s3cret@a:no",
            "nats://u:s3cret@a,nats://u:other@b",
        ] {
            let refusal = NatsAddress::parse(bad).unwrap_err();
            assert!(!refusal.contains("s3cret"), "{bad}: {refusal}");
        }
    }

    proptest! {
        #[test]
        fn no_address_shows_its_password(user in "[a-z]{1,8}", password in "[ -~]{0,4}s3cret[ -~]{0,4}") {
            for host in ["host", "host:4222", "host:no", "a,nats://b", ""] {
                let text = format!("nats://{user}:{password}@{host}");
                let shown = match NatsAddress::parse(&text) {
                    Ok(address) => format!("{address} {address:?}"),
                    Err(refusal) => refusal,
                };
                prop_assert!(!shown.contains("s3cret"), "{}", shown);
            }
        }
    }
}
