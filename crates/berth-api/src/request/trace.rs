//! What a request says of itself for logs and traces. It is read by the name of the header, whatever library holds the headers.

/// The trace that the caller is in, if the header has the form of W3C Trace Context; anything else is ignored.
pub(crate) fn traceparent<'h>(header: impl Fn(&str) -> Option<&'h str>) -> Option<String> {
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
