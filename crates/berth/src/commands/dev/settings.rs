//! What `berth dev` sets by itself. A settings file and the environment win, so anything can still be changed.

use std::path::Path;

use berth_config::Source;
use berth_domain::random::{Random as _, SystemRandom};
use berth_domain::secret::Secret;
use serde_json::json;

use super::state::State;

/// The settings of `berth dev` over `state`, with the database at these addresses.
pub(crate) fn presets(source: Source, state: &State, database: &DatabaseUrls) -> anyhow::Result<Source> {
    let pepper = state.secret("pepper", random_text)?;
    let signing_key = state.secret("signing-key.pem", || {
        berth_auth::signing::generate(&SystemRandom).expose().to_owned()
    })?;
    let program = std::env::current_exe()?;
    Ok(source
        .with_preset("database", "url", database.app.expose())
        .with_preset("database", "system_url", database.system.expose())
        .with_preset("artifacts", "folder", text(&state.folder("artifacts")?))
        .with_preset(
            "auth",
            "peppers",
            json!([{ "id": "dev", "secret_file": text(&pepper) }]),
        )
        .with_preset(
            "auth",
            "signing_keys",
            json!([{ "key_file": text(&signing_key) }]),
        )
        .with_preset("auth", "key_environment", "dev")
        .with_preset("auth", "sign_up", "open")
        // Nothing balances a load before it.
        .with_preset("http", "drain_delay", "0s")
        .with_preset("gate", "program", text(&program))
        .with_preset("gate", "sandbox", "best_effort")
        .with_preset("telemetry", "log_level", "warn"))
}

/// Where the private database is.
#[derive(Debug)]
pub(crate) struct DatabaseUrls {
    /// As `berth_app`.
    pub(crate) app: Secret,
    /// As `berth_system`.
    pub(crate) system: Secret,
}

/// 256 random bits as text.
pub(crate) fn random_text() -> String {
    let bytes: [u8; 32] = SystemRandom.bytes();
    bytes.iter().fold(String::with_capacity(64), |text, byte| {
        format!("{text}{byte:02x}")
    })
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
