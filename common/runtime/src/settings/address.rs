//! Addresses that may hold a password or token, and how clap reads values that nobody may see.

use std::ffi::OsStr;
use std::fmt;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;

use super::values::mask;

/// An address that may hold a password or a token, such as `https://ada:secret@host`.
///
/// Displayed or debugged, it has `***` in their place. Only [`Address::expose`] gives the whole.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(String);

impl Address {
    /// Takes any text as an address.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Reads an `http` or `https` URL.
    ///
    /// # Errors
    /// Returns a sentence if the text is not one.
    pub fn http(text: &str) -> Result<Self, String> {
        let bad = || format!("{:?} is no HTTP URL; write http://host:port", mask(text));
        Self::as_http(text).ok_or_else(bad)
    }

    /// Reads an `http` or `https` URL of a list with commas between.
    ///
    /// # Errors
    /// Returns a sentence if the text is not one. It does not repeat the text: a comma may have cut a password in two.
    pub fn http_of_list(text: &str) -> Result<Self, String> {
        let bad =
            || "one of them is no HTTP URL; write http://host:port, with commas between".to_owned();
        Self::as_http(text).ok_or_else(bad)
    }

    fn as_http(text: &str) -> Option<Self> {
        let url = url::Url::parse(text).ok()?;
        let is_http = matches!(url.scheme(), "http" | "https") && url.has_host();
        is_http.then(|| Self::new(text))
    }

    /// The whole address, for the one who connects to it: never for a log or a message.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mask(&self.0))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", mask(&self.0))
    }
}

/// Reads values that may hold a secret: the error that clap makes of any other parser repeats what was given.
#[derive(Debug)]
pub struct SecretParser<T>(fn(&str) -> Result<T, String>);

impl<T> SecretParser<T> {
    /// Reads with `parse`, whose error is a sentence that holds no secret.
    #[must_use]
    pub const fn new(parse: fn(&str) -> Result<T, String>) -> Self {
        Self(parse)
    }
}

// A derived `Clone` would ask for one of `T`.
impl<T> Clone for SecretParser<T> {
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

/// An HTTP URL that may hold a password.
pub const HTTP_ADDRESS: SecretParser<Address> = SecretParser::new(Address::http);

/// One of several such URLs with commas between.
pub const HTTP_ADDRESSES: SecretParser<Address> = SecretParser::new(Address::http_of_list);

impl<T: Clone + Send + Sync + 'static> TypedValueParser for SecretParser<T> {
    type Value = T;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<T, clap::Error> {
        let text = value.to_str().ok_or_else(|| "it is not UTF-8".to_owned());
        text.and_then(self.0).map_err(|reason| {
            let name = arg.map(ToString::to_string).unwrap_or_default();
            let message = format!("invalid value for '{name}': {reason}\n");
            clap::Error::raw(ErrorKind::ValueValidation, message).with_cmd(command)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_never_shows_its_password() {
        let address = Address::http("https://ada:s3cret@host:1/path?token=s3cret").unwrap();
        let shown = format!("{address} {address:?}");
        assert!(
            !shown.contains("s3cret") && shown.contains("ada:***@host"),
            "{shown}"
        );
        assert!(address.expose().contains("s3cret"));
        for bad in [
            "",
            "a:8222",
            "127.0.0.1:8222",
            "ftp://ada:s3cret@a",
            "http://",
        ] {
            assert!(Address::http(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_usage_error_repeats_a_secret() {
        let url = clap::Arg::new("url").long("url").value_parser(HTTP_ADDRESS);
        let command = clap::Command::new("x").arg(url);
        let refusal = command
            .try_get_matches_from(["x", "--url", "ftp://ada:s3cret@host"])
            .unwrap_err()
            .to_string();
        assert!(
            refusal.contains("--url") && refusal.contains("http://host:port"),
            "{refusal}"
        );
        assert!(!refusal.contains("s3cret"), "{refusal}");
    }
}
