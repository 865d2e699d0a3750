//! What database and streams hold in the end, read without the product's code.

use futures_util::StreamExt;
use harness::{Database, Deployment};

/// A place: (src, seq, ordinal).
pub type Place = (i64, i64, i64);

/// A row of `batches`.
#[derive(Debug, Clone, Default)]
pub struct BatchRow {
    pub src: i64,
    pub seq: i64,
    pub developer: String,
    pub batch_id: String,
    pub state: String,
    pub need: i64,
    pub done: i64,
    pub failed: i64,
    pub received: i64,
}

/// A row of `events`, `refused` or `duplicates`.
#[derive(Debug, Clone, Default)]
pub struct EventRow {
    pub place: Place,
    pub developer: String,
    pub id: String,
    /// Of `refused`: its code.
    pub code: String,
    /// Of `events`: its type and local day.
    pub kind: String,
    pub day: String,
    /// The exact bytes; empty for duplicates.
    pub body: Vec<u8>,
}

/// A row of `alerts`.
#[derive(Debug, Clone, Default)]
pub struct AlertRow {
    pub id: String,
    pub developer: String,
    pub rule: String,
    pub window: String,
    pub state: String,
    pub revision: i64,
    pub published: i64,
}

/// Everything that is judged.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    pub batches: Vec<BatchRow>,
    pub events: Vec<EventRow>,
    pub refused: Vec<EventRow>,
    pub duplicates: Vec<EventRow>,
    /// (src, seq, kind) of each completed job.
    pub completed_jobs: Vec<(i64, i64, String)>,
    /// (developer, event id, place) of each normalized record.
    pub normalized: Vec<(String, String, Place)>,
    /// (developer, day, body).
    pub days: Vec<(String, String, String)>,
    pub alerts: Vec<AlertRow>,
    /// The last sequence of EVENTS.
    pub last_sequence: i64,
    /// (consumer's stream and name, original sequence, reason) of each message in DEAD.
    pub dead: Vec<(String, i64, String)>,
    /// (alert id, revision) of each message in ALERTS.
    pub alert_messages: Vec<(String, i64)>,
}

fn number(text: &str) -> i64 {
    text.parse().expect("a number")
}

fn place(row: &[String]) -> Place {
    (number(&row[0]), number(&row[1]), number(&row[2]))
}

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
    (0..hex.len()).step_by(2).map(digit).collect()
}

const BATCHES: &str =
    "SELECT src, seq, developer, batch_id, state, need, done, failed, received FROM batches";
const DUPLICATES: &str = "SELECT src, seq, ordinal, developer, event_id FROM duplicates";
const COMPLETED_JOBS: &str = "SELECT src, seq, kind FROM completed_jobs";
/// One whose event no longer has its reference is nobody's.
const NORMALIZED: &str =
    "SELECT n.src, n.seq, n.ordinal, coalesce(e.developer, ''), coalesce(e.event_id, '')
    FROM normalized_records n
    LEFT JOIN events e ON e.src = n.src AND e.seq = n.seq AND e.ordinal = n.ordinal";
const DAYS: &str = "SELECT developer, day, body FROM days";
const ALERTS: &str =
    "SELECT alert_id, developer, rule, window_start, state, revision, published FROM alerts";

