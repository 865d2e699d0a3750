//! Where a JSON value ends, and from where on it can be none: byte by byte, in constant memory. Pure.

/// Arrays and objects within each other; serde_json reads no more.
const MAX_DEPTH: u32 = 127;

/// The shape of a value so far. Brackets, strings, commas and colons are checked; what stands between them, such as
/// how a number is written, is left to the parser.
#[derive(Debug, Default)]
pub struct Shape {
    /// A bit for each array or object that is open, the innermost lowest: 1 is an object.
    open: u128,
    depth: u32,
    expect: Expect,
    within: Within,
}

/// What may come next.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Expect {
    #[default]
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    CommaOrEnd,
}

/// In what the last byte was.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Within {
    #[default]
    Nothing,
    Text {
        is_key: bool,
        is_escaped: bool,
    },
    /// A number, true, false or null.
    Word,
}

/// What a byte makes of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShapeStep {
    /// It goes on.
    More,
    /// It is whole.
    Whole,
    /// It was whole before this byte.
    WholeBefore,
    /// It is no JSON.
    Wrong,
}

impl Shape {
    /// Whether a text, number, true, false or null may begin so.
    pub fn begins_scalar(byte: u8) -> bool {
        byte == b'"' || is_of_word(byte)
    }

    /// Whether the value would be whole if nothing came behind it.
    pub fn is_whole(&self) -> bool {
        self.depth == 0 && self.within == Within::Word
    }

    /// Takes the next byte.
    pub fn step(&mut self, byte: u8) -> ShapeStep {
        match self.within {
            Within::Text { is_key, is_escaped } => return self.text(byte, is_key, is_escaped),
            Within::Word if is_of_word(byte) => return ShapeStep::More,
            Within::Word if self.depth == 0 => return ShapeStep::WholeBefore,
            Within::Word | Within::Nothing => self.within = Within::Nothing,
        }
        let wants_value = matches!(self.expect, Expect::Value | Expect::ValueOrEnd);
        let wants_key = matches!(self.expect, Expect::Key | Expect::KeyOrEnd);
        let is_object = self.open & 1 == 1;
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => ShapeStep::More,
            b'"' if wants_value || wants_key => {
                self.within = Within::Text {
                    is_key: wants_key,
                    is_escaped: false,
                };
                ShapeStep::More
            }
            b'{' | b'[' if wants_value && self.depth < MAX_DEPTH => {
                self.open = self.open << 1 | u128::from(byte == b'{');
                self.depth += 1;
                self.expect = if byte == b'{' {
                    Expect::KeyOrEnd
                } else {
                    Expect::ValueOrEnd
                };
                ShapeStep::More
            }
            b'}' if is_object && matches!(self.expect, Expect::KeyOrEnd | Expect::CommaOrEnd) => {
                self.close()
            }
            b']' if !is_object
                && self.depth > 0
                && matches!(self.expect, Expect::ValueOrEnd | Expect::CommaOrEnd) =>
            {
                self.close()
            }
            b',' if self.depth > 0 && self.expect == Expect::CommaOrEnd => {
                self.expect = if is_object {
                    Expect::Key
                } else {
                    Expect::Value
                };
                ShapeStep::More
            }
            b':' if self.expect == Expect::Colon => {
                self.expect = Expect::Value;
                ShapeStep::More
            }
            byte if wants_value && is_of_word(byte) => {
                self.within = Within::Word;
                self.expect = Expect::CommaOrEnd;
                ShapeStep::More
            }
            _ => ShapeStep::Wrong,
        }
    }

    fn text(&mut self, byte: u8, is_key: bool, is_escaped: bool) -> ShapeStep {
        match byte {
            // Neither stands in a text as it is: the line was cut off.
            b'\n' | 0 => return ShapeStep::Wrong,
            b'"' if !is_escaped => {
                self.within = Within::Nothing;
                self.expect = if is_key {
                    Expect::Colon
                } else {
                    Expect::CommaOrEnd
                };
                return match self.depth {
                    0 => ShapeStep::Whole,
                    _ => ShapeStep::More,
                };
            }
            _ => {}
        }
        self.within = Within::Text {
            is_key,
            is_escaped: byte == b'\\' && !is_escaped,
        };
        ShapeStep::More
    }

    fn close(&mut self) -> ShapeStep {
        self.open >>= 1;
        self.depth -= 1;
        self.expect = Expect::CommaOrEnd;
        match self.depth {
            0 => ShapeStep::Whole,
            _ => ShapeStep::More,
        }
    }
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// How the value that `text` begins with ends, and how many bytes it has.
    fn read(text: &[u8]) -> (ShapeStep, usize) {
        let mut shape = Shape::default();
        for (at, byte) in text.iter().enumerate() {
            match shape.step(*byte) {
                ShapeStep::More => {}
                ShapeStep::Whole => return (ShapeStep::Whole, at + 1),
                ended => return (ended, at),
            }
        }
        (ShapeStep::More, text.len())
    }

    #[test]
    fn a_value_ends_with_its_bracket_or_before_what_follows() {
        for (text, expected) in [
            ("{}{}", (ShapeStep::Whole, 2)),
            (r#"{"a":"}\"]"} x"#, (ShapeStep::Whole, 12)),
            ("12,", (ShapeStep::WholeBefore, 2)),
            (r#""a,\\"]"#, (ShapeStep::Whole, 6)),
            ("{\n\"a\": [1, {\"b\": null}\n]}", (ShapeStep::Whole, 25)),
            ("{\"a\":1 {", (ShapeStep::Wrong, 7)),
            ("{\"a\":1,}", (ShapeStep::Wrong, 7)),
            ("{\"a\":\"x\n", (ShapeStep::Wrong, 7)),
            ("{\"a\"\0", (ShapeStep::Wrong, 4)),
            ("{]", (ShapeStep::Wrong, 1)),
            ("{\"a\":[1", (ShapeStep::More, 7)),
        ] {
            assert_eq!(read(text.as_bytes()), expected, "{text:?}");
        }
        let deep = "[".repeat(128);
        assert_eq!(read(deep.as_bytes()), (ShapeStep::Wrong, 127));
    }

    proptest! {
        #[test]
        fn every_json_object_is_whole_at_its_end_and_nowhere_before(
            keys in proptest::collection::vec(".{0,6}", 0..5), text in ".{0,20}", number in any::<f64>(),
            pretty in any::<bool>()
        ) {
            let mut value = serde_json::json!({});
            for key in keys {
                value = serde_json::json!({key: [value, text, number, null, {"x": {}}]});
            }
            let text = if pretty { format!("{value:#}") } else { value.to_string() };
            prop_assert_eq!(read(format!("{text}\n{{").as_bytes()), (ShapeStep::Whole, text.len()));
            for end in 0..text.len() {
                prop_assert_eq!(read(&text.as_bytes()[..end]).0, ShapeStep::More, "{:?}", &text.as_bytes()[..end]);
            }
        }
    }
}
