//! Help, examples and completions: complete, and true.

use std::path::Path;
use std::process::{Command, Output};

use harness::{program, stderr_of};

use super::{devtrail, ended, refused};

fn run(name: &str, arguments: &[&str]) -> Output {
    Command::new(program(name))
        .args(arguments)
        .output()
        .unwrap()
}

/// The help of a program's command and of all its own commands.
fn helps(name: &str, command: &[String], found: &mut Vec<(Vec<String>, String)>) {
    let arguments: Vec<&str> = command
        .iter()
        .map(String::as_str)
        .chain(["--help"])
        .collect();
    let output = run(name, &arguments);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{name} {arguments:?}: {}",
        stderr_of(&output)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let list = text
        .split_once("Commands:\n")
        .map_or("", |(_, rest)| rest.split("\n\n").next().unwrap());
    let subs = list
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let subs: Vec<String> = subs
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect();
    found.push((command.to_vec(), text));
    for sub in subs.into_iter().filter(|sub| sub != "help") {
        helps(name, &[command, &[sub]].concat(), found);
    }
}

/// The arguments of an example line for `name`, without what the shell or the reader makes of it.
fn arguments(name: &str, line: &str) -> Vec<String> {
    let line = line.trim();
    let line = line.split_once("  ").map_or(line, |(command, _)| command);
    let ours = line
        .split(" | ")
        .find(|part| part.split(' ').any(|word| word == name))
        .unwrap_or_else(|| panic!("no {name} in {line:?}"));
    let ours = words(ours)
        .into_iter()
        .skip_while(|word| word != name)
        .skip(1);
    ours.take_while(|word| !matches!(&**word, ">" | "<"))
        .collect()
}

/// The words of a line; what stands in quotes is one.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in line.chars() {
        match (c, quote) {
            (' ', None) => words.push(String::new()),
            ('\'' | '"', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            (c, _) => words.last_mut().unwrap().push(c),
        }
    }
    words
}

/// Each example is read by the program itself, which then prints its settings instead of doing it.
/// Contract: commands.help
#[test]
fn every_command_has_help_with_examples_that_the_program_takes() {
    // The file that an example names.
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("collector.toml"), "").unwrap();
    for name in ["devtrail", "devtrail-collector", "devtrail-worker"] {
        let mut found = Vec::new();
        helps(name, &[], &mut found);
        assert!(
            name != "devtrail" || found.len() > 25,
            "commands were not found: {}",
            found.len()
        );
        for (command, text) in found {
            let about = text.lines().next().unwrap();
            assert!(
                !about.is_empty() && !about.starts_with("Usage"),
                "{name} {command:?} does not say what it does"
            );
            let (_, examples) = text
                .split_once("\nExamples:\n")
                .unwrap_or_else(|| panic!("{name} {command:?} has no examples"));
            for line in examples.lines().filter(|line| !line.trim().is_empty()) {
                let arguments = [arguments(name, line), vec!["--print-config".to_owned()]].concat();
                let mut example = Command::new(program(name));
                let output = example
                    .args(&arguments)
                    .current_dir(&folder)
                    .output()
                    .unwrap();
                assert_eq!(
                    output.status.code(),
                    Some(0),
                    "the example {line:?}: {}",
                    stderr_of(&output)
                );
                let fits = command
                    .iter()
                    .zip(&arguments)
                    .all(|(word, argument)| word == argument);
                assert!(fits, "{line:?} is no example of {command:?}");
            }
        }
    }
}

/// Contract: commands.help
#[test]
fn short_help_is_short() {
    for command in [
        &[][..],
        &["metrics", "show"],
        &["up"],
        &["keys", "create"],
        &["dead", "drop"],
    ] {
        let printed = |flag: &str| {
            let output = run("devtrail", &[command, &[flag]].concat());
            String::from_utf8(output.stdout).unwrap()
        };
        let (short, long) = (printed("-h"), printed("--help"));
        assert!(
            !short.contains("Examples:") && short.contains("see more with '--help'"),
            "{command:?}: {short}"
        );
        assert!(
            long.contains("Examples:") && short.lines().count() < long.lines().count(),
            "{command:?}: {long}"
        );
    }
}

/// Contract: commands.wrong-word
#[tokio::test]
async fn natural_words_that_are_no_command_get_the_one_that_is() {
    for (word, meant) in [
        ("start", "`devtrail up` starts"),
        ("stop", "Ctrl-C"),
        ("logs", "`devtrail trace`"),
        ("login", "`devtrail keys create DEVELOPER`"),
    ] {
        refused(
            devtrail(Path::new("/")).arg(word),
            2,
            &[&format!("no command \"{word}\""), meant],
        )
        .await;
    }
}

#[tokio::test]
async fn no_arguments_show_help_and_a_wrong_word_a_suggestion() {
    for (arguments, parts) in [
        (&[][..], ["Usage: devtrail", "--help"]),
        (&["metrics"], ["Usage: devtrail metrics", "--help"]),
        (&["stauts"], ["'stauts'", "'status'"]),
        (
            &["send", "x", "--btach-size", "5"],
            ["'--btach-size'", "'--batch-size'"],
        ),
        (&["send"], ["<FILE>", "--help"]),
        (&["metrics", "show"], ["<DEVELOPER>", "--help"]),
        (
            &["import", "git", ".", "--author", "a@b", "--all-authors"],
            ["--author", "--all-authors"],
        ),
        (
            &["import", "git", ".", "--from", "yesterday"],
            ["yesterday", "2026-03-01"],
        ),
    ] {
        let output = ended(devtrail(Path::new("/")).args(arguments)).await;
        let message = stderr_of(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
        assert!(
            parts.iter().all(|part| message.contains(part)),
            "{arguments:?}: {message}"
        );
        assert!(
            !message.contains('\u{1b}'),
            "colours without a terminal: {message:?}"
        );
    }
}

/// Contract: commands.completions
#[test]
fn bash_completes_commands_and_flags() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run("devtrail", &["completions", shell]);
        assert!(
            output.status.success() && output.stdout.len() > 1000,
            "{shell}: {}",
            stderr_of(&output)
        );
    }
    let complete = |words: &str| {
        let ask = r#"source <("$0" completions bash) && COMP_WORDS=($1) && COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) &&
            _devtrail devtrail "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}" && echo "${COMPREPLY[@]}""#;
        let output = Command::new("bash")
            .args(["--norc", "-c", ask])
            .arg(program("devtrail"))
            .arg(words)
            .output()
            .unwrap();
        assert!(output.status.success(), "{words}: {}", stderr_of(&output));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(complete("devtrail imp"), "import");
    assert_eq!(complete("devtrail metrics sh"), "show");
    assert_eq!(complete("devtrail import git . --all"), "--all-authors");
    assert_eq!(complete("devtrail completions fi"), "fish");
}
