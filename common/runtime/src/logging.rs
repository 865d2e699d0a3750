//! Logs: readable lines on a terminal, JSON lines elsewhere; always on stderr, and never in the way of the work.

pub(crate) mod background;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt;
use std::io::IsTerminal;
use std::panic::PanicHookInfo;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::{LookupSpan, Scope};

use crate::clock;
use crate::panic_text::panic_text;
use crate::settings::UsageError;
use background::BackgroundWriter;
use types::time::rfc3339;

/// What libraries log of their every step is for those who name them in `--log`, which overrides this. What keeps a
/// client from connecting is logged by `bus`, not at each attempt.
const QUIET: &str = "async_nats=warn,async_nats::connector=off,refinery_core=warn";

/// Installs the process's log output, and logs panics. The last lines are written when the result is dropped.
///
/// # Errors
/// Returns [`UsageError`](crate::settings::UsageError) if `filter` does not parse.
pub fn init(filter: &str) -> Result<BackgroundWriter, UsageError> {
    let filter = EnvFilter::try_new(format!("{QUIET},{filter}")).map_err(|error| {
        UsageError(format!(
            "--log {filter:?} is no log filter ({error}); \
             use info, debug, or a filter such as collector=debug"
        ))
    })?;
    let (background, writer) = BackgroundWriter::start(std::io::stderr());
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // These go to stderr as well, and panic if it is closed.
        .log_internal_errors(false)
        .with_writer(writer);
    // A second program of one process (tests) keeps the first one's output.
    let _ = if std::io::stderr().is_terminal() {
        logs.with_ansi(wants_colour())
            .event_format(Readable)
            .try_init()
    } else {
        logs.json().flatten_event(true).with_ansi(false).try_init()
    };
    std::panic::set_hook(Box::new(log_panic));
    Ok(background)
}

/// The usual hook writes to stderr itself, which may hold the thread that panics.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let backtrace = Backtrace::capture();
    let backtrace =
        (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    tracing::error!(
        location = panic.location().map(ToString::to_string),
        thread = std::thread::current().name(),
        backtrace,
        "panicked: {}",
        panic_text(panic.payload())
    );
}

/// Whether a terminal gets colours. <https://no-color.org>: set to anything but the empty string, there are none.
#[must_use]
pub fn wants_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// `12:30:05Z INFO collector: collector listens address=127.0.0.1:8787`, and the fields of the spans around it.
struct Readable;

impl<S, N> FormatEvent<S, N> for Readable
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = *event.metadata().level();
        let now = rfc3339(clock::now());
        let time = now.get(11..19).unwrap_or(&now);
        // `store::sqlite::writer` is a path in the code; its first part is enough.
        let part = event
            .metadata()
            .target()
            .split("::")
            .next()
            .unwrap_or_default();
        let colour = match level {
            Level::ERROR => "31",
            Level::WARN => "33",
            Level::INFO => "32",
            _ => "2",
        };
        if writer.has_ansi_escapes() {
            write!(
                writer,
                "\x1b[2m{time}Z\x1b[0m \x1b[{colour}m{level}\x1b[0m {part}: "
            )?;
        } else {
            write!(writer, "{time}Z {level} {part}: ")?;
        }
        context.format_fields(writer.by_ref(), event)?;
        // The request it belongs to: the correlation id is a field of the span, not of each event in it.
        for span in context.event_scope().into_iter().flat_map(Scope::from_root) {
            if let Some(fields) = span
                .extensions()
                .get::<FormattedFields<N>>()
                .filter(|one| !one.is_empty())
            {
                write!(writer, " {fields}")?;
            }
        }
        writeln!(writer)
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_readable_line_tells_whose_request_it_was() {
        let written = Written::default();
        let writer = written.clone();
        let logs = tracing_subscriber::fmt()
            .with_ansi(false)
            .event_format(Readable);
        tracing::subscriber::with_default(
            logs.with_writer(move || writer.clone()).finish(),
            || {
                let request = tracing::info_span!("request", correlation_id = "c-1");
                request.in_scope(|| {
                    tracing::info_span!("admit")
                        .in_scope(|| tracing::warn!(sequence = 7, "it is unread"));
                });
                tracing::info!("idle");
            },
        );
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<&str> = text.lines().map(|line| &line[9..]).collect();
        let request = " WARN runtime: it is unread sequence=7 correlation_id=\"c-1\"";
        assert_eq!(lines, [request, " INFO runtime: idle"], "{text}");
    }
}
