//! The page of a week: its numbers are those of the metrics, whatever a name holds, and it is bounded.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use serde_json::{Map, Value, json};
use store::{StoredCounts, StoredEvent};
use types::time::SECOND;
use types::week::Week;
use workers::aggregate::{Counted, DayCounts, Metrics, MetricsFilter};
use workers::report::{MARK, WeekCounts};

use crate::build::{at, computed, days_of, event, found, metrics};

/// From 2 to 8 March 2026.
const WEEK: &str = "2026-W10";

/// What the store has of the days of these events.
fn stored(events: &[StoredEvent]) -> Vec<StoredCounts> {
    let mut found = found(events);
    found.segment = 500;
    let (_, days) = computed(&days_of(events), &found);
    let counts = days.into_iter().map(|row| StoredCounts {
        day: row.day,
        counts: row.counts,
    });
    counts.collect()
}

/// The page, with plain spaces between numbers and units.
fn page(developer: &str, counts: &WeekCounts, note: Option<&str>) -> String {
    workers::report::page(developer, counts, note).replace('\u{a0}', " ")
}

fn page_of(events: &[StoredEvent], week: &str) -> String {
    let stored = stored(events);
    let counts = WeekCounts::of(week.parse().expect("it is a week"), &stored);
    page(
        "ada",
        &counts
            .expect("the counts are whole")
            .expect("the week has metrics"),
        None,
    )
}

/// An event in Berlin, in winter time.
fn berlin(id: &str, kind: &str, time: &str, data: &Value) -> StoredEvent {
    event(
        id,
        kind,
        &format!("{time}+01:00"),
        Some("Europe/Berlin"),
        data,
    )
}

/// Work on three days, with everything that a page can show.
fn busy_week() -> Vec<StoredEvent> {
    let demo = json!({"path": "a.rs", "project": "Demo", "lines_added": 30, "lines_removed": 4, "chars_added": 900});
    let other = json!({"path": "b.go", "project": "other", "lines_added": 2});
    let suggestion = json!({"outcome": "accepted", "lines": 8, "chars": 200, "project": "Demo"});
    let rejected = json!({"outcome": "rejected", "lines": 3, "project": "Demo"});
    let commit = json!({"commit": "c1", "paths": ["a.rs"], "lines_added": 30, "lines_removed": 4, "project": "Demo"});
    let build =
        |outcome: &str| json!({"outcome": outcome, "duration_ms": 30_000, "project": "Demo"});
    let tests = |outcome: &str, failed: u64| {
        json!({"outcome": outcome, "passed": 40, "failed": failed, "skipped": 2, "duration_ms": 90_000,
            "project": "Demo"})
    };
    let monday = |time: &str| format!("2026-03-02T{time}");
    let thursday = |time: &str| format!("2026-03-05T{time}");
    let saturday = |time: &str| format!("2026-03-07T{time}");
    vec![
        berlin("e01", "file.edited", &monday("09:10:00"), &demo),
        berlin("e02", "ai.suggestion", &monday("09:20:00"), &suggestion),
        berlin("e03", "file.edited", &monday("09:30:30"), &demo),
        berlin(
            "e04",
            "build.finished",
            &monday("09:40:00"),
            &build("failed"),
        ),
        berlin(
            "e05",
            "build.finished",
            &monday("09:50:00"),
            &build("succeeded"),
        ),
        berlin(
            "e06",
            "test.finished",
            &monday("10:00:00"),
            &tests("failed", 1),
        ),
        berlin(
            "e07",
            "test.finished",
            &monday("10:10:00"),
            &tests("passed", 0),
        ),
        berlin("e08", "git.commit", &monday("10:15:00"), &commit),
        berlin("e09", "file.edited", &thursday("23:50:00"), &other),
        berlin("e10", "file.edited", &thursday("23:59:00"), &other),
        berlin("e11", "file.edited", "2026-03-06T00:08:00", &other),
        berlin("e12", "ai.suggestion", &saturday("11:00:00"), &rejected),
        berlin("e13", "file.edited", &saturday("11:12:00"), &demo),
    ]
}

