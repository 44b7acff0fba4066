//! Which settings of a deployment make sense.

use berth_domain::deployment::{Residency, Settings};

use super::Error;

/// Most replicas of one version of a deployment.
pub const REPLICAS_LIMIT: u32 = 64;

/// Most threads for one request.
pub const THREADS_LIMIT: u32 = 256;

/// Most rows of one batch.
pub const ROWS_LIMIT: u32 = 1 << 16;

/// Most tokens of one batch.
pub const TOKENS_LIMIT: u32 = 1 << 24;

/// Longest that a request waits for others, in microseconds.
pub const DELAY_LIMIT_US: u32 = 1_000_000;

/// Most labels that a worker must bear.
pub const LABELS_LIMIT: usize = 16;

/// Longest name and value of a label.
pub const LABEL_LENGTH_LIMIT: usize = 63;

/// Longest time without a call, in seconds: 30 days.
pub const IDLE_LIMIT_S: u32 = 30 * 24 * 60 * 60;

/// Sees that every value is within its limits, and that they fit together.
pub(super) fn check(settings: &Settings) -> Result<(), Error> {
    let replicas = settings.replicas;
    within(
        "settings.replicas.min",
        Some(replicas.min),
        0,
        REPLICAS_LIMIT,
        "replicas",
    )?;
    within(
        "settings.replicas.max",
        replicas.max,
        1,
        REPLICAS_LIMIT,
        "replicas",
    )?;
    if replicas.max.is_some_and(|max| max < replicas.min) {
        return Err(out_of_range(
            "settings.replicas.max",
            "it is at least `min`".to_owned(),
        ));
    }
    within("settings.threads", settings.threads, 1, THREADS_LIMIT, "threads")?;

    let batching = settings.batching;
    within(
        "settings.batching.max_rows",
        batching.max_rows,
        1,
        ROWS_LIMIT,
        "rows",
    )?;
    within(
        "settings.batching.max_tokens",
        batching.max_tokens,
        1,
        TOKENS_LIMIT,
        "tokens",
    )?;
    within(
        "settings.batching.max_delay_us",
        batching.max_delay_us,
        0,
        DELAY_LIMIT_US,
        "microseconds",
    )?;

    let labels = &settings.device.labels;
    if labels.len() > LABELS_LIMIT {
        let problem = format!("a deployment demands at most {LABELS_LIMIT} labels");
        return Err(out_of_range("settings.device.labels", problem));
    }
    if let Some((label, _)) = labels.iter().find(|(label, value)| !is_label(label, value)) {
        let problem = format!(
            "label `{}`: names and values have up to {LABEL_LENGTH_LIMIT} characters of `A-Z a-z 0-9 . _ / -`, names at least one",
            label.chars().take(LABEL_LENGTH_LIMIT).collect::<String>()
        );
        return Err(out_of_range("settings.device.labels", problem));
    }

    match settings.residency {
        Residency::Pinned if replicas.min == 0 => {
            let problem = "what is pinned is always loaded, so `replicas.min` is at least 1".to_owned();
            Err(out_of_range("settings.residency", problem))
        }
        Residency::Idle { unload_after_s } => within(
            "settings.residency.unload_after_s",
            Some(unload_after_s),
            1,
            IDLE_LIMIT_S,
            "seconds",
        ),
        Residency::Pinned | Residency::Shared => Ok(()),
    }
}

fn within(field: &'static str, value: Option<u32>, least: u32, most: u32, what: &str) -> Result<(), Error> {
    match value {
        Some(value) if !(least..=most).contains(&value) => {
            Err(out_of_range(field, format!("it is {least} to {most} {what}")))
        }
        _ => Ok(()),
    }
}

fn is_label(name: &str, value: &str) -> bool {
    let fits = |text: &str| {
        text.len() <= LABEL_LENGTH_LIMIT
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._/-".contains(&byte))
    };
    !name.is_empty() && fits(name) && fits(value)
}

fn out_of_range(field: &'static str, problem: String) -> Error {
    Error::OutOfRange { field, problem }
}

#[cfg(test)]
mod tests {
    use berth_domain::deployment::{Batching, Device, Replicas};

    use super::*;

    fn field(settings: &Settings) -> Option<&'static str> {
        match check(settings) {
            Ok(()) => None,
            Err(Error::OutOfRange { field, .. }) => Some(field),
            Err(error) => panic!("{error}"),
        }
    }

    fn replicas(min: u32, max: Option<u32>) -> Settings {
        Settings {
            replicas: Replicas { min, max },
            ..Settings::default()
        }
    }

    fn label(name: &str, value: &str) -> Settings {
        let device = Device {
            labels: [(name.to_owned(), value.to_owned())].into(),
            ..Device::default()
        };
        Settings {
            device,
            ..Settings::default()
        }
    }

    #[test]
    fn settings_at_their_limits_are_taken() {
        for settings in [
            Settings::default(),
            replicas(0, None),
            replicas(REPLICAS_LIMIT, Some(REPLICAS_LIMIT)),
            label("zone", ""),
            label("example.com/gpu", "A100_80"),
            Settings {
                threads: Some(THREADS_LIMIT),
                batching: Batching {
                    max_rows: Some(ROWS_LIMIT),
                    max_tokens: Some(1),
                    max_delay_us: Some(0),
                },
                residency: Residency::Idle { unload_after_s: 1 },
                ..replicas(0, Some(2))
            },
        ] {
            assert_eq!(field(&settings), None, "{settings:?}");
        }
    }

    #[test]
    fn settings_that_make_no_sense_are_refused_by_field() {
        let batching = |batching| Settings {
            batching,
            ..Settings::default()
        };
        let cases = [
            (replicas(65, None), "settings.replicas.min"),
            (replicas(0, Some(0)), "settings.replicas.max"),
            (replicas(3, Some(2)), "settings.replicas.max"),
            (
                Settings {
                    threads: Some(0),
                    ..Settings::default()
                },
                "settings.threads",
            ),
            (
                batching(Batching {
                    max_rows: Some(0),
                    ..Batching::default()
                }),
                "settings.batching.max_rows",
            ),
            (
                batching(Batching {
                    max_delay_us: Some(DELAY_LIMIT_US + 1),
                    ..Batching::default()
                }),
                "settings.batching.max_delay_us",
            ),
            (label("", "a"), "settings.device.labels"),
            (label("zone", "a b"), "settings.device.labels"),
            (
                Settings {
                    residency: Residency::Pinned,
                    ..replicas(0, None)
                },
                "settings.residency",
            ),
            (
                Settings {
                    residency: Residency::Idle { unload_after_s: 0 },
                    ..Settings::default()
                },
                "settings.residency.unload_after_s",
            ),
        ];
        for (settings, expected) in cases {
            assert_eq!(field(&settings), Some(expected), "{settings:?}");
        }
    }
}
