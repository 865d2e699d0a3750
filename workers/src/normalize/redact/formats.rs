//! Secrets that are known by their form: keys of known makers, addresses that are secrets, PEM blocks. Pure.
//!
//! The forms are data (`formats.toml`), read once.

use std::ops::Range;
use std::sync::LazyLock;

use serde::Deserialize;

use super::scan::{is_word, length};

/// The table as it is written. What only readers and tests use of it is left out here.
#[derive(Deserialize)]
struct Table {
    token: Vec<TokenForm>,
    address: Vec<AddressForm>,
    block: Vec<BlockForm>,
}

/// Words that begin alike.
#[derive(Deserialize)]
struct TokenForm {
    start: Vec<String>,
    /// So many characters follow at least.
    least: usize,
}

#[derive(Deserialize)]
struct AddressForm {
    start: String,
}

#[derive(Deserialize)]
struct BlockForm {
    begin: String,
    end: String,
}

struct Forms {
    /// Start and least length of what follows, by the first byte of the start: most words begin with none of them.
    tokens: Vec<Vec<(String, usize)>>,
    addresses: Vec<String>,
    blocks: Vec<BlockForm>,
}

static FORMS: LazyLock<Forms> = LazyLock::new(|| {
    let Table {
        token,
        address,
        block,
    } = toml::from_str(include_str!("formats.toml")).expect("formats.toml is a table of forms");
    let mut tokens = vec![Vec::new(); 1 << u8::BITS];
    for TokenForm { start, least } in token {
        for start in start {
            let first = start.bytes().next().unwrap_or_default();
            tokens[usize::from(first)].push((start, least));
        }
    }
    Forms {
        tokens,
        addresses: address.into_iter().map(|form| form.start).collect(),
        blocks: block,
    }
});

/// What closes the line that begins a block.
const DASHES: &str = "-----";
/// The longest label of a block, in bytes.
const MAX_LABEL: usize = 64;

/// The length of the key of a known maker that `text` begins with.
pub fn token(text: &str) -> Option<usize> {
    let first = text.bytes().next()?;
    FORMS.tokens[usize::from(first)]
        .iter()
        .find_map(|(start, least)| {
            let rest = text.strip_prefix(start.as_str())?;
            let follows = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.".contains(byte);
            let more = rest.bytes().take_while(follows).count();
            (more >= *least).then_some(start.len() + more)
        })
}

/// The secret part of an address that lets anyone who knows it write, with which `text` begins.
pub fn address(text: &str) -> Option<Range<usize>> {
    let starts = |start: &&String| text.starts_with(start.as_str());
    let start = FORMS.addresses.iter().find(starts)?.len();
    let secret = length(&text[start..], |c| is_word(c) || "/:".contains(c));
    (secret > 0).then_some(start..start + secret)
}

/// The text within the block that `text` begins with. One without an end reaches to the end of the text.
pub fn block(text: &str) -> Option<Range<usize>> {
    FORMS.blocks.iter().find_map(|BlockForm { begin, end }| {
        let label = text.strip_prefix(begin.as_str())?;
        let label = &label[..label.floor_char_boundary(MAX_LABEL)];
        let start = begin.len() + label.find(DASHES)? + DASHES.len();
        let end = text[start..]
            .find(end.as_str())
            .map_or(text.len(), |length| start + length);
        Some(start..end)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::normalize::redact::{MAX_READ, REDACTED, redacted_head};

    /// One form with what is said of it.
    #[derive(Deserialize)]
    struct Described {
        maker: String,
        #[serde(default)]
        source: Option<String>,
        hidden: Vec<String>,
        kept: Vec<String>,
    }

    /// Whether an example is found by its form.
    type IsFound = fn(&str) -> bool;

    fn described(kind: &str) -> Vec<Described> {
        let table: toml::Table = toml::from_str(include_str!("formats.toml")).expect("a table");
        let forms = table[kind].clone().try_into();
        forms.unwrap_or_else(|error| panic!("{kind}: {error}"))
    }

    /// An example with its `<20>` and `<A20>` as letters.
    fn expanded(example: &str) -> String {
        let mut parts = example.split('<');
        let mut text = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (count, rest) = part.split_once('>').expect("a closed <20>");
            let (word, count) = match count.strip_prefix('A') {
                Some(count) => ("EXAMPLE", count),
                None => ("example", count),
            };
            let count = count.parse().expect("a number");
            text.extend(word.chars().cycle().take(count));
            text.push_str(rest);
        }
        text
    }

    /// What is left of an example, and how many secrets it had.
    fn redacted(text: &str) -> (String, u32) {
        let redacted = redacted_head(text, MAX_READ);
        (redacted.text, redacted.secrets)
    }

    #[test]
    fn examples_of_each_form_are_hidden_and_near_misses_stay() {
        let finders: [(&str, IsFound); 3] = [
            ("token", |text| token(text) == Some(text.len())),
            ("address", |text| {
                let address = text.strip_prefix("https://").expect("a URL");
                super::address(address).is_some_and(|secret| secret.end == address.len())
            }),
            ("block", |text| block(text).is_some()),
        ];
        for (kind, is_found) in finders {
            for form in described(kind) {
                let maker = form.maker;
                assert!(!form.hidden.is_empty() && !form.kept.is_empty(), "{maker}");
                assert!(form.source.is_none_or(|source| !source.is_empty()));
                for text in form.hidden.iter().map(|text| expanded(text)) {
                    assert!(is_found(&text), "{maker}: {text}");
                    let (hidden, secrets) = redacted(&text);
                    let is_gone = !hidden.to_lowercase().contains("exampleex");
                    assert!(is_gone && hidden.contains(REDACTED), "{maker}: {hidden}");
                    assert_eq!(secrets, 1, "{maker}: {text}");
                    let within = format!("run {text}");
                    assert_eq!(redacted(&within), (format!("run {hidden}"), 1));
                }
                for text in form.kept.iter().map(|text| expanded(text)) {
                    assert_eq!(redacted(&text), (text.clone(), 0), "{maker}");
                }
            }
        }
    }

    #[test]
    fn every_start_has_an_example_and_is_there_once() {
        let Table { token: forms, .. } =
            toml::from_str(include_str!("formats.toml")).expect("a table of forms");
        let examples: Vec<String> = described("token")
            .into_iter()
            .flat_map(|form| form.hidden)
            .collect();
        let mut starts: Vec<&String> = forms.iter().flat_map(|form| &form.start).collect();
        for start in &starts {
            let of_start = |example: &&String| {
                example
                    .strip_prefix(start.as_str())
                    .is_some_and(|rest| rest.starts_with('<'))
            };
            assert_eq!(examples.iter().filter(of_start).count(), 1, "{start}");
        }
        assert!(starts.len() >= 84, "{} starts", starts.len());
        starts.sort_unstable();
        let twice: Vec<_> = starts
            .windows(2)
            .filter(|pair| pair[0] == pair[1])
            .collect();
        assert!(twice.is_empty(), "{twice:?}");
    }
}
