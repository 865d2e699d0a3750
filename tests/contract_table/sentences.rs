//! The contract cut into what can be shown one by one: sentences of prose and bullets, and rows of tables.

/// One promise of the contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence {
    /// The headings it stands under, such as `Stored › Metrics`.
    pub heading: String,
    /// Its words as they are written, with single spaces; a row's cells are parted by ` | `.
    pub text: String,
}

impl Sentence {
    /// Whether it speaks of what is not built yet.
    pub fn is_planned(&self) -> bool {
        self.text.to_lowercase().contains("*planned*")
    }
}

/// The heading of the table that has one entry a code, not one a row.
const CODES: &str = "Errors";

/// Cuts a Markdown page. Its title, its examples in fences and the head rows of its tables are no promises.
pub fn cut(page: &str) -> Vec<Sentence> {
    let mut cutter = Cutter::default();
    let mut lines = page.lines().peekable();
    while let Some(line) = lines.next() {
        let is_head_row = lines.peek().is_some_and(|next| next.starts_with("|--"));
        cutter.line(line, is_head_row);
    }
    cutter.flush();
    cutter.sentences
}

#[derive(Default)]
struct Cutter {
    in_fence: bool,
    headings: Vec<(usize, String)>,
    paragraph: String,
    sentences: Vec<Sentence>,
}

impl Cutter {
    fn line(&mut self, line: &str, is_head_row: bool) {
        if line.starts_with("```") {
            self.flush();
            self.in_fence = !self.in_fence;
        } else if self.in_fence {
        } else if let Some((level, title)) = heading(line) {
            self.flush();
            self.headings.retain(|(above, _)| *above < level);
            self.headings.push((level, title.to_owned()));
        } else if line.starts_with('|') {
            self.flush();
            if !is_head_row && !line.starts_with("|--") {
                self.row(line);
            }
        } else {
            if line.trim().is_empty() || line.starts_with("- ") {
                self.flush();
            }
            self.paragraph
                .push_str(line.strip_prefix("- ").unwrap_or(line).trim());
            self.paragraph.push(' ');
        }
    }

    fn flush(&mut self) {
        for text in in_sentences(&std::mem::take(&mut self.paragraph)) {
            self.push(text);
        }
    }

    fn row(&mut self, line: &str) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let is_codes = self
            .headings
            .last()
            .is_some_and(|(_, title)| title == CODES);
        match (is_codes, &cells[..]) {
            (true, [status, codes]) => {
                for code in split_outside(codes, ",") {
                    self.push(format!("{status} {}", code.trim()));
                }
            }
            _ => {
                let full: Vec<&str> = cells.into_iter().filter(|cell| !cell.is_empty()).collect();
                self.push(full.join(" | "));
            }
        }
    }

    fn push(&mut self, text: String) {
        // The title is the page's name, not a place in it.
        let titles = self
            .headings
            .iter()
            .filter(|(level, _)| *level > 1)
            .map(|(_, title)| title.as_str());
        let heading = titles.collect::<Vec<_>>().join(" › ");
        self.sentences.push(Sentence { heading, text });
    }
}

fn heading(line: &str) -> Option<(usize, &str)> {
    let title = line.trim_start_matches('#');
    let level = line.len() - title.len();
    (level > 0 && title.starts_with(' ')).then_some((level, title.trim()))
}

/// A paragraph's sentences. One ends where a full stop is followed by a space and what can begin another.
fn in_sentences(paragraph: &str) -> Vec<String> {
    let words: Vec<&str> = paragraph.split_whitespace().collect();
    let text = words.join(" ");
    split_outside(&text, ". ")
        .into_iter()
        .map(str::to_owned)
        .collect()
}

/// Splits at `mark` where it stands outside code and parentheses; a mark's full stop stays with what it ends.
fn split_outside<'a>(text: &'a str, mark: &str) -> Vec<&'a str> {
    let (mut parts, mut start, mut in_code, mut depth) = (Vec::new(), 0, false, 0_i32);
    for (at, c) in text.char_indices() {
        match c {
            '`' => in_code = !in_code,
            '(' if !in_code => depth += 1,
            ')' if !in_code => depth -= 1,
            _ => {}
        }
        let rest = &text[at..];
        if in_code || depth > 0 || !rest.starts_with(mark) {
            continue;
        }
        let after = rest[mark.len()..].chars().next();
        if mark == ","
            || after.is_some_and(|c| c.is_uppercase() || c.is_numeric() || "`*\"(".contains(c))
        {
            let keep = usize::from(mark.starts_with('.'));
            parts.push(&text[start..at + keep]);
            start = at + mark.len();
        }
    }
    parts.push(&text[start..]);
    parts.retain(|part| !part.trim().is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(page: &str) -> Vec<String> {
        cut(page)
            .into_iter()
            .map(|sentence| sentence.text)
            .collect()
    }

    #[test]
    fn prose_and_bullets_are_cut_at_full_stops_outside_code_and_parentheses() {
        let page = "One `a. B` is\nlong. **Two.** It (as. So) is it, 1.5 of it. `three`\n- Four. Five:\n  on\n";
        assert_eq!(
            texts(page),
            [
                "One `a. B` is long.",
                "**Two.** It (as. So) is it, 1.5 of it.",
                "`three`",
                "Four.",
                "Five: on"
            ]
        );
    }

    #[test]
    fn rows_are_one_promise_each_and_codes_too() {
        let table = "| a | b |\n|---|---|\n| `x` | |\n| 413 | `p`, `q` (no, `r`) |\n";
        assert_eq!(texts(table), ["`x`", "413 | `p`, `q` (no, `r`)"]);
        let codes = texts(&format!("### {CODES}\n{table}"));
        assert_eq!(codes, ["413 `p`", "413 `q` (no, `r`)"]);
    }

    #[test]
    fn a_sentence_knows_its_headings_and_fences_are_examples() {
        let page =
            "# Title\n## A\n### B\nIn b.\n```json\nNo. Promise.\n```\n## C\nIn c, *planned*.\n";
        let cut = cut(page);
        let headings: Vec<&str> = cut
            .iter()
            .map(|sentence| sentence.heading.as_str())
            .collect();
        assert_eq!(headings, ["A › B", "C"]);
        assert_eq!(
            cut.iter().map(Sentence::is_planned).collect::<Vec<_>>(),
            [false, true]
        );
    }
}
