//! The codes of errors as `docs/errors.md` promises them.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use reqwest::header::HeaderMap;

const HANDBOOK: &str = include_str!("../../../docs/errors.md");

/// What is promised of each code.
#[derive(Debug)]
pub(super) struct Handbook(BTreeMap<String, Promise>);

#[derive(Debug)]
struct Promise {
    status: u16,
    /// Whether the same request may succeed later; `None` where nobody knows.
    again: Option<bool>,
}

impl Handbook {
    pub(super) fn read() -> Result<Self> {
        let codes: BTreeMap<_, _> = HANDBOOK.lines().filter_map(row).collect();
        ensure!(codes.len() > 50, "the handbook has {} codes", codes.len());
        Ok(Self(codes))
    }

    /// What is wrong with an error of this code, if anything: a caller must be able to tell what to do.
    pub(super) fn objection(&self, status: u16, code: &str, headers: &HeaderMap) -> Option<String> {
        let Some(promise) = self.0.get(code) else {
            return Some(format!("the code `{code}` is not in the handbook"));
        };
        if promise.status != status {
            return Some(format!("`{code}` came as {status} instead of {}", promise.status));
        }
        if code == "internal" {
            return Some("the server does not know what went wrong".to_owned());
        }
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let waits = ["retry-after", "retry-after-ms"].map(|name| header(name).map(str::parse::<u64>));
        let says_wait = waits.iter().all(|wait| matches!(wait, Some(Ok(1..))));
        let says_nothing = waits.iter().all(Option::is_none);
        let says_again = header("x-should-retry");
        let told = match promise.again {
            Some(true) => says_wait && says_again == Some("true"),
            Some(false) => says_nothing && says_again == Some("false"),
            None => says_nothing && says_again.is_none(),
        };
        if !told {
            return Some(format!("the headers of `{code}` do not say whether to try again"));
        }
        let wants_a_hint = status >= 500 || status == 429;
        (wants_a_hint && promise.again.is_none())
            .then(|| format!("`{code}` does not tell whether to try again"))
    }
}

/// A row of a table: `| code | status | what it means | what to do | again |`.
fn row(line: &str) -> Option<(String, Promise)> {
    let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
    let [code, status, _, _, again] = cells.as_slice() else {
        return None;
    };
    let again = match *again {
        "no" => Some(false),
        "perhaps" => None,
        _ => Some(true),
    };
    let status = status.parse().ok()?;
    Some((code.trim_matches('`').to_owned(), Promise { status, again }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_without_its_hint_is_objected_to() {
        let handbook = Handbook::read().expect("is there");
        let headers = |pairs: &[(&'static str, &'static str)]| {
            let pairs = pairs.iter().map(|&(name, value)| {
                (
                    reqwest::header::HeaderName::from_static(name),
                    reqwest::header::HeaderValue::from_static(value),
                )
            });
            pairs.collect::<HeaderMap>()
        };
        let hint = [
            ("retry-after", "1"),
            ("retry-after-ms", "1000"),
            ("x-should-retry", "true"),
        ];
        let never = [("x-should-retry", "false")];
        let objects = |status, code: &str, pairs: &[(&'static str, &'static str)]| {
            handbook.objection(status, code, &headers(pairs)).is_some()
        };
        assert!(!objects(503, "unavailable", &hint));
        assert!(!objects(401, "api_key_revoked", &never));
        assert!(objects(503, "unavailable", &hint[1..]), "a hint is missing");
        assert!(objects(500, "unavailable", &hint), "the status is another");
        assert!(objects(401, "api_key_revoked", &hint), "waiting does not help");
        assert!(objects(500, "internal", &[]), "a fault of the server");
        assert!(objects(503, "nobody_knows_this", &hint), "an unknown code");
    }
}
