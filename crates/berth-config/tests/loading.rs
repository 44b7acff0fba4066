//! Reading settings from file and environment, and telling what is wrong.

use std::fs;
use std::path::PathBuf;

use berth_config::{Config, Origin, Problem, Process, Size, Source, Span, load};
use tempfile::TempDir;

const PEPPER: &str = "0123456789abcdef0123456789abcdef";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";

/// Everything that `berth api` needs, in the environment.
fn complete() -> Source {
    let peppers = format!("[{{ id = \"1\", secret = \"{PEPPER}\" }}]");
    let keys = format!("[{{ key = {KEY:?} }}]");
    Source::default()
        .with_variable("BERTH_DATABASE__URL", "postgres://berth_app:hunter2@db/berth")
        .with_variable(
            "BERTH_DATABASE__SYSTEM_URL",
            "postgres://berth_system:hunter2@db/berth",
        )
        .with_variable("BERTH_REDIS__URL", "redis://redis/")
        .with_variable("BERTH_ARTIFACTS__FOLDER", "/srv/models")
        .with_variable("BERTH_AUTH__PEPPERS", peppers)
        .with_variable("BERTH_AUTH__SIGNING_KEYS", keys)
}

fn api(source: &Source) -> Config {
    load(source, Process::Api).expect("the settings fit")
}

fn problems(source: &Source, process: Process) -> Vec<Problem> {
    let error = load(source, process).expect_err("the settings are refused");
    assert!(matches!(error, berth_config::Error::Problems(_)), "{error}");
    let berth_config::Error::Problems(problems) = error else {
        return Vec::new();
    };
    problems.0
}

fn file(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("berth.toml");
    fs::write(&path, text).expect("can write");
    (folder, path)
}

#[test]
fn environment_wins_over_file_and_file_over_default() {
    let (_folder, path) =
        file("[http]\nthreads = 3\nmax_connections = 7\n\n[http.body_limits]\ncontrol = \"2MiB\"\n");
    let config = api(&complete()
        .with_file(&path)
        .with_preset("http", "threads", 9)
        .with_preset("http", "compression", false)
        .with_variable("BERTH_HTTP__MAX_CONNECTIONS", "11"));
    assert_eq!(config.http.threads, 3);
    assert_eq!(config.http.max_connections, 11);
    assert!(!config.http.compression, "a preset stands in for the default");
    assert_eq!(config.http.body_limits.control, Size::mib(2));
    assert_eq!(config.http.keep_alive, Span::seconds(75));
}

#[test]
fn variables_reach_nested_fields_and_lists() {
    let config = api(&complete()
        .with_variable("BERTH_HTTP__BODY_LIMITS__UPLOAD", "3GiB")
        .with_variable("BERTH_HTTP__TRUSTED_PROXIES", "10.0.0.0/8, 192.168.0.0/16")
        .with_variable("BERTH_HTTP__CORS__ALLOWED_ORIGINS", "[\"https://a.example\"]")
        .with_variable("BERTH_HTTP__COMPRESSION", "false")
        .with_variable("BERTH_AUTH__SIGN_UP", "open")
        .with_variable("BERTH_WORKER__NAME", "7"));
    assert_eq!(config.http.body_limits.upload, Size::gib(3));
    assert_eq!(config.http.trusted_proxies.len(), 2);
    assert_eq!(config.http.cors.allowed_origins, ["https://a.example"]);
    assert!(!config.http.compression);
    assert_eq!(config.auth.sign_up, berth_config::SignUp::Open);
    assert_eq!(
        config.worker.name.as_deref(),
        Some("7"),
        "a text that looks like a number stays text"
    );
}

#[test]
fn variables_that_are_no_settings_are_left_alone() {
    api(&complete()
        .with_variable("BERTH_CONFIG", "x")
        .with_variable("BERTH_TEST_DATABASE_URL", "x"));
}

