//! Settings from flags, environment and an optional TOML file, in that order of precedence.
//!
//! The file's values become the *defaults* of the flags they name, so clap itself keeps the order
//! and checks file values as it checks flags.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{ArgMatches, Command};

use super::Settings;

/// Wrong usage or configuration: the program exits with 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// What came of the command line.
pub enum Loaded<S> {
    /// The settings to run with.
    Settings(S),
    /// `--print-config` has answered.
    Printed,
}

/// Flags of the frame that are no settings of the program.
const NO_SETTINGS: [&str; 3] = ["config", "print_config", "help"];

/// Reads command line, environment and file. Exits on `--help`, `--version` and bad flags, as clap does.
///
/// # Errors
/// Where the file cannot be read, names an unknown key, or a value does not fit.
pub fn load<S: Settings>() -> Result<Loaded<S>, Usage> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let mut command = S::command();
    if let Some(path) = file_named(&arguments) {
        let values = read(&path)?;
        check_keys(&command, &path, &values)?;
        command = with_defaults(command, &values);
    }
    let printed = command.clone();
    let matches = command.get_matches_from(arguments);
    let settings = S::from_arg_matches(&matches).map_err(|error| Usage(error.to_string()))?;
    if settings.frame().print_config {
        let text = effective(&printed, &matches);
        // The reader may have closed the pipe: nothing is lost.
        let _ = std::io::stdout().write_all(text.as_bytes());
        return Ok(Loaded::Printed);
    }
    Ok(Loaded::Settings(settings))
}

/// The file that `--config` or `DEVTRAIL_CONFIG` names; needed before the flags are parsed.
fn file_named(arguments: &[OsString]) -> Option<PathBuf> {
    let mut rest = arguments.iter().skip(1);
    while let Some(argument) = rest.next() {
        let Some(text) = argument.to_str() else { continue };
        match text.strip_prefix("--config") {
            Some("") => return rest.next().map(PathBuf::from),
            Some(value) if value.starts_with('=') => return Some(PathBuf::from(&value[1..])),
            _ => {}
        }
    }
    std::env::var_os("DEVTRAIL_CONFIG").map(PathBuf::from)
}

fn read(path: &Path) -> Result<BTreeMap<String, String>, Usage> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Usage(format!("The configuration file {shown} cannot be read: {error}.")))?;
    let table: toml::Table =
        text.parse().map_err(|error| Usage(format!("The configuration file {shown} is no TOML: {error}")))?;
    let plain = |(key, value): (String, toml::Value)| match value {
        toml::Value::String(text) => Ok((key, text)),
        toml::Value::Integer(_) | toml::Value::Float(_) | toml::Value::Boolean(_) => {
            Ok((key, value.to_string()))
        }
        _ => Err(Usage(format!("{key} in {shown} must be a string, a number, true or false."))),
    };
    table.into_iter().map(plain).collect()
}

fn check_keys(command: &Command, path: &Path, values: &BTreeMap<String, String>) -> Result<(), Usage> {
    let mut known = Vec::new();
    collect(command, &mut known);
    known.sort();
    known.dedup();
    match values.keys().find(|key| !known.contains(key)) {
        None => Ok(()),
        Some(key) => Err(Usage(format!(
            "{} has the unknown key {key:?}. Known keys: {}.",
            path.display(),
            known.join(", ")
        ))),
    }
}

fn collect(command: &Command, known: &mut Vec<String>) {
    let settings = command.get_arguments().filter(|arg| !NO_SETTINGS.contains(&arg.get_id().as_str()));
    known.extend(settings.filter_map(|arg| arg.get_long().map(str::to_owned)));
    command.get_subcommands().for_each(|sub| collect(sub, known));
}

fn with_defaults(command: Command, values: &BTreeMap<String, String>) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    let command = command.mut_args(|arg| match arg.get_long().and_then(|long| values.get(long)) {
        Some(value) => arg.default_value(value.clone()).required(false),
        None => arg,
    });
    names
        .into_iter()
        .fold(command, |command, name| command.mut_subcommand(name, |sub| with_defaults(sub, values)))
}

