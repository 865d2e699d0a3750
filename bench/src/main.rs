//! `make bench`: every figure beside its ceiling, both measured in this run on this machine.
//!
//! Absolute times say something about the machine; the ratios say something about Devtrail.

mod collector;
mod cpu;
mod input;
mod keys;
mod persist;
mod pipe;
mod raw;
mod report;

use std::process::ExitCode;

use report::BenchTable;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let measured = runtime
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(measure()));
    match measured.and_then(|report| report.publish()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::say(&format!("bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn measure() -> anyhow::Result<BenchTable> {
    runtime::process::install_tls();
    let mut report = BenchTable::default();
    cpu::measure(&mut report)?;
    collector::on_disk(&mut report).await?;
    collector::with_slow_sync(&mut report).await?;
    collector::in_memory(&mut report).await?;
    persist::on_sqlite(&mut report).await?;
    persist::on_postgres(&mut report).await?;
    keys::among_many(&mut report).await?;
    for engine in [harness::Engine::Sqlite, harness::Engine::Postgres] {
        pipe::to_stored(&mut report, engine).await?;
    }
    Ok(report)
}
