//! Settings from flags, environment and an optional TOML file, in that order of precedence.
//!
//! The file's values become the *defaults* of the flags they name, so clap itself keeps the order
//! and checks file values as it checks flags.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Arg, ArgMatches, Command};

use crate::text_file;

mod address;
mod values;

pub use address::{Address, HTTP_ADDRESS, HTTP_ADDRESSES, SecretParser};
pub use values::{mask, parse_address, parse_duration, parse_origin, parse_rate};

/// Wrong usage or configuration: the program exits with 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// Settings that every program has.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Settings and logs")]
pub struct CommonArgs {
    /// TOML file with settings, named as the long flags; flags and environment go before it
    #[arg(long, env = "DEVTRAIL_CONFIG", value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Print the effective settings as TOML, secrets masked, and exit
    #[arg(long, global = true)]
    pub print_config: bool,
    /// What to log: error, warn, info, debug, trace, or a filter such as collector=debug
    #[arg(
        long,
        env = "DEVTRAIL_LOG",
        default_value = "info",
        value_name = "FILTER",
        global = true
    )]
    pub log: String,
    /// How long to finish what is in flight after SIGTERM or SIGINT
    #[arg(
        long, env = "DEVTRAIL_SHUTDOWN_TIMEOUT", default_value = "10s", value_name = "TIME",
        value_parser = parse_duration, global = true
    )]
    pub shutdown_timeout: Duration,
}

/// A program's settings, which include those that every program has.
pub trait Settings: clap::Parser + Send + 'static {
    /// The settings that every program has.
    fn common_args(&self) -> &CommonArgs;
}

/// The result of reading the command line.
pub enum Loaded<S> {
    /// The settings to run with.
    Settings(S),
    /// `--print-config` asks for this text instead.
    Printed(String),
}

/// Flags that are no settings.
const NO_SETTINGS: [&str; 4] = ["config", "print_config", "print_openapi", "help"];

/// Reads command line, environment and file. Exits on `--help`, `--version` and bad flags, as clap does.
///
/// # Errors
/// Returns [`UsageError`] if the file cannot be read or names an unknown key, or a value is invalid.
pub fn load<S: Settings>() -> Result<Loaded<S>, UsageError> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let mut command = with_short_help(without_secrets(S::command()));
    if let Some(path) = file_named(&arguments) {
        let values = read(&path)?;
        check_keys(&command, &path, &values)?;
        command = with_defaults(command, &values);
    }
    let printed = command.clone();
    let matches = command
        .try_get_matches_from(&arguments)
        .unwrap_or_else(|error| exit(&error, &arguments));
    let settings = S::from_arg_matches(&matches).map_err(|error| UsageError(error.to_string()))?;
    if settings.common_args().print_config {
        return Ok(Loaded::Printed(effective(&printed, &matches)));
    }
    Ok(Loaded::Settings(settings))
}

/// Ends the program as clap does, which may repeat an argument that it does not know: with its secret masked.
fn exit(error: &clap::Error, arguments: &[OsString]) -> ! {
    let text = error.to_string();
    let masked = masked(&text, arguments);
    if masked == text {
        error.exit()
    }
    // The reader may have closed the pipe; the exit code says the same.
    let _ = std::io::stderr().write_all(masked.as_bytes());
    std::process::exit(error.exit_code())
}

/// The text with the secrets of these arguments masked.
fn masked(text: &str, arguments: &[OsString]) -> String {
    let values = arguments.iter().filter_map(|argument| argument.to_str());
    let values = values.flat_map(|text| [Some(text), text.split_once('=').map(|(_, value)| value)]);
    values
        .flatten()
        .filter(|value| mask(value) != **value)
        .fold(text.to_owned(), |text, value| {
            text.replace(value, &mask(value))
        })
}

/// Whether the argument is a URL, which may hold a password or token.
fn is_url(arg: &Arg) -> bool {
    arg.get_value_names()
        .is_some_and(|names| names.iter().any(|name| name == "URL"))
}

