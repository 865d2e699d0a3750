//! What WakaTime's clients read: each number again from what explains the days.

use std::collections::BTreeMap;

use harness::{Client, Deployment, Engine, stderr_of, until};
use serde_json::{Value, json};

const USER: &str = "/api/v1/users/current";
const SATURDAY: &str = "2026-02-28";
const SUNDAY: &str = "2026-03-01";
const ZONE: &str = "timezone=Asia/Kathmandu";
/// Saturday, 2026-02-28, 09:00 in Kathmandu, in seconds since 1970.
const NINE: f64 = 1_772_248_500.0;
const DAY: f64 = 86_400.0;
const MINUTE: f64 = 60.0;

fn heartbeat(at: f64, entity: &str, project: &str, language: &str) -> Value {
    json!({"entity": entity, "type": "file", "time": at, "project": project, "language": language,
        "branch": format!("{project}-main"), "category": "coding", "is_write": true})
}

/// Sends heartbeats as a plugin of WakaTime in Kathmandu.
async fn plugin_sends(client: &Client, plugin: &str, zone: &str, heartbeats: &[Value]) {
    use_of(
        client,
        &[("user-agent", plugin), ("timezone", zone)],
        heartbeats,
    )
    .await;
}

async fn use_of(client: &Client, more: &[(&str, &str)], heartbeats: &[Value]) {
    let key = format!("Bearer {}", client.key());
    let headers = [
        &[
            ("authorization", key.as_str()),
            ("x-machine-name", "my%20laptop"),
        ][..],
        more,
    ];
    let path = format!("{USER}/heartbeats.bulk");
    let body = json!(heartbeats).to_string().into_bytes();
    let reply = client.raw_at(&path, &headers.concat(), body).await;
    assert!(
        reply.status().is_success(),
        "{}",
        reply.text().await.unwrap()
    );
}

const VSCODE: &str =
    "wakatime/v1.102.1 (linux-6.1.0-x86_64) go1.22.4 vscode/1.96.2 vscode-wakatime/24.9.2";
const VIM: &str = "wakatime/v1.102.1 (darwin-23.1.0-arm64) go1.22.4 vim/9.1 vim-wakatime/11.1.1";

/// Two days of a developer, in two projects and editors; over midnight as well.
async fn worked(engine: Engine) -> (Deployment, Client) {
    let (deployment, client) = Deployment::running(engine).await;
    let demo = |at: f64| heartbeat(at, "/srv/ada/demo/a.rs", "Demo App", "Rust");
    let other = |at: f64| heartbeat(at, "/srv/ada/other/b.go", "other", "Go");
    let kathmandu = "Asia/Kathmandu";
    let late = NINE + 14.0 * 60.0 * MINUTE + 55.0 * MINUTE;
    let code = [
        demo(NINE),
        demo(NINE + 10.25 * MINUTE),
        other(NINE + 20.0 * MINUTE),
        other(NINE + 21.5 * MINUTE),
        demo(late),
        demo(late + 9.0 * MINUTE),
    ];
    plugin_sends(&client, VSCODE, kathmandu, &code).await;
    let mut nameless = heartbeat(NINE + DAY + 4.0 * MINUTE, "/tmp/x", "other", "x");
    for member in ["language", "branch"] {
        nameless.as_object_mut().unwrap().remove(member);
    }
    let vim = [
        other(NINE + DAY),
        nameless,
        other(NINE + DAY + 10.0 * MINUTE),
    ];
    plugin_sends(&client, VIM, kathmandu, &vim).await;
    deployment.completed(2).await;
    (deployment, client)
}

/// Gets a route with the key in the query.
async fn get(client: &Client, path: &str) -> Value {
    let (status, body) = tried(client, path).await;
    assert_eq!(status, 200, "{path}: {body}");
    body
}

async fn tried(client: &Client, path: &str) -> (u16, Value) {
    let mark = if path.contains('?') { '&' } else { '?' };
    let reply = client
        .get(&format!("{path}{mark}api_key={}", client.key()))
        .await;
    let status = reply.status().as_u16();
    (status, reply.json().await.unwrap())
}

