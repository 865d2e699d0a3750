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
#[must_use]
pub fn is_equivalent(one: &[u8], other: &[u8]) -> bool {
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
    super::borrowed(text).ok()?;
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn same(one: &str, other: &str) -> bool {
        is_equivalent(one.as_bytes(), other.as_bytes())
    }

    #[test]
    fn spacing_escapes_and_order_do_not_change_the_meaning() {
        assert!(same(r#"{"a":1,"b":"\u0041"}"#, r#"{ "b" : "A", "a" : 1 }"#));
        assert!(
            same("[ ]", "[]") && same("{\n}", "{}") && same(r#""\"\\""#, r#" "\u0022\u005c" "#)
        );
        assert!(!same(r#"{"a":1}"#, r#"{"a":2}"#) && !same(r#"{"a":1}"#, r#"{"a":1,"b":1}"#));
        assert!(!same("[1,2]", "[2,1]") && !same("true", "false") && !same("null", r#""null""#));
    }

    #[test]
    fn integers_compare_by_digits_and_other_numbers_as_doubles() {
        for (one, other) in [
            ("1", "1.0"),
            ("0", "-0"),
            ("-0.0", "0"),
            ("1.50", "15e-1"),
            ("1E2", "100"),
        ] {
            assert!(same(one, other) && same(other, one), "{one} {other}");
        }
        for (one, other) in [
            ("9007199254740992", "9007199254740993"),
            ("18446744073709551616", "18446744073709551617"),
            ("100000000000000000000001", "100000000000000000000002"),
            ("1", "-1"),
            ("1", "1.5"),
        ] {
            assert!(!same(one, other) && !same(other, one), "{one} {other}");
        }
    }

    #[test]
    fn what_is_no_json_means_nothing() {
        for text in [
            "",
            "{",
            "nul",
            "[1,]",
            "01",
            "1e400",
            r#""\ud800""#,
            &"[".repeat(200),
        ] {
            assert!(!same(text, text), "{text}");
        }
    }

    /// JSON texts over few values, so that two of them are often the same.
    fn texts() -> impl Strategy<Value = String> {
        let number = (0..3_u64, 0..4_u8).prop_map(|(n, how)| match how {
            0 => n.to_string(),
            1 => format!("{n}.0"),
            2 => format!("{n}e0"),
            _ => (9_007_199_254_740_992 + n).to_string(),
        });
        let leaf = prop_oneof![
            Just("null".to_owned()),
            Just(" true".to_owned()),
            "\"[a-c{},\\[\\] ]{0,2}\"".prop_map(|text| text),
            number,
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            let members = prop::collection::vec(("[ab]", inner.clone()), 0..3);
            let object = members.prop_map(|members| {
                let members: Vec<String> = members
                    .iter()
                    .map(|(name, value)| format!("\"{name}\" :{value}"))
                    .collect();
                format!("{{{}}}", members.join(" ,"))
            });
            let list = prop::collection::vec(inner, 0..3)
                .prop_map(|list| format!("[{} ]", list.join(", ")));
            prop_oneof![object, list]
        })
    }

    /// Whether no number is written as a double.
    fn integers_only(text: &str) -> bool {
        !text.contains(".0") && !text.contains("e0")
    }

    proptest! {
        #[test]
        fn the_same_meaning_goes_both_ways(one in texts(), other in texts()) {
            prop_assert_eq!(same(&one, &other), same(&other, &one));
            prop_assert!(same(&one, &one), "{}", one);
        }

        #[test]
        fn without_doubles_it_is_what_a_reader_of_json_says(one in texts(), other in texts()) {
            prop_assume!(integers_only(&one) && integers_only(&other));
            let a = crate::json::value(&one).unwrap();
            let b = crate::json::value(&other).unwrap();
            prop_assert_eq!(same(&one, &other), a == b, "{} {}", one, other);
        }
    }
}