/// `--help` prints no environment value that may hold a secret.
fn without_secrets(command: Command) -> Command {
    let names: Vec<String> = command
        .get_subcommands()
        .map(|sub| sub.get_name().to_owned())
        .collect();
    let command = command.mut_args(|arg| {
        if is_url(&arg) {
            arg.hide_env_values(true)
        } else {
            arg
        }
    });
    names.into_iter().fold(command, |command, name| {
        command.mut_subcommand(name, without_secrets)
    })
}

/// Headings of flags that `-h` shows; `--help` shows all.
const IN_SHORT_HELP: [&str; 4] = ["Connection", "Selection", "Output", "Schemas"];

/// `-h` leaves out the flags that tune and bound, which few need.
fn with_short_help(command: Command) -> Command {
    let names: Vec<String> = command
        .get_subcommands()
        .map(|sub| sub.get_name().to_owned())
        .collect();
    let command = command.mut_args(|arg| {
        let heading = arg.get_help_heading();
        let is_rare = heading.is_some_and(|heading| !IN_SHORT_HELP.contains(&heading));
        // A flag that is hidden everywhere stays so.
        arg.hide_short_help(is_rare)
    });
    names.into_iter().fold(command, |command, name| {
        command.mut_subcommand(name, with_short_help)
    })
}

/// The file that `--config` or `DEVTRAIL_CONFIG` names; needed before the flags are parsed.
fn file_named(arguments: &[OsString]) -> Option<PathBuf> {
    let mut rest = arguments.iter().skip(1);
    while let Some(argument) = rest.next() {
        let Some(text) = argument.to_str() else {
            continue;
        };
        match text.strip_prefix("--config") {
            Some("") => return rest.next().map(PathBuf::from),
            Some(value) if value.starts_with('=') => return Some(PathBuf::from(&value[1..])),
            _ => {}
        }
    }
    std::env::var_os("DEVTRAIL_CONFIG").map(PathBuf::from)
}

fn read(path: &Path) -> Result<BTreeMap<String, String>, UsageError> {
    let shown = path.display();
    let text = text_file::read(path).map_err(|error| {
        UsageError(format!(
            "The configuration file {shown} cannot be read: {error}."
        ))
    })?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        // Displayed, the error would repeat the line, and a secret in it.
        let before = &text[..error.span().map_or(0, |span| span.start.min(text.len()))];
        let line = before.matches('\n').count() + 1;
        UsageError(format!(
            "The configuration file {shown} is no TOML, in line {line}: {}",
            error.message()
        ))
    })?;
    let plain = |(key, value): (String, toml::Value)| match value {
        toml::Value::String(text) => Ok((key, text)),
        toml::Value::Integer(_) | toml::Value::Float(_) | toml::Value::Boolean(_) => {
            Ok((key, value.to_string()))
        }
        toml::Value::Array(values) => match list(&values) {
            Some(text) => Ok((key, text)),
            None => Err(UsageError(format!(
                "{key} in {shown} must be a list of strings without commas."
            ))),
        },
        _ => Err(UsageError(format!(
            "{key} in {shown} must be a string, a number, true, false or a list of strings."
        ))),
    };
    table.into_iter().map(plain).collect()
}

/// A list as flags take it: with commas between.
fn list(values: &[toml::Value]) -> Option<String> {
    let texts = values
        .iter()
        .map(|value| value.as_str().filter(|text| !text.contains(',')));
    Some(texts.collect::<Option<Vec<&str>>>()?.join(","))
}

fn check_keys(
    command: &Command,
    path: &Path,
    values: &BTreeMap<String, String>,
) -> Result<(), UsageError> {
    let mut known = Vec::new();
    collect(command, &mut known);
    known.sort();
    known.dedup();
    match values.keys().find(|key| !known.contains(key)) {
        None => Ok(()),
        Some(key) => Err(UsageError(format!(
            "{} has the unknown key {key:?}. Known keys: {}.",
            path.display(),
            known.join(", ")
        ))),
    }
}

