//! From the settings to what each part is told. Lower crates never see the settings themselves.

use std::time::Duration;

use anyhow::Context as _;
use berth_artifacts::archive::UnpackLimits;
use berth_auth::pepper::{Pepper, Peppers};
use berth_auth::signing::{SigningKey, SigningKeys};
use berth_auth::throttle::{self, Limit};
use berth_auth::{auth, authenticator, passwords, tokens};
use berth_config::{Config, MailSecurity, SandboxMode, SignUp, Span};
use berth_domain::secret::Secret;
use berth_jobs::mail;
use berth_serving::gate;
use berth_serving::transport::{Peers, Security, TlsFiles};
use chrono::TimeDelta;

/// A setting that [`berth_config::load`] has found to be there for this process.
fn there<'a, T>(value: Option<&'a T>, path: &str) -> anyhow::Result<&'a T> {
    value.with_context(|| format!("the setting `{path}` is missing"))
}

fn delta(span: Span) -> TimeDelta {
    TimeDelta::from_std(span.get()).unwrap_or(TimeDelta::MAX)
}

/// How workers are reached.
pub(crate) fn peers(config: &Config) -> anyhow::Result<Peers> {
    let peers = &config.peers;
    let security = match (&peers.tls, &peers.secret) {
        (Some(tls), _) => {
            let authority = there(tls.authority_file.as_ref(), "peers.tls.authority_file")?;
            let certificate = there(tls.certificate_file.as_ref(), "peers.tls.certificate_file")?;
            Some(Security::Tls(TlsFiles {
                authority_file: authority.clone(),
                certificate_file: certificate.clone(),
                key_file: there(tls.key_file.as_ref(), "peers.tls.key_file")?.clone(),
                server_name: tls.server_name.clone(),
            }))
        }
        (None, Some(secret)) => Some(Security::Secret(secret.clone())),
        (None, None) => None,
    };
    Peers::new(security, peers.local_sockets).context("the certificates of `peers.tls` cannot be used")
}

/// Postgres.
pub(crate) fn store(config: &Config) -> anyhow::Result<berth_store::Options> {
    let database = &config.database;
    let app_url = there(database.url.as_ref(), "database.url")?.clone();
    let system_url = there(database.system_url.as_ref(), "database.system_url")?.clone();
    Ok(berth_store::Options {
        max_connections: database.max_connections,
        max_system_connections: database.system_max_connections,
        acquire_timeout: database.acquire_timeout.get(),
        statement_timeout: database.statement_timeout.get(),
        ..berth_store::Options::new(app_url, system_url)
    })
}

/// The migrations of Postgres.
pub(crate) fn migrations(config: &Config) -> anyhow::Result<berth_store::MigrateOptions> {
    let database = &config.database;
    Ok(berth_store::MigrateOptions {
        owner_url: there(database.owner_url.as_ref(), "database.owner_url")?.clone(),
        app_url: there(database.url.as_ref(), "database.url")?.clone(),
        system_url: there(database.system_url.as_ref(), "database.system_url")?.clone(),
    })
}

/// Redis.
pub(crate) fn redis(config: &Config) -> anyhow::Result<berth_coordination::redis::Options> {
    let redis = &config.redis;
    Ok(berth_coordination::redis::Options {
        url: there(redis.url.as_ref(), "redis.url")?.clone(),
        prefix: redis.prefix.clone(),
        timeout: redis.timeout.get(),
    })
}

/// RabbitMQ.
pub(crate) fn amqp(config: &Config) -> anyhow::Result<berth_queue::amqp::Options> {
    let amqp = &config.amqp;
    Ok(berth_queue::amqp::Options {
        prefix: amqp.prefix.clone(),
        timeout: amqp.timeout.get(),
        ..berth_queue::amqp::Options::new(there(amqp.url.as_ref(), "amqp.url")?.expose())
    })
}

/// The check of uploads.
pub(crate) fn gate(config: &Config) -> anyhow::Result<gate::Options> {
    let settings = &config.gate;
    let this_program = || std::env::current_exe().context("finding this program, which is also the gate");
    let defaults = gate::Limits::default();
    let unpacked = settings.unpacked_size.get();
    Ok(gate::Options {
        program: settings.program.clone().map_or_else(this_program, Ok)?,
        concurrency: usize::from(settings.concurrency),
        timeout: settings.timeout.get(),
        limits: gate::Limits {
            memory_bytes: settings.memory.get(),
            cpu_seconds: settings.timeout.get().as_secs().max(1),
            unpack: UnpackLimits {
                entries: u64::from(settings.files),
                file_bytes: unpacked,
                total_bytes: unpacked,
                ratio: u64::from(settings.ratio),
                ..defaults.unpack
            },
            graph: defaults.graph,
        },
        best_effort: settings.sandbox == SandboxMode::BestEffort,
    })
}

