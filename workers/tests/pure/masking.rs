//! Secrets and home folders by the tables of `tests/masking/`, and by every name with every way to attach a value.

use std::path::Path;

use serde_json::{Value, json};
use workers::normalize::{clean_path, normalize, redact};

use crate::build::event;

/// Secrets of all kinds. One could take the last two for words or numbers.
const TELLING: &[&str] = &["Zq8vT3nR5kLw", "hunter2hunter"];
const ANY: &[&str] = &["Zq8vT3nR5kLw", "hunter2hunter", "swordfish", "84729136"];

/// The person of `uris.tsv`.
const PERSON: &str = "janeroe";

/// The lines of a table, without comments.
fn table(name: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/masking")
        .join(name);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(str::to_owned).collect()
}

/// The record of a command, as text.
fn record(kind: &str, data: &Value) -> String {
    let record = normalize(&event("e", kind, "2026-03-01T12:00:00Z", None, data));
    serde_json::to_string(&record).expect("a record is JSON")
}

/// Fails with all complaints at once, so that one who extends a table sees every line.
fn assert_none(complaints: &[String]) {
    assert!(
        complaints.is_empty(),
        "{}:\n{}",
        complaints.len(),
        complaints.join("\n")
    );
}

#[test]
fn no_secret_of_the_table_is_in_a_record() {
    let lines = table("secrets.txt");
    assert!(lines.len() >= 150, "{} lines", lines.len());
    let mut complaints = Vec::new();
    for line in &lines {
        let (line, secrets) = match line.strip_prefix("telling ") {
            Some(line) => (line, TELLING),
            None => (line.as_str(), ANY),
        };
        assert!(line.contains("{secret}"), "{line}");
        for secret in secrets {
            let text = line.replace("{secret}", secret);
            let data = json!({"command": text, "reason": text, "first_error": text, "failures": [text], "other": text});
            let record = record("terminal.command", &data);
            if record.contains(secret) {
                complaints.push(format!("{text}\n    {}", redact(&text)));
            }
            let once = redact(&text);
            if redact(&once) != once {
                complaints.push(format!(
                    "not done at once: {text}\n    {once}\n    {}",
                    redact(&once)
                ));
            }
        }
    }
    assert_none(&complaints);
}

#[test]
fn ordinary_commands_of_the_table_stay_as_they_are() {
    let lines = table("kept.txt");
    assert!(lines.len() >= 80, "{} lines", lines.len());
    let changed = lines.iter().filter(|line| redact(line) != **line);
    let complaints: Vec<String> = changed
        .map(|line| format!("{line}\n    {}", redact(line)))
        .collect();
    assert_none(&complaints);
}

#[test]
fn no_home_folder_of_the_table_is_in_a_record() {
    let lines = table("uris.tsv");
    assert!(lines.len() >= 60, "{} lines", lines.len());
    let mut complaints = Vec::new();
    for line in &lines {
        let (raw, expected) = line.split_once('\t').expect("two columns");
        let path = clean_path(raw, None, None);
        if path.as_deref().unwrap_or("-") != expected {
            complaints.push(format!("{raw}\n    {path:?} instead of {expected}"));
        }
        if !raw.contains(PERSON) {
            continue;
        }
        // Whatever member names it, in whatever text it lies.
        let texts = [
            raw.to_owned(),
            format!("cat '{raw}'"),
            format!("tool --file={raw} x"),
            format!("error in {raw}: not found"),
        ];
        for text in texts {
            for member in [
                "reason",
                "command",
                "first_error",
                "remote",
                "target",
                "tool",
                "shell",
                "other",
            ] {
                check(
                    &record("terminal.command", &json!({ member: text })),
                    member,
                    &text,
                    &mut complaints,
                );
            }
            check(
                &record("test.finished", &json!({"failures": [text]})),
                "failures",
                &text,
                &mut complaints,
            );
        }
        for member in [
            "path",
            "cwd",
            "workspace",
            "project",
            "branch",
            "editor",
            "to",
            "from",
            "model",
            "language",
        ] {
            check(
                &record("file.edited", &json!({ member: raw })),
                member,
                raw,
                &mut complaints,
            );
        }
        check(
            &record("git.commit", &json!({"paths": [raw, "x"]})),
            "paths",
            raw,
            &mut complaints,
        );
        let beat = json!({"entity": raw, "entity_type": "file"});
        check(&record("heartbeat", &beat), "entity", raw, &mut complaints);
        check(
            &record("heartbeat", &json!({"entity": raw})),
            "entity",
            raw,
            &mut complaints,
        );
        let known = json!({"path": raw, "workspace": "/srv", "project": "src"});
        check(
            &record("file.edited", &known),
            "path in a project",
            raw,
            &mut complaints,
        );
    }
    assert_none(&complaints);
}