fn collect(command: &Command, known: &mut Vec<String>) {
    let settings = command
        .get_arguments()
        .filter(|arg| !NO_SETTINGS.contains(&arg.get_id().as_str()));
    known.extend(settings.filter_map(|arg| arg.get_long().map(str::to_owned)));
    command
        .get_subcommands()
        .for_each(|sub| collect(sub, known));
}

fn with_defaults(command: Command, values: &BTreeMap<String, String>) -> Command {
    let names: Vec<String> = command
        .get_subcommands()
        .map(|sub| sub.get_name().to_owned())
        .collect();
    let command = command.mut_args(
        |arg| match arg.get_long().and_then(|long| values.get(long)) {
            // Of a URL, `--help` would print its password as well.
            Some(value) => {
                let hidden = is_url(&arg);
                arg.default_value(value.clone())
                    .hide_default_value(hidden)
                    .required(false)
            }
            None => arg,
        },
    );
    names.into_iter().fold(command, |command, name| {
        command.mut_subcommand(name, |sub| with_defaults(sub, values))
    })
}

/// The settings of the chosen command as TOML.
fn effective(command: &Command, matches: &ArgMatches) -> String {
    let mut lines = String::new();
    let mut command = command;
    let mut matches = matches;
    loop {
        for arg in command.get_arguments() {
            let id = arg.get_id().as_str();
            let Some(long) = arg.get_long().filter(|_| !NO_SETTINGS.contains(&id)) else {
                continue;
            };
            if let Ok(Some(values)) = matches.try_get_raw(id) {
                let values: Vec<_> = values.map(OsStr::to_string_lossy).collect();
                let value = values.join(",");
                // Other arguments marked `hide_env_values` are secrets: --help hides them as well.
                let shown = match (is_url(arg), arg.is_hide_env_values_set()) {
                    (true, _) => mask(&value),
                    (false, true) => "***".to_owned(),
                    (false, false) => value,
                };
                lines += &format!("{long} = {}\n", typed(shown));
            }
        }
        let Some((name, sub)) = matches.subcommand() else {
            return lines;
        };
        let Some(chosen) = command.find_subcommand(name) else {
            return lines;
        };
        (command, matches) = (chosen, sub);
    }
}

