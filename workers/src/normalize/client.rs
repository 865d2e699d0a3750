//! The program that sent an event, and the machine it ran on: from the envelope's `client`, which for WakaTime's
//! clients holds the headers `User-Agent` and `X-Machine-Name`. Pure.

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};
use store::StoredEvent;
use types::json::{self, RawObject};

use super::{redact, text};

/// What clients call an editor that they do not know.
const UNKNOWN: &str = "unknown";
/// Longest name, in bytes.
const MAX_NAME: usize = 128;

/// Names of editors that are written in several ways, in lower case without spaces, `-` and `_`.
const EDITORS: [(&str, &str); 16] = [
    ("code", "vscode"),
    ("vscode", "vscode"),
    ("visualstudiocode", "vscode"),
    ("vscodeinsiders", "vscode"),
    ("vscodium", "vscode"),
    ("codium", "vscode"),
    ("visualstudio", "visual-studio"),
    ("idea", "intellij"),
    ("intellijidea", "intellij"),
    ("intellijideacommunity", "intellij"),
    ("intellijideaultimate", "intellij"),
    ("nvim", "neovim"),
    ("gvim", "vim"),
    ("macvim", "vim"),
    ("sublimetext", "sublime"),
    ("sublimetext3", "sublime"),
];

/// What plugins add to the name of the editor they live in.
const PLUGIN_ENDINGS: [&str; 3] = ["-wakatime", "-devtrail", "_devtrail"];

/// What a client says of itself. What it does not say is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientProgram {
    /// The editor, such as `vscode`.
    pub editor: Option<String>,
    /// The version of that editor, not of its plugin, such as `1.96.2`.
    pub editor_version: Option<String>,
    /// The operating system: `linux`, `macos`, `windows`, or as it was sent.
    pub operating_system: Option<String>,
    /// The machine's name.
    pub machine: Option<String>,
}

impl ClientProgram {
    /// Of the envelope's `client`, and of the event's own `data.editor`.
    #[must_use]
    pub fn of(event: &StoredEvent, data: &Map<String, Value>) -> Self {
        let program = Self::clone(&Self::of_batch(event));
        let own = data.get("editor").and_then(Value::as_str).and_then(editor);
        match own {
            Some(own) if program.editor.as_ref() != Some(&own) => Self {
                editor: Some(own),
                editor_version: None,
                ..program
            },
            _ => program,
        }
    }

    /// Of the envelope's `client` of the event's batch. All events of a batch have the same: it is read once.
    #[must_use]
    pub fn of_batch(event: &StoredEvent) -> Rc<Self> {
        thread_local! {
            static LAST: RefCell<(Option<Vec<u8>>, Rc<ClientProgram>)> = RefCell::default();
        }
        LAST.with_borrow_mut(|(client, program)| {
            if *client != event.client {
                client.clone_from(&event.client);
                let read = client.as_deref().map(Self::of_client);
                *program = Rc::new(read.unwrap_or_default());
            }
            Rc::clone(program)
        })
    }

    /// Of the envelope's `client`, as its JSON.
    #[must_use]
    pub fn of_client(client: &[u8]) -> Self {
        // Not read as a value: that would take a hundred times its size in memory, and a client may be of any size.
        let Ok(RawObject(members)) = serde_json::from_slice(client) else {
            return Self::default();
        };
        let string = |wanted: &str| {
            let (_, text) = members.iter().rfind(|(name, _)| name == wanted)?;
            json::string(text)
        };
        let named = string("name").unwrap_or_default();
        let agent = UserAgent::parse(&named);
        let editor = string("editor")
            .and_then(|sent| editor(&sent))
            .or_else(|| agent.editor.as_deref().and_then(editor))
            .or_else(|| {
                let plugin = |ending: &&str| named.trim().strip_suffix(*ending);
                PLUGIN_ENDINGS.iter().find_map(plugin).and_then(editor)
            });
        let version = string("editor_version").or_else(|| {
            let is_the_agents = agent.editor.as_deref().and_then(self::editor) == editor;
            agent.editor_version.filter(|_| is_the_agents)
        });
        let given = string("os").or_else(|| string("platform"));
        let host = || string("host_id").map(|sent| unescaped(&sent, agent.is_wakatime));
        Self {
            editor_version: (editor.as_ref().and(version)).and_then(|sent| name(&sent)),
            editor,
            operating_system: given
                .or(agent.system)
                .and_then(|sent| operating_system(&sent)),
            machine: string("machine").or_else(host).and_then(|sent| name(&sent)),
        }
    }
}

