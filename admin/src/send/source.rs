//! Where an input comes from, and what it is: text, or something that becomes text on the way. Nothing is held whole.

use std::fs::{File, Metadata};
use std::io::{self, Cursor, Read};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::{Context as _, bail};
use flate2::read::MultiGzDecoder;
use zstd::stream::read::Decoder;

use super::utf16::Utf16;

/// Bytes that tell what an input is.
const HEAD: usize = 16;
/// Kinds within each other, such as UTF-16 in gzip.
const MAX_LAYERS: u32 = 4;

/// How far an input is read; shared with the thread that reads it.
#[derive(Debug, Default)]
pub struct ReadState {
    /// Bytes so far, before they are inflated.
    bytes: AtomicU64,
    /// It waits for more, perhaps for hours.
    is_waiting: AtomicBool,
    is_stopped: AtomicBool,
}

impl ReadState {
    /// Bytes that were read, before they are inflated.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether the thread waits for more: everything that it has read was passed on.
    pub fn is_waiting(&self) -> bool {
        self.is_waiting.load(Ordering::SeqCst)
    }

    /// Makes the thread pass on what it has, and read no more.
    pub fn stop(&self) {
        self.is_stopped.store(true, Ordering::SeqCst);
    }

    /// Whether no more may be read.
    pub fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::SeqCst)
    }
}

/// Bytes of an input, as it is read.
pub type Bytes = Box<dyn Read + Send>;

/// What the first bytes of an input say that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Gzip,
    Zstd,
    Utf16 {
        is_big_endian: bool,
    },
    /// None that is read: what it is, and what helps.
    Other(&'static Unreadable),
}

/// A kind of file that holds no events as text.
#[derive(Debug, PartialEq, Eq)]
struct Unreadable {
    begins: &'static [u8],
    what: &'static str,
    /// `FILE` in it stands for the file's name.
    remedy: &'static str,
}

/// The known kinds. The longer of two beginnings comes first.
const UNREADABLE: [Unreadable; 18] = [
    Unreadable {
        begins: b"\xff\xfe\0\0",
        what: "is UTF-32 text",
        remedy: "Try `iconv -f UTF-32 -t UTF-8 FILE | devtrail send -`.",
    },
    Unreadable {
        begins: b"\0\0\xfe\xff",
        what: "is UTF-32 text",
        remedy: "Try `iconv -f UTF-32 -t UTF-8 FILE | devtrail send -`.",
    },
    Unreadable {
        begins: b"BZh",
        what: "is compressed with bzip2",
        remedy: "Try `bunzip2 -c FILE | devtrail send -`.",
    },
    Unreadable {
        begins: b"\xfd7zXZ\0",
        what: "is compressed with xz",
        remedy: "Try `xz -dc FILE | devtrail send -`.",
    },
    Unreadable {
        begins: b"\x04\x22\x4d\x18",
        what: "is compressed with lz4",
        remedy: "Try `lz4 -dc FILE | devtrail send -`.",
    },
    Unreadable {
        begins: b"\x1f\x9d",
        what: "is compressed with compress",
        remedy: "Try `zcat FILE | devtrail send -`.",
    },
    Unreadable {
        begins: b"PK\x03\x04",
        what: "is a zip archive (Office documents are, too)",
        remedy: "Try `unzip -p FILE | devtrail send -`.",
    },
    Unreadable {
        begins: b"7z\xbc\xaf\x27\x1c",
        what: "is a 7z archive",
        remedy: "Try `7z x -so FILE | devtrail send -`.",
    },
    Unreadable {
        begins: b"Rar!",
        what: "is a rar archive",
        remedy: "Try `unrar p -inul FILE | devtrail send -`.",
    },
    Unreadable {
        begins: b"SQLite format 3\0",
        what: "is a SQLite database",
        remedy: "A query must make events of it: `sqlite3 -json FILE QUERY | devtrail send -`.",
    },
    Unreadable {
        begins: b"PAR1",
        what: "is a Parquet file",
        remedy: "A query must make events of it: `duckdb -json -c \"FROM 'FILE'\" | devtrail send -`.",
    },
    Unreadable {
        begins: b"%PDF-",
        what: "is a PDF document",
        remedy: "Name a file of events.",
    },
    Unreadable {
        begins: b"\x89PNG",
        what: "is an image",
        remedy: "Name a file of events.",
    },
    Unreadable {
        begins: b"\xff\xd8\xff",
        what: "is an image",
        remedy: "Name a file of events.",
    },
    Unreadable {
        begins: b"\x7fELF",
        what: "is a program",
        remedy: "Name a file of events, or send what it prints: `./FILE | devtrail send -`.",
    },
    Unreadable {
        begins: b"<!",
        what: "is HTML, perhaps an error page that was saved",
        remedy: "Name a file of events.",
    },
    Unreadable {
        begins: b"<html",
        what: "is HTML, perhaps an error page that was saved",
        remedy: "Name a file of events.",
    },
    Unreadable {
        begins: b"<?xml",
        what: "is XML",
        remedy: "Name a file of events.",
    },
];

impl Kind {
    fn of(head: &[u8]) -> Self {
        if let Some(kind) = UNREADABLE.iter().find(|kind| head.starts_with(kind.begins)) {
            return Self::Other(kind);
        }
        match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            // By its mark; or by the NULs beside the first two characters, which are ASCII in JSON.
            [0xff, 0xfe, ..] | [1..=127, 0, 1..=127, 0, ..] => Self::Utf16 {
                is_big_endian: false,
            },
            [0xfe, 0xff, ..] | [0, 1..=127, 0, 1..=127, ..] => Self::Utf16 {
                is_big_endian: true,
            },
            _ => Self::Text,
        }
    }
}

