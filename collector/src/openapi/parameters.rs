//! The parameters of the routes: headers, path, query.

use serde_json::{Value, json};
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterIn};

/// Characters of ids: 0x21 to 0x7E, at most 128.
const ID: &str = "^[!-~]{1,128}$";

/// How weeks are written; not every year has a 53rd.
const WEEK: &str = "^[0-9]{4}-W(0[1-9]|[1-4][0-9]|5[0-3])$";

const CONTENT_ENCODING: &str = "How the body is compressed; in any case of letters. `x-gzip` is gzip, an empty value \
    identity.";

fn content_encoding() -> Value {
    json!({"type": "string", "enum": ["identity", "gzip", "x-gzip", "zstd", ""]})
}

/// Names the parameters of a route: the place of each (with `!`, if it is needed), its schema, its meaning.
macro_rules! parameters {
    ($(
        #[doc = $doc:literal]
        $name:ident: $($shared:ident +)?
            [$(($place:literal, $parameter:literal, $schema:expr, $meaning:expr)),* $(,)?];
    )+) => {$(
        #[doc = $doc]
        pub struct $name;

        impl IntoParams for $name {
            fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
                let shared: Vec<Parameter> = Vec::new();
                $(let shared = [shared, $shared()].concat();)?
                [shared, vec![$(parameter($place, $parameter, &$schema, $meaning)),*]].concat()
            }
        }
    )+};
}

parameters! {
    /// The headers of `POST /v1/events`.
    BatchHeaders: [
        ("header", "Prefer", json!({"type": "string", "examples": ["wait=10"]}),
            "`wait=N`, 1 to 30: wait up to N seconds until the store has the batch. Anything else counts as no \
                preference."),
        ("header", "Idempotency-Key", json!({"type": "string", "pattern": ID}),
            "The batch id, for a body without `batch_id`. If both are there they must be equal."),
        ("header", "Devtrail-Batch-Id", json!({"type": "string", "pattern": ID}),
            "The batch id of NDJSON (needed) and CloudEvents (absent: made of the events)."),
        ("header", "Devtrail-Sent-At", json!({"type": "string", "format": "date-time"}),
            "`sent_at` of NDJSON (needed) and CloudEvents (absent: the receipt)."),
        ("header", "Devtrail-Schema-Version", json!({"type": "string", "examples": ["1.0"]}),
            "`schema_version` of NDJSON (needed) and CloudEvents (absent: 1.0)."),
        ("header", "Content-Encoding", content_encoding(), CONTENT_ENCODING),
    ];
    /// The headers of the routes for heartbeats.
    HeartbeatHeaders: wakatime_user + [
        ("header", "Prefer", json!({"type": "string", "examples": ["wait=10"]}),
            "`wait=N`, 1 to 30: wait up to N seconds until the store has the heartbeats."),
        ("header", "TimeZone", json!({"type": "string", "examples": ["Europe/Berlin"]}),
            "The client's IANA time zone."),
        ("header", "X-Machine-Name", json!({"type": "string"}), "The client's machine."),
        ("header", "Content-Encoding", content_encoding(), CONTENT_ENCODING),
    ];
    /// Of `GET /v1/batches/{batch_id}`.
    BatchId: [
        ("path", "batch_id", json!({"type": "string", "pattern": ID}), "The client's batch id, percent-encoded."),
    ];
    /// Of the routes of metrics.
    MetricsParameters: [
        ("query", "from", json!({"type": "string", "format": "date"}),
            "The first local day, not after `to`. Absent: 29 days before `to`."),
        ("query", "to", json!({"type": "string", "format": "date"}),
            "The last local day, less than 366 days after `from`, 31 for hours. Absent: tomorrow in UTC, the latest \
                day on any clock."),
        ("query", "project", name(),
            "Only of this project: its name in any spelling, its key, or `unknown`."),
        ("query", "language", name(), "Only of this language, or `unknown`."),
        ("query", "editor", name(), "Only of this editor, or `unknown`."),
    ];
    /// Of `GET /v1/metrics/daily/{day}/explain`.
    ExplainedDay: [
        ("path", "day", json!({"type": "string", "format": "date"}), "A local day."),
    ];
    /// Of `GET /v1/reports/week/{week}`.
    ReportedWeek: [
        ("path", "week", json!({"type": "string", "pattern": WEEK, "examples": ["2026-W10"]}),
            "A week of ISO 8601, from Monday to Sunday."),
    ];
    /// Of `GET /v1/export`.
    ExportParameters: [
        ("query", "from", json!({"type": "string", "format": "date"}),
            "The first local day, not after `to`. Absent: from the first event on."),
        ("query", "to", json!({"type": "string", "format": "date"}),
            "The last local day, however long after `from`. Absent: up to the last event."),
    ];
    /// Of `GET /v1/alerts`.
    AlertsParameters: [
        ("query", "after", json!({"type": "integer", "minimum": 0, "maximum": 9_007_199_254_740_991_u64}),
            "Only alerts after this sequence: the `next` of an earlier reply. Absent: from the oldest that is kept."),
        ("query", "limit", json!({"type": "integer", "minimum": 1, "maximum": 1000}),
            "Most alerts in the reply. Absent: 100."),
    ];
    /// Of `GET /v1/alerts/stream`.
    AlertStreamHeaders: [
        ("header", "Last-Event-ID", json!({"type": "string", "pattern": "^[0-9]{1,15}$"}),
            "The last `id:` that was read: the alerts after it come first. `0`: all that are kept. Absent: what comes \
                from now on."),
    ];
    /// Of `GET /v1/sessions`.
    SessionParameters: [
        ("query", "from", json!({"type": "string", "format": "date"}),
            "The first local day, not after `to`. Absent: 29 days before `to`."),
        ("query", "to", json!({"type": "string", "format": "date"}),
            "The last local day, less than 92 days after `from`. Absent: tomorrow in UTC, the latest day on any \
                clock."),
        ("query", "project", name(),
            "Only those with time in this project: its name in any spelling, its key, or `unknown`."),
    ];
    /// Of routes of WakaTime's clients that name the developer.
    WakaTimeUser: wakatime_user + [];
    /// Of routes that WakaTime's clients read.
    WakaTimeParameters: wakatime_read + [];
    /// Of `GET …/summaries`.
    SummariesParameters: wakatime_project + [
        ("query", "start", some_day(), "The first day. Either this or `range` is needed."),
        ("query", "end", some_day(), "The last day, less than 366 days after `start`. Absent: today."),
        ("query", "range", json!({"type": "string", "enum": [
            "today", "yesterday", "last_7_days", "last_7_days_from_yesterday", "last_14_days", "last_30_days",
            "this_week", "last_week", "this_month", "last_month",
        ]}), "The days, if there is no `start`; also as `Last 7 Days`."),
        ("query", "branches", any_name(), "Only of these branches, with commas between, of whatever project. Not \
            together with `project`."),
    ];
    /// Of `GET …/stats`.
    StatsParameters: wakatime_project + [];
    /// Of `GET …/stats/{range}`.
    StatsRangeParameters: wakatime_project + [
        ("path", "range", json!({"type": "string", "examples": ["last_7_days", "2026", "2026-03"]}),
            "`last_7_days`, `last_30_days`, `last_6_months` or `last_year`, up to yesterday; `all_time`; a year; a \
                month."),
    ];
    /// Of `GET …/all_time_since_today`.
    TotalParameters: wakatime_project + [];
    /// Of `GET …/durations`.
    DurationsParameters: wakatime_project + [
        ("query!", "date", some_day(), "The day. It is needed."),
        ("query", "slice_by", json!({"type": "string", "enum": ["project", "language", "editor"]}),
            "What a stretch is of. Absent: `project`."),
    ];
    /// Of `GET …/heartbeats`.
    HeartbeatsOfDayParameters: wakatime_read + [
        ("query!", "date", some_day(), "The day. It is needed."),
    ];
    /// Of `GET …/projects`.
    ProjectsParameters: wakatime_read + [
        ("query", "q", any_name(), "Only those whose name has this in it."),
    ];
    /// Of `GET /v1/schemas/{version}/{type}`.
    SchemaName: [
        ("path", "version", json!({"type": "string", "examples": ["1.0"]}), "A supported schema version."),
        ("path", "type", json!({"type": "string", "examples": ["file.edited"]}), "An event type."),
    ];
}

