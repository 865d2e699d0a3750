//! What `git log` prints, read piece by piece into commits. Pure, and bounded whatever comes.

use anyhow::Context as _;

/// What `git log -z --numstat` is to print of a commit, before its files: each field ends with a NUL.
/// The first one is a word that no line of `--numstat` can be.
pub const FORMAT: &str = "--format=tformat:commit%x00%H%x00%P%x00%ad%x00%cd";
/// Dates as seconds and offset, exactly as the commit has them.
pub const DATES: &str = "--date=raw";

const MARK: &[u8] = b"commit";
/// Paths kept of a commit: an event names what was worked on, it is no list of files. The commits of
/// `tests/data/` have as many at most.
const MAX_PATHS: usize = 20;
/// Characters of a path (`common/schemas/1.0/git.commit.json`); a longer one is counted, not kept.
const MAX_PATH: usize = 4096;
/// What the schema allows a count to be: all that JavaScript counts exactly.
const MAX_COUNT: u64 = (1 << 53) - 1;
/// Bytes of a field that are kept: 20,000 parents, or any path that counts.
const MAX_FIELD: usize = 1024 * 1024;

/// A commit, as far as an event tells of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Commit {
    /// Its hash, in hex.
    pub hash: String,
    /// Number of its parents.
    pub parents: u32,
    /// When it was written.
    pub authored: When,
    /// When it was committed.
    pub committed: When,
    /// Files that changed; a merge has none.
    pub files_changed: u64,
    /// Lines added, binary files left aside.
    pub lines_added: u64,
    /// Lines removed, binary files left aside.
    pub lines_removed: u64,
    /// The first paths of its files, by the new name if they moved. Bytes that are no UTF-8 are replaced.
    pub paths: Vec<String>,
}

/// A moment as git keeps it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct When {
    /// Seconds since 1970-01-01 UTC.
    pub seconds: i64,
    /// Offset from UTC as it was written, `+0130` as 130: may be anything.
    pub offset: i32,
}

/// What the next field is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// A mark, or a line of `--numstat`.
    Any,
    Hash,
    Parents,
    Authored,
    Committed,
    /// The old name of a file that moved; its new name follows.
    OldPath,
    NewPath,
}

/// The commits read so far of what comes in pieces.
#[derive(Debug)]
pub struct Log {
    field: Vec<u8>,
    next: Next,
    open: Option<Commit>,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            field: Vec::new(),
            next: Next::Any,
            open: None,
        }
    }
}

impl Log {
    /// Takes the next bytes; gives the commits that they complete.
    ///
    /// # Errors
    /// Returns an error if they are not what [`FORMAT`] and `--numstat` make.
    pub fn feed(&mut self, mut bytes: &[u8]) -> anyhow::Result<Vec<Commit>> {
        let mut done = Vec::new();
        while let Some(end) = bytes.iter().position(|byte| *byte == 0) {
            self.keep(&bytes[..end]);
            bytes = &bytes[end + 1..];
            let field = std::mem::take(&mut self.field);
            done.extend(self.take(&field)?);
        }
        self.keep(bytes);
        Ok(done)
    }

    /// The last commit, once everything has come.
    ///
    /// # Errors
    /// Returns an error if it ends in the middle of a commit.
    pub fn finish(self) -> anyhow::Result<Option<Commit>> {
        anyhow::ensure!(
            self.field.is_empty() && self.next == Next::Any,
            "git's output ends within a commit"
        );
        Ok(self.open)
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = MAX_FIELD.saturating_sub(self.field.len());
        self.field
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Takes a whole field; returns the commit before it, if it begins another one.
    fn take(&mut self, field: &[u8]) -> anyhow::Result<Option<Commit>> {
        let unreadable = || {
            format!(
                "git's output cannot be read at {:?}",
                String::from_utf8_lossy(shown(field))
            )
        };
        if self.next == Next::Any && field == MARK {
            self.next = Next::Hash;
            return Ok(self.open.replace(Commit::default()));
        }
        let commit = self.open.as_mut().with_context(unreadable)?;
        self.next = match self.next {
            Next::Any => commit.file(field).with_context(unreadable)?,
            Next::Hash => {
                commit.hash = hash(field).with_context(unreadable)?;
                Next::Parents
            }
            Next::Parents => {
                let parents = field
                    .split(|byte| *byte == b' ')
                    .filter(|parent| !parent.is_empty());
                commit.parents = u32::try_from(parents.count()).unwrap_or(u32::MAX);
                Next::Authored
            }
            Next::Authored => {
                commit.authored = When::read(field).with_context(unreadable)?;
                Next::Committed
            }
            Next::Committed => {
                commit.committed = When::read(field).with_context(unreadable)?;
                Next::Any
            }
            Next::OldPath => Next::NewPath,
            Next::NewPath => {
                commit.path(field);
                Next::Any
            }
        };
        Ok(None)
    }
}

impl Commit {
    /// Takes `added TAB removed TAB path`, with `-` for both of a binary file and no path if it moved.
    fn file(&mut self, field: &[u8]) -> Option<Next> {
        // git puts an end of line between a commit and its files.
        let field = if self.files_changed == 0 {
            field.strip_prefix(b"\n").unwrap_or(field)
        } else {
            field
        };
        let mut parts = field.splitn(3, |byte| *byte == b'\t');
        let mut lines = || match parts.next()? {
            b"-" => Some(0),
            digits => std::str::from_utf8(digits).ok()?.parse::<u64>().ok(),
        };
        let added = lines()?;
        let removed = lines()?;
        let path = parts.next()?;
        self.files_changed += 1;
        let sum = |a: u64, b: u64| a.saturating_add(b).min(MAX_COUNT);
        self.lines_added = sum(self.lines_added, added);
        self.lines_removed = sum(self.lines_removed, removed);
        if path.is_empty() {
            return Some(Next::OldPath);
        }
        self.path(path);
        Some(Next::Any)
    }

    fn path(&mut self, bytes: &[u8]) {
        let path = String::from_utf8_lossy(bytes);
        if self.paths.len() < MAX_PATHS && path.chars().count() <= MAX_PATH {
            self.paths.push(path.into_owned());
        }
    }
}

impl When {
    /// A date that git cannot read, such as one before 1970 or none: it prints nothing. As implausible as a
    /// date can be, so that one damaged commit keeps no history out.
    const UNREADABLE: Self = Self {
        seconds: i64::MIN,
        offset: 0,
    };

    /// Reads a date as `--date=raw` prints it.
    pub fn read(field: &[u8]) -> Option<Self> {
        if field.is_empty() {
            return Some(Self::UNREADABLE);
        }
        let (seconds, offset) = std::str::from_utf8(field).ok()?.split_once(' ')?;
        // Both may be larger than anything a clock shows; what is too large stays implausible.
        let clamped = |text: &str, least: i128, most: i128| {
            let number = text.parse::<i128>().ok()?.clamp(least, most);
            i64::try_from(number).ok()
        };
        let seconds = clamped(seconds, i64::MIN.into(), i64::MAX.into())?;
        let offset = clamped(offset, i32::MIN.into(), i32::MAX.into())?;
        Some(Self {
            seconds,
            offset: i32::try_from(offset).ok()?,
        })
    }
}

/// SHA-1 or SHA-256 in hex.
fn hash(field: &[u8]) -> Option<String> {
    let fits = matches!(field.len(), 40 | 64) && field.iter().all(u8::is_ascii_hexdigit);
    fits.then(|| String::from_utf8_lossy(field).into_owned())
}

fn shown(field: &[u8]) -> &[u8] {
    &field[..field.len().min(80)]
}

#[cfg(test)]
mod tests;
