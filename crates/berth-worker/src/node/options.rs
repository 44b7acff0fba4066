//! From settings to what each part takes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use berth_artifacts::store::S3Options;
use berth_config::{Config, LogFormat};
use berth_coordination::records::{Device, WorkerRecord};
use berth_domain::clock::Timestamp;
use berth_domain::id::WorkerId;
use berth_telemetry::logging;
use berth_transport::{Peers, Security, TlsFiles};

use super::replica::Waits;
use crate::doctor::Report;
use crate::launcher::Launcher;
use crate::machine;
use crate::runner::SandboxMode;

pub(super) fn logging(config: &Config) -> logging::Options {
    logging::Options {
        format: match config.telemetry.log_format {
            LogFormat::Pretty => logging::Format::Pretty,
            LogFormat::Json => logging::Format::Json,
        },
        filter: config.telemetry.log_level.clone(),
    }
}

pub(super) fn artifacts(config: &Config) -> anyhow::Result<berth_artifacts::store::Options> {
    if let Some(folder) = &config.artifacts.folder {
        return Ok(berth_artifacts::store::Options::Folder(folder.clone()));
    }
    let s3 = config
        .artifacts
        .s3
        .as_ref()
        .context("no artifact store is configured")?;
    let credentials = s3.access_key_id.clone().zip(s3.secret_access_key.clone());
    Ok(berth_artifacts::store::Options::S3(S3Options {
        bucket: s3.bucket.clone().context("no bucket is configured")?,
        region: s3.region.clone().unwrap_or_default(),
        endpoint: s3.endpoint.clone(),
        prefix: s3.prefix.clone(),
        credentials,
        allow_http: s3.allow_http,
        virtual_hosted_style: s3.virtual_hosted_style,
    }))
}

pub(super) fn cache(config: &Config) -> berth_artifacts::cache::Options {
    berth_artifacts::cache::Options {
        folder: config.worker.cache_folder.clone(),
        limit_bytes: config.worker.cache_size.get(),
    }
}

pub(super) fn redis(config: &Config) -> anyhow::Result<berth_coordination::redis::Options> {
    Ok(berth_coordination::redis::Options {
        url: config.redis.url.clone().context("no Redis is configured")?,
        prefix: config.redis.prefix.clone(),
        timeout: config.redis.timeout.get(),
    })
}

/// Memory for all runners together.
fn budget(config: &Config, report: &Report) -> u64 {
    let share = report.memory_bytes / 10 * 8;
    config.worker.memory.map_or(share, berth_config::Size::get)
}

pub(super) fn launcher(config: &Config, report: &Report, program: PathBuf, sockets: &Path) -> Launcher {
    let worker = &config.worker;
    let threads = match usize::from(worker.threads) {
        0 => machine::processors(),
        threads => threads,
    };
    let log = logging(config);
    Launcher {
        program,
        sockets: sockets.to_owned(),
        library: worker.onnxruntime_library.clone().unwrap_or_default(),
        providers: worker.providers.clone(),
        gpu: worker.device,
        threads,
        most_threads: machine::processors(),
        queue_requests: usize::try_from(worker.queue).unwrap_or(usize::MAX),
        sandbox: match worker.sandbox {
            berth_config::SandboxMode::Required => SandboxMode::Required,
            berth_config::SandboxMode::BestEffort => SandboxMode::BestEffort,
        },
        memory_bytes: Some(
            worker
                .runner_memory
                .map_or_else(|| budget(config, report), berth_config::Size::get),
        ),
        slack_bytes: worker.runner_slack.get(),
        load_timeout: worker.load_timeout.get(),
        log_as_json: log.format == logging::Format::Json,
        log_filter: log.filter,
    }
}

/// How other machines' callers are known.
pub(super) fn peers(config: &Config) -> anyhow::Result<Peers> {
    let security = match (&config.peers.tls, &config.peers.secret) {
        (Some(tls), _) => {
            let file = |file: &Option<PathBuf>| file.clone().context("a file of `peers.tls` is not named");
            Some(Security::Tls(TlsFiles {
                authority_file: file(&tls.authority_file)?,
                certificate_file: file(&tls.certificate_file)?,
                key_file: file(&tls.key_file)?,
                server_name: tls.server_name.clone(),
            }))
        }
        (None, Some(secret)) => Some(Security::Secret(secret.clone())),
        (None, None) => None,
    };
    Peers::new(security, config.peers.local_sockets).context("the certificates of `peers.tls` cannot be used")
}

/// How other machines reach this node, which listens at `listening`.
pub(super) fn endpoint(config: &Config, listening: SocketAddr) -> String {
    let host = config.peers.address.clone().unwrap_or_else(machine::hostname);
    let has_port = host
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if has_port {
        host
    } else {
        format!("{host}:{}", listening.port())
    }
}

/// How long runners that end are waited for.
pub(super) fn waits(config: &Config) -> Waits {
    Waits {
        first: config.worker.restart_wait.get(),
        longest: config.worker.longest_restart_wait.get(),
    }
}

/// What the node's models run on. The processor runs whatever others leave, so it is always there.
fn providers(configured: &[String]) -> Vec<String> {
    let mut providers = configured.to_vec();
    if !providers.iter().any(|provider| provider == "cpu") {
        providers.push("cpu".to_owned());
    }
    providers
}

