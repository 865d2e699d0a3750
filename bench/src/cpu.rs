//! What a batch costs in CPU before it is published, beside a plain parse of the same bytes.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use reqwest::header::HeaderMap;
use runtime::clock;
use serde_json::Value;
use types::admission::{AdmissionContext, admit};
use types::formats::{BatchRequest, Format};
use types::schema::Schemas;
use types::{batch, id};

use crate::input::body;
use crate::report::{BenchTable, Measured, percentile};

const BATCHES: usize = 2000;

/// How admission is called: as the collector does, without a request around it.
fn context() -> anyhow::Result<AdmissionContext> {
    Ok(AdmissionContext {
        developer: "bench".parse()?,
        epoch: 0,
        zone: None,
        correlation_id: id::correlation_id(None),
        traceparent: id::traceparent(None),
        received_at: clock::now(),
        collector: "bench/1".to_owned(),
    })
}

/// A message of EVENTS.
pub struct EncodedBatch {
    /// Its `Nats-Msg-Id`.
    pub id: String,
    pub payload: bytes::Bytes,
}

/// Admission, message and message id of one body.
///
/// # Errors
/// The reason, if the body is refused.
pub fn message(schemas: &Schemas, body: &[u8]) -> anyhow::Result<EncodedBatch> {
    let context = context()?;
    let headers = HeaderMap::new();
    let request = BatchRequest {
        headers: &headers,
        body,
        developer: &context.developer,
        received_at: context.received_at,
        max_events: 1000,
    };
    let submission = Format::Envelope
        .read(&request)
        .map_err(|error| anyhow!("{error:?}"))?;
    let admitted = admit(submission, schemas, context.clone());
    let header = &admitted.header;
    let id = id::msg_id(
        &header.developer,
        header.epoch,
        &header.batch_id,
        admitted.events.iter(),
    );
    Ok(EncodedBatch {
        id,
        payload: batch::encode(header, &admitted.events)?,
    })
}

/// The row.
///
/// # Errors
/// The reason, if a body is refused.
pub fn measure(report: &mut BenchTable) -> anyhow::Result<()> {
    let schemas = Schemas::builtin();
    let mut ours: Vec<Duration> = Vec::new();
    let mut plain: Vec<Duration> = Vec::new();
    for number in 0..BATCHES {
        let body = body("cpu", number);
        let start = Instant::now();
        black_box(serde_json::from_slice::<Value>(black_box(&body))?);
        plain.push(start.elapsed());
        let start = Instant::now();
        black_box(message(&schemas, black_box(&body))?);
        ours.push(start.elapsed());
    }
    let ours = percentile(&mut ours, 50);
    let plain = percentile(&mut plain, 50);
    let micros = |time: Duration| format!("{:.0} µs", time.as_secs_f64() * 1e6);
    let measured = Measured {
        ours: micros(ours),
        ceiling: micros(plain),
        ratio: Some(ours.as_secs_f64() / plain.as_secs_f64()),
    };
    report.add("CPU per batch: validate, encode, hash", measured, "≤ 2.5");
    Ok(())
}
