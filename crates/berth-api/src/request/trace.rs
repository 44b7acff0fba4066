//! What a request says of itself for logs and traces. It is read by the name of the header, whatever library holds the headers.

use berth_telemetry::traces::{self, Kind, Span};

use crate::request::Facts;

/// The trace that a request is in.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    parent: Option<String>,
    span: Option<Span>,
}

impl Trace {
    /// The trace of a request with these headers: that of the caller, or one of its own where this process exports traces.
    pub(crate) fn begin<'h>(header: impl Fn(&str) -> Option<&'h str>) -> Self {
        let given = traceparent(header);
        let span = traces::begin("request", Kind::Server, given.as_deref());
        Self {
            parent: span.as_ref().map(Span::traceparent).or(given),
            span,
        }
    }

    /// What the next one is told, in the form of W3C Trace Context.
    pub(crate) fn parent(&self) -> Option<&str> {
        self.parent.as_deref()
    }

    /// This process's part, where it exports traces.
    pub(crate) fn span(&self) -> Option<&Span> {
        self.span.as_ref()
    }

    /// A request inside of this one.
    pub(crate) fn inside(&self) -> Self {
        let span = traces::begin("request", Kind::Server, self.parent());
        Self {
            parent: span
                .as_ref()
                .map(Span::traceparent)
                .or_else(|| self.parent.clone()),
            span,
        }
    }

    /// The request is answered: by `route`, with this status of HTTP. `facts` are told beside those.
    pub(crate) fn end(&self, name: String, route: &str, status: u16, facts: &Facts) {
        let Some(span) = self.span().filter(|span| span.is_recorded()) else {
            return;
        };
        span.rename(name);
        span.tell("http.route", route.to_owned());
        span.tell("http.response.status_code", i64::from(status));
        let ids = [
            (
                "berth.organization.id",
                facts.organization.map(|id| id.to_string()),
            ),
            ("berth.project.id", facts.project.map(|id| id.to_string())),
            ("berth.key.id", facts.key.map(|id| id.to_string())),
            ("berth.user.id", facts.user.map(|id| id.to_string())),
            ("berth.model", facts.model.clone()),
        ];
        for (name, value) in ids {
            if let Some(value) = value {
                span.tell(name, value);
            }
        }
        if status >= 500 {
            span.fail("the server failed");
        }
        span.end();
    }
}

/// The trace that the caller is in, if the header has the form of W3C Trace Context; anything else is ignored.
fn traceparent<'h>(header: impl Fn(&str) -> Option<&'h str>) -> Option<String> {
    let text = header("traceparent")?;
    let parts: Vec<&str> = text.split('-').collect();
    let [version, trace, parent, flags] = parts.as_slice() else {
        return None;
    };
    let hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    let valid = hex(version, 2)
        && *version != "ff"
        && hex(trace, 32)
        && !zero(trace)
        && hex(parent, 16)
        && !zero(parent)
        && hex(flags, 2);
    valid.then(|| text.to_owned())
}

/// The caller's own name for the request: visible ASCII, so that it cannot write lines of its own into the log.
pub(crate) fn client_request_id<'h>(header: impl Fn(&str) -> Option<&'h str>) -> Option<String> {
    let text = header("x-client-request-id").or_else(|| header("x-request-id"))?;
    let fits = (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_valid_traces_are_taken_over() {
        let parsed = |text: &'static str| traceparent(|_| Some(text));
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(parsed(good).as_deref(), Some(good));
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(parsed(bad), None, "{bad}");
        }
    }

    #[test]
    fn own_names_are_short_and_visible() {
        let named = |text: &'static str| client_request_id(|name| (name == "x-request-id").then_some(text));
        assert_eq!(named("mine").as_deref(), Some("mine"));
        assert_eq!(named(""), None);
        assert_eq!(named("a b"), None);
    }
}