/// The metrics of all these events together, as `GET /v1/metrics/weekly` makes them.
fn week_metrics(events: &[StoredEvent]) -> Value {
    let stored = stored(events);
    let days: Vec<DayCounts> = stored
        .iter()
        .map(|day| DayCounts::read(day).expect("the counts are whole"))
        .collect();
    serde_json::to_value(Metrics::of(
        &Counted::days(&days),
        &MetricsFilter::default(),
    ))
    .expect("metrics are JSON")
}

/// The rows of the table behind a plot, each cell as its text.
fn table(page: &str, id: &str) -> Vec<Vec<String>> {
    let (_, rest) = page
        .split_once(&format!("<caption id=\"{id}-table\">"))
        .unwrap_or_else(|| panic!("no table {id}"));
    let (_, rows) = rest.split_once("<tbody>").expect("a table has a body");
    let (rows, _) = rows.split_once("</table>").expect("a table ends");
    let cells = |row: &str| -> Vec<String> {
        let cells = row.split("<bdi>").skip(1);
        cells
            .map(|cell| cell.split_once("</bdi>").expect("a cell ends").0.to_owned())
            .collect()
    };
    rows.split("<tr>").skip(1).map(cells).collect()
}

fn row(page: &str, id: &str, header: &str) -> Vec<String> {
    let rows = table(page, id);
    let row = rows.into_iter().find(|row| row[0] == header);
    row.unwrap_or_else(|| panic!("{id} has no row {header}"))[1..].to_vec()
}

/// `ms` as the page writes it, said once more.
fn written(ms: i64) -> String {
    match (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, _) => format!("{minutes} min"),
        (hours, minutes, _) => format!("{hours} h {minutes:02} min"),
    }
}

#[test]
fn the_numbers_are_those_of_the_metrics() {
    let events = busy_week();
    let page = page_of(&events, WEEK);
    let (days, week) = (metrics(&events), week_metrics(&events));
    let dates = ["02", "03", "04", "05", "06", "07", "08"].map(|day| format!("2026-03-{day}"));
    let numbers = |pointer: &str| -> Vec<String> {
        let of_day = |date: &String| match days.get(date) {
            Some(day) => day
                .pointer(pointer)
                .map_or("0".to_owned(), Value::to_string),
            None => "–".to_owned(),
        };
        let whole = week.pointer(pointer).unwrap().to_string();
        dates.iter().map(of_day).chain([whole]).collect()
    };
    for (table, header, pointer) in [
        ("summary", "Events", "/events"),
        ("summary", "Sessions", "/sessions"),
        ("summary", "Edits", "/edits"),
        ("summary", "Files", "/files"),
        ("summary", "Lines added", "/lines_added"),
        ("summary", "Characters added", "/chars_added"),
        ("summary", "Commits", "/commits"),
        ("ai", "By people", "/human/lines"),
        ("ai", "By an AI", "/ai/lines"),
        ("ai", "Suggestions accepted", "/ai/suggestions/accepted"),
        ("ai", "Suggestions rejected", "/ai/suggestions/rejected"),
        ("builds", "succeeded", "/builds/succeeded"),
        ("builds", "failed", "/builds/failed"),
        ("tests", "passed", "/test_runs/passed"),
        ("tests", "failed", "/test_runs/failed"),
        ("tests", "Tests passed", "/tests/passed"),
        ("tests", "Tests skipped", "/tests/skipped"),
    ] {
        let shown: Vec<String> = row(&page, table, header)
            .iter()
            .map(|cell| cell.replace(',', ""))
            .collect();
        assert_eq!(shown, numbers(pointer), "{table}: {header}");
    }
    let times = |pointer: &str| -> Vec<String> {
        let of_day = |date: &String| match days.get(date) {
            Some(day) => written(day[pointer].as_i64().unwrap()).replace("0 s", "0 min"),
            None => "–".to_owned(),
        };
        let whole = written(week[pointer].as_i64().unwrap());
        dates.iter().map(of_day).chain([whole]).collect()
    };
    assert_eq!(row(&page, "summary", "Active time"), times("active_ms"));
    for (table, pointer) in [("projects", "/projects"), ("languages", "/languages")] {
        for share in week.pointer(pointer).unwrap().as_array().unwrap() {
            let cells = row(&page, table, share["name"].as_str().unwrap());
            let time = written(share["ms"].as_i64().unwrap());
            assert_eq!(
                (&cells[0], &cells[2]),
                (&time, &share["commits"].to_string()),
                "{share}"
            );
        }
    }
    assert!(page.contains(
        "<dt>Active time</dt><dd>1 h 35 min</dd><dd class=\"more\">events on 4 days</dd>"
    ));
}