/// A name in a filter: not blank.
fn name() -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": 256, "pattern": "\\S"})
}

/// A name in a filter of WakaTime's clients, who may leave it empty.
fn any_name() -> Value {
    json!({"type": "string", "maxLength": 256})
}

/// A day that is written as WakaTime's clients do.
fn some_day() -> Value {
    let day = "^([0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])|today|yesterday)$";
    json!({"type": "string", "pattern": day, "examples": ["2026-03-01", "today"]})
}

fn wakatime_user() -> Vec<Parameter> {
    let schema =
        json!({"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$", "examples": ["current"]});
    let meaning = "`current`, or the developer whose key it is.";
    vec![parameter("path", "user", &schema, meaning)]
}

fn wakatime_read() -> Vec<Parameter> {
    let zone = json!({"type": "string", "examples": ["Europe/Berlin"]});
    let asked = "The IANA zone of the reply's days. Absent: that of the header.";
    let sent = "The client's IANA zone. Absent: the developer's, or UTC.";
    let zones = vec![
        parameter("query", "timezone", &zone, asked),
        parameter("header", "TimeZone", &zone, sent),
    ];
    [wakatime_user(), zones].concat()
}

fn wakatime_project() -> Vec<Parameter> {
    let meaning = "Only of this project: its name in any spelling, its key, or `unknown`.";
    let project = parameter("query", "project", &any_name(), meaning);
    [wakatime_read(), vec![project]].concat()
}

fn parameter(place: &str, name: &str, schema: &Value, meaning: &str) -> Parameter {
    let is_needed = place == "path" || place.ends_with('!');
    let place = place.trim_end_matches('!');
    let parameter = json!({
        "name": name, "in": place, "required": is_needed, "schema": schema, "description": meaning,
    });
    serde_json::from_value(parameter).expect("this is a parameter")
}
