//! The administrator: who it is, and what they answer for: the reason that is kept, and the question before.

use std::io::{IsTerminal as _, Write as _};

use runtime::settings::UsageError;

/// Longest reason, in bytes: that of a dead letter's own.
const MAX_REASON: usize = 1024;

/// `user@host`.
pub fn administrator() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::getuid())
        .ok()
        .flatten();
    let user = user.map_or_else(|| nix::unistd::getuid().to_string(), |user| user.name);
    let host = nix::unistd::gethostname().map(|host| host.to_string_lossy().into_owned());
    format!("{user}@{}", host.unwrap_or_else(|_| "unknown".to_owned()))
}

/// Reads the reason of a decision, as the audit keeps it.
///
/// # Errors
/// Returns a sentence for the user if it is empty or too long.
pub fn parse_reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    match text.len() {
        0 => Err("the reason is empty; say why this is done".to_owned()),
        1..=MAX_REASON => Ok(text.to_owned()),
        length => Err(format!(
            "the reason has {length} bytes, the limit is {MAX_REASON}"
        )),
    }
}

/// Asks on the terminal, and gives whether the answer is yes. `warning` says what is at stake.
///
/// # Errors
/// Returns a [`UsageError`] with the warning if nobody can be asked, and an error if the terminal fails.
pub fn confirmed(warning: &str, question: &str) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(UsageError(format!("{warning} If nobody can be asked, say --yes.")).into());
    }
    let mut stderr = std::io::stderr();
    write!(stderr, "{question} [y/N] ")?;
    stderr.flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_neither_empty_nor_too_long() {
        assert_eq!(parse_reason(" disk died "), Ok("disk died".to_owned()));
        assert!(parse_reason("  ").unwrap_err().contains("say why"));
        assert!(
            parse_reason(&"x".repeat(2000))
                .unwrap_err()
                .contains("2000 bytes, the limit is 1024")
        );
    }
}
