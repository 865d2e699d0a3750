//! How many requests and bytes a collector has in flight at once; beyond that it refuses at once.
//!
//! A refusal costs nothing and names a time to come back. A queue would make every client wait, and hold in memory
//! what nobody gets to.
//!
//! Each bound is a [quota](http_server::quota): no key and no address can take it all.

use std::fmt;
use std::sync::Arc;

use http_server::client_address::ClientAddress;
use http_server::quota::{Claim, Over, Place, QuotaShare, Refused, SharedQuota};
use http_server::{ErrorCode, Problem};
use runtime::metrics;
use runtime::settings::UsageError;
use tokio::sync::{Semaphore, SemaphorePermit};
use types::id::DeveloperId;

use crate::api_keys::Caller;

/// The bounds of what is in flight.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Overload")]
pub struct OverloadSettings {
    /// Most connections at once; more are answered 503 and closed
    #[arg(
        long, env = "DEVTRAIL_MAX_CONNECTIONS", default_value_t = Self::DEFAULT.max_connections, value_name = "N",
        value_parser = at_least_one
    )]
    pub max_connections: usize,
    /// Most batches in flight at once, from their header to their reply; more are answered 503
    #[arg(
        long, env = "DEVTRAIL_MAX_IN_FLIGHT", default_value_t = Self::DEFAULT.max_in_flight, value_name = "N",
        value_parser = at_least_one
    )]
    pub max_in_flight: usize,
    /// Most bytes of batches in flight at once, counted as they arrive and as they are inflated
    #[arg(
        long, env = "DEVTRAIL_MAX_IN_FLIGHT_BYTES", default_value_t = Self::DEFAULT.max_in_flight_bytes,
        value_name = "BYTES", value_parser = at_least_one
    )]
    pub max_in_flight_bytes: usize,
    /// Percent of each bound above that one address may take, an IPv6 one with all of its /64; 100: all of it
    #[arg(
        long, env = "DEVTRAIL_ADDRESS_SHARE", default_value = "25", value_name = "PERCENT", value_parser = parse_share
    )]
    pub address_share: QuotaShare,
    /// Percent of the batches and bytes in flight that one API key may take; 100: all of them
    #[arg(
        long, env = "DEVTRAIL_KEY_SHARE", default_value = "25", value_name = "PERCENT", value_parser = parse_share
    )]
    pub key_share: QuotaShare,
    /// Most streams of alerts that are open at once, beside --max-connections; more are answered 503
    #[arg(
        long, env = "DEVTRAIL_MAX_ALERT_STREAMS", default_value_t = Self::DEFAULT.max_alert_streams, value_name = "N",
        value_parser = at_least_one
    )]
    pub max_alert_streams: usize,
    /// Percent of the streams of alerts that one developer may have open, and four in any case
    #[arg(
        long, env = "DEVTRAIL_ALERT_STREAM_SHARE", default_value = "1", value_name = "PERCENT",
        value_parser = parse_share
    )]
    pub alert_stream_share: QuotaShare,
}

fn parse_share(text: &str) -> Result<QuotaShare, String> {
    let share = text.parse().ok().and_then(QuotaShare::percent);
    share.ok_or_else(|| {
        format!("{text:?} is no share; write a whole number of percent from 1 to 100")
    })
}

fn at_least_one(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| format!("{text:?} is no bound; write a whole number of at least 1"))
}

impl OverloadSettings {
    /// 4,096 connections, 1,024 batches, 256 MiB: 64 bodies of the largest size, and some 20,000 usual ones. A quarter
    /// of each for one address, and for one key. As many streams of alerts as connections; a developer needs one for
    /// each editor.
    pub const DEFAULT: Self = Self {
        max_connections: 4096,
        max_in_flight: 1024,
        max_in_flight_bytes: 256 * 1024 * 1024,
        address_share: QuotaShare::QUARTER,
        key_share: QuotaShare::QUARTER,
        max_alert_streams: 4096,
        alert_stream_share: QuotaShare::HUNDREDTH,
    };

    /// Checks that one batch fits that is as large as `max_body` allows.
    ///
    /// # Errors
    /// Returns [`UsageError`] if such a batch would always be refused: it must fit both as sent and inflated.
    pub fn expect_fits(&self, max_body: usize) -> Result<(), UsageError> {
        let given = self.max_in_flight_bytes;
        let needed = largest_batch(max_body);
        if given >= needed {
            return Ok(());
        }
        Err(UsageError(format!(
            "--max-in-flight-bytes is {given}, and one body of --max-body ({max_body}) bytes takes up to {needed}: \
                raise the \
             one or lower the other."
        )))
    }
}

/// Bytes of a batch whose body is as large as `max_body` allows: as sent, and inflated.
fn largest_batch(max_body: usize) -> usize {
    max_body.saturating_mul(2)
}