/// A value as TOML writes it: numbers and booleans bare, all else quoted.
fn typed(value: String) -> toml::Value {
    match (value.parse::<i64>(), value.parse::<bool>()) {
        (Ok(number), _) => toml::Value::Integer(number),
        (_, Ok(truth)) => toml::Value::Boolean(truth),
        _ => toml::Value::String(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> Command {
        let listen = Arg::new("listen").long("listen").default_value("a");
        Command::new("x")
            .arg(listen.clone())
            .subcommand(Command::new("up").arg(Arg::new("data").long("data")))
    }

    #[test]
    fn a_file_value_is_a_default_that_a_flag_overrides() {
        let values = BTreeMap::from([
            ("listen".to_owned(), "b".to_owned()),
            ("data".to_owned(), "d".to_owned()),
        ]);
        let get = |arguments: &[&str]| {
            let matches = with_defaults(command(), &values).get_matches_from(arguments);
            let data = matches
                .subcommand()
                .and_then(|(_, sub)| sub.get_one::<String>("data").cloned());
            (matches.get_one::<String>("listen").cloned().unwrap(), data)
        };
        assert_eq!(get(&["x", "up"]), ("b".to_owned(), Some("d".to_owned())));
        assert_eq!(get(&["x", "--listen", "c"]).0, "c");
    }

    #[test]
    fn no_secret_is_printed_with_the_settings_or_in_the_help() {
        let url = Arg::new("nats-url")
            .long("nats-url")
            .value_name("URL")
            .env("DEVTRAIL_TEST_URL");
        let key = Arg::new("key").long("key").hide_env_values(true);
        let sub = Command::new("up").arg(url.clone()).arg(key);
        let command = without_secrets(Command::new("x").arg(url).subcommand(sub));
        assert!(
            command
                .find_subcommand("up")
                .unwrap()
                .get_arguments()
                .all(Arg::is_hide_env_values_set)
        );
        let values = BTreeMap::from([("nats-url".to_owned(), "nats://secret@a".to_owned())]);
        let mut command = with_defaults(command, &values);
        let matches = command
            .clone()
            .get_matches_from(["x", "up", "--key", "secret"]);
        let printed = effective(&command, &matches);
        assert!(
            printed.contains("nats://***@a") && printed.contains("key = \"***\""),
            "{printed}"
        );
        let help = command.render_long_help().to_string();
        assert!(
            !printed.contains("secret") && !help.contains("secret"),
            "{printed}{help}"
        );
    }

    #[test]
    fn an_argument_that_clap_repeats_is_masked() {
        let arguments = ["x", "nats://u:se cret@a", "--lisen=http://secret@b"].map(OsString::from);
        let error = command().try_get_matches_from(&arguments).unwrap_err();
        let shown = masked(&error.to_string(), &arguments);
        assert!(error.to_string().contains("se cret"), "{error}");
        assert!(
            !shown.contains("cret") && shown.contains("nats://u:***@a"),
            "{shown}"
        );
    }

    #[test]
    fn a_file_that_is_no_toml_is_named_by_its_line_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.toml");
        std::fs::write(&path, "listen = \"a\"\nnats-url = \"nats://u:secret@a\n").unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(
            error.contains("in line 2") && !error.contains("secret"),
            "{error}"
        );
    }

    #[test]
    fn short_help_leaves_out_what_tunes_and_long_help_has_all() {
        let flag = |name: &'static str, heading: &'static str| {
            Arg::new(name).long(name).help_heading(heading)
        };
        let sub = Command::new("up").args([flag("from", "Selection"), flag("cap", "Retries")]);
        let mut command = with_short_help(Command::new("x").subcommand(sub));
        let up = command.find_subcommand_mut("up").unwrap();
        let short = up.render_help().to_string();
        let long = up.render_long_help().to_string();
        assert!(
            short.contains("--from") && !short.contains("--cap"),
            "{short}"
        );
        assert!(long.contains("--from") && long.contains("--cap"), "{long}");
    }

    #[test]
    fn a_list_in_the_file_is_several_values() {
        let values: toml::Table = "origin = ['https://a', 'https://b']".parse().unwrap();
        let listed = list(values["origin"].as_array().unwrap()).unwrap();
        let values = BTreeMap::from([("origin".to_owned(), listed)]);
        let origin = Arg::new("origin")
            .long("origin")
            .value_delimiter(',')
            .action(clap::ArgAction::Append);
        let command = with_defaults(Command::new("x").arg(origin), &values);
        let of = |arguments: &[&str]| {
            let matches = command.clone().get_matches_from(arguments);
            let values = matches.get_many::<String>("origin").unwrap();
            (
                values.cloned().collect::<Vec<_>>(),
                effective(&command, &matches),
            )
        };
        let (origins, printed) = of(&["x"]);
        assert_eq!(origins, ["https://a", "https://b"]);
        assert_eq!(printed, "origin = \"https://a,https://b\"\n");
        assert_eq!(
            of(&["x", "--origin", "c", "--origin", "d,e"]).0,
            ["c", "d", "e"]
        );
        assert_eq!(list(&[toml::Value::Integer(1)]), None);
    }

    #[test]
    fn an_unknown_key_is_an_error_that_lists_the_known_ones() {
        let values = BTreeMap::from([("lisen".to_owned(), "b".to_owned())]);
        let error = check_keys(&command(), Path::new("f.toml"), &values)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("\"lisen\"") && error.contains("data, listen"),
            "{error}"
        );
    }
}
