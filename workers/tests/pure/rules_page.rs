//! The rules in `docs/alerts.md`: made from their files, with how often each fires on recorded work.
//!
//! To renew them: `DEVTRAIL_WRITE_DOCS=1 cargo test -p devtrail-workers --test pure rules_page`. With
//! `DEVTRAIL_MORE_DATA=FILE` the rates on another file of such events are printed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use store::StoredEvent;
use types::id::BatchRef;
use workers::alert::{Rule, TouchedBy, TouchedDays, Weekday, builtin, evaluate_events};

use crate::real::{people, people_of};

const HOW: &str = "DEVTRAIL_WRITE_DOCS=1 cargo test -p devtrail-workers --test pure rules_page";
const BEGIN: &str = "<!-- What is made from workers/rules/ begins. -->";
const END: &str = "<!-- What is made from workers/rules/ ends. -->";

/// Why a rule never fires on the recorded work, where its events are there.
const NEVER: [(&str, &str); 9] = [
    (
        "long-day",
        "no day of the edits is so long, and commits alone are too few",
    ),
    ("no-break", "the edits have a break in every three hours"),
    (
        "no-day-off",
        "nobody has an hour of events on all days of a week",
    ),
    ("no-lunch", "nobody has so many events at noon"),
    ("project-thrash", "the edits are of one project at a time"),
    (
        "repeated-late-nights",
        "nobody has an hour of events in three nights of a week",
    ),
    (
        "short-rest",
        "no two days of the edits lie so close together",
    ),
    ("uncommitted-work", "nobody has both edits and commits"),
    ("undo-churn", "the recordings do not tell of undone edits"),
];

/// Stands for a reason that is missing there.
const UNSAID: &str = "";

/// How often a rule fires.
#[derive(Default)]
struct Rate {
    alerts: usize,
    developers: usize,
}

struct Recorded {
    developers: usize,
    /// Days of a developer with events.
    days: usize,
    types: BTreeSet<String>,
    rates: BTreeMap<String, Rate>,
}

fn recorded_of(people: &BTreeMap<String, Vec<StoredEvent>>) -> Recorded {
    let mut recorded = Recorded {
        developers: people.len(),
        days: 0,
        types: BTreeSet::new(),
        rates: BTreeMap::new(),
    };
    let rules = builtin();
    for (developer, events) in people {
        let touched: TouchedDays = days(events)
            .into_iter()
            .map(|day| (day.parse().expect("a day"), origin()))
            .collect();
        recorded.days += days(events).len();
        recorded
            .types
            .extend(events.iter().map(|event| event.kind.clone()));
        let found = evaluate_events(&rules, developer, &touched, events.clone(), 0)
            .expect("events lie in their hours");
        assert_eq!(found.failed, [], "{developer}");
        let mut alerts: BTreeMap<String, usize> = BTreeMap::new();
        for window in found.windows {
            *alerts.entry(window.rule).or_default() += window.findings.len();
        }
        for (rule, alerts) in alerts.into_iter().filter(|(_, alerts)| *alerts > 0) {
            let rate = recorded.rates.entry(rule).or_default();
            rate.alerts += alerts;
            rate.developers += 1;
        }
    }
    recorded
}

/// How often each rule fires in `tests/data/`: reading it takes long.
static RECORDED: LazyLock<Recorded> = LazyLock::new(|| recorded_of(&people()));

fn days(events: &[StoredEvent]) -> BTreeSet<&str> {
    events
        .iter()
        .map(|event| event.local_day.as_str())
        .collect()
}

fn origin() -> TouchedBy {
    TouchedBy {
        batch: BatchRef { src: 1, seq: 1 },
        correlation_id: String::new(),
        replay_id: None,
    }
}

/// The window as a reader says it.
fn window(rule: &Rule) -> String {
    let begins = match rule.day_begins.after_midnight() {
        0 => String::new(),
        at => format!(", from {:02}:00", at / 3_600_000_000),
    };
    match (rule.window_minutes, rule.window_days, rule.window_begins) {
        (Some(minutes), _, _) => format!("any {minutes} minutes of a day{begins}"),
        (_, 7, Some(Weekday::Monday)) => format!("a week from Monday{begins}"),
        (_, 1, _) => format!("a day{begins}"),
        (_, days, _) => format!("any {days} days{begins}"),
    }
}

/// What a rule measures, a condition a phrase.
fn measures(rule: &Rule) -> String {
    let condition = |when: &workers::alert::RuleCondition| {
        let bounds = match (when.at_least, when.at_most) {
            (Some(low), Some(high)) => format!("{low} to {high}"),
            (Some(low), None) => format!("at least {low}"),
            (None, Some(high)) => format!("at most {high}"),
            (None, None) => String::new(),
        };
        format!("{} {bounds}", when.name)
    };
    rule.when
        .iter()
        .map(condition)
        .collect::<Vec<_>>()
        .join(", ")
}