/// The share of the batches in flight that may wait for the store: the others must get through.
const WAITING_SHARE: usize = 2;
/// Queries at once, as a share of the batches.
const QUERY_SHARE: usize = 4;
/// Streams of alerts that a developer may have whatever the share is, as far as any is free: a few editors.
const LEAST_ALERT_STREAMS: usize = 4;

/// Whom what is in flight counts for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Tenant {
    /// An API key, by its digest.
    Key(Arc<str>),
    Address(ClientAddress),
    Developer(DeveloperId),
}

impl Tenant {
    /// The word for it in metrics.
    fn kind(&self) -> &'static str {
        match self {
            Self::Key(_) => "key",
            Self::Address(_) => "address",
            Self::Developer(_) => "developer",
        }
    }

    /// The setting of its share.
    fn setting(&self) -> &'static str {
        match self {
            Self::Key(_) => "--key-share",
            Self::Address(_) => "--address-share",
            Self::Developer(_) => "--alert-stream-share",
        }
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key(_) => "Your key",
            Self::Address(_) => "Your address",
            Self::Developer(_) => "A developer",
        })
    }
}

/// What is in flight; and the streams of alerts, which stay open for hours.
pub struct AdmissionControl {
    batches: Bound,
    bytes: Bound,
    waiting: Bound,
    queries: Bound,
    alert_streams: Bound,
    key_share: QuotaShare,
    address_share: QuotaShare,
    alert_stream_share: QuotaShare,
    /// Large bodies that are inflated or validated at once: one for each processor.
    large_bodies: Semaphore,
}

/// A batch in flight: its request, and its bytes so far. Given back when it is dropped.
pub struct BatchPermit {
    sender: Sender,
    bytes: HeldBytes,
    _batch: Place<Tenant>,
}

/// Bytes of one batch.
struct HeldBytes {
    bound: Bound,
    place: Place<Tenant>,
}

/// Who asks for a place.
#[derive(Debug, Clone)]
struct Sender {
    developer: DeveloperId,
    address: ClientAddress,
    claims: Arc<[Claim<Tenant>]>,
}

impl AdmissionControl {
    /// Nothing is in flight. One batch of `max_body` bytes always fits the share of its key and its address.
    #[must_use]
    pub fn new(settings: &OverloadSettings, max_body: usize) -> Arc<Self> {
        let batches = settings.max_in_flight;
        let waiting = (batches / WAITING_SHARE).max(1);
        let queries = (batches / QUERY_SHARE).max(1);
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let bound = |name, what, setting, total, least| Bound {
            name,
            what,
            setting,
            free_again: "answered",
            quota: SharedQuota::new(total, least),
        };
        Arc::new(Self {
            batches: bound(
                "batches",
                "batches in flight",
                "--max-in-flight",
                batches,
                1,
            ),
            bytes: bound(
                "bytes",
                "bytes of batches in flight",
                "--max-in-flight-bytes",
                settings.max_in_flight_bytes,
                largest_batch(max_body),
            ),
            waiting: bound(
                "waiting",
                "batches that wait for the store",
                "half of --max-in-flight",
                waiting,
                1,
            ),
            queries: bound(
                "queries",
                "queries at once",
                "a quarter of --max-in-flight",
                queries,
                1,
            ),
            alert_streams: Bound {
                free_again: "closed",
                ..bound(
                    "alert_streams",
                    "open streams of alerts",
                    "--max-alert-streams",
                    settings.max_alert_streams,
                    LEAST_ALERT_STREAMS,
                )
            },
            key_share: settings.key_share,
            address_share: settings.address_share,
            alert_stream_share: settings.alert_stream_share,
            large_bodies: Semaphore::new(processors),
        })
    }

    fn sender(&self, caller: &Caller) -> Sender {
        let key = Claim {
            tenant: Tenant::Key(caller.key.clone()),
            share: self.key_share,
        };
        let address = Claim {
            tenant: Tenant::Address(caller.address),
            share: self.address_share,
        };
        Sender {
            developer: caller.developer.clone(),
            address: caller.address,
            claims: Arc::new([key, address]),
        }
    }

    /// Admits a batch whose body announces this many bytes. The bytes are counted as they arrive.
    ///
    /// # Errors
    /// Returns `overloaded` if there are too many batches, or too many bytes for such a body; `rate_limited` if the
    /// key or the address has its share of them.
    pub fn admit(&self, caller: &Caller, announced: usize) -> Result<BatchPermit, Problem> {
        let sender = self.sender(caller);
        let batch = self.batches.take(&sender, 1)?;
        let bytes = HeldBytes {
            place: self.bytes.take(&sender, 0)?,
            bound: self.bytes.clone(),
        };
        // Nothing is reserved for what may never come.
        bytes
            .place
            .check(announced)
            .map_err(|refused| self.bytes.problem(&sender, &refused))?;
        Ok(BatchPermit {
            sender,
            bytes,
            _batch: batch,
        })
    }

