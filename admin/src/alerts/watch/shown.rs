//! An alert as a terminal shows it. Pure.

use serde_json::Value;

use crate::output;

/// An alert as the collector gives it.
#[derive(Clone, Copy)]
pub struct ShownAlert<'a>(pub &'a Value);

impl ShownAlert<'_> {
    /// A text of the alert; empty if it has none of the name. Nothing in it steers a terminal.
    #[must_use]
    pub fn member(&self, name: &str) -> String {
        let text = self.0[name].as_str().unwrap_or_default();
        output::plain(text).replace('\n', " ")
    }

    /// What tells the same revision when it comes again.
    #[must_use]
    pub fn revision(&self) -> (String, u64) {
        let revision = self.0["revision"].as_u64();
        (self.member("alert_id"), revision.unwrap_or_default())
    }

    /// Whether it is raised, not retracted.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        self.0["state"] == "raised"
    }

    /// A line, and if it is raised two more: why it matters, and the first thing to do.
    #[must_use]
    pub fn text(&self, in_colour: bool) -> String {
        let time = output::written_time(&self.member("published_at"));
        let title = self.member("title");
        if !self.is_raised() {
            return format!("{time} retracted: {title}");
        }
        let severity = self.member("severity");
        let severity = match colour(&severity).filter(|_| in_colour) {
            Some(colour) => format!("\x1b[{colour}m{severity}\x1b[0m"),
            None => severity,
        };
        let mut text = format!("{time} {severity}: {title}");
        let action = self.0["actions"][0].as_str().map(output::plain);
        for (word, line) in [("why", Some(self.member("why"))), ("do", action)] {
            if let Some(line) = line.filter(|line| !line.is_empty()) {
                text.push_str(&format!("\n    {word}: {}", line.replace('\n', " ")));
            }
        }
        text
    }
}

/// The SGR parameters of a severity.
fn colour(severity: &str) -> Option<&'static str> {
    Some(match severity {
        "critical" => "1;31",
        "high" => "31",
        "warning" => "33",
        "info" => "34",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_alert_is_a_line_with_why_and_what_to_do() {
        let alert = json!({
            "alert_id": "a1", "revision": 2, "state": "raised", "severity": "high",
            "title": "Two\nlines \u{1b}[31m", "why": "It rewrites.", "actions": ["Tell others.", "Or not."],
            "published_at": "2026-03-03T11:00:00.25+01:00",
        });
        let expected = "2026-03-03T10:00:00Z high: Two lines \u{fffd}[31m
    why: It rewrites.
    do: Tell others.";
        assert_eq!(ShownAlert(&alert).text(false), expected);
        assert!(
            ShownAlert(&alert)
                .text(true)
                .contains("\u{1b}[31mhigh\u{1b}[0m: Two")
        );
        assert_eq!(ShownAlert(&alert).revision(), ("a1".to_owned(), 2));
    }

    #[test]
    fn one_that_is_retracted_or_says_little_is_a_line() {
        let alert =
            json!({"state": "retracted", "title": "t", "why": "w", "published_at": "never"});
        assert_eq!(ShownAlert(&alert).text(true), "never retracted: t");
        let bare = json!({"state": "raised", "severity": "odd", "actions": []});
        assert_eq!(ShownAlert(&bare).text(true), " odd: ");
    }
}