/// How often the rule fires, or why it never does.
fn rate(rule: &Rule, recorded: &Recorded) -> String {
    if let Some(Rate { alerts, developers }) = recorded.rates.get(&rule.id) {
        return format!("{alerts} ({developers})");
    }
    let lacks = rule
        .when
        .iter()
        .filter(|when| when.at_least.is_some())
        .find_map(|when| {
            let mut types = when.of.iter().flat_map(|of| &of.types);
            let kind = types.next()?;
            let has_any =
                recorded.types.contains(kind) || types.any(|kind| recorded.types.contains(kind));
            (!has_any).then(|| format!("no `{kind}`"))
        });
    let known = || {
        NEVER
            .iter()
            .find(|(id, _)| *id == rule.id)
            .map(|(_, why)| (*why).to_owned())
    };
    lacks.or_else(known).unwrap_or_else(|| UNSAID.to_owned())
}

fn made() -> String {
    let recorded = &*RECORDED;
    let mut rules = builtin();
    rules.sort_by_key(|rule| (rule.category, rule.severity, rule.id.clone()));
    let mut page = format!("{BEGIN}\n\nRenewed with `{HOW}`.\n\n");
    page += &format!(
        "Each fires on a window.\n\
         *Alerts* is how often it does on the recorded work of {} people on {} days of theirs\n\
         (`tests/data/`: commits of open projects, and one person's edits), in parentheses how many people got one.\n\n\
         | rule | category | severity | window | alerts |\n|---|---|---|---|---|\n",
        recorded.developers, recorded.days
    );
    for rule in &rules {
        let severity = rule.severity.as_str();
        page += &format!(
            "| [`{id}`](#{id}) | {} | {severity} | {} | {} |\n",
            rule.category.as_str(),
            window(rule),
            rate(rule, recorded),
            id = rule.id,
        );
    }
    let unsaid = rules.iter().filter(|rule| rate(rule, recorded) == UNSAID);
    let unsaid: Vec<&str> = unsaid.map(|rule| rule.id.as_str()).collect();
    assert!(
        unsaid.is_empty(),
        "{unsaid:?} never fire on the recorded work: say why in NEVER"
    );
    for rule in &rules {
        section(&mut page, rule);
    }
    page + "\n" + END
}

fn section(page: &mut String, rule: &Rule) {
    *page += &format!("\n### `{}`\n\n*{}*\n\n", rule.id, rule.title);
    let text = format!(
        "Severity {}, category {}, on {}: {}.",
        rule.severity.as_str(),
        rule.category.as_str(),
        window(rule),
        measures(rule)
    );
    *page += &format!("{}\n", wrapped("", &text));
    for sentence in sentences(&rule.why) {
        page.push_str(&wrapped("", sentence));
    }
    if let Some(source) = &rule.source {
        page.push_str(&wrapped("", &format!("Source: {source}.")));
    }
    page.push('\n');
    for action in &rule.actions {
        page.push_str(&wrapped("- ", action));
    }
    if !rule.silent.is_empty() {
        page.push_str("\nIt does not fire on:\n\n");
        for silent in &rule.silent {
            page.push_str(&wrapped("- ", silent));
        }
    }
}

/// The sentences of a text, each of which has a line of its own in our pages.
fn sentences(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(". ").map(str::trim_end)
}

/// A paragraph or an item of a list, in lines of at most 120 characters.
fn wrapped(begins: &str, text: &str) -> String {
    let mut lines = vec![begins.to_owned()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is one");
        if line.chars().count() + 1 + word.chars().count() > 120 {
            lines.push(format!("{}{word}", " ".repeat(begins.len())));
        } else {
            if line.len() > begins.len() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join("\n") + "\n"
}

#[test]
fn the_page_has_every_rule_and_how_often_it_fires() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/alerts.md");
    let page = std::fs::read_to_string(&path).expect("the page");
    let (before, rest) = page.split_once(BEGIN).expect("the rules begin");
    let (_, after) = rest.split_once(END).expect("the rules end");
    let wanted = format!("{before}{}{after}", made());
    if std::env::var_os("DEVTRAIL_WRITE_DOCS").is_some() {
        std::fs::write(&path, wanted).expect("the page can be written");
        return;
    }
    assert!(
        page == wanted,
        "the rules of docs/alerts.md are not those of workers/rules: {HOW}"
    );
}

#[test]
fn no_rule_fires_for_most_people_or_on_most_days() {
    let recorded = &*RECORDED;
    for (rule, rate) in &recorded.rates {
        assert!(
            rate.developers * 4 < recorded.developers,
            "{rule}: {} people",
            rate.developers
        );
        assert!(
            rate.alerts * 10 < recorded.days,
            "{rule}: {} alerts on {} days",
            rate.alerts,
            recorded.days
        );
    }
    let Some(more) = std::env::var_os("DEVTRAIL_MORE_DATA") else {
        return;
    };
    let more = recorded_of(&people_of(&[PathBuf::from(more)]));
    println!(
        "{} people, {} days, {:?}",
        more.developers, more.days, more.types
    );
    for (rule, Rate { alerts, developers }) in &more.rates {
        println!("{rule}: {alerts} alerts of {developers} people");
    }
}
