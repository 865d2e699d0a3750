//! Command lines and free text without secrets, by example.

use serde_json::json;
use workers::normalize::{normalize, redact};

use crate::build::event;

#[test]
fn values_of_secret_names_are_hidden() {
    for (text, expected) in [
        (
            "deploy --password hunter2 --host x",
            "deploy --password *** --host x",
        ),
        (
            "deploy --token=abc --verbose",
            "deploy --token=*** --verbose",
        ),
        (
            "deploy --db-password='a b' x",
            "deploy --db-password='***' x",
        ),
        (
            "deploy --password \"a \\\" b\" x",
            "deploy --password \"***\" x",
        ),
        ("deploy --password=ab'c d'ef x", "deploy --password=*** x"),
        (
            "API_KEY=abc DEBUG=1 cargo run",
            "API_KEY=*** DEBUG=1 cargo run",
        ),
        (
            "export AWS_SECRET_ACCESS_KEY=wJalr/x",
            "export AWS_SECRET_ACCESS_KEY=***",
        ),
        (
            "docker run -e DB_PASS=x image",
            "docker run -e DB_PASS=*** image",
        ),
        (
            "curl 'https://x/?access_token=abc&page=2'",
            "curl 'https://x/?access_token=***&page=2'",
        ),
        (
            "curl -H 'Authorization: Bearer abc.def' https://x",
            "curl -H 'Authorization: ***' https://x",
        ),
        (
            "curl -H \"X-Api-Key: abc\" https://x",
            "curl -H \"X-Api-Key: ***\" https://x",
        ),
        (
            "http x Authorization:'Basic abc' y",
            "http x Authorization:'***' y",
        ),
        (
            "error: Authorization: Bearer abc was refused",
            "error: Authorization: *** was refused",
        ),
        (
            r#"curl -d '{"user":"ada","password":"a b"}' x"#,
            r#"curl -d '{"user":"ada","password":"***"}' x"#,
        ),
        (
            r#"curl -d "{\"password\": \"a b\"}" x"#,
            r#"curl -d "{\"password\": \"***\"}" x"#,
        ),
        (
            r#"{"clientSecret": "x", "n": 1}"#,
            r#"{"clientSecret": "***", "n": 1}"#,
        ),
        (
            r#"["--token", "abc", "run"]"#,
            r#"["--token", "***", "run"]"#,
        ),
        (
            "ssh host \"tool --password abc\" next",
            "ssh host \"tool --password ***\" next",
        ),
        (
            "Server=x;Password=abc;Database=y",
            "Server=x;Password=***;Database=y",
        ),
        ("db.password = abc", "db.password = ***"),
        ("login --password --token x", "login --password --token ***"),
        ("don't --password abc", "don't --password ***"),
    ] {
        assert_eq!(redact(text), expected);
    }
}

#[test]
fn short_flags_are_secret_where_their_program_says_so() {
    for (text, expected) in [
        ("mysql -u root -phunter2 db", "mysql -u root -p*** db"),
        (
            "/usr/bin/mysqldump -p'a b' db",
            "/usr/bin/mysqldump -p'***' db",
        ),
        ("mysql -p db -P3306", "mysql -p db -P3306"),
        (
            "sshpass -p hunter2 ssh host -p 22",
            "sshpass -p *** ssh host -p 22",
        ),
        ("redis-cli -a hunter2 ping", "redis-cli -a *** ping"),
        ("curl -sSu ada:pw https://x", "curl -sSu *** https://x"),
        (
            "docker login -u ada -p pw reg",
            "docker login -u ada -p *** reg",
        ),
        ("docker run -p 8080:80 x", "docker run -p 8080:80 x"),
        (
            "mysql -psecret; ssh -p 22 host",
            "mysql -p***; ssh -p 22 host",
        ),
        (
            "openssl rsa -passin pass:abc",
            "openssl rsa -passin pass:***",
        ),
    ] {
        assert_eq!(redact(text), expected);
    }
}

