//! Metrics by hour, day and week, sessions, filters, timeouts, what a day is made of, and the page of a week.

use harness::{Client, Deployment, Engine, envelope, stderr_of, until};
use serde_json::{Value, json};

const SUNDAY: &str = "2026-03-01";
const MONDAY: &str = "2026-03-02";

/// An event of a client in Kathmandu, at this local time.
fn at(id: &str, day: &str, time: &str, data: &Value) -> Value {
    json!({"id": id, "type": "heartbeat", "occurred_at": format!("{day}T{time}+05:45"), "data": data})
}

/// Work from Sunday evening over midnight, and on Monday in two projects, the second one 20 minutes after the first.
async fn sent(client: &Client, deployment: &Deployment) {
    let demo = json!({"entity": "a.rs", "project": "Demo", "language": "Rust", "editor": "vim"});
    let other =
        json!({"entity": "b.go", "project": "other", "language": "Go", "editor": "VS Code"});
    let mut batch = envelope(
        "b1",
        &[
            at("e1", SUNDAY, "23:50:00", &demo),
            at("e2", MONDAY, "00:04:00", &demo),
            at("e3", MONDAY, "09:50:00", &demo),
            at("e4", MONDAY, "10:02:00", &demo),
            at("e5", MONDAY, "10:22:00", &other),
            at(
                "e6",
                MONDAY,
                "10:23:00",
                &json!({"entity": "b.go", "project": "<<LAST_PROJECT>>"}),
            ),
            at("e7", MONDAY, "10:25:00", &other),
        ],
    );
    batch["client"] = json!({"name": "vim-devtrail", "time_zone": "Asia/Kathmandu"});
    client.send(&batch).await;
    deployment.completed(1).await;
}

async fn get(client: &Client, path: &str) -> Value {
    let reply = client.get_with_key(path).await;
    let status = reply.status();
    let body: Value = reply.json().await.unwrap();
    assert_eq!(status, 200, "{path}: {body}");
    body
}

