//! Text files that people write, with whatever editor they have.

use std::io;
use std::path::Path;

/// What editors write before a text to say that it is UTF-8.
const UTF8_MARK: &[u8] = b"\xef\xbb\xbf";

/// The text of a file, without a byte order mark; UTF-16 is known by its mark.
///
/// # Errors
/// Returns the system's [`io::Error`] if the file cannot be read, and one of the kind `InvalidData` if it is no text.
pub fn read(path: &Path) -> io::Result<String> {
    decode(std::fs::read(path)?)
}

/// Bytes as the text that an editor shows.
///
/// # Errors
/// Returns an [`io::Error`] of the kind `InvalidData` if they are neither UTF-8, nor UTF-16 with its mark.
pub fn decode(mut bytes: Vec<u8>) -> io::Result<String> {
    let wide = match bytes.get(..2) {
        Some([0xff, 0xfe]) => Some(u16::from_le_bytes as fn([u8; 2]) -> u16),
        Some([0xfe, 0xff]) => Some(u16::from_be_bytes as fn([u8; 2]) -> u16),
        _ => None,
    };
    let bad = |what: &str| {
        let text = format!("it is no {what} text; save it as UTF-8");
        io::Error::new(io::ErrorKind::InvalidData, text)
    };
    if let Some(unit) = wide {
        let (units, rest) = bytes[2..].as_chunks::<2>();
        let units: Vec<u16> = units.iter().map(|pair| unit(*pair)).collect();
        let text = String::from_utf16(&units).ok().filter(|_| rest.is_empty());
        return text.ok_or_else(|| bad("UTF-16"));
    }
    if bytes.starts_with(UTF8_MARK) {
        bytes.drain(..UTF8_MARK.len());
    }
    String::from_utf8(bytes).map_err(|_| bad("UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_does_not_count_and_utf_16_is_read() {
        let utf16 = |big: bool| -> Vec<u8> {
            let units = "\u{feff}ä 🚀\r\n".encode_utf16();
            let bytes = |unit: u16| match big {
                true => unit.to_be_bytes(),
                false => unit.to_le_bytes(),
            };
            units.flat_map(bytes).collect()
        };
        let marked = "\u{feff}ä 🚀\r\n".as_bytes().to_vec();
        for bytes in [marked, utf16(true), utf16(false)] {
            assert_eq!(decode(bytes).unwrap(), "ä 🚀\r\n");
        }
        assert_eq!(decode(b"plain".to_vec()).unwrap(), "plain");
        assert_eq!(decode(Vec::new()).unwrap(), "");
    }

    #[test]
    fn what_is_no_text_is_an_error_with_the_remedy() {
        for bytes in [&b"\xff\xfea"[..], b"\xfe\xff\xd8\x00", b"caf\xe9"] {
            let error = decode(bytes.to_vec()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert!(error.to_string().contains("save it as UTF-8"), "{error}");
        }
    }
}
