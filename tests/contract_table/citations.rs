//! Which test says that it shows which promise: the lines `/// Promise: …` over tests.

/// One test that cites one promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Citation {
    /// The promise's words, or enough of them.
    pub words: String,
    /// `path::name` of the test.
    pub test: String,
}

const MARK: &str = "/// Promise:";

/// The citations of one source file, and a complaint for each that belongs to no test.
pub fn citations(path: &str, text: &str) -> (Vec<Citation>, Vec<String>) {
    let (mut found, mut complaints) = (Vec::new(), Vec::new());
    let (mut pending, mut is_test) = (Vec::new(), false);
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(words) = line.strip_prefix(MARK) {
            pending.push((
                number + 1,
                words.split_whitespace().collect::<Vec<_>>().join(" "),
            ));
        } else if line.starts_with("#[") {
            is_test |= line.contains("test");
        } else if !line.starts_with("///") {
            let name = function(line).filter(|name| is_test || is_listed(text, name));
            for (number, words) in pending.drain(..) {
                match name {
                    Some(name) => found.push(Citation {
                        words,
                        test: format!("{path}::{name}"),
                    }),
                    None => complaints.push(format!(
                        "{path}:{number}: no test follows, move it over one: {words}"
                    )),
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
        let text = "/// Shows it.\n/// Promise: One  is so.\n/// Promise: two\n#[tokio::test(flavor = \"x\")]\nasync fn shown() {\n}\n";
        let (found, complaints) = citations("t.rs", text);
        assert_eq!((found.len(), complaints.len()), (2, 0));
        assert_eq!(
            found[0],
            Citation {
                words: "One is so.".to_owned(),
                test: "t.rs::shown".to_owned()
            }
        );
        let both = "/// Promise: x\nasync fn case(e: Engine) {\n}\nharness::on_both_stores!(\n    other,\n    case,\n);\n";
        assert_eq!(citations("t.rs", both).0[0].test, "t.rs::case");
    }

    #[test]
    fn a_citation_over_no_test_is_named() {
        for text in [
            "/// Promise: x\nasync fn helper() {}\n",
            "/// Promise: x\nconst X: u8 = 1;\n",
        ] {
            let (found, complaints) = citations("t.rs", text);
            assert!(
                found.is_empty() && complaints[0].starts_with("t.rs:1: no test follows"),
                "{complaints:?}"
            );
        }
    }
}
