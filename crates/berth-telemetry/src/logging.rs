//! Log lines to the standard error stream.
//!
//! A line carries dotted fields (`organization.id`, `duration_ms`) and never secrets, personal data, or what goes into
//! and comes out of models.

use std::io;
use std::panic::PanicHookInfo;

use tracing::{Dispatch, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt as _;

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people; colored when the stream is a terminal.
    #[default]
    Pretty,
    /// One JSON object a line, for collectors.
    Json,
}

/// How a process logs.
#[derive(Debug, Clone)]
pub struct Options {
    /// The form of a line.
    pub format: Format,
    /// A level, or a list of levels for parts: `info,berth_serving=debug`.
    pub filter: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            format: Format::Pretty,
            filter: "info".to_owned(),
        }
    }
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter is not one.
    #[error("`{filter}` is no log filter")]
    Filter {
        /// What was given.
        filter: String,
        /// What the parser said.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// Logging was set up before.
    #[error("logging is set up already")]
    AlreadySetUp(#[source] tracing::subscriber::SetGlobalDefaultError),
}

/// Begins to log to the standard error stream, panics included.
///
/// Fails when the filter cannot be read, and when it is called a second time.
pub fn init(options: &Options) -> Result<(), Error> {
    let colored = io::IsTerminal::is_terminal(&io::stderr());
    let dispatch = dispatch(options, io::stderr, colored)?;
    tracing::dispatcher::set_global_default(dispatch).map_err(Error::AlreadySetUp)?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

fn dispatch<W>(options: &Options, writer: W, colored: bool) -> Result<Dispatch, Error>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder()
        .parse(&options.filter)
        .map_err(|source| Error::Filter {
            filter: options.filter.clone(),
            source,
        })?;
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_span_events(FmtSpan::NONE);
    Ok(match options.format {
        Format::Pretty => into_dispatch(registry.with(lines.with_ansi(colored))),
        Format::Json => into_dispatch(
            registry.with(
                lines
                    .json()
                    .flatten_event(true)
                    .with_current_span(true)
                    .with_span_list(false),
            ),
        ),
    })
}

fn into_dispatch(subscriber: impl Subscriber + Send + Sync + 'static) -> Dispatch {
    Dispatch::new(subscriber)
}

/// A panic is a bug: it is told as an error with its place, and with the calls that led there when `RUST_BACKTRACE` asks.
fn log_panic(info: &PanicHookInfo<'_>) {
    let payload = info.payload();
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
    let backtrace = std::backtrace::Backtrace::capture();
    if backtrace.status() == std::backtrace::BacktraceStatus::Captured {
        tracing::error!(location, thread, %backtrace, "panic: {message}");
    } else {
        tracing::error!(location, thread, "panic: {message}");
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Collects what is logged.
    #[derive(Debug, Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Lines {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().expect("no panic while writing").clone()).expect("logs are UTF-8")
        }
    }

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic while writing").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    fn logged(options: &Options, work: impl FnOnce()) -> String {
        let lines = Lines::default();
        let dispatch = dispatch(options, lines.clone(), false).expect("the filter is good");
        tracing::dispatcher::with_default(&dispatch, work);
        lines.text()
    }

    #[test]
    fn json_line_carries_message_fields_and_span() {
        let options = Options {
            format: Format::Json,
            filter: "info".to_owned(),
        };
        let text = logged(&options, || {
            let span = tracing::info_span!("request", request.id = "req_1");
            span.in_scope(|| tracing::info!(duration_ms = 3, "answered"));
        });
        let line: serde_json::Value = serde_json::from_str(text.trim()).expect("one JSON object");
        assert_eq!(line["message"], "answered");
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["duration_ms"], 3);
        assert_eq!(line["span"]["request.id"], "req_1");
    }

    #[test]
    fn filter_holds_back_what_is_below_its_level() {
        let options = Options {
            format: Format::Pretty,
            filter: "warn,quiet=error".to_owned(),
        };
        let text = logged(&options, || {
            tracing::info!("too low");
            tracing::warn!("high enough");
            tracing::warn!(target: "quiet", "held back");
        });
        assert!(text.contains("high enough"));
        assert!(!text.contains("too low") && !text.contains("held back"), "{text}");
    }

    #[test]
    fn panic_becomes_a_log_line_with_its_place() {
        let text = logged(&Options::default(), || {
            let previous = std::panic::take_hook();
            std::panic::set_hook(Box::new(log_panic));
            let caught = std::panic::catch_unwind(|| panic!("the sky fell"));
            std::panic::set_hook(previous);
            assert!(caught.is_err());
        });
        assert!(
            text.contains("panic: the sky fell") && text.contains("logging.rs:"),
            "{text}"
        );
    }

    #[test]
    fn filter_that_is_none_is_refused() {
        let options = Options {
            filter: "info,=".to_owned(),
            ..Options::default()
        };
        assert!(matches!(
            dispatch(&options, io::sink, false),
            Err(Error::Filter { .. })
        ));
    }
}
