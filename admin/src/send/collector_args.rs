//! Which collector a command talks to over HTTP, and with which keys.

use std::path::PathBuf;

use runtime::settings::Address;

use super::collector_url;
use super::input::Keys;
use crate::target::Target;

/// The collector, and the keys.
#[derive(Debug, clap::Args)]
pub struct CollectorArgs {
    #[command(flatten)]
    pub target: Target,
    /// The collector, such as http://127.0.0.1:8787; a path behind it, such as /v1/events, may be left out
    /// [default: that of the folder]
    #[arg(
        long, env = "DEVTRAIL_URL", value_name = "URL", help_heading = "Connection",
        value_parser = collector_url::COLLECTOR_ADDRESS
    )]
    url: Option<Address>,
    /// Keys: one key, or `developer key` lines as `keys create --from-file` prints them
    /// [default: api-key in the folder]
    #[arg(
        long,
        env = "DEVTRAIL_KEY_FILE",
        value_name = "FILE",
        help_heading = "Connection"
    )]
    key_file: Option<PathBuf>,
}

impl CollectorArgs {
    /// The collector's address.
    ///
    /// # Errors
    /// Returns an error if none is named, and no `devtrail up` runs on the folder.
    pub fn url(&self) -> anyhow::Result<Address> {
        self.target.collector_url(self.url.as_ref())
    }

    /// The keys.
    ///
    /// # Errors
    /// Returns an error if they cannot be read.
    pub fn keys(&self) -> anyhow::Result<Keys> {
        let of_folder = || self.target.data.join("api-key");
        Keys::read(&self.key_file.clone().unwrap_or_else(of_folder))
    }

    /// Whether the key is that of the developer of the folder's first key.
    #[must_use]
    pub fn is_as_me(&self) -> bool {
        self.key_file.is_none()
    }
}
