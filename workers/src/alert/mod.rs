//! The alert role: rules as data, evaluated purely on the windows that new events touch, and the way
//! of what they find into the stream ALERTS.
//!
//! `rules` reads rule files, `filter` and `measure` are their condition language, `windows` says
//! which windows a job must look at, `evaluate` looks. All of that is pure; `publish` and `role` are
//! the shell.

mod evaluate;
pub mod examples;
mod filter;
mod finding;
mod measure;
mod publish;
mod role;
mod rules;
mod windows;

pub use evaluate::{ENGINE, Engine, Evaluation, RuleError, evaluate};
pub use filter::{Filter, LocalTimes, Test};
pub use finding::alert_id;
pub use measure::{Firing, judge};
pub use publish::{Published, publish, sweep};
pub use role::{Alerting, Evaluating};
pub use rules::{BadRule, Measure, Rule, When, builtin, files};
pub use types::severity::Severity;
pub use windows::{BadDay, Day, Origin, Touched, ranges};