/// Milliseconds of a day's stretches by what they are of, from its explanation.
#[derive(Debug, Default)]
struct Explained {
    ms: i64,
    by: BTreeMap<&'static str, BTreeMap<String, i64>>,
}

impl Explained {
    async fn of(client: &Client, days: &[&str]) -> Self {
        let mut sums = Self::default();
        for day in days {
            let path = format!("/v1/metrics/daily/{day}/explain");
            let explained: Value = client.get_with_key(&path).await.json().await.unwrap();
            for part in explained["parts"].as_array().unwrap() {
                let ms = part["counted_ms"].as_i64().unwrap();
                sums.ms += ms;
                for (list, member) in LISTS.into_iter().filter(|_| ms > 0) {
                    let name = part[member].as_str().unwrap();
                    // A project is explained by its key, and shown by its name.
                    let name = if name == "demo-app" { "Demo App" } else { name };
                    *sums
                        .by
                        .entry(list)
                        .or_default()
                        .entry(name.to_owned())
                        .or_default() += ms;
                }
            }
        }
        sums
    }

    /// Each list of a reply that has `projects`, `languages` and `editors` is what was explained.
    fn assert_rows(&self, reply: &Value) {
        for (list, _) in LISTS {
            let rows = reply[list].as_array().unwrap();
            let found: BTreeMap<String, i64> = rows
                .iter()
                .map(|row| {
                    (
                        row["name"].as_str().unwrap().to_owned(),
                        ms(&row["total_seconds"]),
                    )
                })
                .collect();
            assert_eq!(
                found,
                self.by.get(list).cloned().unwrap_or_default(),
                "{list}"
            );
            let of_list: i64 = found.values().sum();
            for row in rows {
                let ms = ms(&row["total_seconds"]);
                let percent = row["percent"].as_f64().unwrap();
                assert!(
                    (percent - 100.0 * ms as f64 / of_list as f64).abs() <= 0.005,
                    "{row}"
                );
                assert_forms(row, ms);
            }
        }
    }
}

const LISTS: [(&str, &str); 3] = [
    ("projects", "project"),
    ("languages", "language"),
    ("editors", "editor"),
];

fn ms(seconds: &Value) -> i64 {
    (seconds.as_f64().unwrap() * 1000.0).round() as i64
}

/// The other forms of a time say the same.
fn assert_forms(spent: &Value, ms: i64) {
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    let named = [&spent["hours"], &spent["minutes"], &spent["seconds"]];
    assert_eq!(
        named,
        [&json!(hours), &json!(minutes), &json!(seconds)],
        "{spent}"
    );
    assert_eq!(spent["digital"], format!("{hours}:{minutes:02}"), "{spent}");
    assert_eq!(spent["text"], text(ms), "{spent}");
}

fn text(ms: i64) -> String {
    let unit = |number: i64, unit: &str| match number {
        1 => format!("1 {unit}"),
        _ => format!("{number} {unit}s"),
    };
    let (hours, minutes) = (ms / 3_600_000, ms / 60_000 % 60);
    let words = [(hours, "hr"), (minutes, "min")];
    let words: Vec<String> = (words.iter().filter(|(number, _)| *number > 0))
        .map(|(number, name)| unit(*number, name))
        .collect();
    if words.is_empty() {
        unit(ms / 1000, "sec")
    } else {
        words.join(" ")
    }
}

