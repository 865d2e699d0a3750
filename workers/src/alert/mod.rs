//! The alert role: rules as data, evaluated on the windows that new events touch.
//!
//! `rules` reads rule files; `filter` and `measure` are their condition language. `windows` says which windows a job
//! must evaluate, `hour_rules` is what is kept of each hour for them. `evaluate` evaluates them, and `episodes` those
//! of rules that look at minutes. All of that is pure. `outbox` publishes findings to the stream ALERTS, and `role`
//! ties it to jobs.

mod check_examples;
mod episodes;
mod evaluate;
mod examples;
mod filter;
mod finding;
mod hour_rules;
mod local_day;
mod measure;
mod outbox;
mod role;
mod rules;
mod windows;

pub use check_examples::check_examples;
pub use evaluate::{
    ENGINE_VERSION, Evaluation, RuleError, RuleReads, evaluate, evaluate_events, plan,
};
pub use examples::{Example, ExampleEvent};
pub use filter::{EventFilter, FieldTest, LocalTimes};
pub use finding::alert_id;
pub use hour_rules::{HourRules, RuleDay, RuleSet};
pub use local_day::{InvalidLocalDay, LocalDay, Weekday};
pub use measure::{Firing, Hit, Measured, MetConditions};
pub use outbox::AlertsToPublish;
pub use role::{AlertWork, EvaluateWork};
pub use rules::{BadRule, Category, DayBegins, Measure, Rule, RuleCondition, builtin, files};
pub use types::severity::Severity;
pub use windows::{TouchedBy, TouchedDays, ranges};