#[test]
fn secrets_are_known_by_their_form() {
    let github = format!("ghp_{}", "a1B2c3D4e5".repeat(4));
    let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N";
    for (text, expected) in [
        (
            "git push https://ada:pw@host/r",
            "git push https://***@host/r",
        ),
        (
            "psql postgres://u:p/w@host/db",
            "psql postgres://***@host/db",
        ),
        // Only when the home folder is gone is the rest seen to be of the user's name.
        ("x https:///Users/ada,user:pw@", "x https://***@"),
        (
            "git clone ssh://git@host/r.git",
            "git clone ssh://git@host/r.git",
        ),
        (
            "npm i https://cdn.example/@types/node",
            "npm i https://cdn.example/@types/node",
        ),
        (
            "curl http://localhost:8080/a@b",
            "curl http://localhost:8080/a@b",
        ),
        ("echo AKIAIOSFODNN7EXAMPLE", "echo ***"),
        ("echo wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "echo ***"),
        (&format!("echo {github}"), "echo ***"),
        (&format!("echo {jwt} x"), "echo *** x"),
        ("echo d41d8cd98f00b204e9800998ecf8427e", "echo ***"),
        ("echo q8Zr2LmX0vTb7YcNs4KdWf1A==", "echo ***"),
    ] {
        assert_eq!(redact(text), expected);
    }
}

#[test]
fn secrets_are_counted_and_nothing_else_is() {
    let commit = "3fce3b5bb0236da2df6d99672afb8a719642eca7";
    for (text, secrets) in [
        ("deploy --token abc --password=x --host y", 2),
        ("git push https://ada:pw@host/r", 1),
        ("echo Zq8vT3nR5kLw | docker login --password-stdin", 1),
        ("echo d41d8cd98f00b204e9800998ecf8427e", 1),
        ("curl -H 'Authorization: Bearer abc' -u ada:pw x", 2),
        // A shell reads no variable within single quotes.
        ("deploy --token '$ecret'", 1),
        ("cat /Users/ada/x", 0),
        ("git clone ssh://ada@host/r.git", 0),
        ("scp a ada@box:b", 0),
        (&format!("git show {commit}"), 0),
        ("deploy --token *** --password ****", 0),
        ("curl -H \"Authorization: Bearer $TOKEN\" -u ada:$PW x", 0),
        ("API_KEY=${KEY} mysql -p$PW db", 0),
        ("API_KEY=$(cat key.txt) run", 0),
        ("deploy --password %PASSWORD%", 0),
        ("cargo test --workspace", 0),
    ] {
        let data = json!({"command": text, "failures": [text]});
        let record = normalize(&event(
            "e",
            "terminal.command",
            "2026-03-01T12:00:00Z",
            None,
            &data,
        ));
        assert_eq!(
            record.secrets,
            2 * secrets,
            "{text}: {:?}",
            record.data["command"]
        );
    }
}

#[test]
fn home_folders_are_hidden() {
    let linux = format!("cat /{}/ada/notes -I/{}/ada/inc", "home", "home");
    for (text, expected) in [
        (linux.as_str(), "cat ***/notes -I***/inc"),
        ("ls /Users/ada", "ls ***"),
        ("type C:\\Users\\ada\\x.txt", "type C:***\\x.txt"),
        (
            "type \"C:\\Users\\Ada Lovelace\\x.txt\"",
            "type \"C:***\\x.txt\"",
        ),
        ("ls /c/Users/ada/x ~bob/y ~/z", "ls /c***/x ***/y ~/z"),
        ("cp --from=/Users/ada/x:/y .", "cp --from=***/x:/y ."),
    ] {
        assert_eq!(redact(text), expected);
    }
}

#[test]
fn control_characters_become_spaces() {
    assert_eq!(redact("a\0b\n\u{9b}c"), "a b  c");
}

#[test]
fn long_texts_are_read_to_a_bound_and_end_with_a_whole_word() {
    let secret = format!(
        "{} https://ada:{}@host",
        "x ".repeat(8_150),
        "p".repeat(100)
    );
    let redacted = redact(&secret);
    assert!(
        !redacted.contains("ppp") && redacted.len() <= 16 * 1024,
        "{} bytes",
        redacted.len()
    );
    assert_eq!(redact(&"p".repeat(70_000)), "");
}