/// Contract: metrics.periods, metrics.midnight, metrics.sessions
async fn work_is_told_by_hour_day_week_and_session(engine: Engine) {
    let (deployment, client) = Deployment::running(engine).await;
    sent(&client, &deployment).await;
    let range = "from=2026-03-01&to=2026-03-02";

    let hourly = get(&client, &format!("/v1/metrics/hourly?{range}")).await;
    let hours: Vec<_> = hourly["hours"].as_array().unwrap().iter().collect();
    let hours: Vec<_> = hours
        .iter()
        .map(|hour| {
            (
                hour["hour"].as_str().unwrap(),
                hour["active_seconds"].as_i64().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("2026-03-01T23:00:00+05:45", 600),
        ("2026-03-02T00:00:00+05:45", 240),
        ("2026-03-02T09:00:00+05:45", 600),
        ("2026-03-02T10:00:00+05:45", 300),
    ];
    assert_eq!(hours, expected);

    let daily = get(&client, &format!("/v1/metrics/daily?{range}")).await;
    let seconds = |index: usize| &daily["days"][index]["active_seconds"];
    assert_eq!((seconds(0), seconds(1)), (&json!(600), &json!(1140)));
    assert_eq!(daily["days"][0]["sessions"], 1, "counted where it began");

    let weekly = get(&client, &format!("/v1/metrics/weekly?{range}")).await;
    let weeks = weekly["weeks"].as_array().unwrap();
    let week = |index: usize| {
        let week: &Value = &weeks[index];
        [
            &week["week"],
            &week["from"],
            &week["to"],
            &week["days"],
            &week["active_seconds"],
        ]
        .map(Value::clone)
    };
    assert_eq!(
        week(0),
        [
            json!("2026-W09"),
            json!(SUNDAY),
            json!(SUNDAY),
            json!(1),
            json!(600)
        ]
    );
    assert_eq!(
        week(1),
        [
            json!("2026-W10"),
            json!(MONDAY),
            json!(MONDAY),
            json!(1),
            json!(1140)
        ]
    );
    assert_eq!(weeks.len(), 2);

    let sessions = get(&client, &format!("/v1/sessions?{range}")).await;
    let first = json!({
        "day": SUNDAY, "start": "2026-03-01T23:50:00.000000+05:45", "end": "2026-03-02T00:04:00.000000+05:45",
        "seconds": 840, "events": 2, "projects": [{"name": "Demo", "key": "demo", "seconds": 840}],
    });
    let sessions = sessions["sessions"].as_array().unwrap();
    assert_eq!((sessions.len(), &sessions[0]), (3, &first));
    let of_other = get(&client, &format!("/v1/sessions?{range}&project=OTHER")).await;
    assert_eq!(of_other["sessions"].as_array().unwrap().len(), 1);
}

/// Contract: metrics.filters, metrics.as-before, metrics.parameters
async fn filters_answer_from_the_same_counts(engine: Engine) {
    let (deployment, client) = Deployment::running(engine).await;
    sent(&client, &deployment).await;
    let day = format!("from={MONDAY}&to={MONDAY}");
    let whole = get(&client, &format!("/v1/metrics/daily?{day}")).await;
    let whole = &whole["days"][0];
    for (filter, list) in [
        ("project", "projects"),
        ("language", "languages"),
        ("editor", "editors"),
    ] {
        let mut sum = 0;
        for share in whole[list].as_array().unwrap() {
            let name = share["name"].as_str().unwrap().replace(' ', "%20");
            let part = get(&client, &format!("/v1/metrics/daily?{day}&{filter}={name}")).await;
            let part = &part["days"][0];
            assert_eq!(part["active_ms"], share["ms"], "{filter}={name}");
            assert_eq!(part["sessions"], Value::Null, "sessions are of all work");
            sum += share["ms"].as_i64().unwrap();
        }
        assert_eq!(json!(sum), whole["active_ms"], "{list} add up");
    }
    // The heartbeat that only says "the same project" is in it.
    let other = get(
        &client,
        &format!("/v1/metrics/daily?{day}&project=other&editor=vscode&language=go"),
    )
    .await;
    assert_eq!(other["days"][0]["active_seconds"], 60);
    let other = get(&client, &format!("/v1/metrics/daily?{day}&project=other")).await;
    assert_eq!(other["days"][0]["active_seconds"], 180);
    let none = get(
        &client,
        &format!("/v1/metrics/weekly?{day}&project=nobody-knows"),
    )
    .await;
    assert_eq!(none["weeks"], json!([]));
    for (query, parameter) in [
        ("project=", "project"),
        ("language=a&language=b", "language"),
        ("from=2026-03-03&to=2026-03-01", "from"),
        ("from=2026-02-30", "from"),
        ("from=1900-01-01&to=2026-03-01", "from"),
    ] {
        for path in ["metrics/daily", "metrics/hourly", "metrics/weekly"] {
            let reply = client.get_with_key(&format!("/v1/{path}?{query}")).await;
            assert_eq!(reply.status(), 400, "{path}?{query}");
            let body: Value = reply.json().await.unwrap();
            assert_eq!(body["parameter"], parameter, "{body}");
        }
    }
    for (path, last, first_beyond, limit) in [
        ("/v1/metrics/hourly", "2026-03-31", "2026-04-01", 31),
        ("/v1/sessions", "2026-05-31", "2026-06-01", 92),
        ("/v1/metrics/weekly", "2027-03-01", "2027-03-02", 366),
    ] {
        let _ = get(&client, &format!("{path}?from=2026-03-01&to={last}")).await;
        let beyond = format!("{path}?from=2026-03-01&to={first_beyond}");
        let reply = client.get_with_key(&beyond).await;
        assert_eq!(reply.status(), 400, "{beyond}");
        let body: Value = reply.json().await.unwrap();
        assert_eq!(body["limit"], limit, "{body}");
    }
}

/// Contract: metrics.explain, commands.metrics-explain
async fn a_day_is_explained_to_the_second(engine: Engine) {
    let (deployment, client) = Deployment::running(engine).await;
    sent(&client, &deployment).await;
    let explained = get(&client, &format!("/v1/metrics/daily/{MONDAY}/explain")).await;
    let parts = explained["parts"].as_array().unwrap();
    let sum: i64 = parts
        .iter()
        .map(|part| part["counted_ms"].as_i64().unwrap())
        .sum();
    assert_eq!(
        (sum, &explained["active_seconds"]),
        (1_140_000, &json!(1140))
    );
    let told: Vec<_> = parts
        .iter()
        .map(|part| (part["why"].as_str().unwrap(), part["event_ids"].clone()))
        .collect();
    let expected = [
        ("partly_on_another_day", json!(["e1", "e2"])),
        ("longer_than_timeout", json!(["e2", "e3"])),
        ("within_timeout", json!(["e3", "e4"])),
        ("longer_than_timeout", json!(["e4", "e5"])),
        ("within_timeout", json!(["e5", "e6"])),
        ("within_timeout", json!(["e6", "e7"])),
    ];
    assert_eq!(told, expected);
    let command = deployment.run("devtrail", &["metrics", "explain", "ada", MONDAY, "--json"]);
    assert!(command.status.success(), "{}", stderr_of(&command));
    let by_command: Value = serde_json::from_slice(&command.stdout).unwrap();
    assert_eq!(by_command, explained);
    let text = deployment.run("devtrail", &["metrics", "explain", "ada", MONDAY]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(
        text.contains("0:19:00 active. Pauses of up to 15 minutes count"),
        "{text}"
    );

    let reply = client
        .get_with_key("/v1/metrics/daily/2026-04-01/explain")
        .await;
    assert_eq!(reply.status(), 404);
    let reply = client
        .get_with_key("/v1/metrics/daily/someday/explain")
        .await;
    assert_eq!(reply.status(), 400);
    let none = deployment.run("devtrail", &["metrics", "explain", "ada", "2026-04-01"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(
        stderr_of(&none).contains("devtrail metrics show ada"),
        "{}",
        stderr_of(&none)
    );
}

/// Contract: commands.metrics-by, commands.metrics-csv
async fn metrics_are_shown_by_what_they_are_of(engine: Engine) {
    let (deployment, client) = Deployment::running(engine).await;
    sent(&client, &deployment).await;
    let show = |flags: &[&str]| {
        let output = deployment.run("devtrail", &[&["metrics", "show", "ada"], flags].concat());
        assert!(output.status.success(), "{flags:?}: {}", stderr_of(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let by: Value = serde_json::from_str(&show(&["--by", "project", "--json"])).unwrap();
    let expected = json!([{"developer": "ada", "days": [SUNDAY, MONDAY], "by": [
        {"name": "Demo", "key": "demo", "ms": 1_560_000, "days": [600_000, 960_000]},
        {"name": "other", "key": "other", "ms": 180_000, "days": [0, 180_000]},
    ]}]);
    assert_eq!(by, expected);
    let text = show(&["--by", "editor"]);
    assert!(
        text.contains(" vim ") && text.contains("0:28") && text.contains('█'),
        "{text}"
    );
    let csv = show(&["--csv", "--by", "language", "--from", MONDAY]);
    let expected = "developer,day,name,key,active_ms\n\
        ada,2026-03-02,rust,,960000\nada,2026-03-02,unknown,,120000\nada,2026-03-02,go,,60000\n";
    assert_eq!(csv, expected);
    let csv = show(&["--csv"]);
    let mut lines = csv.lines();
    assert!(
        lines
            .next()
            .unwrap()
            .starts_with("developer,day,active_ms,late_night_seconds,"),
        "{csv}"
    );
    assert!(
        lines
            .next()
            .unwrap()
            .starts_with("ada,2026-03-01,600000,600,600,1,"),
        "{csv}"
    );
    assert_eq!(lines.count(), 1);
}

/// The rows of the table behind a plot of a page, each cell as its text.
fn page_table(page: &str, id: &str) -> Vec<Vec<String>> {
    let caption = format!("<caption id=\"{id}-table\">");
    let (_, rest) = page
        .split_once(&caption)
        .unwrap_or_else(|| panic!("no table {id}: {page}"));
    let (rows, _) = rest.split_once("</table>").unwrap();
    let cells = |row: &str| {
        let cells = row.split("<bdi>").skip(1);
        let text = |cell: &str| {
            let text = cell.split("</bdi>").next().unwrap();
            text.replace('\u{a0}', " ")
        };
        cells.map(text).collect()
    };
    rows.split("<tr>").skip(2).map(cells).collect()
}

/// Contract: report.route, report.page, report.numbers, report.left-out, report.escaped
/// Contract: report.bounded, report.refused
/// Contract: commands.metrics-report, commands.metrics-report-file
async fn a_week_is_a_page_with_the_numbers_of_its_metrics(engine: Engine) {
    let (deployment, client) = Deployment::running(engine).await;
    sent(&client, &deployment).await;
    let name = "<script>alert(1)";
    let script = json!({"entity": "c.rs", "project": name, "language": "Rust", "editor": "vim"});
    let mut batch = envelope(
        "b2",
        &[
            at("s1", "2026-03-04", "14:00:00", &script),
            at("s2", "2026-03-04", "14:07:00", &script),
        ],
    );
    batch["client"] = json!({"time_zone": "Asia/Kathmandu"});
    client.send(&batch).await;
    deployment.completed(2).await;

    let reply = client.get_with_key("/v1/reports/week/2026-W10").await;
    assert_eq!(reply.status(), 200);
    let header = |name: &str| reply.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "text/html; charset=utf-8");
    assert_eq!(header("cache-control"), "no-store");
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert!(
        header("content-security-policy")
            .starts_with("default-src 'none'; style-src 'unsafe-inline';")
    );
    let page = reply.text().await.unwrap();
    assert!(
        !page.contains("<script") && page.contains("&lt;script&gt;"),
        "{page}"
    );
    assert!(
        !page.contains("id=\"builds\"") && !page.contains("id=\"ai\""),
        "{page}"
    );

    let week = get(&client, "/v1/metrics/weekly?from=2026-03-02&to=2026-03-08").await;
    let week = &week["weeks"][0];
    let last = |id: &str, header: &str| {
        let rows = page_table(&page, id);
        let row = rows.into_iter().find(|row| row[0] == header);
        row.and_then(|mut row| row.pop())
            .unwrap_or_else(|| panic!("{id}: no {header}"))
    };
    let minutes = |ms: &Value| format!("{} min", ms.as_i64().unwrap() / 60_000);
    assert_eq!(week["active_ms"], 26 * 60_000);
    assert_eq!(last("summary", "Active time"), minutes(&week["active_ms"]));
    for (header, metric) in [
        ("Events", "events"),
        ("Sessions", "sessions"),
        ("Switches of the project", "project_switches"),
    ] {
        assert_eq!(
            last("summary", header),
            week[metric].to_string(),
            "{header}"
        );
    }
    for list in ["projects", "languages"] {
        let shown: Vec<_> = page_table(&page, list)
            .into_iter()
            .map(|row| (row[0].clone(), row[1].clone()))
            .collect();
        let expected = week[list].as_array().unwrap().iter().map(|share| {
            let name = share["name"]
                .as_str()
                .unwrap()
                .replace('<', "&lt;")
                .replace('>', "&gt;");
            (name, minutes(&share["ms"]))
        });
        assert_eq!(shown, expected.collect::<Vec<_>>(), "{list}");
    }
    let sessions = get(&client, "/v1/sessions?from=2026-03-02&to=2026-03-08").await;
    let shown: Vec<_> = page_table(&page, "sessions")
        .into_iter()
        .map(|row| row[1].clone())
        .collect();
    let began = sessions["sessions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|session| session["start"].as_str().unwrap());
    assert_eq!(
        shown,
        began
            .map(|start| start[11..16].to_owned())
            .collect::<Vec<_>>()
    );

    let events: Vec<Value> = (0..12)
        .flat_map(|project| {
            let data = json!({"entity": "a.rs", "project": format!("p{project}")});
            [0, 5].map(|minute| {
                at(
                    &format!("p{project}-{minute}"),
                    "2026-02-10",
                    &format!("{:02}:{minute:02}:00", 8 + project),
                    &data,
                )
            })
        })
        .collect();
    client.send(&envelope("b3", &events)).await;
    deployment.completed(3).await;
    let bounded = client
        .get_with_key("/v1/reports/week/2026-W07")
        .await
        .text()
        .await
        .unwrap();
    let projects = page_table(&bounded, "projects");
    assert_eq!(
        (
            projects.len(),
            projects[10][0].as_str(),
            projects[10][1].as_str()
        ),
        (11, "2 others", "10 min")
    );

    for (week, status, code) in [
        ("2026-W54", 400, "invalid_parameter"),
        ("2026-W1", 400, "invalid_parameter"),
        ("abc", 400, "invalid_parameter"),
        ("%FF", 400, "invalid_parameter"),
        ("2026-W20", 404, "not_found"),
    ] {
        let reply = client
            .get_with_key(&format!("/v1/reports/week/{week}"))
            .await;
        assert_eq!(reply.status(), status, "{week}");
        let body: Value = reply.json().await.unwrap();
        assert_eq!(body["code"], code, "{body}");
    }

    let report = |flags: &[&str]| {
        deployment.run("devtrail", &[&["metrics", "report", "ada"], flags].concat())
    };
    let printed = report(&["-o", "-"]);
    assert_eq!(
        String::from_utf8(printed.stdout).unwrap(),
        page,
        "the newest week, the same page"
    );
    let file = deployment.path("report.html");
    let path = file.display().to_string();
    for note in ["first", "second"] {
        let output = report(&["--week", "2026-W09", "-o", &path, "--note", note]);
        assert!(output.status.success(), "{}", stderr_of(&output));
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(
            said,
            format!("wrote the report of ada, week 2026-W09, to {path}\n")
        );
        let written = std::fs::read_to_string(&file).unwrap();
        assert!(
            written.contains(&format!("</strong>{note}</p>")),
            "{written}"
        );
    }
    let unnamed = report(&[]);
    assert!(unnamed.status.success(), "{}", stderr_of(&unnamed));
    assert_eq!(
        std::fs::read_to_string(deployment.path("ada-2026-W10.html")).unwrap(),
        page,
        "without a name it is the developer's and the week's, in the working folder"
    );
    std::fs::write(&file, "mine").unwrap();
    let refused = report(&["-o", &path]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        stderr_of(&refused).contains("Name another file"),
        "{}",
        stderr_of(&refused)
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
    let none = report(&["--week", "2026-W20", "-o", "-"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(
        stderr_of(&none).contains("has some is 2026-W10"),
        "{}",
        stderr_of(&none)
    );
    for bad in ["2026-W54", "2026-W1", "abc"] {
        let output = report(&["--week", bad]);
        assert_eq!(output.status.code(), Some(2), "{bad}");
        assert!(stderr_of(&output).contains(bad), "{}", stderr_of(&output));
    }
}

/// Contract: metrics.timeout, commands.developers-idle
async fn a_timeout_that_is_set_counts_for_all_days(engine: Engine) {
    let (mut deployment, client) = Deployment::running(engine).await;
    sent(&client, &deployment).await;
    let set = |flags: &[&str]| {
        let command = [&["developers", "set", "ada"], flags].concat();
        deployment.run("devtrail", &command)
    };
    let day = format!("/v1/metrics/daily?from={MONDAY}&to={MONDAY}");
    let becomes = async |seconds: i64| {
        until("the day is computed with the new timeout", async || {
            let found = get(&client, &day).await;
            (found["days"][0]["active_seconds"] == seconds).then_some(())
        })
        .await;
    };
    let output = set(&["--idle", "20m", "--zone", "Asia/Kolkata"]);
    assert!(output.status.success(), "{}", stderr_of(&output));
    // The pause from 10:02 to 10:22 counts now.
    becomes(1140 + 1200).await;
    let output = set(&["--no-idle"]);
    assert!(output.status.success(), "{}", stderr_of(&output));
    becomes(1140).await;
    let list = deployment.run("devtrail", &["developers", "list", "--json"]);
    let list: Value = serde_json::from_slice(&list.stdout).unwrap();
    assert_eq!(
        list[0]["settings"],
        json!({"zone": "Asia/Kolkata"}),
        "the zone stays"
    );
    for bad in ["30s", "61m", "0m", "90500ms", "soon"] {
        assert_eq!(set(&["--idle", bad]).status.code(), Some(2), "{bad}");
    }
    assert_eq!(set(&[]).status.code(), Some(2), "nothing to set");
    // What comes later is counted with it as well.
    let output = set(&["--idle", "1m"]);
    assert!(output.status.success(), "{}", stderr_of(&output));
    becomes(60).await;
    let demo = json!({"entity": "a.rs", "project": "Demo"});
    let mut late = envelope(
        "b2",
        &[
            at("l1", MONDAY, "12:00:00", &demo),
            at("l2", MONDAY, "12:00:50", &demo),
        ],
    );
    late["client"] = json!({"time_zone": "Asia/Kathmandu"});
    client.send(&late).await;
    becomes(110).await;
    // A worker that starts knows the timeout before it computes anything.
    deployment.stop_workers().await;
    let output = deployment.run("devtrail", &["developers", "set", "ada", "--idle", "10m"]);
    assert!(output.status.success(), "{}", stderr_of(&output));
    let later = at("l3", "2026-03-09", "12:00:00", &demo);
    client.send(&envelope("b3", &[later])).await;
    deployment.workers(1);
    deployment.completed(3).await;
    let timeout = "SELECT idle_ms FROM days WHERE day = '2026-03-09'";
    assert_eq!(deployment.database.rows(timeout).await, [["600000"]]);
}

harness::on_both_stores!(
    work_is_told_by_hour_day_week_and_session,
    filters_answer_from_the_same_counts,
    a_day_is_explained_to_the_second,
    a_week_is_a_page_with_the_numbers_of_its_metrics,
    metrics_are_shown_by_what_they_are_of,
    a_timeout_that_is_set_counts_for_all_days,
);