/// Outgoing mail, where it is configured.
pub(crate) fn mail(config: &Config) -> anyhow::Result<Option<mail::Options>> {
    let settings = &config.mail;
    let Some(host) = settings.host.clone() else {
        return Ok(None);
    };
    Ok(Some(mail::Options {
        host,
        port: settings.port,
        security: match settings.security {
            MailSecurity::Starttls => mail::Security::Starttls,
            MailSecurity::Tls => mail::Security::Tls,
            MailSecurity::None => mail::Security::None,
        },
        credentials: settings.user.clone().zip(settings.password.clone()),
        from: there(settings.from.as_ref(), "mail.from")?.clone(),
        timeout: settings.timeout.get(),
        public_url: public_url(config),
    }))
}

/// The files of models.
pub(crate) fn artifacts(config: &Config) -> anyhow::Result<berth_artifacts::store::Options> {
    use berth_artifacts::store::{Options, S3Options};
    let artifacts = &config.artifacts;
    let Some(s3) = &artifacts.s3 else {
        return Ok(Options::Folder(
            there(artifacts.folder.as_ref(), "artifacts.folder")?.clone(),
        ));
    };
    let credentials = s3.access_key_id.clone().zip(s3.secret_access_key.clone());
    Ok(Options::S3(S3Options {
        bucket: there(s3.bucket.as_ref(), "artifacts.s3.bucket")?.clone(),
        region: there(s3.region.as_ref(), "artifacts.s3.region")?.clone(),
        endpoint: s3.endpoint.clone(),
        prefix: s3.prefix.clone(),
        credentials,
        allow_http: s3.allow_http,
        virtual_hosted_style: s3.virtual_hosted_style,
    }))
}

/// The peppers of API keys.
pub(crate) fn peppers(config: &Config) -> anyhow::Result<Peppers> {
    let mut peppers = Vec::new();
    for pepper in &config.auth.peppers {
        let secret = there(pepper.secret.as_ref(), "auth.peppers.secret")?.clone();
        peppers.push(Pepper {
            id: pepper.id.clone(),
            secret,
        });
    }
    let mut peppers = peppers.into_iter();
    let current = there(peppers.next().as_ref(), "auth.peppers")?.clone();
    Peppers::new(current, peppers.collect()).context("the setting `auth.peppers`")
}

/// The keys that sign access tokens.
pub(crate) fn signing_keys(config: &Config) -> anyhow::Result<SigningKeys> {
    let mut keys = Vec::new();
    for (index, key) in config.auth.signing_keys.iter().enumerate() {
        let pem: &Secret = there(key.key.as_ref(), "auth.signing_keys.key")?;
        let key = SigningKey::from_pem(pem);
        keys.push(key.with_context(|| format!("the setting `auth.signing_keys[{index}]`"))?);
    }
    let mut keys = keys.into_iter();
    let current = keys.next().context("the setting `auth.signing_keys` is empty")?;
    Ok(SigningKeys::new(current, keys.collect()))
}

/// Accounts and sessions.
pub(crate) fn auth(config: &Config) -> anyhow::Result<auth::Options> {
    let settings = &config.auth;
    let environment = settings
        .key_environment
        .parse()
        .context("the setting `auth.key_environment`")?;
    Ok(auth::Options {
        sign_up: match settings.sign_up {
            SignUp::Closed => auth::SignUpPolicy::Closed,
            SignUp::Invite => auth::SignUpPolicy::Invite,
            SignUp::Open => auth::SignUpPolicy::Open,
        },
        mail: config.mail.host.is_some(),
        environment,
        tokens: tokens::Options {
            lifetime: delta(settings.access_token_lifetime),
            ..tokens::Options::new(issuer(config))
        },
        refresh_lifetime: delta(settings.refresh_token_lifetime),
        session_lifetime: delta(settings.session_lifetime),
        invitation_lifetime: delta(settings.invitation_lifetime),
        password_reset_lifetime: delta(settings.password_reset_lifetime),
        first_password_lifetime: delta(settings.first_password_lifetime),
        max_grace: delta(settings.key_rotation_grace),
        passwords: passwords::Options {
            threads: usize::from(settings.password_threads),
            ..passwords::Options::default()
        },
        throttle: throttles(config),
    })
}