/// The processor, and the GPUs that runners see and use.
fn devices(config: &Config, report: &Report) -> Vec<Device> {
    let worker = &config.worker;
    let mut devices = vec![Device {
        kind: "cpu".to_owned(),
        name: report.processor.clone(),
        memory_bytes: report.memory_bytes,
    }];
    if worker.providers.iter().any(|provider| provider != "cpu") {
        let seen = |place: usize| worker.device.is_none_or(|device| usize::from(device) == place);
        let gpus = report.gpus.iter().enumerate().filter(|(place, _)| seen(*place));
        devices.extend(gpus.map(|(_, name)| Device {
            kind: "cuda".to_owned(),
            name: name.clone(),
            memory_bytes: worker.device_memory.map_or(0, berth_config::Size::get),
        }));
    }
    devices
}

/// What the node says of itself.
pub(super) fn worker_record(
    config: &Config,
    id: WorkerId,
    report: &Report,
    control_address: String,
    now: Timestamp,
) -> WorkerRecord {
    let worker = &config.worker;
    WorkerRecord {
        id,
        control_address,
        machine: berth_transport::this_machine(),
        endpoint: None,
        hostname: worker.name.clone().unwrap_or_else(|| report.hostname.clone()),
        devices: devices(config, report),
        memory_bytes: budget(config, report),
        providers: providers(&worker.providers),
        labels: worker.labels.clone(),
        library_version: report.library_version.clone(),
        protocol: berth_protocol::PROTOCOL_VERSION,
        draining: false,
        started_at: now,
    }
}

#[cfg(test)]
mod tests {
    use berth_artifacts::store::Options;
    use berth_config::{LARGEST_INFERENCE_BODY, Process, Source, load};
    use berth_protocol::transport::MESSAGE_LIMIT_BYTES;

    use super::*;

    #[test]
    fn artifact_store_is_the_one_that_the_settings_describe() {
        let source = Source::default()
            .with_variable("BERTH_COORDINATION__SOCKET", "/run/berth/coordination.sock")
            .with_variable("BERTH_WORKER__ONNXRUNTIME_LIBRARY", "/lib/libonnxruntime.so")
            .with_variable("BERTH_ARTIFACTS__S3__BUCKET", "models")
            .with_variable("BERTH_ARTIFACTS__S3__REGION", "eu-central-1")
            .with_variable("BERTH_ARTIFACTS__S3__VIRTUAL_HOSTED_STYLE", "true");
        let config = load(&source, Process::Worker).expect("the settings fit");
        let Ok(Options::S3(s3)) = artifacts(&config) else {
            panic!("it is a bucket");
        };
        assert_eq!(
            (s3.bucket.as_str(), s3.region.as_str()),
            ("models", "eu-central-1")
        );
        assert!(s3.virtual_hosted_style);
    }

    #[test]
    fn worker_tells_of_the_gpu_that_it_uses_and_of_no_other() {
        let report = Report {
            hostname: "node".to_owned(),
            processor: "P".to_owned(),
            processors: 2,
            memory_bytes: 1 << 30,
            gpus: vec!["A".to_owned(), "B".to_owned()],
            library: PathBuf::new(),
            library_version: String::new(),
            library_providers: Vec::new(),
            build_providers: Vec::new(),
            sandbox: String::new(),
            sandbox_complete: true,
        };
        let named = |variables: &[(&str, &str)]| {
            let mut source = Source::default()
                .with_variable("BERTH_COORDINATION__SOCKET", "/run/berth/coordination.sock")
                .with_variable("BERTH_ARTIFACTS__FOLDER", "/var/lib/berth")
                .with_variable("BERTH_WORKER__ONNXRUNTIME_LIBRARY", "/lib/libonnxruntime.so")
                .with_variable("BERTH_WORKER__LABELS", "{ zone = \"a\" }");
            for (name, value) in variables {
                source = source.with_variable(*name, *value);
            }
            let config = load(&source, Process::Worker).expect("the settings fit");
            let devices = devices(&config, &report).into_iter();
            let devices: Vec<_> = devices.map(|device| (device.name, device.memory_bytes)).collect();
            assert_eq!(config.worker.labels["zone"], "a");
            (providers(&config.worker.providers), devices)
        };
        let device = |name: &str, memory_bytes| (name.to_owned(), memory_bytes);
        assert_eq!(named(&[]), (vec!["cpu".to_owned()], vec![device("P", 1 << 30)]));
        let gpu = [
            ("BERTH_WORKER__PROVIDERS", "cuda"),
            ("BERTH_WORKER__DEVICE", "1"),
            ("BERTH_WORKER__DEVICE_MEMORY", "24GiB"),
        ];
        let both = vec!["cuda".to_owned(), "cpu".to_owned()];
        assert_eq!(
            named(&gpu),
            (both.clone(), vec![device("P", 1 << 30), device("B", 24 << 30)])
        );
        assert_eq!(
            named(&gpu[..1]),
            (both, vec![device("P", 1 << 30), device("A", 0), device("B", 0)])
        );
    }

    #[test]
    fn largest_body_fits_into_a_message_with_what_goes_with_it() {
        let largest = usize::try_from(LARGEST_INFERENCE_BODY.get()).expect("fits");
        assert!(largest + (64 << 10) <= MESSAGE_LIMIT_BYTES);
    }
}