/// Contract: wakatime.summaries, wakatime.numbers, wakatime.lists, wakatime.refusals
async fn summaries_are_what_the_days_are_made_of(engine: Engine) {
    let (_deployment, client) = worked(engine).await;
    let range = format!("start={SATURDAY}&end=2026-03-02&{ZONE}");
    let summaries = get(&client, &format!("{USER}/summaries?{range}")).await;
    let days = summaries["data"].as_array().unwrap();
    assert_eq!(days.len(), 3, "a day without time is there as well");
    for (day, date) in days.iter().zip([SATURDAY, SUNDAY]) {
        let explained = Explained::of(&client, &[date]).await;
        assert_eq!(ms(&day["grand_total"]["total_seconds"]), explained.ms);
        assert_forms(&day["grand_total"], explained.ms);
        explained.assert_rows(day);
        assert_eq!(day["range"]["date"], date);
        assert_eq!(day["range"]["timezone"], "Asia/Kathmandu");
        let one = &day["machines"][0];
        assert_eq!(
            (&one["name"], &one["machine_name_id"]),
            (&json!("my laptop"), &json!("my laptop"))
        );
        assert_eq!(ms(&one["total_seconds"]), explained.ms);
        assert_eq!(day["categories"][0]["name"], "coding");
        assert_eq!(day["dependencies"], json!([]));
    }
    assert_eq!(days[0]["range"]["start"], "2026-02-27T18:15:00Z");
    assert_eq!(days[0]["range"]["end"], "2026-02-28T18:14:59Z");
    assert_eq!(days[2]["grand_total"]["text"], "0 secs");
    assert_eq!(days[2]["projects"], json!([]));
    // 21:30 min and the part before midnight; the part after it, and ten minutes.
    let both = Explained::of(&client, &[SATURDAY, SUNDAY]).await;
    assert_eq!(both.ms, (20 + 1 + 5 + 4 + 10) * 60_000 + 30_000);
    let total = &summaries["cumulative_total"];
    assert_eq!(ms(&total["seconds"]), both.ms);
    assert_eq!(
        (&total["text"], &total["digital"]),
        (&json!("40 mins"), &json!("0:40"))
    );
    assert_eq!(total["decimal"], "0.68");
    let unknown = both.by["languages"]["unknown"];
    assert_eq!(unknown, 6 * 60_000);
    let average = &summaries["daily_average"];
    let counted = ["holidays", "days_including_holidays", "days_minus_holidays"];
    assert_eq!(
        counted.map(|name| average[name].as_i64().unwrap()),
        [1, 3, 2]
    );
    assert_eq!(
        ms(&average["seconds_including_other_language"]),
        both.ms / 2
    );
    assert_eq!(ms(&average["seconds"]), (both.ms - unknown) / 2);

    let of_project = get(
        &client,
        &format!("{USER}/summaries?{range}&project=demo%20app"),
    )
    .await;
    let demo = both.by["projects"]["Demo App"];
    assert_eq!(ms(&of_project["cumulative_total"]["seconds"]), demo);
    assert_eq!(
        of_project["data"][0]["categories"],
        json!([]),
        "an array always"
    );
    let of_branch = get(
        &client,
        &format!("{USER}/summaries?{range}&branches=x,other-main"),
    )
    .await;
    let branch = ms(&of_branch["cumulative_total"]["seconds"]);
    // The heartbeat that tells no branch is of none.
    assert_eq!(branch, both.by["projects"]["other"] - unknown);
    assert_eq!(of_branch["data"][0]["branches"][0]["name"], "other-main");
    // By its name, with what some send and Devtrail does not know, and with empty filters.
    let more = format!("{range}&timeout=5&writes_only=true&project=&branches=");
    let same = get(&client, &format!("/api/v1/users/ada/summaries?{more}")).await;
    assert_eq!(same, summaries);
}

/// Contract: wakatime.zones
async fn days_are_on_the_clock_that_is_asked_sent_or_set(engine: Engine) {
    let (deployment, client) = Deployment::running(engine).await;
    let shown = async |headers: &[(&str, &str)], query: &str| {
        let reply = client.get_as(headers, &format!("{USER}{query}")).await;
        let user: Value = reply.json().await.unwrap();
        user["data"]["timezone"]
            .as_str()
            .unwrap_or("none")
            .to_owned()
    };
    let header = [("timezone", "Asia/Tokyo")];
    assert_eq!(shown(&[], "").await, "UTC");
    assert_eq!(shown(&header, "").await, "Asia/Tokyo");
    let set = ["developers", "set", "ada", "--zone", "Asia/Kolkata"];
    let output = deployment.run("devtrail", &set);
    assert!(output.status.success(), "{}", stderr_of(&output));
    until("the zone counts", async || {
        (shown(&[], "").await == "Asia/Kolkata").then_some(())
    })
    .await;
    assert_eq!(
        shown(&[("timezone", "Mars/Olympus")], "").await,
        "Asia/Kolkata"
    );
    assert_eq!(shown(&header, "").await, "Asia/Tokyo");
    assert_eq!(shown(&header, &format!("?{ZONE}")).await, "Asia/Kathmandu");
}

