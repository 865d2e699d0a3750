//! Bytes of an input become JSON values: one a line, or over several lines, or the elements of an array. What is no
//! value is named by its line and passed over. Pure, and bounded whatever comes.

use super::json_shape::{Shape, ShapeStep};

/// Bytes of a value. A batch with a larger one fits in no message of NATS, whose limit is 8 MiB.
pub const MAX_VALUE: usize = 8 * 1024 * 1024;

/// What an editor writes before a text. Where files were put together it stands in the middle.
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A part of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Text in the shape of a JSON value, which begins on this line; lines count from 1.
    Value { line: u64, text: Vec<u8> },
    /// Something else, and why it is none. Each line is named once.
    Bad { line: u64, reason: String },
}

/// Cuts an input into pieces. It holds no more than one value and what was fed last.
#[derive(Debug)]
pub struct Splitter {
    /// What is not done with.
    input: Vec<u8>,
    /// Up to here it was looked at.
    at: usize,
    /// The line of `input`'s beginning while a value is open, else that of `at`.
    line: u64,
    /// Arrays that are open.
    arrays: usize,
    state: State,
    /// The last line that was named.
    named: u64,
    has_ended: bool,
}

#[derive(Debug)]
enum State {
    /// Between two values.
    Between,
    /// In a value, which begins at the start of `input`.
    Value(Shape),
    /// In a value that is too long to be kept, which began on this line.
    TooLong(Shape, u64),
    /// On the way to the end of a bad line.
    Skipping,
}

impl Default for Splitter {
    fn default() -> Self {
        Self {
            input: Vec::new(),
            at: 0,
            line: 1,
            arrays: 0,
            state: State::Between,
            named: 0,
            has_ended: false,
        }
    }
}

impl Splitter {
    /// Takes the next bytes; [`Iterator::next`] then gives the pieces that they complete.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// Says that no more bytes come.
    pub fn end(&mut self) {
        self.has_ended = true;
    }

    /// Looks at what lies between values. Gives a piece if it is bad; `None` if a value begins or nothing is left.
    fn between(&mut self) -> Option<Piece> {
        while let Some(byte) = self.input.get(self.at) {
            match byte {
                b'\n' => self.line += 1,
                // A power cut leaves NULs, and lists have commas.
                b' ' | b'\t' | b'\r' | b',' | 0 => {}
                b'[' => self.arrays += 1,
                b']' if self.arrays > 0 => self.arrays -= 1,
                b'{' => return self.open(),
                byte if self.arrays > 0 && Shape::begins_scalar(*byte) => return self.open(),
                0xef if self.input[self.at..].starts_with(BYTE_ORDER_MARK) => {
                    self.at += BYTE_ORDER_MARK.len() - 1;
                }
                0xef if !self.has_ended && BYTE_ORDER_MARK.starts_with(&self.input[self.at..]) => {
                    return None;
                }
                _ => {
                    self.state = State::Skipping;
                    return self.bad(self.line, "holds something that is no JSON object");
                }
            }
            self.at += 1;
        }
        self.input.clear();
        self.at = 0;
        if self.has_ended && self.arrays > 0 {
            self.arrays = 0;
            return self.bad(
                self.line,
                "ends within a JSON array: the input may be cut off",
            );
        }
        None
    }

    /// Begins a value.
    fn open(&mut self) -> Option<Piece> {
        self.input.drain(..self.at);
        self.at = 0;
        self.state = State::Value(Shape::default());
        None
    }

    /// Goes on with a value.
    fn value(&mut self, mut shape: Shape) -> Option<Piece> {
        while let Some(byte) = self.input.get(self.at) {
            match shape.step(*byte) {
                ShapeStep::More => self.at += 1,
                ShapeStep::Whole => {
                    self.at += 1;
                    return self.close();
                }
                ShapeStep::WholeBefore => return self.close(),
                ShapeStep::Wrong => return self.wrong(),
            }
        }
        if self.has_ended && shape.is_whole() {
            return self.close();
        }
        if self.has_ended {
            return self.wrong();
        }
        if self.input.len() > MAX_VALUE {
            let line = self.line;
            self.line += newlines(&self.input);
            self.input.clear();
            self.at = 0;
            self.state = State::TooLong(shape, line);
        } else {
            self.state = State::Value(shape);
        }
        None
    }