impl Observed {
    /// Reads it all.
    pub async fn read(deployment: &Deployment) -> Self {
        let database = &deployment.database;
        let body = match database {
            Database::Sqlite(_) => "lower(hex(body))",
            Database::Postgres(_) => "encode(body, 'hex')",
        };
        let batches = database
            .rows(BATCHES)
            .await
            .iter()
            .map(|row| batch(row))
            .collect();
        let mut observed = Self {
            batches,
            ..Self::default()
        };
        let events = format!(
            "SELECT src, seq, ordinal, developer, event_id, {body}, type, local_day FROM events"
        );
        observed.events = database
            .rows(&events)
            .await
            .iter()
            .map(|row| event(row, ""))
            .collect();
        let refused = format!(
            "SELECT src, seq, ordinal, developer, event_id, {body}, '', '', code FROM refused"
        );
        observed.refused = database
            .rows(&refused)
            .await
            .iter()
            .map(|row| event(row, &row[8]))
            .collect();
        let duplicate = |row: &Vec<String>| EventRow {
            place: place(row),
            developer: row[3].clone(),
            id: row[4].clone(),
            ..EventRow::default()
        };
        observed.duplicates = database
            .rows(DUPLICATES)
            .await
            .iter()
            .map(duplicate)
            .collect();
        let completed_jobs = database.rows(COMPLETED_JOBS).await;
        observed.completed_jobs = completed_jobs
            .into_iter()
            .map(|row| (number(&row[0]), number(&row[1]), row[2].clone()))
            .collect();
        let normalized = database.rows(NORMALIZED).await;
        observed.normalized = normalized
            .iter()
            .map(|row| (row[3].clone(), row[4].clone(), place(row)))
            .collect();
        let days = database.rows(DAYS).await;
        observed.days = days
            .into_iter()
            .map(|row| (row[0].clone(), row[1].clone(), row[2].clone()))
            .collect();
        observed.alerts = database
            .rows(ALERTS)
            .await
            .iter()
            .map(|row| alert(row))
            .collect();
        observed.read_streams(deployment).await;
        observed
    }

    async fn read_streams(&mut self, deployment: &Deployment) {
        let events = deployment
            .js()
            .await
            .get_stream("EVENTS")
            .await
            .expect("EVENTS");
        self.last_sequence = events.cached_info().state.last_sequence.cast_signed();
        for message in messages(deployment, "DEAD").await {
            let header = |name| {
                message
                    .headers
                    .as_ref()?
                    .get(name)
                    .map(|value| value.as_str().to_owned())
            };
            let sequence = header("Devtrail-Stream-Sequence")
                .and_then(|text| text.parse().ok())
                .unwrap_or_default();
            let subject = message.subject.to_string();
            let reason = header("Devtrail-Reason").unwrap_or_default();
            self.dead.push((subject, sequence, reason));
        }
        for message in messages(deployment, "ALERTS").await {
            let alert: serde_json::Value =
                serde_json::from_slice(&message.payload).expect("an alert is JSON");
            let revision = alert["revision"].as_i64().expect("a revision");
            self.alert_messages.push((
                alert["alert_id"].as_str().expect("an id").to_owned(),
                revision,
            ));
        }
    }
}

fn batch(row: &[String]) -> BatchRow {
    BatchRow {
        src: number(&row[0]),
        seq: number(&row[1]),
        developer: row[2].clone(),
        batch_id: row[3].clone(),
        state: row[4].clone(),
        need: number(&row[5]),
        done: number(&row[6]),
        failed: number(&row[7]),
        received: number(&row[8]),
    }
}

fn event(row: &[String], code: &str) -> EventRow {
    EventRow {
        place: place(row),
        developer: row[3].clone(),
        id: row[4].clone(),
        code: code.to_owned(),
        kind: row[6].clone(),
        day: row[7].clone(),
        body: bytes(&row[5]),
    }
}

fn alert(row: &[String]) -> AlertRow {
    AlertRow {
        id: row[0].clone(),
        developer: row[1].clone(),
        rule: row[2].clone(),
        window: row[3].clone(),
        state: row[4].clone(),
        revision: number(&row[5]),
        published: number(&row[6]),
    }
}

/// Every message of a stream, by a consumer that leaves no trace.
async fn messages(deployment: &Deployment, name: &str) -> Vec<async_nats::jetstream::Message> {
    let stream = deployment
        .js()
        .await
        .get_stream(name)
        .await
        .expect("the stream");
    let count = stream.cached_info().state.messages as usize;
    let config = async_nats::jetstream::consumer::pull::OrderedConfig::default();
    let consumer = stream.create_consumer(config).await.expect("a consumer");
    let messages = consumer.messages().await.expect("messages");
    messages
        .take(count)
        .map(|message| message.expect("a message"))
        .collect()
        .await
}
