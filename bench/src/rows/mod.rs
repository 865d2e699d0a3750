//! How each family of rows is measured, one file each.

mod admission;
mod collector;
mod drain;
mod fairness;
mod heavy_hour;
mod history;
mod keys;
mod long;
mod persist;
mod pipe;
mod resend;
mod scale_out;
mod syncs;

use crate::family::Family;
use crate::plan::Plan;
use crate::report::Report;

/// Measures the rows of a family and adds them to the report.
///
/// # Errors
/// The failure of a process, or a load that does not end.
pub async fn measure(family: Family, plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    report.begin(family, plan.coverage(family));
    match family {
        Family::Admission => admission::measure(plan, report).await,
        Family::Collector => collector::on_disk(plan, report).await,
        Family::CollectorSlowSync => collector::with_slow_sync(plan, report).await,
        Family::CollectorInMemory => collector::in_memory(plan, report).await,
        Family::Persist => persist::measure(plan, report).await,
        Family::Drain => drain::measure(plan, report).await,
        Family::Pipe => pipe::measure(plan, report).await,
        Family::Syncs => syncs::measure(plan, report).await,
        Family::HeavyHour => heavy_hour::measure(plan, report).await,
        Family::History => history::measure(plan, report).await,
        Family::Fairness => fairness::measure(plan, report).await,
        Family::Resend => resend::measure(plan, report).await,
        Family::ScaleOut => scale_out::measure(plan, report).await,
        Family::Keys => keys::measure(plan, report).await,
        Family::Long => long::measure(plan, report).await,
    }
}
