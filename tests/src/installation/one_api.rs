//! One API over the real servers, without anything that would work behind it.

use std::path::PathBuf;

use anyhow::Result;
use berth_test_support::Process;

use super::settings::Settings;

/// A running `berth api`. Nothing proves models and nothing serves them.
#[derive(Debug)]
pub struct OneApi {
    /// The process.
    pub process: Process,
    /// Its address.
    pub address: String,
    settings: Settings,
}

impl OneApi {
    /// Starts it with settings in the environment, and waits until it listens.
    pub async fn start_with(settings: &[(&str, &str)]) -> Result<Self> {
        let settings = Settings::new(settings).await?;
        let (process, address) = settings.api("api").await?;
        Ok(Self {
            process,
            address,
            settings,
        })
    }

    /// The folder of the artifacts.
    pub fn artifacts(&self) -> PathBuf {
        self.settings.folder.path().join("artifacts")
    }
}
