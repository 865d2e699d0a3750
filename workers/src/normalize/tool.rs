//! The tool that built, tested, debugged or was run: one id for however an editor or a command line names it. Pure.
//!
//! The names are data (`tools.toml`).

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{redact, text};

/// Longest name of a tool that the table does not know, in bytes.
const MAX: usize = 64;
/// So many words of a command line are looked at.
const MAX_WORDS: usize = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    tools: HashMap<String, Vec<String>>,
    wrappers: HashMap<String, Vec<String>>,
}

struct Index {
    /// The id of each name.
    ids: HashMap<String, String>,
    /// What follows a wrapper before the program that it runs.
    wrappers: HashMap<String, Vec<String>>,
}

static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let Table { tools, wrappers } =
        toml::from_str(include_str!("tools.toml")).expect("tools.toml is a table of tools");
    let mut ids = HashMap::new();
    for (id, names) in tools {
        for name in names {
            ids.insert(name, id.clone());
        }
        ids.insert(id.clone(), id);
    }
    Index { ids, wrappers }
});

/// The tool that an event's cleaned data tells: its `tool`, else the one that its `command` runs.
///
/// A `tool` that the table does not know is kept in lower case. A command whose program the table does not know tells
/// none.
pub fn of(data: &Map<String, Value>) -> Option<String> {
    let string = |name: &str| data.get(name).and_then(Value::as_str);
    string("tool")
        .and_then(named)
        .or_else(|| string("command").and_then(of_command).map(str::to_owned))
}

/// The id of a tool that is called `sent`, which may be a path or a whole command line. `None` if it is blank.
fn named(sent: &str) -> Option<String> {
    let sent = sent.trim();
    if sent.is_empty() {
        return None;
    }
    let joined = sent.to_lowercase().replace([' ', '_'], "-");
    let known = INDEX.ids.get(&joined).map(String::as_str);
    if let Some(known) = known.or_else(|| of_command(sent)) {
        return Some(known.to_owned());
    }
    let kept = redact::redacted_head(&sent.to_lowercase(), MAX).text;
    Some(kept.trim().to_owned()).filter(|kept| !kept.is_empty())
}

/// The id of the first known tool that a command line runs: `cargo` of `cd app && RUST_LOG=debug cargo test`.
fn of_command(command: &str) -> Option<&'static str> {
    let mut words = command.split_whitespace().take(MAX_WORDS).peekable();
    let mut is_program = true;
    let mut is_quoted = false;
    while let Some(word) = words.next() {
        is_quoted ^= word.matches(['"', '\'']).count() % 2 == 1;
        let ends = !is_quoted && word.ends_with([';', '&', '|', '(']);
        let is_first = std::mem::replace(&mut is_program, ends);
        let word = word.trim_matches([';', '&', '|', '(', ')', '"', '\'']);
        if !is_first || word.is_empty() {
            continue;
        }
        if is_assignment(word) || word.starts_with('-') {
            // `env A=1 npm`, `sudo -E make`
            is_program = true;
            continue;
        }
        let program = program(word);
        let next = words.peek().copied().unwrap_or_default();
        match INDEX.wrappers.get(&program) {
            Some(between) if between.iter().any(|word| word == next) => {
                words.next();
                is_program = true;
                // `python -m app` runs no tool but python.
                let inner = words.peek().map(|word| self::program(word));
                let is_known = inner.is_some_and(|inner| INDEX.ids.contains_key(&inner));
                if is_known {
                    continue;
                }
            }
            Some(between) if between.iter().any(String::is_empty) => {
                is_program = true;
                continue;
            }
            _ => {}
        }
        if let Some(id) = INDEX.ids.get(&program) {
            return Some(id);
        }
    }
    None
}

/// `NAME=value`
fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_')
    })
}