/// What WakaTime's clients put into `User-Agent`:
/// `wakatime/13.1.0 (Linux-6.1.0-x86_64-with-glibc2.36) Python3.11 vscode/1.96.2 vscode-wakatime/24.6.0`.
#[derive(Debug, Default, PartialEq, Eq)]
struct UserAgent {
    /// Whether it is one of WakaTime's.
    is_wakatime: bool,
    editor: Option<String>,
    editor_version: Option<String>,
    system: Option<String>,
}

impl UserAgent {
    fn parse(text: &str) -> Self {
        let text = text.trim();
        if text.len() > 1024 {
            return Self::default();
        }
        let is_wakatime = text.contains("wakatime/");
        let system = text
            .split_once('(')
            .filter(|_| is_wakatime)
            .and_then(|(_, rest)| rest.split([')', '-', ' ', ';']).next())
            .map(str::to_owned);
        // The plugin comes last: `editor/version editor-wakatime/version`.
        let mut products = text
            .split_whitespace()
            .rev()
            .filter_map(|part| part.split_once('/'));
        let plugin = products.find_map(|(product, _)| product.strip_suffix("-wakatime"));
        // What stands before the plugin is the editor, by whatever name: `Neovim/0.10.1 vim-wakatime/11.3.0`.
        let version = products.next().map(|(_, version)| version);
        let is_told = |version: &&str| version.starts_with(|c: char| c.is_ascii_digit());
        Self {
            is_wakatime,
            editor: plugin.map(str::to_owned),
            editor_version: version.filter(is_told).map(str::to_owned),
            system,
        }
    }
}

/// An editor under its one name: lower case, `-` between words.
#[must_use]
pub fn editor(sent: &str) -> Option<String> {
    // The path of a program is called as the program.
    let sent = name(sent)?;
    let program = sent.rsplit(['/', '\\']).next().unwrap_or(&sent);
    let sent = name(&program.trim().to_lowercase().replace([' ', '_'], "-"))?;
    if sent == UNKNOWN || sent == redact::REDACTED {
        return None;
    }
    let plain = sent.replace([' ', '-', '_'], "");
    let known = EDITORS.iter().find(|(other, _)| *other == plain);
    Some(known.map_or(sent, |(_, known)| (*known).to_owned()))
}

/// An operating system under its one name.
fn operating_system(sent: &str) -> Option<String> {
    let lower = name(&sent.to_lowercase())?;
    let known = match lower.as_str() {
        "darwin" | "mac" | "macos" | "macosx" | "mac os x" | "osx" => "macos",
        "windows" | "win32" | "win64" | "windows_nt" => "windows",
        "linux" | "gnu/linux" => "linux",
        other => other,
    };
    Some(known.to_owned())
}

/// A machine's name that was sent as a part of a query string: `my%20laptop`, `my+laptop`. WakaTime's clients always
/// write it so (`X-Machine-Name`); a name of another client is read so if it has an escape.
fn unescaped(sent: &str, is_escaped: bool) -> String {
    if !is_escaped && !sent.contains('%') {
        return sent.to_owned();
    }
    // Spaces first: `%2B` is a plus that stays.
    let spaced = sent.replace('+', " ");
    percent_decode_str(&spaced)
        .decode_utf8()
        .map_or_else(|_| sent.to_owned(), Cow::into_owned)
}

