//! Collectors of a site.

use super::{Deployment, until};
use crate::free_address;

impl Deployment {
    /// Starts a collector under `name`; gives its URL.
    ///
    /// # Panics
    /// Where it does not start.
    pub async fn collector(&mut self, name: &str) -> String {
        self.collector_with(name, &[]).await
    }

    /// The same with more arguments.
    ///
    /// # Panics
    /// Where it does not start.
    pub async fn collector_with(&mut self, name: &str, arguments: &[&str]) -> String {
        let address = free_address();
        let mut command = self.command("devtrail-collector", &["--listen", &address]);
        self.spawn(name, command.args(arguments));
        runtime::process::install_tls();
        let (url, client) = (format!("http://{address}"), reqwest::Client::new());
        let ready = async || {
            let reply = client
                .get(format!("{url}/health/ready"))
                .send()
                .await
                .ok()?;
            reply.status().is_success().then_some(())
        };
        until("the collector is ready", ready).await;
        url
    }
}
