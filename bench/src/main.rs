//! `make bench`: every figure beside its ceiling, both measured in this run on this machine.
//!
//! Absolute times say something about the machine; the ratios say something about Devtrail.

mod encode;
mod family;
mod http;
mod input;
mod load;
mod one_by_one;
mod plan;
mod plot;
mod process_rows;
mod publish;
mod raw;
mod report;
mod rounds;
mod row;
mod rows;
mod stats;
mod strace;
mod usage;
mod watch;
mod whole;
mod workday;

use std::process::ExitCode;

use anyhow::bail;
use clap::Parser as _;
use plan::{Arguments, Plan};
use report::{Report, say};
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let measured = runtime
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(measure_or_stop(&arguments)));
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Stops at once on SIGINT or SIGTERM: what was started ends with what holds it, and its folders go.
async fn measure_or_stop(arguments: &Arguments) -> anyhow::Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    tokio::select! {
        measured = measure(arguments) => measured,
        _ = terminated.recv() => bail!("terminated"),
        _ = interrupted.recv() => bail!("interrupted"),
    }
}

async fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    runtime::process::install_tls();
    let plan = Plan::from(arguments);
    let mut report = Report::default();
    for &family in &plan.families {
        rows::measure(family, &plan, &mut report).await?;
        if arguments.write {
            // After each family: a run takes long, and what it has is not lost if it is stopped.
            publish::publish(&report)?;
        }
    }
    Ok(())
}
