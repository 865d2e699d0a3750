//! Which test shows which promise: the lines `/// Contract: …` over tests.

/// One test that cites one anchor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Citation {
    /// The anchor's name.
    pub anchor: String,
    /// `path::name` of the test.
    pub test: String,
}

const MARK: &str = "/// Contract:";

/// The citations of one source file, and a complaint for each that belongs to no test.
pub fn citations(path: &str, text: &str) -> (Vec<Citation>, Vec<String>) {
    let mut found = Vec::new();
    let mut complaints = Vec::new();
    let mut pending = Vec::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if let Some(anchors) = line.strip_prefix(MARK) {
            pending.extend(anchors.split(',').map(|anchor| anchor.trim().to_owned()));
        } else if line.starts_with("#[") {
            is_test |= line.contains("test");
        } else if !line.starts_with("///") {
            let name = function(line).filter(|name| is_test || is_listed(text, name));
            for anchor in pending.drain(..) {
                match name {
                    Some(name) => found.push(Citation {
                        anchor,
                        test: format!("{path}::{name}"),
                    }),
                    None => {
                        complaints
                            .push(format!("{path}: no test follows the citation of {anchor}"));
                    }
                }
            }
            is_test = false;
        }
    }
    (found, complaints)
}

/// The name of the function that a line begins.
fn function(line: &str) -> Option<&str> {
    let line = line.strip_prefix("async ").unwrap_or(line);
    line.strip_prefix("fn ")?
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .next()
}

/// Whether the file runs the function on both stores (`harness::on_both_stores!`).
fn is_listed(text: &str, name: &str) -> bool {
    let lists = text
        .split("on_both_stores!(")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    lists
        .flat_map(|list| list.split(','))
        .any(|listed| listed.trim() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_citation_belongs_to_the_test_below_it() {
        let text = "/// Shows it.\n/// Contract: a.one, a.two\n/// Contract: b\n#[tokio::test(flavor = \
        \"x\")]\nasync fn shown() {\n}\n";
        let (found, complaints) = citations("t.rs", text);
        assert_eq!((found.len(), complaints.len()), (3, 0));
        assert_eq!(
            found[1],
            Citation {
                anchor: "a.two".to_owned(),
                test: "t.rs::shown".to_owned()
            }
        );
        let both = "/// Contract: x\nasync fn case(e: Engine) {\n}\nharness::on_both_stores!(\n    other,\n   \
         case,\n);\n";
        assert_eq!(citations("t.rs", both).0[0].test, "t.rs::case");
    }

    #[test]
    fn a_citation_over_no_test_is_named() {
        for text in [
            "/// Contract: x\nasync fn helper() {}\n",
            "/// Contract: x\nconst X: u8 = 1;\n",
        ] {
            let (found, complaints) = citations("t.rs", text);
            assert!(found.is_empty());
            assert_eq!(complaints, ["t.rs: no test follows the citation of x"]);
        }
    }
}
