//! What a person needs once `devtrail up` is ready: its address, and what to do next. Pure.

use std::path::Path;

/// The body of a first batch, in single quotes of a shell.
const FIRST_BATCH: &str = concat!(
    r#"{"batch_id":"first","sent_at":"'$NOW'","schema_version":"1.0","events":[{"#,
    r#""id":"hello-1","type":"file.saved","occurred_at":"'$NOW'","#,
    r#""data":{"path":"src/main.rs","language":"rust"}}]}"#
);

/// What was started.
pub struct NextSteps<'a> {
    /// The collector's URL.
    pub url: &'a str,
    /// The folder's absolute path.
    pub folder: &'a Path,
    /// Whether the first key was made now.
    pub key_is_new: bool,
}

impl NextSteps<'_> {
    /// The text, with commands to paste in any folder; `program` is how this one was called.
    #[must_use]
    pub fn text(&self, program: &str) -> String {
        let Self { url, folder, .. } = self;
        let key = quoted(&folder.join("api-key").display().to_string());
        let data = quoted(&folder.display().to_string());
        let program = quoted(if program.is_empty() {
            "devtrail"
        } else {
            program
        });
        let is_new = if self.key_is_new {
            "A first API key, of developer me, is in"
        } else {
            "The first API key is in"
        };
        format!(
            r#"Devtrail listens on {url}
{is_new} {key}

Your own commits as metrics, from a second terminal in a git repository of yours:

  {program} import git . --data {data}
  {program} metrics show me --data {data}
  {program} metrics report me -o report.html --data {data}

Or a first event:

  NOW=$(date -u +%Y-%m-%dT%H:%M:%SZ); curl -sS {url}/v1/events \
    -H "Authorization: Bearer $(cat {key})" -H 'Content-Type: application/json' \
    -d '{FIRST_BATCH}'

Ctrl-C stops it.
"#
        )
    }
}

/// The text as one word of a shell.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_can_be_pasted_whatever_the_folder_is_called() {
        let folder = Path::new("/tmp/ada's data");
        let steps = NextSteps {
            url: "http://127.0.0.1:1",
            folder,
            key_is_new: true,
        };
        let text = steps.text("target/release/devtrail");
        assert!(
            text.contains(r"  target/release/devtrail import git . --data '/tmp/ada'\''s data'"),
            "{text}"
        );
        assert!(
            text.contains(r"$(cat '/tmp/ada'\''s data/api-key')"),
            "{text}"
        );
        assert!(text.starts_with(
            "Devtrail listens on http://127.0.0.1:1\nA first API key, of developer me, is in"
        ));
    }
}