    /// A permit to wait for the store, if not too many batches wait already: in all, of the key and of the address.
    #[must_use]
    pub fn wait(&self, permit: &BatchPermit) -> Option<Place<Tenant>> {
        self.waiting.quota.take(&permit.sender.claims, 1).ok()
    }

    /// A permit to query the workers, or the stream of alerts.
    ///
    /// # Errors
    /// Returns `overloaded` if too many queries are running, and `rate_limited` if the key or the address has its
    /// share of them.
    pub fn query(&self, caller: &Caller) -> Result<Place<Tenant>, Problem> {
        self.queries.take(&self.sender(caller), 1)
    }

    /// A place for a stream of alerts. It counts for its developer, whatever the key or the address.
    ///
    /// # Errors
    /// Returns `overloaded` if too many are open, and `rate_limited` if the developer has its share of them.
    pub fn alert_stream(&self, caller: &Caller) -> Result<Place<Tenant>, Problem> {
        let developer = Claim {
            tenant: Tenant::Developer(caller.developer.clone()),
            share: self.alert_stream_share,
        };
        let sender = Sender {
            claims: Arc::new([developer]),
            ..self.sender(caller)
        };
        self.alert_streams.take(&sender, 1)
    }

    /// Waits until a large body may be inflated or validated, which takes milliseconds, and memory.
    pub async fn large_body(&self) -> SemaphorePermit<'_> {
        self.large_bodies
            .acquire()
            .await
            .expect("nothing closes it")
    }
}

impl BatchPermit {
    /// Counts bytes that have arrived, or are about to be inflated.
    ///
    /// # Errors
    /// Returns `overloaded` or `rate_limited` if they are too many; they are not counted then.
    pub fn hold(&self, bytes: usize) -> Result<(), Problem> {
        let HeldBytes { bound, place } = &self.bytes;
        place
            .grow(bytes)
            .map_err(|refused| bound.problem(&self.sender, &refused))
    }

    /// Counts bytes made of those that have arrived, even beyond the bound: all work on them is done but the publish.
    /// So the bound can be exceeded, by as much again: a message has its body's events as they came, and a note on
    /// each of them.
    pub fn hold_beyond_bound(&self, bytes: usize) {
        self.bytes.place.grow_beyond(bytes);
    }

    /// Gives bytes back.
    pub fn release(&self, bytes: usize) {
        self.bytes.place.shrink(bytes);
    }
}

/// A bound, who holds how much of it, and how its refusals name it.
#[derive(Clone)]
struct Bound {
    /// Its name in metrics.
    name: &'static str,
    /// What it counts, for people.
    what: &'static str,
    setting: &'static str,
    /// What must become of one before another is let in.
    free_again: &'static str,
    quota: Arc<SharedQuota<Tenant>>,
}

impl Bound {
    fn take(&self, sender: &Sender, places: usize) -> Result<Place<Tenant>, Problem> {
        self.quota
            .take(&sender.claims, places)
            .map_err(|refused| self.problem(sender, &refused))
    }

    /// The refusal, counted, and logged if it is the first of many.
    fn problem(&self, sender: &Sender, refused: &Refused<Tenant>) -> Problem {
        let Self {
            what,
            setting,
            free_again,
            ..
        } = self;
        let Refused {
            over,
            bound,
            is_first,
        } = refused;
        let limit = *bound as u64;
        match over {
            Over::Total => {
                metrics::quota_refused(self.name, "all");
                if *is_first {
                    tracing::warn!(
                        what,
                        bound,
                        "too many are in flight: requests are answered 503 overloaded"
                    );
                }
                let detail = format!(
                    "This collector has no more room: {bound} {what} is its limit ({setting}). Send again later."
                );
                Problem::new(ErrorCode::Overloaded, detail).limit(limit)
            }
            Over::Tenant(tenant) => {
                let whose = tenant.kind();
                metrics::quota_refused(self.name, whose);
                if *is_first {
                    let Sender {
                        developer, address, ..
                    } = sender;
                    tracing::warn!(
                        what, whose, bound, %developer, %address,
                        "a sender has its share of what is in flight: its requests are answered 429 rate_limited"
                    );
                }
                let share = tenant.setting();
                let detail = format!(
                    "{tenant} may have {bound} {what}, its share ({share}), and fewer while there are many. Send again \
                        once one is {free_again}."
                );
                Problem::new(ErrorCode::RateLimited, detail).limit(limit)
            }
        }
    }
}

#[cfg(test)]
mod tests;
