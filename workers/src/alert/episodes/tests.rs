//! Episodes are what a look at every single minute gives.

use proptest::prelude::*;
use serde_json::json;
use types::time::SECOND;

use super::*;
use crate::alert::filter::tests::{ask, record};
use crate::alert::hour_rules::minute_of;
use crate::alert::measure::MetConditions;
use crate::alert::rules::tests::rule_when;

const DAY: &str = "1970-01-01";

/// What the rule measures in builds at these minutes, `true` being a failed one.
fn measured(rule: &Rule, builds: &[(i64, bool)]) -> Measured {
    let mut measured = Measured::nothing(rule);
    for (minute, failed) in builds {
        let outcome = if *failed { "failed" } else { "succeeded" };
        ask(
            record("build.finished", *minute, &json!({"outcome": outcome})),
            |event| {
                if let Some(met) = MetConditions::by(rule, event) {
                    measured.add(rule, event, DAY, &met);
                }
            },
        );
    }
    measured
}

/// The minute since 1970 of a record's minute, which is local.
fn minute(local: i64) -> i64 {
    minute_of((local - 120) * 60 * SECOND)
}

fn by_minute(rule: &Rule, builds: &[(i64, bool)]) -> Vec<RuleDay> {
    builds
        .chunk_by(|one, next| one.0 == next.0)
        .map(|chunk| RuleDay {
            day: DAY.to_owned(),
            minute: Some(minute(chunk[0].0)),
            measured: measured(rule, chunk),
        })
        .collect()
}

proptest! {
    #[test]
    fn every_minute_counts(
        builds in prop::collection::vec((0_i64..5, prop::bool::weighted(0.8)), 0..40),
        length in 1_u16..20,
        bound in 1_u32..4,
        streak in any::<bool>(),
    ) {
        let failed = "of = [{ types = ['build.finished'], data = { outcome = 'failed' } }]";
        let succeeded = "types = ['build.finished'], data = { outcome = 'succeeded' }";
        let rule = rule_when(&if streak {
            format!("[[when]]\nname = 'n'\nmeasure = 'streak'\nat_least = {bound}\n{failed}\n\
                broken_by = [{{ {succeeded} }}]")
        } else {
            format!("[[when]]\nname = 'n'\nmeasure = 'count'\nat_least = {bound}\n{failed}\n\
                [[when]]\nname = 'good'\nmeasure = 'count'\nat_most = 1\nof = [{{ {succeeded} }}]")
        });
        let mut at = 0;
        let builds: Vec<(i64, bool)> = builds
            .into_iter()
            .map(|(after, failed)| {
                at += after;
                (at, failed)
            })
            .collect();
        let firing = |end: i64| {
            let within = |(at, _): &&(i64, bool)| end - i64::from(length) < *at && *at <= end;
            measured(&rule, &builds.iter().filter(within).copied().collect::<Vec<_>>()).firing(&rule)
        };
        let mut naive: Vec<Episode> = Vec::new();
        let mut goes_on = false;
        for end in 0..=at {
            let Some(firing) = firing(end) else {
                goes_on = false;
                continue;
            };
            match naive.last_mut().filter(|_| goes_on) {
                Some(episode) if firing.measured["n"] > episode.firing.measured["n"] => episode.firing = firing,
                Some(_) => {}
                None => naive.push(Episode { minute: minute(end), firing }),
            }
            goes_on = true;
        }
        let minutes = by_minute(&rule, &builds);
        prop_assert_eq!(episodes(&rule, length, &minutes), naive);
    }
}
