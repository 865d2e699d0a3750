//! What a batch costs in CPU before it is published, beside a plain parse of the same bytes.

use std::hint::black_box;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use types::schema::Schemas;

use crate::encode::{Body, encode};
use crate::input::body;
use crate::plan::Plan;
use crate::report::Report;
use crate::rounds::Interleaved;
use crate::row::{BenchRow, Reach};
use crate::stats::micros;

/// The row.
///
/// # Errors
/// The reason, if a body is refused.
pub async fn measure(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let schemas = Schemas::builtin();
    let bodies: Vec<Body> = (0..plan.size(200, 1000))
        .map(|number| Body {
            developer: "bench".to_owned(),
            bytes: body("cpu", number),
        })
        .collect();
    let per_batch = |cpu: &Duration| micros(*cpu) / bodies.len() as f64;
    let measured = Interleaved::measure(
        plan.rounds,
        async |_| {
            cpu_of(|| {
                for body in &bodies {
                    black_box(encode(&schemas, black_box(body))?);
                }
                Ok(())
            })
        },
        async |_| {
            cpu_of(|| {
                for body in &bodies {
                    black_box(serde_json::from_slice::<Value>(black_box(&body.bytes))?);
                }
                Ok(())
            })
        },
    )
    .await?;
    let row = BenchRow::new(
        "validate, encode, hash, beside serde_json::Value",
        "µs/batch",
        measured.ours(per_batch),
    );
    let row = row
        .beside(
            measured.ceiling(per_batch),
            measured.ratio(per_batch, per_batch),
        )
        .reach(Reach::RatioAtMost(1.3));
    report.add("Admission: CPU of a batch of 50 events", vec![row]);
    Ok(())
}

/// CPU time of this thread while it works.
fn cpu_of(work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Duration> {
    let before = thread_cpu()?;
    work()?;
    Ok(thread_cpu()? - before)
}

/// What this thread has run so far, to the nanosecond.
fn thread_cpu() -> anyhow::Result<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos = text.split_whitespace().next().context("no time")?;
    Ok(Duration::from_nanos(nanos.parse()?))
}
