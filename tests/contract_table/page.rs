//! The anchors of the contract's page: `<a id=NAME></a>` at the end of what it promises.

/// The name of one promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// Such as `event.ids`.
    pub name: String,
    /// The headings above it, such as `Commands › Verifying`.
    pub heading: String,
}

const OPEN: &str = "<a id=";
const CLOSE: &str = "></a>";
/// The last section: what it names does not exist yet, so it promises nothing (`tests/docs/planned.rs`).
const PLANNED: &str = "\n## Planned\n";

/// A paragraph, a list item or a row of a table.
#[derive(Debug, Default)]
struct Block {
    text: String,
    is_row: bool,
}

/// The anchors in order, and a complaint for each paragraph, list item or row that has none. What comes
/// before the first section or is planned, and examples in fences, need none. A table's rows have each an anchor, or
/// none if the block before the table has one.
pub fn anchors(page: &str) -> (Vec<Anchor>, Vec<String>) {
    let mut reader = Reader::default();
    let promised = page.split(PLANNED).next().unwrap_or_default();
    let mut lines = promised.lines().peekable();
    while let Some(line) = lines.next() {
        let is_head_row = lines.peek().is_some_and(|next| next.starts_with("|--"));
        if !is_head_row {
            reader.line(line);
        }
    }
    reader.end_block();
    reader.end_table();
    (reader.anchors, reader.complaints)
}

#[derive(Default)]
struct Reader {
    in_fence: bool,
    headings: Vec<(usize, String)>,
    block: Block,
    /// For each row of the table so far: its text, and whether it has an anchor.
    rows: Vec<(String, bool)>,
    /// Whether the block before the table has an anchor.
    is_introduced: bool,
    anchors: Vec<Anchor>,
    complaints: Vec<String>,
}

impl Reader {
    fn line(&mut self, line: &str) {
        let is_row = line.starts_with('|');
        let is_fence = line.starts_with("```");
        let heading = heading(line).filter(|_| !self.in_fence);
        let begins_block = is_row || is_fence || heading.is_some() || line.starts_with("- ");
        if begins_block || line.trim().is_empty() {
            self.end_block();
        }
        if is_fence {
            self.in_fence = !self.in_fence;
        } else if self.in_fence || line.starts_with("|--") {
        } else if let Some((level, title)) = heading {
            self.end_table();
            self.is_introduced = false;
            self.headings.retain(|(above, _)| *above < level);
            self.headings.push((level, title.to_owned()));
        } else {
            self.block.is_row = is_row;
            self.block.text.push_str(line.trim());
            self.block.text.push(' ');
        }
    }

    fn end_block(&mut self) {
        let Block { text, is_row } = std::mem::take(&mut self.block);
        if text.trim().is_empty() || self.headings.len() < 2 {
            return;
        }
        let names: Vec<&str> = text
            .split(OPEN)
            .skip(1)
            .filter_map(|rest| Some(rest.split_once(CLOSE)?.0))
            .collect();
        let headings: Vec<&str> = self.headings[1..].iter().map(|(_, t)| t.as_str()).collect();
        self.anchors.extend(names.iter().map(|name| Anchor {
            name: (*name).to_owned(),
            heading: headings.join(" › "),
        }));
        let is_named = !names.is_empty();
        if is_row {
            self.rows.push((text, is_named));
            return;
        }
        self.end_table();
        self.is_introduced = is_named;
        if !is_named {
            self.complaints.push(format!("no anchor: {}", text.trim()));
        }
    }

    fn end_table(&mut self) {
        let rows = std::mem::take(&mut self.rows);
        if self.is_introduced && !rows.iter().any(|(_, is_named)| *is_named) {
            return;
        }
        for (text, _) in rows.into_iter().filter(|(_, is_named)| !is_named) {
            self.complaints.push(format!("no anchor: {}", text.trim()));
        }
    }
}

fn heading(line: &str) -> Option<(usize, &str)> {
    let title = line.trim_start_matches('#');
    let level = line.len() - title.len();
    (level > 0 && title.starts_with(' ')).then_some((level, title.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_know_their_headings_and_what_is_planned_has_none() {
        let page = "# T\nIntro.\n## A\n### B\nOne.\nTwo. <a id=a.b></a>\n```json\nNo <a id=x></a>\n```\n\
            ## C\nIt. <a id=c></a>\n- Three,\n  and on. <a id=c.d></a> <a id=c.e></a>\n\n## Planned\nFour.\n- Five.\n";
        let (anchors, complaints) = anchors(page);
        let found: Vec<(&str, &str)> = anchors
            .iter()
            .map(|one| (one.heading.as_str(), one.name.as_str()))
            .collect();
        let expected = [("A › B", "a.b"), ("C", "c"), ("C", "c.d"), ("C", "c.e")];
        assert_eq!(found, expected);
        assert_eq!(complaints, Vec::<String>::new());
    }

    #[test]
    fn what_has_no_anchor_is_named() {
        let page = "# T\n## A\nOne.\n\n- Two. <a id=a></a>\n- Three.\n";
        assert_eq!(anchors(page).1, ["no anchor: One.", "no anchor: - Three."]);
    }

    #[test]
    fn rows_have_each_an_anchor_or_one_before_the_table() {
        let table = |before: &str, first: &str, second: &str| {
            let page =
                format!("# T\n## A\n{before}\n\n| h |\n|---|\n| x{first} |\n| y{second} |\n");
            anchors(&page).1
        };
        let none = Vec::<String>::new();
        assert_eq!(table("In. <a id=a></a>", "", ""), none);
        assert_eq!(table("", " <a id=a></a>", " <a id=b></a>"), none);
        let mixed = table("In. <a id=a></a>", " <a id=b></a>", "");
        assert_eq!(mixed, ["no anchor: | y |"]);
        assert_eq!(table("", "", "").len(), 2);
    }
}
