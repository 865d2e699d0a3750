//! UTF-16, as Windows PowerShell writes it, read as UTF-8.

use std::io::{self, Read};

/// Stands for what is no character: no UTF-8 has it, so that its line is named and passed over.
const BAD: u8 = 0xff;

/// Reads UTF-16 as UTF-8. A byte order mark stays, as that of UTF-8.
pub struct Utf16<R> {
    inner: R,
    is_big_endian: bool,
    /// Bytes that are not decoded yet: fewer than a character has, but for the time of a read.
    raw: Vec<u8>,
    /// Text that was not asked for yet, from `at` on.
    text: Vec<u8>,
    at: usize,
    has_ended: bool,
}

impl<R: Read> Utf16<R> {
    /// Of these bytes.
    pub fn new(inner: R, is_big_endian: bool) -> Self {
        Self {
            inner,
            is_big_endian,
            raw: Vec::new(),
            text: Vec::new(),
            at: 0,
            has_ended: false,
        }
    }

    /// Reads more, and decodes all of it but a character that is not whole yet.
    fn fill(&mut self) -> io::Result<()> {
        let mut chunk = [0; 16 * 1024];
        let length = self.inner.read(&mut chunk)?;
        self.has_ended = length == 0;
        self.raw.extend_from_slice(&chunk[..length]);
        self.text.clear();
        self.at = 0;
        let (pairs, odd) = self.raw.as_chunks::<2>();
        let mut units: Vec<u16> = pairs
            .iter()
            .map(|pair| match self.is_big_endian {
                true => u16::from_be_bytes(*pair),
                false => u16::from_le_bytes(*pair),
            })
            .collect();
        let is_half = |unit: &u16| (0xd800..0xdc00).contains(unit);
        let waits = !self.has_ended && units.last().is_some_and(is_half);
        if waits {
            units.pop();
        }
        let rest = odd.len() + if waits { 2 } else { 0 };
        for character in char::decode_utf16(units) {
            match character {
                Ok(character) => {
                    let mut bytes = [0; 4];
                    self.text
                        .extend_from_slice(character.encode_utf8(&mut bytes).as_bytes());
                }
                Err(_) => self.text.push(BAD),
            }
        }
        self.raw.drain(..self.raw.len() - rest);
        if self.has_ended && !self.raw.is_empty() {
            self.raw.clear();
            self.text.push(BAD);
        }
        Ok(())
    }
}

impl<R: Read> Read for Utf16<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.at == self.text.len() && !self.has_ended {
            self.fill()?;
        }
        let length = into.len().min(self.text.len() - self.at);
        into[..length].copy_from_slice(&self.text[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Gives a byte at a time, as a slow pipe does.
    struct Slow(Vec<u8>);

    impl Read for Slow {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            into[0] = self.0.remove(0);
            Ok(1)
        }
    }

    fn read(bytes: Vec<u8>, is_big_endian: bool) -> Vec<u8> {
        let mut text = Vec::new();
        Utf16::new(Slow(bytes), is_big_endian)
            .read_to_end(&mut text)
            .unwrap();
        text
    }

    #[test]
    fn what_is_no_character_makes_no_text() {
        let lone = [0xd800_u16, 0x61].map(u16::to_le_bytes).concat();
        assert_eq!(read(lone, false), [BAD, b'a']);
        assert_eq!(
            read(vec![0, b'a', 0], true),
            [b'a', BAD],
            "cut off in the middle"
        );
        assert_eq!(read(vec![0xd8, 0], true), [BAD]);
    }

    proptest! {
        #[test]
        fn every_text_comes_back(text in "[a-z\n\u{e4}\u{1f680}\u{feff}]{0,30}", is_big_endian in any::<bool>()) {
            let bytes = text.encode_utf16().flat_map(|unit| match is_big_endian {
                true => unit.to_be_bytes(),
                false => unit.to_le_bytes(),
            });
            prop_assert_eq!(read(bytes.collect(), is_big_endian), text.into_bytes());
        }
    }
}
