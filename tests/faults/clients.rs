//! Clients that send without end and retry as the contract says, until each batch has its 2xx.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fastrand::Rng;
use runtime::clock;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use types::time::rfc3339;

use crate::send_log::Log;
use crate::workload::{Work, request};

/// Clients; each works for one of the developers.
const CLIENTS: usize = 6;
/// Developers, each with a key.
pub const DEVELOPERS: [&str; 3] = ["ada", "bea", "cai"];
/// A client waits this long for a reply.
const PATIENCE: Duration = Duration::from_secs(12);
/// A batch that has no 2xx after so long is a broken promise: no schedule keeps everything away so long.
const GIVES_UP: Duration = Duration::from_secs(240);

/// Where to send, and as whom.
#[derive(Clone)]
pub struct Service {
    /// URLs of the collectors; a client takes any.
    pub urls: Vec<String>,
    /// The developers' keys, in their order.
    pub keys: Vec<String>,
}

/// Running clients.
pub struct Load {
    log: Arc<Mutex<Log>>,
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts the clients of this seed.
    pub fn start(service: &Service, seed: u64) -> Self {
        runtime::process::install_tls();
        let log = Arc::<Mutex<Log>>::default();
        let stop = Arc::new(AtomicBool::new(false));
        let client = |number: usize| {
            let developer = number % DEVELOPERS.len();
            let client = Client {
                service: service.clone(),
                key: service.keys[developer].clone(),
                http: reqwest::Client::builder()
                    .no_proxy()
                    .timeout(PATIENCE)
                    .build()
                    .expect("a client"),
                rng: Rng::with_seed(seed ^ (number as u64 + 1)),
                began: Instant::now(),
                log: log.clone(),
            };
            tokio::spawn(client.run(Work::new(seed, number, DEVELOPERS[developer]), stop.clone()))
        };
        let tasks = (0..CLIENTS).map(client).collect();
        Self { log, stop, tasks }
    }

    /// What is logged so far.
    pub fn log(&self) -> MutexGuard<'_, Log> {
        lock(&self.log)
    }

    /// No new batches; waits until those under way have their 2xx.
    pub async fn finish(self) -> Log {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("a client does not panic");
        }
        std::mem::take(&mut lock(&self.log))
    }
}

fn lock(log: &Mutex<Log>) -> MutexGuard<'_, Log> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What an attempt came to.
enum Answer {
    Acknowledged(Value),
    /// The same batch again, not before so long.
    Again(Duration),
    /// The contract knows no such reply to such a batch.
    Broken(String),
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Acknowledged(_) => f.write_str("acknowledged"),
            Self::Again(pause) if pause.is_zero() => f.write_str("gave no reply"),
            Self::Again(_) => f.write_str("refused for now"),
            Self::Broken(_) => f.write_str("broke the contract"),
        }
    }
}

struct Client {
    service: Service,
    key: String,
    http: reqwest::Client,
    rng: Rng,
    began: Instant,
    log: Arc<Mutex<Log>>,
}

impl Client {
    async fn run(mut self, mut work: Work, stop: Arc<AtomicBool>) {
        let mut own = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let place = if !own.is_empty() && self.rng.u8(..12) == 0 {
                lock(&self.log).resends += 1;
                own[self.rng.usize(..own.len())]
            } else {
                let mut log = lock(&self.log);
                log.batches.push(work.next());
                own.push(log.batches.len() - 1);
                log.batches.len() - 1
            };
            self.until_acknowledged(place).await;
            sleep(Duration::from_millis(self.rng.u64(5..60))).await; // sleep: an editor's pace keeps the backlog small
        }
        // Whole batches of long ago.
        for _ in 0..own.len().min(5) {
            lock(&self.log).resends += 1;
            let place = own[self.rng.usize(..own.len())];
            self.until_acknowledged(place).await;
        }
    }

    async fn until_acknowledged(&mut self, place: usize) {
        let start = Instant::now();
        let at = rfc3339(clock::now());
        let mut story = Vec::new();
        for attempt in 0_u32.. {
            {
                let mut log = lock(&self.log);
                log.requests += 1;
                log.retries += u64::from(attempt > 0);
            }
            let collector = self.rng.usize(..self.service.urls.len());
            let answer = self.once(place, collector).await;
            story.push(format!(
                "collector-{collector} {answer} after {:.1} s",
                start.elapsed().as_secs_f64()
            ));
            match answer {
                Answer::Acknowledged(reply) => {
                    let mut log = lock(&self.log);
                    let second = self.began.elapsed().as_secs() as usize;
                    let seconds = log.pace.len().max(second + 1);
                    log.pace.resize(seconds, 0);
                    log.pace[second] += 1;
                    if start.elapsed() > log.longest {
                        log.longest = start.elapsed();
                        log.longest_story = format!("from {at}: {}", story.join(", "));
                    }
                    return log.acknowledge(place, &reply);
                }
                Answer::Broken(reply) => return lock(&self.log).broken.push(reply),
                Answer::Again(_) if start.elapsed() > GIVES_UP => {
                    let batch = lock(&self.log).batches[place].id.clone();
                    return lock(&self.log)
                        .broken
                        .push(format!("{batch} has no 2xx within {GIVES_UP:?}"));
                }
                Answer::Again(pause) => {
                    let bound = 50 << attempt.min(5);
                    let jitter = Duration::from_millis(self.rng.u64(..bound));
                    sleep(pause + jitter).await; // sleep: Retry-After, and backoff with full jitter
                }
            }
        }
    }

    async fn once(&mut self, place: usize, collector: usize) -> Answer {
        let batch = lock(&self.log).batches[place].clone();
        let (headers, body) = request(&batch, &rfc3339(clock::now()), self.rng.u8(..4) == 0);
        let url = &self.service.urls[collector];
        let mut post = self
            .http
            .post(format!("{url}/v1/events"))
            .bearer_auth(&self.key)
            .body(body);
        for (name, value) in headers {
            post = post.header(name, value);
        }
        if self.rng.u8(..10) == 0 {
            post = post.header("prefer", "wait=2");
        }
        let (status, pause, text) = match post.send().await {
            Err(_) => return self.note("none", Answer::Again(Duration::ZERO)),
            Ok(reply) => {
                let status = reply.status().as_u16();
                let pause = reply
                    .headers()
                    .get("retry-after")
                    .and_then(|value| value.to_str().ok()?.parse().ok());
                // A reply that breaks off is none.
                let Ok(text) = reply.text().await else {
                    return self.note("none", Answer::Again(Duration::ZERO));
                };
                (status, pause, text)
            }
        };
        let reply: Value = serde_json::from_str(&text).unwrap_or_default();
        let name = format!(
            "{status} {}",
            reply["code"]
                .as_str()
                .or(reply["durability"].as_str())
                .unwrap_or("?")
        );
        let pause = Duration::from_secs(pause.unwrap_or_default());
        let answer = match status {
            200 | 202 => Answer::Acknowledged(reply),
            503 | 408 | 429 => Answer::Again(pause),
            _ => Answer::Broken(format!("{status} to batch {}: {text}", batch.id)),
        };
        self.note(&name, answer)
    }

    fn note(&self, reply: &str, answer: Answer) -> Answer {
        *lock(&self.log).replies.entry(reply.to_owned()).or_default() += 1;
        answer
    }
}