/// Opens a file, or stdin if `file` is `-`. Once `state` is stopped, it has ended.
///
/// # Errors
/// Returns an error if it cannot be opened.
pub fn open(file: &str, state: Arc<ReadState>) -> anyhow::Result<Bytes> {
    if file == "-" {
        return Ok(Box::new(Watched {
            inner: io::stdin(),
            state,
        }));
    }
    if Path::new(file).is_dir() {
        bail!("{file} is a folder. Name a file of events, one a line, or - for stdin.");
    }
    let opened = File::open(file).with_context(|| {
        format!("The file {file} cannot be read. Name a file of events, one a line, or - for stdin")
    })?;
    Ok(Box::new(Watched {
        inner: opened,
        state,
    }))
}

/// The input as text: inflated, and from UTF-16, if it is that.
///
/// # Errors
/// Returns an error that says what it is if it is no text, and the remedy; or that it cannot be read.
pub fn text(bytes: Bytes, file: &str) -> anyhow::Result<Bytes> {
    let mut bytes = bytes;
    for _ in 0..MAX_LAYERS {
        let head = head(&mut bytes).with_context(|| cannot_be_read(file))?;
        let kind = Kind::of(&head);
        bytes = Box::new(Cursor::new(head).chain(bytes));
        bytes = match kind {
            Kind::Text => return Ok(bytes),
            Kind::Gzip => Box::new(MultiGzDecoder::new(bytes)),
            Kind::Zstd => Box::new(Decoder::new(bytes).with_context(|| cannot_be_read(file))?),
            Kind::Utf16 { is_big_endian } => return Ok(Box::new(Utf16::new(bytes, is_big_endian))),
            Kind::Other(Unreadable { what, remedy, .. }) => {
                let shown = name(file);
                bail!("{shown} {what}. {}", remedy.replace("FILE", shown))
            }
        };
    }
    bail!(
        "{} is compressed {MAX_LAYERS} times over; inflate it first.",
        name(file)
    )
}

/// Whether all of the input is there: it is a file, or stdin is one.
pub fn is_file(file: &str) -> bool {
    metadata(file).is_some_and(|metadata| metadata.is_file())
}

/// The bytes of a file; `None` if the input is none.
pub fn length(file: &str) -> Option<u64> {
    metadata(file)
        .filter(Metadata::is_file)
        .map(|metadata| metadata.len())
}

fn metadata(file: &str) -> Option<Metadata> {
    if file == "-" {
        let stdin = io::stdin().as_fd().try_clone_to_owned().ok()?;
        return File::from(stdin).metadata().ok();
    }
    std::fs::metadata(file).ok()
}

/// How messages call the input.
pub fn name(file: &str) -> &str {
    if file == "-" { "stdin" } else { file }
}

/// That reading has failed; the cause follows.
pub fn cannot_be_read(file: &str) -> String {
    format!("{} cannot be read to its end", name(file))
}

/// The first bytes; fewer at the end of the input, or of its first line: a pipe may say no more for hours.
fn head(bytes: &mut Bytes) -> io::Result<Vec<u8>> {
    let mut head = vec![0; HEAD];
    let mut length = 0;
    while length < HEAD && !head[..length].contains(&b'\n') {
        match bytes.read(&mut head[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    head.truncate(length);
    Ok(head)
}

/// Says how far it is read.
struct Watched<R> {
    inner: R,
    state: Arc<ReadState>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.state.is_waiting.store(true, Ordering::SeqCst);
        if self.state.is_stopped() {
            return Ok(0);
        }
        let length = self.inner.read(into)?;
        self.state.is_waiting.store(false, Ordering::SeqCst);
        self.state.bytes.fetch_add(length as u64, Ordering::Relaxed);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn read(input: &[u8]) -> Result<String, String> {
        let bytes = Box::new(Cursor::new(input.to_vec()));
        let mut text = Vec::new();
        let read = super::text(bytes, "f").and_then(|mut bytes| Ok(bytes.read_to_end(&mut text)?));
        read.map_err(|error| format!("{error:#}"))?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn utf16(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn text_is_found_within_compression_and_utf_16() {
        let text = "{\"id\": \"ä🚀\"}\r\n";
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        for input in [
            text.as_bytes().to_vec(),
            utf16(text),
            big,
            gzip(text.as_bytes()),
            zstd::encode_all(text.as_bytes(), 0).unwrap(),
            gzip(&utf16(text)),
            gzip(&zstd::encode_all(text.as_bytes(), 0).unwrap()),
        ] {
            assert_eq!(read(&input).as_deref(), Ok(text), "{input:?}");
        }
        let twice = [gzip(b"{}\n"), gzip(b"{}\n")].concat();
        assert_eq!(
            read(&twice).as_deref(),
            Ok("{}\n{}\n"),
            "gzip files put together"
        );
        assert_eq!(read(b"").as_deref(), Ok(""));
        assert_eq!(
            read(b"\0\0\0\0{}").as_deref(),
            Ok("\0\0\0\0{}"),
            "padding is no UTF-16"
        );
    }

    #[test]
    fn what_is_cut_off_or_no_text_is_named_with_the_remedy() {
        let whole = gzip(&[b'x'; 1000]);
        assert!(read(&whole[..whole.len() / 2]).is_err());
        for (input, parts) in [
            (&b"PK\x03\x04"[..], "f is a zip archive"),
            (b"SQLite format 3\0...", "SQLite database"),
            (b"BZh9", "bunzip2 -c f | devtrail send -"),
            (b"<!doctype html>", "HTML"),
            (b"\xff\xfe\0\0{\0\0\0", "UTF-32"),
        ] {
            let error = read(input).unwrap_err();
            assert!(error.contains(parts), "{error}");
        }
    }
}