fn throttles(config: &Config) -> throttle::Options {
    const HOUR: Duration = Duration::from_hours(1);
    let settings = &config.auth.throttle;
    let limit = |attempts, window| Limit { attempts, window };
    let sign_in = settings.sign_in_window.get();
    throttle::Options {
        sign_in_by_account: limit(settings.sign_in_per_account, sign_in),
        sign_in_by_address: limit(settings.sign_in_per_address, sign_in),
        sign_up_by_address: limit(settings.sign_up_per_address, HOUR),
        reset_by_account: limit(settings.reset_per_account, HOUR),
        reset_by_address: limit(settings.reset_per_address, HOUR),
        unknown_refresh_by_address: limit(settings.unknown_keys_per_address, Duration::from_mins(1)),
        invitations_by_organization: limit(settings.invitations_per_organization, HOUR),
        invitations_by_recipient: limit(settings.invitations_per_recipient, 24 * HOUR),
    }
}

/// API keys on the hot path.
pub(crate) fn authenticator(config: &Config) -> authenticator::Options {
    authenticator::Options {
        capacity: config.auth.key_cache_entries,
        unknown_by_address: Limit {
            attempts: config.auth.throttle.unknown_keys_per_address,
            window: Duration::from_mins(1),
        },
        ..authenticator::Options::default()
    }
}

/// The HTTP listener.
pub(crate) fn http(config: &Config) -> anyhow::Result<berth_api::Options> {
    let http = &config.http;
    let tls = match &http.tls {
        None => None,
        Some(tls) => Some(berth_api::options::Tls {
            certificate_file: there(tls.certificate_file.as_ref(), "http.tls.certificate_file")?.clone(),
            key_file: there(tls.key_file.as_ref(), "http.tls.key_file")?.clone(),
        }),
    };
    Ok(berth_api::Options {
        listen: http.listen,
        public_url: http.public_url.clone(),
        threads: usize::from(http.threads),
        max_connections: usize::try_from(http.max_connections).unwrap_or(usize::MAX),
        head_timeout: http.head_timeout.get(),
        body_timeout: http.body_timeout.get(),
        upload_stall_timeout: http.upload_stall_timeout.get(),
        upload_timeout: http.upload_timeout.get(),
        keep_alive: http.keep_alive.get(),
        inference_timeout: http.inference_timeout.get(),
        drain_delay: http.drain_delay.get(),
        shutdown_timeout: http.shutdown_timeout.get(),
        compression: http.compression,
        documentation: http.documentation,
        trusted_proxies: http.trusted_proxies.clone(),
        metrics_readers: http.metrics_readers.clone(),
        body_limits: berth_api::options::BodyLimits {
            control: http.body_limits.control.get(),
            inference: http.body_limits.inference.get(),
            upload: http.body_limits.upload.get(),
        },
        body_memory: http.body_memory.get(),
        requests_per_connection: http.requests_per_connection.try_into().unwrap_or(usize::MAX),
        h2c: http.h2c,
        allowed_origins: http.cors.allowed_origins.clone(),
        tls,
        grpc: config.grpc.listen.map(|listen| grpc(&config.grpc, listen)),
    })
}

fn grpc(grpc: &berth_config::Grpc, listen: std::net::SocketAddr) -> berth_api::options::Grpc {
    berth_api::options::Grpc {
        listen,
        max_connections: usize::try_from(grpc.max_connections).unwrap_or(usize::MAX),
        keep_alive_interval: grpc.keep_alive_interval.get(),
        keep_alive_timeout: grpc.keep_alive_timeout.get(),
        idle_timeout: grpc.idle_timeout.get(),
    }
}

/// Logs.
pub(crate) fn logging(config: &Config) -> berth_telemetry::logging::Options {
    use berth_telemetry::logging::{Format, Options};
    Options {
        format: match config.telemetry.log_format {
            berth_config::LogFormat::Pretty => Format::Pretty,
            berth_config::LogFormat::Json => Format::Json,
        },
        // What strangers send that is no HTTP is no fault of this side, but the framework tells it as an error. A level that
        // the settings give to this part wins.
        filter: format!("actix_http::h1::dispatcher=off,{}", config.telemetry.log_level),
    }
}

/// Who issues access tokens. Where no URL is set it is no address: each API listens on one of its own, and all of them take
/// each other's tokens.
fn issuer(config: &Config) -> String {
    config
        .http
        .public_url
        .clone()
        .unwrap_or_else(|| "berth".to_owned())
}

/// The URL under which people reach the installation.
pub(crate) fn public_url(config: &Config) -> String {
    let scheme = if config.http.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let listened = || format!("{scheme}://{}", config.http.listen);
    config.http.public_url.clone().unwrap_or_else(listened)
}