#[test]
fn every_problem_is_told_at_once_with_where_it_is() {
    let (_folder, path) = file(
        "[http]\nlisten = \"nowhere\"\nkeep_alive = 30\nlisten_on = \"x\"\n\n[databse]\nurl = \"x\"\n\n\
         [telemetry]\nlog_level = \"loud\"\n\n[gate]\nfiles = 0\n",
    );
    let source = complete()
        .with_file(&path)
        .with_variable("BERTH_HTTP__THREADS", "many")
        .with_variable("BERTH_REDIS__PREFX", "a");
    let told = problems(&source, Process::Api);
    let in_file = Origin::File(path);
    let by_path = |wanted: &str| {
        let problem = told.iter().find(|problem| problem.path == wanted);
        problem.unwrap_or_else(|| panic!("{wanted} is not told in {told:#?}"))
    };
    assert_eq!(by_path("http.listen").origin, in_file);
    assert!(by_path("http.keep_alive").message.contains("`30s`"), "{told:#?}");
    assert!(
        by_path("http.listen_on")
            .message
            .contains("did you mean `http.listen`?"),
        "{told:#?}"
    );
    assert!(
        by_path("databse").message.contains("did you mean `database`?"),
        "{told:#?}"
    );
    assert_eq!(by_path("telemetry.log_level").origin, in_file);
    assert_eq!(by_path("gate.files").origin, in_file);
    assert_eq!(
        by_path("http.threads").origin,
        Origin::Variable("BERTH_HTTP__THREADS".to_owned())
    );
    assert!(
        by_path("redis.prefx")
            .message
            .contains("did you mean `BERTH_REDIS__PREFIX`?"),
        "{told:#?}"
    );
    assert_eq!(told.len(), 8, "{told:#?}");
}

#[test]
fn body_that_no_model_could_be_sent_is_not_allowed_for() {
    let with = |limit: &str| complete().with_variable("BERTH_HTTP__BODY_LIMITS__INFERENCE", limit);
    let told = problems(&with("256MiB"), Process::Api);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(told[0].path, "http.body_limits.inference");
    assert!(told[0].message.contains("at most 255MiB"), "{told:#?}");
    let most = api(&with("255MiB")).http.body_limits.inference;
    assert_eq!(most, berth_config::LARGEST_INFERENCE_BODY);
}

#[test]
fn waits_that_shrink_are_refused() {
    let source = complete()
        .with_variable("BERTH_WORKER__ONNXRUNTIME_LIBRARY", "/lib/libonnxruntime.so")
        .with_variable("BERTH_WORKER__RESTART_WAIT", "2m");
    let told = problems(&source, Process::Worker);
    let paths: Vec<_> = told.iter().map(|problem| problem.path.as_str()).collect();
    assert!(paths.contains(&"worker.longest_restart_wait"), "{told:#?}");
}

#[test]
fn key_in_the_wrong_section_is_led_to_its_own() {
    let (_folder, path) = file("[http]\nstaging_folder = \"/tmp\"\n\n[worker.sandbx]\n");
    let told = problems(&complete().with_file(path), Process::Api);
    let messages: Vec<_> = told.iter().map(ToString::to_string).collect();
    assert!(
        messages
            .iter()
            .any(|text| text.contains("did you mean `worker.sandbox`?")),
        "{messages:#?}"
    );
}

#[test]
fn missing_settings_are_told_for_the_process_that_needs_them() {
    let paths = |process| -> Vec<String> {
        problems(&Source::default(), process)
            .into_iter()
            .map(|problem| problem.path)
            .collect()
    };
    assert_eq!(
        paths(Process::Tasks),
        [
            "database.url",
            "database.system_url",
            "redis.url",
            "amqp.url",
            "artifacts.folder",
            "auth.peppers",
            "auth.signing_keys"
        ]
    );
    assert_eq!(
        paths(Process::Worker),
        [
            "coordination.socket",
            "artifacts.folder",
            "worker.onnxruntime_library"
        ]
    );
    assert_eq!(
        paths(Process::Migrate),
        ["database.owner_url", "database.url", "database.system_url"]
    );
}

#[test]
fn secret_comes_from_its_file_without_the_line_break() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let secret = folder.path().join("url");
    fs::write(&secret, "postgres://berth_owner:hunter2@db/berth\n").expect("can write");
    let config = load(
        &complete().with_variable("BERTH_DATABASE__OWNER_URL_FILE", &secret),
        Process::Migrate,
    );
    let owner_url = config
        .expect("the settings fit")
        .database
        .owner_url
        .expect("is set");
    assert_eq!(owner_url.expose(), "postgres://berth_owner:hunter2@db/berth");
}

