//! What a request prefers (RFC 7240).

use std::time::Duration;

/// The longest that a request is held until a model is loaded.
pub(crate) const WAIT_LIMIT: Duration = Duration::from_mins(5);

/// How long the caller would rather wait than be told to come back: `Prefer: wait=N`, in seconds, at most [`WAIT_LIMIT`]. The
/// first such preference counts; others, and what has not that form, are ignored.
pub(crate) fn wait<'h>(headers: impl Iterator<Item = &'h str>) -> Option<Duration> {
    let preferences = headers.flat_map(|header| header.split(','));
    let mut waits = preferences.filter_map(|preference| {
        let (name, value) = preference.split(';').next()?.split_once('=')?;
        let value = value.trim().trim_matches('"');
        let named = name.trim().eq_ignore_ascii_case("wait");
        let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        // More digits than any number has are a very long wait.
        (named && digits).then(|| Duration::from_secs(value.parse().unwrap_or(u64::MAX)))
    });
    waits.next().map(|wait| wait.min(WAIT_LIMIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_is_found_among_preferences_and_capped() {
        let of = |headers: &[&'static str]| wait(headers.iter().copied()).map(|wait| wait.as_secs());
        assert_eq!(of(&["wait=10"]), Some(10));
        assert_eq!(of(&["respond-async, Wait=\"7\"; x=y", "wait=9"]), Some(7));
        assert_eq!(of(&["wait=0"]), Some(0));
        assert_eq!(of(&["wait=99999999999999999999999"]), Some(WAIT_LIMIT.as_secs()));
        for none in ["", "wait", "wait=", "wait=-1", "wait=soon", "await=3"] {
            assert_eq!(of(&[none]), None, "{none}");
        }
    }
}
