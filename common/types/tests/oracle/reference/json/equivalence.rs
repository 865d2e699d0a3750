//! Equivalence of JSON texts. Numbers are compared as they are written, not as they are read.

use std::collections::BTreeMap;

/// Whether two JSON texts mean the same. Spacing, escapes and member order do not count.
///
/// Two integers are the same if their digits are, however many they have. Any other two numbers are the same if they
/// are the same double, as most readers of JSON have them (RFC 8259, section 6). So `1` and `1.0` are the same, and two
/// different integers never are. A text that is not JSON, is nested deeper than 128, or has a number beyond a double's
/// range is equivalent to no text, not even itself.
///
/// Called only if the bytes already differ, such as when a client serialises its queue again.
pub(crate) fn is_equivalent(one: &[u8], other: &[u8]) -> bool {
    matches!((exact_value(one), exact_value(other)), (Some(a), Some(b)) if a == b)
}

/// A JSON value, its numbers as they are written.
#[derive(Debug, PartialEq)]
enum ExactValue<'a> {
    /// `null`, `true` or `false`.
    Word(&'a str),
    Number(Number<'a>),
    Text(String),
    List(Vec<ExactValue<'a>>),
    Object(BTreeMap<String, ExactValue<'a>>),
}

#[derive(Debug)]
struct Number<'a>(&'a str);

impl Number<'_> {
    fn is_integer(&self) -> bool {
        !self.0.contains(['.', 'e', 'E'])
    }
}

impl PartialEq for Number<'_> {
    fn eq(&self, other: &Self) -> bool {
        // JSON allows no leading zeros, so the same integer has the same digits; -0 is 0.
        let digits = |text| if text == "-0" { "0" } else { text };
        if self.is_integer() && other.is_integer() {
            return digits(self.0) == digits(other.0);
        }
        matches!((self.0.parse::<f64>(), other.0.parse::<f64>()), (Ok(a), Ok(b)) if a == b)
    }
}

fn exact_value(bytes: &[u8]) -> Option<ExactValue<'_>> {
    let text = std::str::from_utf8(bytes).ok()?;
    // The reader that admission uses checks the text: the code below meets only well-formed JSON of bounded depth.
    super::value(text).ok()?;
    Text(text).value()
}

/// The unread rest of a well-formed text.
struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    fn value(&mut self) -> Option<ExactValue<'a>> {
        self.skip(&[]);
        match self.0.as_bytes().first()? {
            b'{' => {
                let mut members = BTreeMap::new();
                self.each('}', |text| {
                    let name = text.string()?;
                    text.skip(&[':']);
                    members.insert(name, text.value()?);
                    Some(())
                })?;
                Some(ExactValue::Object(members))
            }
            b'[' => {
                let mut list = Vec::new();
                self.each(']', |text| {
                    list.push(text.value()?);
                    Some(())
                })?;
                Some(ExactValue::List(list))
            }
            b'"' => self.string().map(ExactValue::Text),
            b'a'..=b'z' => Some(ExactValue::Word(self.plain())),
            _ => Some(ExactValue::Number(Number(self.plain()))),
        }
    }

    /// Reads the elements of a list or object, its brackets as well.
    fn each(&mut self, end: char, mut element: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.0 = &self.0[1..];
        loop {
            self.skip(&[',']);
            match self.0.strip_prefix(end) {
                Some(rest) => {
                    self.0 = rest;
                    return Some(());
                }
                None => element(self)?,
            }
        }
    }

    fn string(&mut self) -> Option<String> {
        let mut escaped = false;
        let closing = self.0.bytes().enumerate().skip(1).find(|(_, byte)| {
            let closes = *byte == b'"' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            closes
        });
        let (string, rest) = self.0.split_at(closing?.0 + 1);
        self.0 = rest;
        serde_json::from_str(string).ok()
    }

    /// A number or a word: what comes before the next space, comma or bracket.
    fn plain(&mut self) -> &'a str {
        let end = self
            .0
            .find(|c: char| c.is_ascii_whitespace() || ",]}".contains(c));
        let (plain, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest;
        plain
    }

    fn skip(&mut self, marks: &[char]) {
        self.0 = self
            .0
            .trim_start_matches(|c: char| c.is_ascii_whitespace() || marks.contains(&c));
    }
}