#[test]
fn hours_and_sessions_are_on_the_local_clock() {
    let page = page_of(&busy_week(), WEEK);
    let hours = table(&page, "hours");
    let [nine, ten, eleven, late, midnight] =
        ["09:00", "10:00", "11:00", "23:00", "00:00"].map(|hour| row(&page, "hours", hour));
    assert_eq!((nine[0].as_str(), ten[0].as_str()), ("50 min", "15 min"));
    assert_eq!((eleven[5].as_str(), late[3].as_str()), ("12 min", "10 min"));
    assert_eq!(midnight[4], "8 min", "a pause over midnight is divided");
    assert_eq!(hours.len(), 6, "five hours and the days: {hours:?}");
    assert_eq!(
        hours[5],
        [
            "Day",
            "1 h 05 min",
            "–",
            "–",
            "10 min",
            "8 min",
            "12 min",
            "–"
        ]
    );
    let sessions = table(&page, "sessions");
    let expected = [
        ["Mon 2", "09:10", "10:15", "1 h 05 min", "8", "Demo"],
        [
            "Thu 5",
            "23:50",
            "00:08 the next day",
            "18 min",
            "3",
            "other",
        ],
        ["Sat 7", "11:00", "11:12", "12 min", "2", "Demo"],
    ];
    assert_eq!(sessions, expected.map(|row| row.map(str::to_owned)));
    assert!(
        page.contains("Days and hours are those of the local clock: UTC+01:00."),
        "{page}"
    );
    assert!(page.contains("The busiest day was Monday, with 1 h 05 min."));
}

#[test]
fn what_a_week_lacks_is_left_out() {
    let whole = page_of(&busy_week(), WEEK);
    for part in [
        "id=\"builds\"",
        "id=\"tests\"",
        "id=\"ai\"",
        ">Builds<",
        ">Commits<",
    ] {
        assert!(whole.contains(part), "{part}");
    }
    let edit = |id: &str, minute: u32| {
        let time = format!("2026-03-03T09:{minute:02}:00");
        berlin(
            id,
            "file.edited",
            &time,
            &json!({"path": "a.rs", "project": "Demo"}),
        )
    };
    let page = page_of(&[edit("e1", 0), edit("e2", 5)], WEEK);
    for part in [
        "id=\"hours\"",
        "id=\"sessions\"",
        "id=\"projects\"",
        "id=\"languages\"",
    ] {
        assert!(page.contains(part), "{part}");
    }
    let body = page.split_once("</style>").unwrap().1.to_lowercase();
    for word in [
        "build",
        "test",
        " ai",
        "commit",
        "command",
        "debug",
        "suggestion",
    ] {
        assert!(!body.contains(word), "{word} in a week without any");
    }
    // A week of commits alone has no active time to draw.
    let commit = berlin(
        "c1",
        "git.commit",
        "2026-03-03T09:00:00",
        &json!({"commit": "c1", "paths": ["a.rs"]}),
    );
    let page = page_of(&[commit], WEEK);
    assert!(!page.contains("id=\"hours\"") && !page.contains("id=\"sessions\""));
    assert_eq!(row(&page, "languages", "rust"), ["0 min", "0%", "1"]);
    let none = WeekCounts::of(WEEK.parse().unwrap(), &[]).unwrap();
    assert!(none.is_none(), "nothing was counted");
    let stored = stored(&busy_week());
    let other = WeekCounts::of("2026-W11".parse().unwrap(), &stored).unwrap();
    assert!(
        other.is_none(),
        "the days of other weeks are not this one's"
    );
}

