//! What programs print for others to read.

use std::io::{self, Write};

/// Prints a text to stdout and flushes it; returns whether anything still reads there.
///
/// # Errors
/// Returns the `io::Error` if stdout cannot be written, such as on a full disk; a reader that has gone is no error.
pub fn print(text: &str) -> io::Result<bool> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(io::Error::new(
            error.kind(),
            format!("stdout cannot be written: {error}"),
        )),
    }
}
