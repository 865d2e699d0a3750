//! The program that sent an event, and the machine it ran on: from the envelope's `client`, which for WakaTime's
//! clients holds the headers `User-Agent` and `X-Machine-Name`. Pure.

use std::cell::RefCell;

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
    /// The operating system: `linux`, `macos`, `windows`, or as it was sent.
    pub system: Option<String>,
    /// The machine's name, as the client sends it.
    pub machine: Option<String>,
}

impl ClientProgram {
    /// Of the envelope's `client`, and of the event's own `data.editor`.
    #[must_use]
    pub fn of(event: &StoredEvent, data: &Map<String, Value>) -> Self {
        let own = data.get("editor").and_then(Value::as_str).and_then(editor);
        let program = sent_with(event);
        Self {
            editor: own.or(program.editor),
            ..program
        }
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
        let given = string("os").or_else(|| string("platform"));
        Self {
            editor,
            system: given.or(agent.system).and_then(|sent| system(&sent)),
            machine: (string("machine").or_else(|| string("host_id")))
                .and_then(|sent| machine(&sent)),
        }
    }
}

/// The program of the event's batch. All events of a batch have the same: it is read once.
fn sent_with(event: &StoredEvent) -> ClientProgram {
    thread_local! {
        static LAST: RefCell<(Option<Vec<u8>>, ClientProgram)> = RefCell::default();
    }
    LAST.with_borrow_mut(|(client, program)| {
        if *client != event.client {
            client.clone_from(&event.client);
            *program = client
                .as_deref()
                .map_or_else(ClientProgram::default, ClientProgram::of_client);
        }
        program.clone()
    })
}

/// What WakaTime's clients put into `User-Agent`:
/// `wakatime/13.1.0 (Linux-6.1.0-x86_64-with-glibc2.36) Python3.11 vscode/1.96.2 vscode-wakatime/24.6.0`.
#[derive(Debug, Default, PartialEq, Eq)]
struct UserAgent {
    editor: Option<String>,
    system: Option<String>,
}

impl UserAgent {
    fn parse(text: &str) -> Self {
        let text = text.trim();
        if text.len() > 1024 {
            return Self::default();
        }
        let system = text
            .split_once('(')
            .filter(|_| text.contains("wakatime/"))
            .and_then(|(_, rest)| rest.split([')', '-', ' ', ';']).next())
            .map(str::to_owned);
        // The plugin comes last: `editor/version editor-wakatime/version`.
        let mut products = text
            .split_whitespace()
            .rev()
            .filter_map(|part| part.split_once('/'));
        let plugin = products.find_map(|(product, _)| product.strip_suffix("-wakatime"));
        Self {
            editor: plugin.map(str::to_owned),
            system,
        }
    }
}

/// An editor under its one name: lower case, `-` between words.
#[must_use]
pub fn editor(sent: &str) -> Option<String> {
    // The path of a program is called as the program.
    let sent = sent.rsplit(['/', '\\']).next().unwrap_or(sent);
    let sent = name(sent)?.to_lowercase();
    if sent == UNKNOWN {
        return None;
    }
    let plain: String = sent
        .chars()
        .filter(|c| !matches!(c, ' ' | '-' | '_'))
        .collect();
    let known = EDITORS.iter().find(|(other, _)| *other == plain);
    Some(known.map_or_else(
        || sent.split([' ', '_']).collect::<Vec<_>>().join("-"),
        |(_, known)| (*known).to_owned(),
    ))
}

/// An operating system under its one name.
fn system(sent: &str) -> Option<String> {
    let lower = name(sent)?.to_lowercase();
    let known = match lower.as_str() {
        "darwin" | "mac" | "macos" | "macosx" | "mac os x" | "osx" => "macos",
        "windows" | "win32" | "win64" | "windows_nt" => "windows",
        "linux" | "gnu/linux" => "linux",
        other => other,
    };
    Some(known.to_owned())
}

/// A machine. Clients send its name as a part of a query string: `my%20laptop`, `my+laptop`.
fn machine(sent: &str) -> Option<String> {
    let is_escaped = sent.contains('%');
    let decoded = match percent_decode_str(sent).decode_utf8() {
        Ok(decoded) if is_escaped => decoded.replace('+', " "),
        _ => sent.to_owned(),
    };
    name(&decoded)
}

/// A name without control characters, home folders and spaces around it; `None` if nothing is left.
fn name(sent: &str) -> Option<String> {
    let clean = redact::hide_homes(&text::head(sent, redact::MAX_READ));
    let clean = clean.trim();
    (!clean.is_empty()).then(|| text::head(clean, MAX_NAME))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(client: &str) -> [Option<String>; 3] {
        let program = ClientProgram::of_client(client.as_bytes());
        [program.editor, program.system, program.machine]
    }

    fn expected(texts: [&str; 3]) -> [Option<String>; 3] {
        texts.map(|text| (!text.is_empty()).then(|| text.to_owned()))
    }

    #[test]
    fn a_user_agent_of_wakatime_tells_editor_and_system() {
        for (agent, told) in [
            (
                "wakatime/13.1.0 (Linux-6.1.0-x86_64-with-glibc2.36) Python3.11.2 vscode/1.96.2 vscode-wakatime/24.6.0",
                ["vscode", "linux", ""],
            ),
            (
                "wakatime/v1.102.1 (darwin-23.5.0-arm64) go1.23.1 Neovim/0.10.1 vim-wakatime/11.3.0",
                ["vim", "macos", ""],
            ),
            (
                "wakatime/v1.60.1 (windows-10.0-x86_64) go1.19 IntelliJ-IDEA/2023.1 IntelliJ-IDEA-wakatime/14.1",
                ["intellij", "windows", ""],
            ),
            (
                "wakatime/13.1.0 (Linux-6.1) Python3.11.2.final.0 Unknown/0",
                ["", "linux", ""],
            ),
            ("Chrome/121.0.0.0 chrome-wakatime/3.0.6", ["chrome", "", ""]),
            ("curl/8.5.0", ["", "", ""]),
            ("-wakatime/1", ["", "", ""]),
        ] {
            let client = serde_json::json!({ "name": agent }).to_string();
            assert_eq!(program(&client), expected(told), "{agent}");
        }
    }

    #[test]
    fn no_home_is_kept_of_a_client() {
        let client =
            r#"{"editor": "~janeroe/.local/bin/hx", "machine": "C:\\Users\\janeroe\\laptop"}"#;
        let [editor, _, machine] = program(client);
        assert_eq!(editor.as_deref(), Some("hx"));
        assert!(!machine.unwrap().contains("janeroe"));
        assert_eq!(program(r#"{"editor": "Unknown"}"#)[0], None);
    }

    #[test]
    fn a_clients_own_members_come_first() {
        let client = r#"{"name": "vscode-devtrail", "version": "0.3.1", "host_id": "my%20lap+top", "os": "Darwin"}"#;
        assert_eq!(program(client), expected(["vscode", "macos", "my lap top"]));
        let client = r#"{"name": "x", "editor": "Visual Studio Code", "machine": "a+b"}"#;
        assert_eq!(program(client), expected(["vscode", "", "a+b"]));
        for client in [
            "",
            "[]",
            "{",
            r#"{"name": 1, "os": "  "}"#,
            r#"{"machine": "\u0000"}"#,
        ] {
            assert_eq!(program(client), expected([""; 3]), "{client}");
        }
    }
}
