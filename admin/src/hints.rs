//! Words that are no command, but that people try: each gets the command they mean. Pure.

/// What each word most likely means.
pub const HINTS: [(&str, &str); 19] = [
    ("start", "`devtrail up` starts everything."),
    ("run", "`devtrail up` starts everything."),
    ("serve", "`devtrail up` starts everything."),
    ("server", "`devtrail up` starts everything."),
    (
        "init",
        "`devtrail up` makes what it needs on its first start.",
    ),
    (
        "stop",
        "Ctrl-C or SIGTERM stops `devtrail up`; nothing acknowledged is lost.",
    ),
    (
        "down",
        "Ctrl-C or SIGTERM stops `devtrail up`; nothing acknowledged is lost.",
    ),
    (
        "restart",
        "Stop `devtrail up` with Ctrl-C, then start it again: nothing acknowledged is lost.",
    ),
    (
        "log",
        "`devtrail up` logs to stderr; `devtrail trace` shows what happened to a batch or event.",
    ),
    (
        "logs",
        "`devtrail up` logs to stderr; `devtrail trace` shows what happened to a batch or event.",
    ),
    (
        "login",
        "There are no accounts: `devtrail keys create DEVELOPER` makes a key, and --key-file names it.",
    ),
    ("key", "`devtrail keys` makes, lists and revokes API keys."),
    (
        "users",
        "`devtrail keys list` shows who has a key, `devtrail developers list` who has settings.",
    ),
    ("ps", "`devtrail status` shows the processes."),
    (
        "health",
        "`devtrail status` shows streams, lag and processes; the collector answers /health/ready.",
    ),
    (
        "report",
        "`devtrail stats` shows your days, `devtrail metrics show --all` everyone's.",
    ),
    (
        "week",
        "`devtrail stats` shows your newest days; --from and --to choose others.",
    ),
    (
        "yesterday",
        "`devtrail stats` shows your newest days; --from and --to choose others.",
    ),
    (
        "config",
        "`devtrail up --print-config` prints the settings in effect.",
    ),
];

/// What to say to somebody who tries this word as a command.
#[must_use]
pub fn hint(word: &str) -> Option<String> {
    let (_, meant) = HINTS.iter().find(|(known, _)| *known == word)?;
    Some(format!(
        "There is no command {word:?}. {meant} `devtrail --help` lists all commands."
    ))
}
