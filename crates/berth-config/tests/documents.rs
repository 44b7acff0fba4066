//! The committed schema and default file are what the program writes.

use std::fs;
use std::path::{Path, PathBuf};

use berth_config::{Process, Source, default_document, load, schema_document};

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

fn committed(name: &str) -> String {
    fs::read_to_string(docs().join(name)).unwrap_or_default()
}

#[test]
fn committed_default_file_is_up_to_date() {
    let fresh = default_document();
    assert!(
        committed("berth.default.toml") == fresh,
        "docs/berth.default.toml is old; write it anew: berth config default > docs/berth.default.toml"
    );
}

#[test]
fn committed_schema_is_up_to_date() {
    let fresh = format!("{:#}\n", schema_document());
    assert!(
        committed("berth.schema.json") == fresh,
        "docs/berth.schema.json is old; write it anew: berth config schema > docs/berth.schema.json"
    );
}

/// The document with every setting commented in, without the twins of secrets and one of each either-or.
fn commented_in() -> String {
    default_document()
        .lines()
        .filter(|line| {
            !line.contains("_file = ")
                || line.contains("certificate_file")
                || line.contains("#key_file = \"/etc")
        })
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if setting.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => setting,
            _ => line,
        })
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn default_file_changes_nothing_as_it_stands() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("berth.toml");
    fs::write(&path, default_document()).expect("can write");
    let needed = Source::default()
        .with_variable("BERTH_COORDINATION__SOCKET", "/run/dev.sock")
        .with_variable("BERTH_ARTIFACTS__FOLDER", "/srv/models")
        .with_variable("BERTH_WORKER__ONNXRUNTIME_LIBRARY", "/lib/libonnxruntime.so");
    let shown = |source: &Source| {
        let config = load(source, Process::Worker).expect("the settings fit");
        toml::to_string(&config).expect("settings are TOML")
    };
    assert_eq!(shown(&needed.clone().with_file(path)), shown(&needed));
}

#[test]
fn default_file_with_every_setting_commented_in_is_read() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("berth.toml");
    let text = commented_in();
    fs::write(&path, &text).expect("can write");
    let loaded = load(&Source::default().with_file(path), Process::Migrate);
    assert!(loaded.is_ok(), "{loaded:?}\n{text}");
}