/// The name of the program that `word` starts, without folder, ending and version: `mvnw` of `.\mvnw.cmd`, `python` of
/// `/usr/bin/python3.12`.
fn program(word: &str) -> String {
    let file = word.rsplit(['/', '\\']).next().unwrap_or(word);
    let lower = text::head(file, MAX).to_lowercase();
    let name = [".exe", ".cmd", ".bat", ".ps1", ".sh", ".js"]
        .iter()
        .find_map(|ending| lower.strip_suffix(ending))
        .unwrap_or(&lower);
    if INDEX.ids.contains_key(name) || INDEX.wrappers.contains_key(name) {
        return name.to_owned();
    }
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-'));
    if stem.is_empty() { name } else { stem }.to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tool(data: &Value) -> Option<String> {
        of(data.as_object().expect("an object"))
    }

    #[test]
    fn a_tool_has_one_id_however_it_is_called() {
        for (sent, id) in [
            ("cargo", "cargo"),
            ("Cargo", "cargo"),
            ("cargo test", "cargo"),
            ("/usr/local/bin/cargo", "cargo"),
            ("npm", "npm"),
            ("PyTest", "pytest"),
            ("py.test", "pytest"),
            ("python -m pytest", "pytest"),
            ("./gradlew", "gradle"),
            ("Gradle Wrapper", "gradle"),
            (r"C:\tools\MSBuild.exe", "msbuild"),
            ("mvnw.cmd", "maven"),
            ("GNU Make", "make"),
            ("go test", "go"),
            ("dotnet test", "dotnet"),
            ("Bloop", "bloop"),
            (" My Own Runner ", "my own runner"),
        ] {
            let found = tool(&json!({ "tool": sent }));
            assert_eq!(found.as_deref(), Some(id), "{sent}");
            assert_eq!(tool(&json!({ "tool": id })), found, "{id}");
        }
        assert_eq!(tool(&json!({"tool": " "})), None);
        assert_eq!(tool(&json!({"tool": 7})), None);
    }

    #[test]
    fn a_command_tells_the_first_known_tool_it_runs() {
        for (command, id) in [
            ("cargo test --workspace", Some("cargo")),
            ("cd app && RUST_LOG=debug cargo run", Some("cargo")),
            ("cd app; npm ci", Some("npm")),
            ("sudo -E make install", Some("make")),
            ("env A=1 pnpm build | tee log", Some("pnpm")),
            ("npx jest --watch", Some("jest")),
            ("poetry run pytest -x", Some("pytest")),
            ("uv run app.py", Some("uv")),
            ("python3.12 -m pytest", Some("pytest")),
            ("python -m http.server", Some("python")),
            ("bundle exec rake db:migrate", Some("rake")),
            (r".\gradlew.bat assemble", Some("gradle")),
            ("(yarn build)", Some("yarn")),
            ("git commit -m 'cargo test passes'", None),
            ("git commit -m 'run; cargo test'", None),
            ("ls cargo", None),
            ("echo npm", None),
            ("", None),
        ] {
            let found = tool(&json!({ "command": command }));
            assert_eq!(found.as_deref(), id, "{command}");
        }
        let both = json!({"tool": "ninja", "command": "cmake --build ."});
        assert_eq!(tool(&both).as_deref(), Some("ninja"));
    }

    #[test]
    fn every_name_of_the_table_means_one_tool() {
        let table: Table = toml::from_str(include_str!("tools.toml")).expect("a table of tools");
        let names = table
            .tools
            .iter()
            .flat_map(|(id, names)| std::iter::once(id).chain(names));
        let mut names: Vec<&String> = names.collect();
        names.sort_unstable();
        let twice: Vec<_> = names.windows(2).filter(|pair| pair[0] == pair[1]).collect();
        assert!(twice.is_empty(), "{twice:?}");
        assert!(table.tools.len() >= 60, "{} tools", table.tools.len());
        for name in names {
            assert_eq!(name.to_lowercase(), *name);
            assert_eq!(named(name), INDEX.ids.get(name).cloned(), "{name}");
        }
    }
}