/// Contract: wakatime.stats, wakatime.all-time
async fn sums_of_long_ranges_are_those_of_their_days(engine: Engine) {
    let (deployment, client) = worked(engine).await;
    // Long before, and as many days apart as are read at once.
    let long_before = NINE - 780.0 * DAY;
    let minute = |day: f64| {
        [0.0, MINUTE].map(|after| heartbeat(long_before + day * DAY + after, "/a", "old", "C"))
    };
    let old = [0.0, 119.0, 120.0, 121.0].map(minute).concat();
    plugin_sends(&client, VIM, "Asia/Kathmandu", &old).await;
    deployment.completed(3).await;
    let all_days = [
        "2024-01-10",
        "2024-05-08",
        "2024-05-09",
        "2024-05-10",
        SATURDAY,
        SUNDAY,
    ];
    let both = Explained::of(&client, &[SATURDAY, SUNDAY]).await;
    let unknown = both.by["languages"]["unknown"];
    for (range, days) in [
        ("all_time", None),
        ("2026", Some(365)),
        ("2026-02", Some(28)),
    ] {
        let stats = get(&client, &format!("{USER}/stats/{range}?{ZONE}")).await;
        let stats = &stats["data"];
        let of_range = match range {
            "2026-02" => Explained::of(&client, &[SATURDAY]).await,
            "all_time" => Explained::of(&client, &all_days).await,
            _ => Explained::of(&client, &[SATURDAY, SUNDAY]).await,
        };
        of_range.assert_rows(stats);
        let other = of_range.by["languages"]
            .get("unknown")
            .copied()
            .unwrap_or(0);
        assert_eq!(
            ms(&stats["total_seconds_including_other_language"]),
            of_range.ms
        );
        assert_eq!(ms(&stats["total_seconds"]), of_range.ms - other);
        assert_eq!(stats["human_readable_total"], text(of_range.ms - other));
        let worked = stats["days_minus_holidays"].as_i64().unwrap();
        assert_eq!(ms(&stats["daily_average"]), (of_range.ms - other) / worked);
        if let Some(days) = days {
            assert_eq!(stats["days_including_holidays"], days, "{range}");
            assert_eq!(stats["holidays"], days - worked, "{range}");
        }
        assert_eq!(
            (&stats["best_day"]["date"], &stats["timeout"]),
            (&json!(SATURDAY), &json!(15))
        );
        assert_eq!(
            (&stats["status"], &stats["username"]),
            (&json!("ok"), &json!("ada"))
        );
        assert_eq!(stats["is_including_today"], range != "2026-02");
    }
    let all = get(&client, &format!("{USER}/all_time_since_today?{ZONE}")).await;
    assert_eq!(ms(&all["data"]["total_seconds"]), both.ms + 4 * 60_000);
    assert_eq!(all["data"]["range"]["start_date"], all_days[0]);
    assert_eq!(all["data"]["text"], "44 mins");
    let of_project = get(
        &client,
        &format!("{USER}/all_time_since_today?project=OTHER"),
    )
    .await;
    assert_eq!(
        ms(&of_project["data"]["total_seconds"]),
        both.by["projects"]["other"]
    );
    assert!(unknown > 0);
    // Without a range the last seven days are meant, in which this developer did nothing.
    let none = get(&client, &format!("{USER}/stats")).await;
    assert_eq!(none["data"]["range"], "last_7_days");
    assert_eq!(none["data"]["total_seconds"], 0.0);
    assert_eq!(none["data"].get("best_day"), None, "there is none");
}