fn check(record: &str, member: &str, text: &str, complaints: &mut Vec<String>) {
    if record.contains(PERSON) {
        complaints.push(format!("{member}: {text}\n    {record}"));
    }
}

const NAMES: &[&str] = &[
    "password",
    "passwd",
    "pass",
    "pwd",
    "pw",
    "passphrase",
    "passcode",
    "token",
    "secret",
    "credential",
    "auth",
    "cookie",
    "otp",
    "jwt",
    "apikey",
    "api_key",
    "api-key",
    "apiKey",
    "API_KEY",
    "access_key",
    "secret_access_key",
    "AWS_SECRET_ACCESS_KEY",
    "access_token",
    "accessToken",
    "refresh_token",
    "client_secret",
    "clientSecret",
    "_authToken",
    "auth_token",
    "x-auth-token",
    "private_key",
    "privateKey",
    "signing_key",
    "encryption-key",
    "DB_PASSWORD",
    "DB_PASS",
    "PGPASSWORD",
    "MYSQL_PWD",
    "GITHUB_TOKEN",
    "STRIPE_KEY",
    "storepass",
    "keypass",
    "requirepass",
    "rootpw",
    "session_id",
    "connection.password",
    "spring.datasource.password",
    "user.password",
    "sessionid",
    "master_key",
    "account-key",
    "license_key",
];

/// How a value follows a name `{n}`, with `{v}` for the value in its quotes.
const ATTACHED: &[&str] = &[
    "{n}={v}",
    "{n} = {v}",
    "{n}: {v}",
    "{n}:{v}",
    "{n} => {v}",
    "{n} := {v}",
    "--{n} {v}",
    "--{n}={v}",
    "-{n} {v}",
    "-{n}={v}",
    "--{n}  {v}",
    "export {n}={v}",
    "set {n}={v}",
    "$env:{n} = {v}",
    "tool -e {n}={v} image",
    "\"{n}\": {v}",
    "'{n}': {v}",
    "{\"a\": 1, \"{n}\": {v}, \"b\": 2}",
    "a=1&{n}={v}&b=2",
    "https://x/y?{n}={v}",
    "[\"--{n}\", {v}]",
    "<{n}>{v}</{n}>",
];
/// Ways that need a name which is no English word.
const AS_WORDS: &[&str] = &[
    "tool config set {n} {v}",
    "setx {n} {v}",
    "setenv {n} {v}",
    "set -x {n} {v}",
    "Set-Item Env:{n} -Value {v}",
];

/// How a value is quoted, with `{s}` for the secret.
const QUOTED: &[&str] = &["{s}", "\"{s}\"", "'{s}'", "$'{s}'", "`{s}`", "\\\"{s}\\\""];

#[test]
fn a_secret_is_hidden_whatever_its_name_and_however_it_is_attached() {
    let mut complaints = Vec::new();
    let mut tried = 0;
    for name in NAMES {
        let plain = name.bytes().all(|byte| byte.is_ascii_lowercase())
            || (name.contains('-') && !name.contains('_'));
        let ways = ATTACHED.iter().chain(AS_WORDS.iter().filter(|_| !plain));
        for way in ways {
            for quoted in QUOTED {
                for around in [
                    "{c}",
                    "make; {c}",
                    "ssh host \"{c}\"",
                    "sh -c '{c}' && make",
                ] {
                    // They take turns: each meets every name and every way.
                    let secret = ANY[tried % ANY.len()];
                    let command = way
                        .replace("{n}", name)
                        .replace("{v}", quoted)
                        .replace("{s}", secret);
                    // A quote within the same quotes would end them.
                    let open = around.chars().find(|c| "\"'".contains(*c));
                    if open.is_some_and(|open| command.contains(open)) {
                        continue;
                    }
                    let text = around.replace("{c}", &command);
                    tried += 1;
                    let redacted = redact(&text);
                    if redacted.contains(secret) {
                        complaints.push(format!("{text}\n    {redacted}"));
                    } else if redact(&redacted) != redacted {
                        complaints.push(format!("not done at once: {text}\n    {redacted}"));
                    }
                }
            }
        }
    }
    assert!(tried > 20_000, "{tried} tried");
    complaints.truncate(60);
    assert_none(&complaints);
}