/// The settings of the chosen command as TOML.
fn effective(command: &Command, matches: &ArgMatches) -> String {
    let mut lines = String::new();
    let (mut command, mut matches) = (command, matches);
    loop {
        for arg in command.get_arguments() {
            let id = arg.get_id().as_str();
            let Some(long) = arg.get_long().filter(|_| !NO_SETTINGS.contains(&id)) else { continue };
            if let Ok(Some(mut values)) = matches.try_get_raw(id) {
                let value =
                    values.next().map(|value| value.to_string_lossy().into_owned()).unwrap_or_default();
                // Arguments marked `hide_env_values` are the secrets: --help hides them as well.
                let shown = if arg.is_hide_env_values_set() { "***".to_owned() } else { mask(&value) };
                lines += &format!("{long} = {}\n", typed(shown));
            }
        }
        let Some((name, sub)) = matches.subcommand() else { return lines };
        let Some(chosen) = command.find_subcommand(name) else { return lines };
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

/// A URL without its password.
fn mask(value: &str) -> String {
    let Some((scheme, rest)) = value.split_once("://") else { return value.to_owned() };
    let authority = &rest[..rest.find('/').unwrap_or(rest.len())];
    match authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':').map(|(name, _)| (user, name)))
    {
        Some((user, name)) => format!("{scheme}://{name}:***{}", &rest[user.len()..]),
        None => value.to_owned(),
    }
}

/// Reads a time span such as `10s`, `500ms`, `2m`, `1h`.
///
/// # Errors
/// Where the text is none.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 =
        text[..digits].parse().map_err(|_| format!("{text:?} is no time span; write 10s or 500ms"))?;
    match &text[digits..] {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number.saturating_mul(60))),
        "h" => Ok(Duration::from_secs(number.saturating_mul(3600))),
        _ => Err(format!("{text:?} has no unit among ms, s, m and h; write 10s or 500ms")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_urls_are_masked() {
        assert_eq!(mask("postgres://ada:secret@db:5432/x"), "postgres://ada:***@db:5432/x");
        assert_eq!(mask("nats://127.0.0.1:4222"), "nats://127.0.0.1:4222");
        assert_eq!(mask("info"), "info");
    }

    #[test]
    fn time_spans_need_their_unit() {
        assert_eq!(parse_duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert!(parse_duration("10").is_err() && parse_duration("s").is_err() && parse_duration("").is_err());
    }

    fn command() -> Command {
        use clap::Arg;
        let listen = Arg::new("listen").long("listen").default_value("a");
        Command::new("x")
            .arg(listen.clone())
            .subcommand(Command::new("up").arg(Arg::new("data").long("data")))
    }

    #[test]
    fn a_file_value_is_a_default_and_a_flag_goes_before_it() {
        let values =
            BTreeMap::from([("listen".to_owned(), "b".to_owned()), ("data".to_owned(), "d".to_owned())]);
        let get = |arguments: &[&str]| {
            let matches = with_defaults(command(), &values).get_matches_from(arguments);
            let data = matches.subcommand().and_then(|(_, sub)| sub.get_one::<String>("data").cloned());
            (matches.get_one::<String>("listen").cloned().unwrap(), data)
        };
        assert_eq!(get(&["x", "up"]), ("b".to_owned(), Some("d".to_owned())));
        assert_eq!(get(&["x", "--listen", "c"]).0, "c");
    }

    #[test]
    fn an_unknown_key_is_an_error_that_lists_the_known_ones() {
        let values = BTreeMap::from([("lisen".to_owned(), "b".to_owned())]);
        let error = check_keys(&command(), Path::new("f.toml"), &values).unwrap_err().to_string();
        assert!(error.contains("\"lisen\"") && error.contains("data, listen"), "{error}");
    }
}