/// Contract: wakatime.durations
async fn durations_are_the_stretches_that_count(engine: Engine) {
    let (_deployment, client) = worked(engine).await;
    for (slice, list) in [
        ("project", "projects"),
        ("language", "languages"),
        ("editor", "editors"),
    ] {
        for day in [SATURDAY, SUNDAY] {
            let path = format!("{USER}/durations?date={day}&{ZONE}&slice_by={slice}");
            let durations = get(&client, &path).await;
            let explained = Explained::of(&client, &[day]).await;
            let mut sums: BTreeMap<String, i64> = BTreeMap::new();
            let mut end = 0.0;
            for stretch in durations["data"].as_array().unwrap() {
                let [time, duration] =
                    ["time", "duration"].map(|name| stretch[name].as_f64().unwrap());
                assert!(time >= end, "{path}: they follow each other");
                end = time + duration;
                let name = stretch[slice].as_str().unwrap().to_owned();
                *sums.entry(name).or_default() += ms(&stretch["duration"]);
            }
            assert_eq!(sums, explained.by[list], "{path}");
        }
    }
    let sunday = get(&client, &format!("{USER}/durations?date={SUNDAY}&{ZONE}")).await;
    // Midnight in Kathmandu: the work went on over it.
    let first = json!({"time": NINE + 15.0 * 3600.0, "duration": 240.0, "project": "Demo App"});
    assert_eq!(sunday["data"][0], first);
    let other = get(
        &client,
        &format!("{USER}/durations?date={SUNDAY}&project=other"),
    )
    .await;
    assert_eq!(other["data"].as_array().unwrap().len(), 1);
    let none = get(&client, &format!("{USER}/durations?date=2020-01-01")).await;
    assert_eq!(none["data"], json!([]));
}

/// Contract: wakatime.names, wakatime.user
async fn names_are_those_that_have_time(engine: Engine) {
    let (_deployment, client) = worked(engine).await;
    let projects = get(&client, &format!("{USER}/projects")).await;
    assert_eq!(
        projects["data"],
        json!([
            {"id": "demo-app", "name": "Demo App", "urlencoded_name": "Demo%20App", "first_day": SATURDAY,
                "last_day": SUNDAY},
            {"id": "other", "name": "other", "urlencoded_name": "other", "first_day": SATURDAY, "last_day": SUNDAY},
        ])
    );
    assert_eq!(
        (&projects["total"], &projects["total_pages"]),
        (&json!(2), &json!(1))
    );
    let found = get(&client, &format!("{USER}/projects?q=DEMO")).await;
    assert_eq!(found["total"], 1);
    let editors = get(&client, &format!("{USER}/user_agents")).await;
    let ids = |reply: &Value| -> Vec<Value> {
        let entries = reply["data"].as_array().unwrap();
        entries.iter().map(|entry| entry["id"].clone()).collect()
    };
    assert_eq!(ids(&editors), ["vscode", "vim"]);
    let machines = get(&client, &format!("{USER}/machine_names")).await;
    assert_eq!(ids(&machines), ["my laptop"]);
    let user = get(&client, &format!("{USER}?{ZONE}")).await;
    assert_eq!(user["data"]["id"], "ada");
    assert_eq!(
        (&user["data"]["timezone"], &user["data"]["timeout"]),
        (&json!("Asia/Kathmandu"), &json!(15))
    );
}