#[test]
fn an_hour_that_comes_twice_is_one_tile_that_says_so() {
    // Berlin, 25 October 2026: after 02:59:59+02:00 it is 02:00:00+01:00.
    let edits = [
        "00:00", "00:15", "00:30", "00:45", "01:00", "01:15", "01:30",
    ]
    .map(|time| {
        let at = format!("2026-10-25T{time}:00Z");
        event(
            &format!("e{time}"),
            "heartbeat",
            &at,
            Some("Europe/Berlin"),
            &json!({"entity": "a.rs"}),
        )
    });
    let page = page_of(&edits, "2026-W43");
    assert_eq!(row(&page, "hours", "02:00")[6], "1 h 30 min");
    assert!(
        page.contains("On Sunday 25 October the clock went from UTC+02:00 to UTC+01:00"),
        "{page}"
    );
    assert!(page.contains("local clock: UTC+01:00 and UTC+02:00."));
    // 29 March: after 01:59:59+01:00 it is 03:00:00+02:00.
    let edits = ["00:50", "01:05"].map(|time| {
        let at = format!("2026-03-29T{time}:00Z");
        event(
            &format!("e{time}"),
            "heartbeat",
            &at,
            Some("Europe/Berlin"),
            &json!({"entity": "a.rs"}),
        )
    });
    let page = page_of(&edits, "2026-W13");
    assert_eq!(row(&page, "hours", "01:00")[6], "10 min");
    assert_eq!(row(&page, "hours", "03:00")[6], "5 min");
    assert!(
        page.contains("the clock went from UTC+01:00 to UTC+02:00"),
        "{page}"
    );
}

#[test]
fn two_changes_of_the_clock_are_two_sentences() {
    // Somebody flies from Berlin to New York on Tuesday, and back on Thursday.
    let edits = [
        ("03T09:00:00+01:00", "Europe/Berlin"),
        ("03T09:10:00+01:00", "Europe/Berlin"),
        ("03T20:00:00-05:00", "America/New_York"),
        ("05T09:00:00-05:00", "America/New_York"),
        ("05T23:00:00+01:00", "Europe/Berlin"),
    ]
    .map(|(time, zone)| {
        event(
            &format!("e{time}"),
            "heartbeat",
            &format!("2026-03-{time}"),
            Some(zone),
            &json!({"entity": "a.rs"}),
        )
    });
    let page = page_of(&edits, WEEK);
    let (_, note) = page
        .split_once("Times are rounded down. ")
        .expect("the table of hours has a note");
    let (note, _) = note.split_once('<').expect("a note ends");
    let changed = |day: &str, offsets: &str| {
        format!(
            "On {day} March the clock went from {offsets}: an hour that came twice is one tile with the \
             time of both, and an hour that the clock skipped has none."
        )
    };
    let changes = [
        changed("Tuesday 3", "UTC+01:00 to UTC\u{2212}05:00"),
        changed("Thursday 5", "UTC\u{2212}05:00 to UTC+01:00"),
    ];
    assert_eq!(note, changes.join(" "));
}

/// Names that would do something if they were not escaped.
const HOSTILE: [&str; 4] = [
    "<script>alert(1)",
    "\" onload=\"alert(1)",
    "<img src=x onerror=alert(1)>",
    "'\"><style>*{display:none}",
];

#[test]
fn names_are_shown_and_never_obeyed() {
    let edits = (0..).zip(HOSTILE).flat_map(|(number, name)| {
        let data = json!({"path": "a.rs", "project": name, "language": name});
        ["00", "05"].map(|minute| {
            let time = format!("2026-03-03T{:02}:{minute}:00", 9 + number);
            berlin(&format!("e{number}{minute}"), "file.edited", &time, &data)
        })
    });
    let edits: Vec<StoredEvent> = edits.collect();
    let counts = WeekCounts::of(WEEK.parse().unwrap(), &stored(&edits));
    let page = page("ada", &counts.unwrap().unwrap(), Some("<b>&\"made up\""));
    assert!(page.contains("&lt;script&gt;alert(1)"), "{page}");
    assert!(page.contains("&lt;b&gt;&amp;&quot;made up&quot;"), "{page}");
    for bad in ["<script", "<img", "<b>", "\" onload", "onerror=alert(1)>"] {
        assert!(!page.contains(bad), "{bad}");
    }
    assert_eq!(page.matches("<style>").count(), 1);
}

