//! What is measured of requests.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use berth_telemetry::metrics::names;

/// How many different models get a label of their own; tenants choose the names, so there is no other bound.
const MODEL_LABELS: usize = 200;

static MODELS: RwLock<BTreeSet<String>> = RwLock::new(BTreeSet::new());

pub(crate) fn request_began() {
    metrics::gauge!(names::REQUESTS_IN_FLIGHT).increment(1.0);
}

pub(crate) fn request_ended(route: &str, model: Option<&str>, status: u16, elapsed: Duration) {
    metrics::gauge!(names::REQUESTS_IN_FLIGHT).decrement(1.0);
    let route: String = route.to_owned();
    let model = model.map_or(Cow::Borrowed(""), |model| label(model, MODEL_LABELS));
    metrics::histogram!(names::REQUEST_DURATION_SECONDS, "route" => route.clone())
        .record(elapsed.as_secs_f64());
    metrics::counter!(
        names::REQUESTS_TOTAL, "route" => route, "model" => model.into_owned(), "status_class" => class(status)
    )
    .increment(1);
}

fn class(status: u16) -> &'static str {
    match status {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=498 => "4xx",
        499 => "client_gone",
        _ => "5xx",
    }
}

/// `model`, or `other` once `limit` names are in use.
fn label(model: &str, limit: usize) -> Cow<'_, str> {
    let known = |models: &BTreeSet<String>| models.contains(model);
    if known(&MODELS.read().unwrap_or_else(PoisonError::into_inner)) {
        return Cow::Borrowed(model);
    }
    let mut models = MODELS.write().unwrap_or_else(PoisonError::into_inner);
    if models.len() >= limit && !known(&models) {
        return Cow::Borrowed("other");
    }
    models.insert(model.to_owned());
    Cow::Borrowed(model)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_beyond_the_limit_share_a_label() {
        assert_eq!(label("first", 1), "first");
        assert_eq!(label("second", 1), "other");
        assert_eq!(label("first", 1), "first");
    }

    #[test]
    fn gone_clients_are_not_counted_as_refusals() {
        assert_eq!(class(404), "4xx");
        assert_eq!(class(499), "client_gone");
        assert_eq!(class(503), "5xx");
    }
}
