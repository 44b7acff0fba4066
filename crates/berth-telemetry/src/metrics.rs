//! The recorder behind the facade of the crate `metrics`, and the names that all crates use.

pub mod names;

use std::fmt;

use metrics::{SharedString, Unit};
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use self::names::{Kind, METRICS};

/// Bounds of times in seconds: dense where a request to a small model lies (1 to 100 ms), reaching from the work of one
/// stage (10 µs) to loading a large model (10 min).
const SECONDS: [f64; 22] = [
    0.000_01, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1,
    0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0, 600.0,
];

/// Bounds of counts, such as the rows of a batch.
const COUNTS: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

/// Bounds of sizes in bytes.
const BYTES: [f64; 9] = [
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    16_777_216.0,
    134_217_728.0,
];

/// Why metrics could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("setting up metrics")]
pub struct Error(#[source] BuildError);

/// Gives the text of `/metrics`. Cheap to clone.
#[derive(Clone)]
pub struct Rendering(PrometheusHandle);

impl Rendering {
    /// All metrics in the text format of Prometheus.
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Moves recorded samples into their histograms. Call it every few seconds: without it, samples pile up between
    /// two calls of [`Rendering::render`].
    pub fn tidy(&self) {
        self.0.run_upkeep();
    }
}

impl fmt::Debug for Rendering {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Rendering")
    }
}

/// What `berth_build_info` says of a program.
#[derive(Debug, Clone, Copy)]
pub struct Build {
    /// `berth` or `berth-worker`.
    pub program: &'static str,
    /// The version of the release.
    pub version: &'static str,
}

/// Installs the recorder of this process.
///
/// Fails when there is one already.
pub fn install(build: Build) -> Result<Rendering, Error> {
    let recorder = recorder().map_err(Error)?;
    let rendering = Rendering(recorder.handle());
    metrics::set_global_recorder(recorder).map_err(|error| Error(error.into()))?;
    describe(build);
    Ok(rendering)
}

fn recorder() -> Result<PrometheusRecorder, BuildError> {
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_bytes".to_owned()), &BYTES)?
        .set_buckets_for_metric(Matcher::Suffix("_size".to_owned()), &COUNTS)?;
    Ok(builder.build_recorder())
}

/// A text of metrics of which no recorder is installed.
#[cfg(test)]
pub(crate) fn detached() -> Result<Rendering, BuildError> {
    Ok(Rendering(recorder()?.handle()))
}

fn describe(build: Build) {
    for metric in METRICS {
        let description = SharedString::const_str(metric.description);
        match (metric.kind, metric.unit) {
            (Kind::Counter, None) => metrics::describe_counter!(metric.name, description),
            (Kind::Counter, Some(unit)) => metrics::describe_counter!(metric.name, unit, description),
            (Kind::Gauge, None) => metrics::describe_gauge!(metric.name, description),
            (Kind::Gauge, Some(unit)) => metrics::describe_gauge!(metric.name, unit, description),
            (Kind::Histogram, unit) => {
                metrics::describe_histogram!(metric.name, unit.unwrap_or(Unit::Count), description);
            }
        }
    }
    metrics::gauge!(names::BUILD_INFO, "program" => build.program, "version" => build.version).set(1.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_fall_into_buckets_of_seconds() {
        let recorder = recorder().expect("the bounds are good");
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            describe(Build {
                program: "berth",
                version: "1.2.3",
            });
            metrics::histogram!(names::REQUEST_DURATION_SECONDS, "route" => "/v1/embeddings").record(0.0042);
            metrics::counter!(names::REQUESTS_TOTAL, "status_class" => "2xx").increment(2);
        });
        let text = Rendering(handle).render();
        for line in [
            "berth_build_info{program=\"berth\",version=\"1.2.3\"} 1",
            "berth_requests_total{status_class=\"2xx\"} 2",
            "berth_request_duration_seconds_bucket{route=\"/v1/embeddings\",le=\"0.002\"} 0",
            "berth_request_duration_seconds_bucket{route=\"/v1/embeddings\",le=\"0.005\"} 1",
            "# TYPE berth_request_duration_seconds histogram",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }

    #[test]
    fn names_follow_the_conventions_of_prometheus() {
        for metric in METRICS {
            let name = metric.name;
            assert!(name.starts_with("berth_"), "{name}");
            assert_eq!(name.ends_with("_total"), metric.kind == Kind::Counter, "{name}");
            assert_eq!(
                name.ends_with("_seconds"),
                metric.unit == Some(Unit::Seconds),
                "{name}"
            );
            assert_eq!(
                name.ends_with("_bytes"),
                metric.unit == Some(Unit::Bytes),
                "{name}"
            );
            assert!(metric.description.ends_with('.'), "{name}");
        }
    }

    #[test]
    fn no_name_comes_twice() {
        let mut names: Vec<_> = METRICS.iter().map(|metric| metric.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), METRICS.len());
    }

    #[test]
    fn operators_are_told_of_every_metric() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operating.md");
        let told = std::fs::read_to_string(path).expect("the document is there");
        for metric in METRICS {
            assert!(
                told.contains(&format!("| `{}` |", metric.name)),
                "{}",
                metric.name
            );
        }
    }
}
