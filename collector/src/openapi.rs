//! The description of the HTTP interface as OpenAPI 3.1, made of the routes themselves.
//!
//! `routes` registers a route and its description in one step, so neither can be without the other. Added
//! here is what holds for all routes: ids, problems, the event types, how a key is sent.

mod parameters;
mod refusals;

use serde_json::{Map, Value, json};
use types::schema::Schemas;
use utoipa::openapi::OpenApi;

use http_server::ErrorCode;

pub use parameters::{
    AlertStreamHeaders, AlertsParameters, BatchHeaders, BatchId, DurationsParameters, ExplainedDay,
    ExportParameters, HeartbeatHeaders, HeartbeatsOfDayParameters, MetricsParameters,
    ProjectsParameters, ReportedWeek, SchemaName, SessionParameters, StatsParameters,
    StatsRangeParameters, SummariesParameters, TotalParameters, WakaTimeParameters, WakaTimeUser,
};
pub use refusals::{
    AlertStreamRefusals, AlertsRefusals, BatchRefusals, EventsRefusals, ExplainRefusals,
    HeartbeatRefusals, MetricsRefusals, NoRefusals, PluginErrorRefusals, ReadyRefusals,
    ReportRefusals, SchemaRefusals, ScrapeRefusals, WakaTimeRefusals,
};

/// The schemas of what `formats` reads by hand and of what heartbeats are answered with, each with an example.
const BODIES: &str = include_str!("openapi/bodies.json");

/// The OpenAPI 3.1 description of the routes, as pretty-printed JSON.
#[derive(Debug, Clone, Copy)]
pub struct Document(pub fn() -> &'static str);

/// Writes the document: what each route says of itself, and what holds for all of them.
pub fn to_json(described: OpenApi) -> String {
    serde_json::to_string_pretty(&complete(described)).expect("a JSON value can be written") + "\n"
}

fn complete(described: OpenApi) -> Value {
    let mut document = serde_json::to_value(described).expect("a description is JSON");
    document["info"] = json!({
        "title": "Devtrail", "version": env!("CARGO_PKG_VERSION"),
        "summary": "Takes developer-activity events, keeps every one, and tells their state.",
        "description": "Every reply carries `X-Correlation-Id` and `traceparent`. Refusals are RFC 9457 problems: \
            match on `code` and `retryable`, not on texts. The same batch may be sent again at any time: it is kept \
            once.",
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    });
    for path in members(&mut document["paths"]) {
        members(path).for_each(complete_operation);
    }
    let components = &mut document["components"];
    components["securitySchemes"] = json!({
        "key": {"type": "http", "scheme": "bearer",
            "description": "An API key; `devtrail keys create DEVELOPER` makes one. Its scopes are named at each \
                route."},
        "basic": {"type": "http", "scheme": "basic", "description": "The same key as the user, as WakaTime's clients \
            send it."},
        "api_key": {"type": "apiKey", "in": "query", "name": "api_key", "description": "The same key in the query, \
            plain or as Base64, as WakaTime's clients in browsers send it. It counts if there is no header \
            Authorization."}});
    components["parameters"] = json!({
        "X-Correlation-Id": {"name": "X-Correlation-Id", "in": "header", "schema": {"type": "string"},
            "description": "Follows the batch everywhere: 1 to 128 characters from 0x21 to 0x7E. Another one is \
                replaced."},
        "traceparent": {"name": "traceparent", "in": "header", "schema": {"type": "string"},
            "description": "W3C trace context. Kept if it is well formed."}});
    components["headers"] = headers();
    components["schemas"]["Problem"] = problem();
    let bodies: Map<String, Value> =
        serde_json::from_str(BODIES).expect("bodies.json is an object");
    for (name, schema) in bodies.into_iter().chain(event_types()) {
        components["schemas"][name] = schema;
    }
    document
}

fn complete_operation(operation: &mut Value) {
    let ids = ["X-Correlation-Id", "traceparent"];
    let taken = ids.map(|name| json!({"$ref": format!("#/components/parameters/{name}")}));
    match operation["parameters"].as_array_mut() {
        Some(parameters) => parameters.extend(taken),
        None => operation["parameters"] = json!(taken),
    }
    if let Some(body) = operation.get_mut("requestBody") {
        body["required"] = json!(true);
    }
    let counts = operation["responses"].get("429").is_some();
    for (status, response) in operation["responses"].as_object_mut().into_iter().flatten() {
        let mut named = ids.to_vec();
        if counts && (status.starts_with('2') || status == "429") {
            named.extend(["RateLimit", "RateLimit-Policy"]);
        }
        for name in named {
            response["headers"][name] = json!({"$ref": format!("#/components/headers/{name}")});
        }
    }
}

fn headers() -> Value {
    let text =
        |description: &str| json!({"description": description, "schema": {"type": "string"}});
    json!({
        "X-Correlation-Id": text("The request's correlation id: the client's, or a fresh one."),
        "traceparent": text("The request's W3C trace context."),
        "RateLimit": text("`\"events\";r=…;t=…`: how many events may be sent at once now, and in how many seconds \
            all of the policy's may (after a 429: the same batch). Absent if the key has no limit."),
        "RateLimit-Policy": text("`\"events\";q=…;w=…`: how many events may be sent at once after a pause, and the \
            seconds in which they come back. Absent if the key has no limit."),
    })
}

fn problem() -> Value {
    json!({
        "type": "object",
        "description": "Why a request was refused (RFC 9457).",
        "required": ["type", "title", "status", "detail", "code", "retryable"],
        "properties": {
            "type": {"type": "string", "format": "uri"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "What is wrong with this very request, and what to do."},
            "code": {"type": "string", "enum": ErrorCode::ALL.map(ErrorCode::as_str)},
            "retryable": {"type": "boolean", "description": "Whether the same request may succeed later."},
            "retry_after_ms": {"type": "integer", "minimum": 0},
            "pointer": {"type": "string", "description": "The place in the body, a JSON pointer."},
            "parameter": {"type": "string", "description": "The parameter of path or query, or the header."},
            "limit": {"type": "integer", "minimum": 0, "description": "The limit that was passed."},
            "actual": {"type": "integer", "minimum": 0, "description": "What was sent, in the limit's unit."},
            "correlation_id": {"type": "string"},
        }
    })
}

/// A schema for each event type and version, and `Event`, any of them.
fn event_types() -> Map<String, Value> {
    let mut found = Map::new();
    for (kind, schemas) in Schemas::builtin().types() {
        for schema in schemas {
            let mut text: Value = serde_json::from_str(&schema.text).expect("a schema is JSON");
            // Inside a document these would name another base for its references.
            text.as_object_mut().into_iter().for_each(|members| {
                members.remove("$schema");
                members.remove("$id");
            });
            found.insert(format!("{kind}-{}", schema.version), text);
        }
    }
    let any: Vec<Value> = found
        .keys()
        .map(|name| json!({"$ref": format!("#/components/schemas/{name}")}))
        .collect();
    found.insert(
        "Event".to_owned(),
        json!({"description": "An event of a type that this version knows.", "anyOf": any}),
    );
    found
}

fn members(value: &mut Value) -> impl Iterator<Item = &mut Value> {
    value
        .as_object_mut()
        .into_iter()
        .flat_map(|members| members.values_mut())
}

#[cfg(test)]
mod tests;