#[test]
fn the_page_needs_nothing_but_itself() {
    let page = page_of(&busy_week(), WEEK);
    assert!(page.starts_with("<!DOCTYPE html><html lang=\"en\">") && page[..4096].contains(MARK));
    for foreign in [
        "<script", "<link", "<img", "<iframe", "<object", "@import", "://",
    ] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    for tag in page.split('<').skip(1) {
        let head = tag.split('>').next().unwrap();
        let is_foreign = [" src=", " on", " style="]
            .iter()
            .any(|part| head.contains(part));
        assert!(!is_foreign, "{head}");
    }
    for url in page.split("url(").skip(1) {
        assert!(url.starts_with('#'), "only patterns of its own: {url:.40}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn the_examples_in_docs_are_of_this_version() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/report");
    let style = include_str!("../../src/report/page.css");
    let mut pages = 0;
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it can be read").path();
        if path.extension().is_none_or(|extension| extension != "html") {
            continue;
        }
        let page = std::fs::read_to_string(&path).expect("a page is text");
        assert!(
            page.contains(style) && page[..4096].contains(MARK),
            "{} is of an earlier version: scripts/report-example.sh makes it again",
            path.display()
        );
        pages += 1;
    }
    assert_eq!(pages, 2);
}

/// The values of an attribute.
fn values<'a>(page: &'a str, attribute: &str) -> Vec<&'a str> {
    let opening = format!(" {attribute}=\"");
    let parts = page.split(opening.as_str()).skip(1);
    parts
        .map(|part| part.split('"').next().expect("a value ends"))
        .collect()
}

