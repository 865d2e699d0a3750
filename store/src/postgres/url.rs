//! The URL of a Postgres database, shown without the password.

mod tls;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use runtime::settings::mask;
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::StoreError;
use tls::Check;

/// The address of a Postgres database: `postgres://USER:PASSWORD@HOST:PORT/DATABASE?OPTIONS`.
///
/// The options are libpq's as far as the driver knows them. `sslmode` decides about TLS:
/// - `disable`: none.
/// - `prefer` (the default): if the server offers it; the server's certificate is not checked.
/// - `require`: always; the certificate is not checked, so a man in the middle can read along.
/// - `verify-ca`: always; the certificate must come from a trusted authority, whatever its name.
/// - `verify-full`: always; it must also be for the URL's host. The one to use across a network.
///
/// Trusted are the authorities of the file in `sslrootcert=PATH` (PEM), else the system's.
/// Shown and logged, the password is `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl(Arc<Parsed>);

#[derive(PartialEq, Eq)]
struct Parsed {
    config: Config,
    check: Check,
    masked: String,
}

/// The reason a text is no address of a Postgres database. Does not hold the password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{masked:?} is no address of a Postgres database ({reason}): write postgres://USER@HOST:PORT/DATABASE"
)]
pub struct BadPostgresUrl {
    masked: String,
    reason: String,
}

impl FromStr for PostgresUrl {
    type Err = BadPostgresUrl;

    fn from_str(text: &str) -> Result<Self, BadPostgresUrl> {
        let masked = mask(text);
        let bad = |reason: String| BadPostgresUrl {
            masked: masked.clone(),
            reason,
        };
        if !["postgres://", "postgresql://"]
            .iter()
            .any(|scheme| text.starts_with(scheme))
        {
            return Err(bad("it does not begin with postgres://".to_owned()));
        }
        let (bare, options) = split_options(text);
        let (mode, check) = tls::mode(&options).map_err(&bad)?;
        // The driver's reason may quote what it could not read, the password too.
        let parsed =
            Config::from_str(&bare).map_err(|_| bad("the driver cannot read it".to_owned()))?;
        let mut config = parsed;
        config.ssl_mode(mode);
        if config.get_hosts().is_empty() {
            return Err(bad("it names no host".to_owned()));
        }
        // A user alone is no secret, and commands read the address from what `up` writes. What only the driver takes
        // for a user, such as `host/db?password=a` of an address with a late `@`, may hold one.
        let login = text.rsplit_once('@').map_or("", |(before, _)| {
            before.split_once("://").map_or(before, |(_, login)| login)
        });
        let has_no_secret = config.get_password().is_none() && !login.contains([':', '/', '?']);
        let masked = if has_no_secret {
            text.to_owned()
        } else {
            masked
        };
        Ok(Self(Arc::new(Parsed {
            config,
            check,
            masked,
        })))
    }
}

impl PostgresUrl {
    /// The driver's settings, with bounds if the URL gives none: a dead peer is noticed.
    pub(super) fn config(&self, name: &str) -> Config {
        let mut config = self.0.config.clone();
        if config.get_application_name().is_none() {
            config.application_name(name);
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(Duration::from_secs(5));
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(Duration::from_secs(30));
        }
        config.keepalives_idle(Duration::from_secs(30));
        config
    }

    /// How TLS is done with this server.
    pub(super) fn tls(&self) -> Result<MakeRustlsConnect, StoreError> {
        tls::connector(
            &self.0.check,
            self.0.config.get_ssl_mode() != SslMode::Disable,
        )
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.masked)
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresUrl({})", self.0.masked)
    }
}

/// The URL without `sslmode` and `sslrootcert`, which the driver does not know in full, and these.
fn split_options(text: &str) -> (String, Vec<(&str, &str)>) {
    let Some((bare, query)) = text.split_once('?') else {
        return (text.to_owned(), Vec::new());
    };
    let pairs = query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let (ours, rest): (Vec<_>, Vec<_>) =
        pairs.partition(|(key, _)| ["sslmode", "sslrootcert"].contains(key));
    let rest: Vec<String> = rest
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let bare = if rest.is_empty() {
        bare.to_owned()
    } else {
        format!("{bare}?{}", rest.join("&"))
    };
    (bare, ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_way_of_writing_a_password_shows_it() {
        for text in [
            "postgres://ada:s3cret@db.example:5432/devtrail?sslmode=verify-full",
            "postgres://ada:s3c:r@et@db.example/devtrail?sslmode=require",
            "postgresql://db.example/devtrail?user=ada&password=s3cret",
            "postgres://ada:s3cret@db.example/devtrail?sslmode=no-such",
            "postgres://ada:s3cret@db.example:notaport/devtrail",
            "postgres://ada:s3c?ret@db.example/devtrail",
            "postgres://db.example/devtrail?password=s3cret@s3cret",
            "postgres://ada:s3cret@db.example/devtrail?password=s3cret&nonsense=s",
        ] {
            let shown = match text.parse::<PostgresUrl>() {
                Ok(url) => format!("{url} {url:?}"),
                Err(error) => format!("{error} {error:?}"),
            };
            assert!(shown.contains("***") && !shown.contains("s3c"), "{shown}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_what_to_write_instead() {
        for text in [
            "mysql://x",
            "host=db user=ada",
            "postgres://",
            "postgres://h/d?sslmode=maybe",
        ] {
            let refusal = text.parse::<PostgresUrl>().unwrap_err().to_string();
            assert!(
                refusal.contains("postgres://USER@HOST:PORT/DATABASE"),
                "{refusal}"
            );
        }
        let url: PostgresUrl = "postgres://ada@db.example/devtrail?sslmode=disable"
            .parse()
            .unwrap();
        assert_eq!(
            url.to_string(),
            "postgres://ada@db.example/devtrail?sslmode=disable"
        );
    }
}