#[test]
fn secret_given_twice_missing_or_empty_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let empty = folder.path().join("empty");
    fs::write(&empty, "\n").expect("can write");
    let source = complete()
        .with_variable("BERTH_DATABASE__URL_FILE", &empty)
        .with_variable("BERTH_DATABASE__OWNER_URL_FILE", folder.path().join("absent"));
    let told = problems(&source, Process::Migrate);
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(told[0].message.contains("exactly one of both"), "{told:#?}");
    assert!(told[1].message.contains("cannot be read"), "{told:#?}");

    let source = Source::default()
        .with_variable("BERTH_REDIS__URL_FILE", &empty)
        .with_variable("BERTH_ARTIFACTS__FOLDER", "/srv/models")
        .with_variable("BERTH_WORKER__ONNXRUNTIME_LIBRARY", "/lib/libonnxruntime.so");
    let told = problems(&source, Process::Worker);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].message.contains("is empty"), "{told:#?}");
}

#[test]
fn worker_does_not_open_secrets_of_the_control_plane() {
    let source = Source::default()
        .with_variable("BERTH_DATABASE__URL_FILE", "/nonexistent/secret")
        .with_variable("BERTH_REDIS__URL", "redis://redis/")
        .with_variable("BERTH_ARTIFACTS__FOLDER", "/srv/models")
        .with_variable("BERTH_WORKER__ONNXRUNTIME_LIBRARY", "/lib/libonnxruntime.so");
    load(&source, Process::Worker).expect("the settings fit");
}

#[test]
fn what_is_told_never_holds_a_secret() {
    let (_folder, path) = file("[database]\nurl = 12345678\n\n[mail]\npassword = [\"hunter2\"]\n");
    let source = Source::default()
        .with_file(path)
        .with_variable("BERTH_DATABASE__SYSTEM_URL", "mysql://root:hunter2@db/")
        .with_variable("BERTH_AUTH__PEPPERS", "[{ id = 1, secret = \"hunter2\" ]");
    let told = problems(&source, Process::Api);
    let text = told.iter().map(ToString::to_string).collect::<String>();
    assert!(text.contains("`database.system_url`: must be a URL"), "{text}");
    assert!(text.contains("`database.url`: expected text"), "{text}");
    assert!(!text.contains("hunter2") && !text.contains("12345678"), "{text}");
}

#[test]
fn peppers_and_signing_keys_are_checked_one_by_one() {
    let (_folder, path) = file(
        "[[auth.peppers]]\nid = \"a\"\nsecret = \"short\"\n\n[[auth.peppers]]\nid = \"a\"\n\n[[auth.peppers]]\nid = \"a b\"\nsecret = \"0123456789abcdef0123456789abcdef\"\n\n\
         [[auth.signing_keys]]\nkey = \"no key\"\ncolor = 1\n",
    );
    let source = Source::default().with_file(path);
    let told: Vec<_> = problems(&source, Process::Api)
        .into_iter()
        .map(|problem| problem.path)
        .collect();
    for path in [
        "auth.peppers[0].secret",
        "auth.peppers[1].secret",
        "auth.peppers",
        "auth.peppers[2].id",
        "auth.signing_keys[0].key",
        "auth.signing_keys[0].color",
    ] {
        assert!(told.iter().any(|one| one == path), "{path} in {told:#?}");
    }
}

#[test]
fn shown_settings_redact_secrets() {
    let text = toml::to_string(&api(&complete())).expect("settings are TOML");
    assert!(text.contains("[redacted]"));
    assert!(!text.contains("hunter2") && !text.contains(PEPPER), "{text}");
}

#[test]
fn file_that_is_not_toml_is_refused_with_the_line() {
    let (_folder, path) = file("[http]\n\nlisten = \n");
    let error = load(&complete().with_file(path), Process::Api).expect_err("is refused");
    assert!(error.to_string().contains("line 3"), "{error}");
}

#[test]
fn absent_file_is_refused() {
    let error = load(&complete().with_file("/nonexistent/berth.toml"), Process::Api).expect_err("is refused");
    assert!(matches!(error, berth_config::Error::Read { .. }));
}