#[test]
fn each_plot_has_a_title_a_sentence_and_a_table() {
    let page = page_of(&busy_week(), WEEK);
    let ids = values(&page, "id");
    let unique: BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(ids.len(), unique.len(), "each id once: {ids:?}");
    let named = ["aria-labelledby", "aria-describedby"]
        .map(|name| values(&page, name))
        .concat();
    let targets = values(&page, "href")
        .into_iter()
        .map(|href| href.strip_prefix('#').unwrap());
    for id in named.into_iter().chain(targets) {
        assert!(unique.contains(id), "there is no {id}");
    }
    let plots: Vec<&str> = page.split("<svg class=\"plot\"").skip(1).collect();
    assert_eq!(
        plots.len(),
        7,
        "hours, sessions, projects, languages, AI, builds, tests"
    );
    for plot in &plots {
        let (head, rest) = plot.split_once('>').unwrap();
        assert!(
            head.contains("role=\"img\"") && head.contains("aria-describedby"),
            "{head}"
        );
        assert!(rest.starts_with("<title id="), "{rest:.80}");
        assert!(
            rest.contains("<details><summary>Table: "),
            "a table follows"
        );
    }
    assert_eq!(
        page.matches("<details>").count(),
        plots.len() + 1,
        "and one of all figures"
    );
    assert_eq!(
        page.matches("<th ").count(),
        page.matches(" scope=\"").count()
    );
    for part in [
        "<header>",
        "<nav aria-label=",
        "<main id=\"main\"",
        "<footer>",
        "class=\"skip\" href=\"#main\"",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert_eq!(page.matches("<h1>").count(), 1);
}

/// Projects and sessions of each day of the absurd week.
const PROJECTS: usize = 300;
const SESSIONS: usize = 700;

/// A day as the store has it, with very many short sessions and projects, each with a name of 4,096 characters.
fn absurd_day(date: Date) -> StoredCounts {
    let date = date.to_string();
    let midnight = at(&format!("{date}T00:00:00Z")) / SECOND;
    let names = (0..PROJECTS).map(|number| {
        let name: String = format!("{date}-{number}")
            .chars()
            .chain("\"<&界".chars().cycle())
            .take(4096)
            .collect();
        (format!("{date}-{number}"), name)
    });
    let names: BTreeMap<String, String> = names.collect();
    let places: BTreeMap<&String, Value> = names
        .iter()
        .map(|(key, name)| {
            (
                key,
                json!({name: {"vim": {"active": 1000, "events": {"heartbeat": 1}}}}),
            )
        })
        .collect();
    let sessions: Vec<Value> = (0..SESSIONS)
        .map(|number| {
            let start = (midnight + 120 * number as i64) * 1000;
            json!({"start": start, "end": start + 30_000, "day": date, "offset": 0, "events": 2,
                "projects": names.keys().map(|key| (key.clone(), json!(1000))).take(20).collect::<Map<_, _>>()})
        })
        .collect();
    let hour = json!([{"day": date, "start": midnight, "offset": 0}, {"places": places}]);
    let counts =
        json!({"hours": [hour], "project_names": names, "idle": 60_000, "sessions": sessions});
    StoredCounts {
        day: date,
        counts: counts.to_string(),
    }
}

#[test]
fn an_absurd_week_is_a_page_of_bounded_size() {
    let week: Week = WEEK.parse().unwrap();
    let stored = week.days().map(absurd_day);
    let size: usize = stored.iter().map(|day| day.counts.len()).sum();
    // As much as NATS takes in a message.
    assert!(size > 8 * 1024 * 1024, "the week is absurd: {size} bytes");
    let page = page(
        "ada",
        &WeekCounts::of(week, &stored).unwrap().unwrap(),
        None,
    );
    assert!(page.len() < 192 * 1024, "{} bytes", page.len());
    assert_eq!(table(&page, "sessions").len(), 200);
    let others = "Shown are the 200 longest; left out: 4,700 others, 39 h 10 min together.";
    assert!(page.contains(others), "{page:.20000}");
    for list in ["projects", "languages"] {
        let rows = table(&page, list);
        assert_eq!(
            (rows.len(), rows[10][0].as_str()),
            (11, "2,090 others"),
            "{list}"
        );
    }
}

/// Relative luminance of a colour (WCAG 2.2).
fn luminance(colour: &str) -> f64 {
    let channel = |at: usize| {
        let value =
            f64::from(u8::from_str_radix(&colour[at..at + 2], 16).expect("it is a colour")) / 255.0;
        if value <= 0.04045 {
            value / 12.92
        } else {
            ((value + 0.055) / 1.055).powf(2.4)
        }
    };
    0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
}

#[test]
fn contrast_is_enough_in_both_schemes() {
    let page = page_of(&busy_week(), WEEK);
    let schemes: Vec<&str> = page
        .split(":root {")
        .skip(1)
        .map(|rest| rest.split('}').next().unwrap())
        .collect();
    assert_eq!(schemes.len(), 2, "light and dark");
    for scheme in schemes {
        let colour = |name: &str| {
            let (_, value) = scheme
                .split_once(&format!("--{name}: "))
                .unwrap_or_else(|| panic!("no --{name}"));
            value[..7].to_owned()
        };
        let contrast = |one: &str, other: &str| {
            let (one, other) = (luminance(&colour(one)), luminance(&colour(other)));
            (one.max(other) + 0.05) / (one.min(other) + 0.05)
        };
        for (text, ground) in [
            ("text", "page"),
            ("text", "card"),
            ("quiet", "page"),
            ("link", "page"),
        ] {
            assert!(
                contrast(text, ground) >= 4.5,
                "{text} on {ground}: {:.2}",
                contrast(text, ground)
            );
        }
        for shape in [
            "bar", "good", "bad", "neutral", "faint", "ai", "heat-1", "heat-2", "heat-3", "heat-4",
        ] {
            assert!(
                contrast(shape, "page") >= 3.0,
                "{shape}: {:.2}",
                contrast(shape, "page")
            );
        }
        for (stripe, ground) in [("bad-stripe", "bad"), ("ai-stripe", "ai")] {
            assert!(
                contrast(stripe, ground) >= 3.0,
                "{stripe}: {:.2}",
                contrast(stripe, ground)
            );
        }
    }
}

#[test]
fn damaged_counts_are_named_by_their_day() {
    let damaged = StoredCounts {
        day: "2026-03-03".to_owned(),
        counts: "{".to_owned(),
    };
    let week: Week = WEEK.parse().unwrap();
    let error = WeekCounts::of(week, &[damaged]).unwrap_err();
    assert!(error.contains("2026-03-03"), "{error}");
}