/// Contract: wakatime.heartbeats-of-day
async fn a_days_heartbeats_come_in_their_order_however_many(engine: Engine) {
    let (deployment, client) = worked(engine).await;
    let day = get(&client, &format!("{USER}/heartbeats?date={SUNDAY}&{ZONE}")).await;
    let entities: Vec<&Value> = day["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["entity"])
        .collect();
    assert_eq!(
        entities,
        [
            "/srv/ada/demo/a.rs",
            "/srv/ada/other/b.go",
            "/tmp/x",
            "/srv/ada/other/b.go"
        ]
    );
    let third = &day["data"][2];
    assert_eq!(third.get("language"), None, "what was not sent is absent");
    assert_eq!(third["category"], "coding");
    assert_eq!(third["time"], NINE + DAY + 4.0 * MINUTE);
    assert_eq!(
        (&third["type"], &third["user_agent_id"]),
        (&json!("file"), &json!("vim"))
    );
    assert_eq!(day["start"], "2026-02-28T18:15:00Z");
    // More than a page: each is some 2 KiB.
    let filler = "x".repeat(2000);
    let monday = NINE + 2.0 * DAY;
    for batch in 0..4 {
        let of_batch = |index: i32| {
            let number = batch * 150 + index;
            heartbeat(
                monday + f64::from(number),
                &format!("/{number:04}{filler}"),
                "big",
                "Rust",
            )
        };
        let heartbeats: Vec<Value> = (0..150).rev().map(of_batch).collect();
        plugin_sends(&client, VIM, "Asia/Kathmandu", &heartbeats).await;
    }
    deployment.completed(6).await;
    let day = get(
        &client,
        &format!("{USER}/heartbeats?date=2026-03-02&{ZONE}"),
    )
    .await;
    let numbers: Vec<String> = (day["data"].as_array().unwrap().iter())
        .map(|one| one["entity"].as_str().unwrap()[1..5].to_owned())
        .collect();
    let expected: Vec<String> = (0..600).map(|number| format!("{number:04}")).collect();
    assert_eq!(numbers, expected);
    let none = get(&client, &format!("{USER}/heartbeats?date=2020-01-01")).await;
    assert_eq!(none["data"], json!([]));
}

/// Contract: wakatime.status-bar
async fn a_status_bar_shows_today(engine: Engine) {
    let (deployment, client) = Deployment::running(engine).await;
    // A zone in which it is about noon: no midnight comes between.
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let hour = (now.as_secs() / 3600 % 24) as i32;
    let west = hour - 12;
    let zone = format!("Etc/GMT{}{}", if west < 0 { '-' } else { '+' }, west.abs());
    let nine = now.as_secs_f64().floor() - 600.0;
    let sent = [0.0, 60.0, 180.0].map(|after| heartbeat(nine + after, "/a.rs", "demo", "Rust"));
    plugin_sends(&client, VIM, &zone, &sent).await;
    deployment.completed(1).await;
    let zone = zone.replace('+', "%2B");
    for name in ["statusbar", "status_bar"] {
        let bar = get(&client, &format!("{USER}/{name}/today?timezone={zone}")).await;
        let total = &bar["data"]["grand_total"];
        assert_eq!(
            (&total["text"], &total["total_seconds"]),
            (&json!("3 mins"), &json!(180.0))
        );
        assert_eq!(bar["data"]["categories"][0]["text"], "3 mins");
        assert_eq!(bar["data"]["range"]["text"], "Today");
    }
    let summaries = get(
        &client,
        &format!("{USER}/summaries?start=today&end=today&timezone={zone}"),
    )
    .await;
    assert_eq!(summaries["data"][0]["grand_total"]["text"], "3 mins");
}

/// Contract: wakatime.refusals, wakatime.key, wakatime.developer
async fn what_cannot_be_answered_is_refused_with_a_remedy(engine: Engine) {
    let (deployment, client) = worked(engine).await;
    for (query, parameter) in [
        ("summaries", "start"),
        ("summaries?start=2026-03-02&end=2026-03-01", "start"),
        ("summaries?start=2016-03-02&end=2026-03-01", "start"),
        ("summaries?start=2026-02-30&end=2026-03-01", "start"),
        ("summaries?range=forever", "range"),
        ("summaries?range=today&timezone=Mars/Olympus", "timezone"),
        ("summaries?range=today&project=a&branches=b", "branches"),
        ("stats/last_9_days", "range"),
        ("durations", "date"),
        ("durations?date=someday", "date"),
        ("durations?date=2026-03-01&slice_by=entity", "slice_by"),
        ("heartbeats", "date"),
        ("heartbeats?date=2026-13-01", "date"),
        ("statusbar/today?timezone=", "timezone"),
    ] {
        let (status, problem) = tried(&client, &format!("{USER}/{query}")).await;
        assert_eq!(
            (status, &problem["code"]),
            (400, &json!("invalid_parameter")),
            "{query}: {problem}"
        );
        assert_eq!(problem["parameter"], parameter, "{query}: {problem}");
    }
    let routes = [
        "",
        "/statusbar/today",
        "/status_bar/today",
        "/summaries?range=today",
        "/stats",
        "/stats/all_time",
        "/all_time_since_today",
        "/durations?date=today",
        "/projects",
        "/heartbeats?date=today",
        "/user_agents",
        "/machine_names",
    ];
    let made = deployment.run(
        "devtrail",
        &["keys", "create", "ada", "--scope", "events:write"],
    );
    let writer = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    until("the key is known", async || {
        let path = format!("{USER}?api_key={writer}");
        (client.get(&path).await.status() == 403).then_some(())
    })
    .await;
    for route in routes {
        let mark = if route.contains('?') { '&' } else { '?' };
        let code = async |user: &str, key: &str| {
            let path = format!("/api/v1/users/{user}{route}{mark}api_key={key}");
            let body: Value = client.get(&path).await.json().await.unwrap();
            body["code"].as_str().unwrap_or("none").to_owned()
        };
        assert_eq!(code("current", client.key()).await, "none", "{route}");
        assert_eq!(code("ada", client.key()).await, "none", "{route}");
        assert_eq!(
            code("bob", client.key()).await,
            "wrong_developer",
            "{route}"
        );
        assert_eq!(
            code("current", "nonsense").await,
            "unauthenticated",
            "{route}"
        );
        assert_eq!(code("current", &writer).await, "scope_missing", "{route}");
    }
    let one = json!([heartbeat(NINE, "/a", "demo", "Rust")]).to_string();
    let key = format!("Bearer {}", client.key());
    let headers = [("authorization", key.as_str())];
    let others = client
        .raw_at(
            "/api/v1/users/bob/heartbeats.bulk",
            &headers,
            one.clone().into_bytes(),
        )
        .await;
    assert_eq!(others.status(), 403);
    let own = client
        .raw_at(
            "/api/v1/users/ada/heartbeats.bulk",
            &headers,
            one.into_bytes(),
        )
        .await;
    assert!(own.status().is_success(), "{}", own.status());
}

/// Contract: wakatime.plugin-errors
#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_a_plugin_is_a_line_in_the_log() {
    let (deployment, client) = Deployment::running(Engine::Sqlite).await;
    let report = json!({"plugin": "vim-wakatime/11.1.1\n", "platform": "linux", "cli_version": "v1.102.1",
        "logs": "the key is waka_secret", "stacktrace": "at /srv/ada"});
    let key = format!("Bearer {}", client.key());
    for path in [
        "/api/v1/plugins/errors",
        "/api/v1/users/current/plugins/errors",
    ] {
        let body = report.to_string().into_bytes();
        let reply = client.raw_at(path, &[("authorization", &key)], body).await;
        assert_eq!(reply.status(), 201, "{path}");
        let odd = client
            .raw_at(path, &[("authorization", &key)], b"[1".to_vec())
            .await;
        assert_eq!(
            odd.status(),
            201,
            "{path}: there is nothing for the client to do"
        );
        let none = client.raw_at(path, &[], b"{}".to_vec()).await;
        assert_eq!(none.status(), 401, "{path}");
    }
    let log = until("each report is in the log", async || {
        let log = std::fs::read_to_string(deployment.path("collector.log")).unwrap();
        let reports = log.matches("a plugin reports an error").count();
        (reports == 4).then_some(log)
    })
    .await;
    assert!(log.contains(r#""plugin":"vim-wakatime/11.1.1","#), "{log}");
    for secret in ["waka_secret", "/srv/ada"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

harness::on_both_stores!(
    days_are_on_the_clock_that_is_asked_sent_or_set,
    summaries_are_what_the_days_are_made_of,
    sums_of_long_ranges_are_those_of_their_days,
    durations_are_the_stretches_that_count,
    names_are_those_that_have_time,
    a_days_heartbeats_come_in_their_order_however_many,
    a_status_bar_shows_today,
    what_cannot_be_answered_is_refused_with_a_remedy,
);
