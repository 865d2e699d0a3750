//! Writing logs in the background: a stderr that is full, closed or read by nobody neither ends nor holds a program.

use std::io::{self, Write};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

/// Lines that wait to be written; further ones are lost. A few MiB at most.
const QUEUE: usize = 8_192;
/// How long the end of a program waits for the last lines.
const FLUSH: Duration = Duration::from_millis(1_500);

/// Lines that the queue had no room for; set once there is a queue.
type Overflow = Arc<OnceLock<ErrorCounter>>;

/// Writes what is logged in a thread of its own. Dropped, it waits for the last lines, within a bound.
pub struct BackgroundWriter(Option<WorkerGuard>);

impl BackgroundWriter {
    /// Begins to write to `out`; the other part is for the log's subscriber.
    #[must_use]
    pub fn start(out: impl Write + Send + 'static) -> (Self, NonBlocking) {
        let overflow = Overflow::default();
        let output = LogOutput::new(out, overflow.clone());
        let queue = NonBlockingBuilder::default().lossy(true);
        let (writer, guard) = queue
            .buffered_lines_limit(QUEUE)
            .thread_name("log")
            .finish(output);
        overflow.get_or_init(|| writer.error_counter());
        (Self(Some(guard)), writer)
    }
}

impl Drop for BackgroundWriter {
    fn drop(&mut self) {
        let guard = self.0.take();
        // Of a queue that stays full the guard tells stdout, which may be as stuck: the thread bears that.
        within(FLUSH, move || drop(guard));
    }
}

/// Runs `write` in a thread, and waits for it at most this long.
pub(crate) fn within(time: Duration, write: impl FnOnce() + Send + 'static) {
    let (done, is_done) = mpsc::channel();
    let thread = thread::Builder::new().spawn(move || {
        write();
        let _ = done.send(());
    });
    // Late, or without a thread: the text is lost, the program ends.
    if thread.is_ok() {
        let _ = is_done.recv_timeout(time);
    }
}

/// Counts the lines that are lost, and logs how many once lines can be written again.
struct LogOutput<W> {
    out: W,
    overflow: Overflow,
    /// Lines that could not be written since the last report.
    failed: usize,
    /// What was reported of `overflow`.
    reported: usize,
}

impl<W: Write> LogOutput<W> {
    fn new(out: W, overflow: Overflow) -> Self {
        Self {
            out,
            overflow,
            failed: 0,
            reported: 0,
        }
    }

    fn report(&mut self) {
        let overflow = self.overflow.get().map_or(0, ErrorCounter::dropped_lines);
        let lost = self.failed + (overflow - self.reported);
        (self.failed, self.reported) = (0, overflow);
        if lost > 0 {
            // It waits in the queue as any other line.
            tracing::warn!(
                lines = lost,
                "log lines were lost: stderr could not be written"
            );
        }
    }
}

impl<W: Write> Write for LogOutput<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    /// The writing thread calls this with a line at a time.
    fn write_all(&mut self, line: &[u8]) -> io::Result<()> {
        match self.out.write_all(line) {
            Ok(()) => self.report(),
            Err(_) => self.failed += 1,
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        // A failed flush has failed writes after it, which are counted.
        let _ = self.out.flush();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Instant;

    use super::*;

    /// A file that can be full, or read by nobody.
    #[derive(Clone, Default)]
    struct File {
        written: Arc<Mutex<Vec<u8>>>,
        is_full: Arc<AtomicBool>,
    }

    impl Write for File {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.is_full.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.written.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl File {
        fn text(&self) -> String {
            String::from_utf8(self.written.lock().unwrap().clone()).unwrap()
        }
    }

    #[test]
    fn lost_lines_are_counted_once_lines_can_be_written() {
        let file = File::default();
        let mut output = LogOutput::new(file.clone(), Overflow::default());
        let logged = file.clone();
        let logs = tracing_subscriber::fmt().with_ansi(false);
        let subscriber = logs.with_writer(move || logged.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            output.write_all(b"first\n").unwrap();
            file.is_full.store(true, Ordering::Relaxed);
            output.write_all(b"lost\n").unwrap();
            output.write_all(b"lost\n").unwrap();
            file.is_full.store(false, Ordering::Relaxed);
            output.write_all(b"later\n").unwrap();
            output.write_all(b"last\n").unwrap();
        });
        let text = file.text();
        assert!(
            text.starts_with("first\nlater\n") && text.ends_with("last\n"),
            "{text}"
        );
        assert_eq!(text.matches("lines=2").count(), 1, "{text}");
        assert!(!text.contains("lost\n"), "{text}");
    }

    /// A pipe that nobody reads: writing never returns.
    struct Stuck;

    impl Write for Stuck {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            loop {
                thread::park();
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_nobody_reads_holds_neither_the_program_nor_its_end() {
        let began = Instant::now();
        let (background, mut writer) = BackgroundWriter::start(Stuck);
        for _ in 0..2 * QUEUE {
            writer.write_all(b"a line\n").unwrap();
        }
        let dropped = writer.error_counter().dropped_lines();
        assert!((QUEUE - 1..=QUEUE).contains(&dropped), "{dropped}");
        drop(background);
        assert!(began.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn the_last_lines_are_written_at_the_end() {
        let file = File::default();
        let (background, mut writer) = BackgroundWriter::start(file.clone());
        for _ in 0..1_000 {
            writer.write_all(b"a line\n").unwrap();
        }
        drop(background);
        assert_eq!(file.text().lines().count(), 1_000);
    }
}