/// A name without control characters, home folders and spaces around it; `None` if nothing is left.
fn name(sent: &str) -> Option<String> {
    let clean = redact::hide_homes_head(&text::head(sent, redact::MAX_READ), MAX_NAME);
    let clean = clean.trim();
    (!clean.is_empty()).then(|| clean.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Editor, its version, operating system and machine.
    fn program(client: &str) -> [Option<String>; 4] {
        let program = ClientProgram::of_client(client.as_bytes());
        [
            program.editor,
            program.editor_version,
            program.operating_system,
            program.machine,
        ]
    }

    fn expected(texts: [&str; 4]) -> [Option<String>; 4] {
        texts.map(|text| (!text.is_empty()).then(|| text.to_owned()))
    }

    #[test]
    fn a_user_agent_of_wakatime_tells_editor_and_system() {
        for (agent, told) in [
            (
                "wakatime/13.1.0 (Linux-6.1.0-x86_64-with-glibc2.36) Python3.11.2 vscode/1.96.2 vscode-wakatime/24.6.0",
                ["vscode", "1.96.2", "linux", ""],
            ),
            (
                "wakatime/v1.102.1 (darwin-23.5.0-arm64) go1.23.1 Neovim/0.10.1 vim-wakatime/11.3.0",
                ["vim", "0.10.1", "macos", ""],
            ),
            (
                "wakatime/v1.60.1 (windows-10.0-x86_64) go1.19 IntelliJ-IDEA/2023.1 IntelliJ-IDEA-wakatime/14.1",
                ["intellij", "2023.1", "windows", ""],
            ),
            (
                "wakatime/13.1.0 (Linux-6.1) Python3.11.2.final.0 Unknown/0",
                ["", "", "linux", ""],
            ),
            (
                "wakatime/v1.90.0 (linux-6.1) go1.22 emacs/Unknown emacs-wakatime/1.0",
                ["emacs", "", "linux", ""],
            ),
            (
                "Chrome/121.0.0.0 chrome-wakatime/3.0.6",
                ["chrome", "121.0.0.0", "", ""],
            ),
            ("chrome-wakatime/3.0.6", ["chrome", "", "", ""]),
            ("curl/8.5.0", ["", "", "", ""]),
            ("-wakatime/1", ["", "", "", ""]),
        ] {
            let client = serde_json::json!({ "name": agent }).to_string();
            assert_eq!(program(&client), expected(told), "{agent}");
        }
    }

    #[test]
    fn no_home_is_kept_of_a_client() {
        let client =
            r#"{"editor": "~janeroe/.local/bin/hx", "machine": "C:\\Users\\janeroe\\laptop"}"#;
        let [editor, _, _, machine] = program(client);
        assert_eq!(editor.as_deref(), Some("hx"));
        assert!(!machine.unwrap().contains("janeroe"));
        for nothing in ["Unknown", "/Users/janeroe", "~janeroe"] {
            let client = serde_json::json!({ "editor": nothing }).to_string();
            assert_eq!(program(&client)[0], None, "{nothing}");
        }
    }

    #[test]
    fn a_clients_own_members_come_first() {
        let client = r#"{"name": "vscode-devtrail", "version": "0.3.1", "host_id": "my%20lap+top", "os": "Darwin"}"#;
        assert_eq!(
            program(client),
            expected(["vscode", "", "macos", "my lap top"])
        );
        let client = r#"{"name": "x", "editor": "Visual Studio Code", "editor_version": " 1.96.2 ", "machine": "a+b"}"#;
        assert_eq!(program(client), expected(["vscode", "1.96.2", "", "a+b"]));
        for client in [
            "",
            "[]",
            "{",
            r#"{"name": 1, "os": "  "}"#,
            r#"{"machine": "\u0000"}"#,
            r#"{"editor_version": "1.0"}"#,
        ] {
            assert_eq!(program(client), expected([""; 4]), "{client}");
        }
    }

    #[test]
    fn a_version_is_that_of_the_editor_that_is_named() {
        let agent = "wakatime/13.1.0 (Linux-6.1) Python3.11 vscode/1.96 vscode-wakatime/24.6";
        for (editor, told) in [("Code", "1.96"), ("Zed", "")] {
            let client = serde_json::json!({"name": agent, "editor": editor}).to_string();
            assert_eq!(
                program(&client)[1].as_deref().unwrap_or_default(),
                told,
                "{editor}"
            );
        }
    }

    #[test]
    fn a_machines_name_is_unescaped_once() {
        let wakatime = "wakatime/13.1.0 (Linux-6.1) Python3.11 vscode/1.96 vscode-wakatime/24.6";
        for (client, sent, machine) in [
            (wakatime, "my+laptop", "my laptop"),
            (wakatime, "my%20laptop", "my laptop"),
            (wakatime, "a%2Bb", "a+b"),
            (wakatime, "50%25", "50%"),
            (wakatime, "%FF", "%FF"),
            ("x", "a+b", "a+b"),
            ("x", "a%20b+c", "a b c"),
        ] {
            let client = serde_json::json!({"name": client, "host_id": sent}).to_string();
            assert_eq!(program(&client)[3].as_deref(), Some(machine), "{sent}");
            // What a client says in plain words is taken so: the name that was read is read as itself.
            let client = serde_json::json!({ "machine": machine }).to_string();
            assert_eq!(program(&client)[3].as_deref(), Some(machine), "{machine}");
        }
    }
}