    /// Ends a value before `at`.
    fn close(&mut self) -> Option<Piece> {
        let text: Vec<u8> = self.input.drain(..self.at).collect();
        self.at = 0;
        let line = self.line;
        self.line += newlines(&text);
        self.state = State::Between;
        if text.len() > MAX_VALUE {
            return self.bad(line, &too_long());
        }
        Some(Piece::Value { line, text })
    }

    /// What seemed to be a value is none from `at` on.
    fn wrong(&mut self) -> Option<Piece> {
        let line = self.line;
        let wrong = self.input.get(self.at).copied();
        let begun = &self.input[..self.at];
        self.state = State::Between;
        // Only its first line is bad: those behind it may be values of their own.
        if let Some(end) = begun.iter().position(|byte| *byte == b'\n') {
            self.input.drain(..=end);
            self.at = 0;
            self.line += 1;
            return self.bad(line, "ends before its JSON object is whole");
        }
        let reason = match wrong {
            // Behind NULs there may be a value.
            Some(0) => "holds NUL bytes, as a power cut leaves them".to_owned(),
            None | Some(b'\n') => "ends before its JSON object is whole".to_owned(),
            Some(_) => {
                self.state = State::Skipping;
                format!("is no JSON at byte {} of its object", self.at + 1)
            }
        };
        self.bad(line, &reason)
    }

    /// Goes on with a value that is too long.
    fn too_long(&mut self, mut shape: Shape, line: u64) -> Option<Piece> {
        while let Some(byte) = self.input.get(self.at) {
            let step = shape.step(*byte);
            if matches!(step, ShapeStep::More | ShapeStep::Whole) {
                self.line += u64::from(*byte == b'\n');
                self.at += 1;
            }
            if step != ShapeStep::More {
                self.state = match step {
                    ShapeStep::Wrong => State::Skipping,
                    ShapeStep::More | ShapeStep::Whole | ShapeStep::WholeBefore => State::Between,
                };
                return self.bad(line, &too_long());
            }
        }
        self.input.clear();
        self.at = 0;
        if self.has_ended {
            return self.bad(line, &too_long());
        }
        self.state = State::TooLong(shape, line);
        None
    }

    /// Goes to the end of a bad line.
    fn skip(&mut self) {
        let rest = &self.input[self.at..];
        match rest.iter().position(|byte| *byte == b'\n') {
            Some(end) => self.at += end,
            None => {
                self.input.clear();
                self.at = 0;
                self.state = State::Skipping;
            }
        }
    }

    fn bad(&mut self, line: u64, reason: &str) -> Option<Piece> {
        if self.named == line {
            return None;
        }
        self.named = line;
        let reason = reason.to_owned();
        Some(Piece::Bad { line, reason })
    }
}

impl Iterator for Splitter {
    type Item = Piece;

    /// The next piece of what was fed; `None` if more is needed, or everything was given.
    fn next(&mut self) -> Option<Piece> {
        loop {
            let piece = match std::mem::replace(&mut self.state, State::Between) {
                State::Between => self.between(),
                State::Value(shape) => self.value(shape),
                State::TooLong(shape, line) => self.too_long(shape, line),
                State::Skipping => {
                    self.skip();
                    None
                }
            };
            if piece.is_some() {
                return piece;
            }
            // Nothing is left to look at, or only the beginning of something.
            let waits = match self.state {
                State::Between => self.at == self.input.len() || self.is_at_half_a_mark(),
                State::Value(_) => self.at == self.input.len() && self.at > 0,
                State::TooLong(..) | State::Skipping => self.at == self.input.len(),
            };
            if waits {
                return None;
            }
        }
    }
}

impl Splitter {
    fn is_at_half_a_mark(&self) -> bool {
        let rest = &self.input[self.at..];
        !self.has_ended && rest.len() < BYTE_ORDER_MARK.len() && BYTE_ORDER_MARK.starts_with(rest)
    }
}

fn newlines(text: &[u8]) -> u64 {
    text.iter().filter(|byte| **byte == b'\n').count() as u64
}

fn too_long() -> String {
    format!(
        "is longer than {} MiB, the most that a batch can hold",
        MAX_VALUE / 1024 / 1024
    )
}

#[cfg(test)]
mod tests;
