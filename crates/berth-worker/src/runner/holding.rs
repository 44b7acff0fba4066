//! Loads and unloads models as the node says.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use berth_domain::clock::SystemClock;
use berth_domain::deployment::Batching;
use berth_inference::Provider;
use berth_inference::onnx_runtime::OnnxRuntime;
use berth_runtime::{Compute, LoadError, Options, Runtime};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};
use tokio::sync::{Mutex, mpsc};

use super::messages::{Command, Event, Load, Ready, Settings};
use super::say;
use super::service::Models;
use crate::resident;

/// The models of this process. Clones are the same.
#[derive(Clone)]
pub(super) struct Holding(Arc<Inner>);

struct Inner {
    library: OnnxRuntime,
    compute: Compute,
    settings: Settings,
    providers: Vec<Provider>,
    sandbox: String,
    models: Models,
    /// One model is loaded at a time: what it takes is measured by how the process grows.
    loading: Mutex<()>,
}

impl Holding {
    pub(super) fn new(
        library: OnnxRuntime,
        compute: Compute,
        settings: Settings,
        providers: Vec<Provider>,
        sandbox: String,
    ) -> Self {
        Self(Arc::new(Inner {
            library,
            compute,
            settings,
            providers,
            sandbox,
            models: Models::default(),
            loading: Mutex::new(()),
        }))
    }

    /// What answers requests.
    pub(super) fn models(&self) -> Models {
        self.0.models.clone()
    }

    /// Does what the lines of `input` say. Comes back when a runner with a model of its own could not load it, and fails when
    /// the node cannot be understood or told.
    pub(super) async fn obey(&self, input: impl AsyncBufRead + Unpin) -> anyhow::Result<()> {
        let mut lines = input.lines();
        let (failed, mut failures) = mpsc::unbounded_channel();
        loop {
            let line = tokio::select! {
                line = lines.next_line() => line.context("the node cannot be heard")?,
                Some(failure) = failures.recv() => return failure,
            };
            let Some(line) = line else { break };
            let command = serde_json::from_str(&line).context("a command is malformed")?;
            let (this, failed) = (self.clone(), failed.clone());
            tokio::spawn(async move {
                let done = match command {
                    Command::Load(load) => this.load(*load).await,
                    Command::Unload { slot, patience_ms } => {
                        this.unload(slot, Duration::from_millis(patience_ms)).await
                    }
                };
                match done {
                    Ok(true) => {}
                    // Whoever hears it ends the process.
                    Ok(false) => drop(failed.send(Ok(()))),
                    Err(error) => drop(failed.send(Err(error))),
                }
            });
        }
        // A node that says no more may still want answers; its end is told by the lifeline.
        drop(failed);
        match failures.recv().await {
            Some(failure) => failure,
            None => std::future::pending().await,
        }
    }

    /// Loads a model. Gives whether the process is still of use.
    async fn load(&self, load: Load) -> anyhow::Result<bool> {
        let turn = self.0.loading.lock().await;
        let slot = load.slot;
        let replica = load.replica.clone();
        let inner = Arc::clone(&self.0);
        let loaded = tokio::task::spawn_blocking(move || inner.load(&load)).await;
        let event = match loaded.context("the loading thread failed").flatten() {
            Ok((runtime, ready)) => {
                self.0.models.add(replica, runtime, ready.clone());
                Event::Ready(ready)
            }
            Err(error) => Event::Failed {
                slot: Some(slot),
                reason: format!("{:#}", in_words(error)),
            },
        };
        drop(turn);
        say(&event)?;
        Ok(self.0.settings.shared || matches!(event, Event::Ready(_)))
    }

    async fn unload(&self, slot: u64, patience: Duration) -> anyhow::Result<bool> {
        // One that is still being loaded is known afterwards.
        drop(self.0.loading.lock().await);
        if let Some(held) = self.0.models.take(slot) {
            held.visits.close();
            if tokio::time::timeout(patience, held.visits.wait()).await.is_err() {
                tracing::warn!(slot, "a model did not finish in time; its requests are cut off");
                held.cut.cancel();
                held.visits.wait().await;
            }
            let freed = tokio::task::spawn_blocking(move || {
                drop(held);
                berth_inference::memory::release_free_pages();
            });
            freed.await.context("the thread that frees a model failed")?;
        }
        say(&Event::Unloaded { slot })?;
        Ok(true)
    }
}

impl Inner {
    fn load(&self, load: &Load) -> anyhow::Result<(Runtime, Ready)> {
        let measure = || resident::of_this_process().context("the runner's memory cannot be measured");
        let before = if self.settings.shared { measure()? } else { 0 };
        let begun = Instant::now();
        let runtime = Runtime::load_on(
            &self.compute,
            &self.library,
            &load.folder,
            &load.manifest,
            &self.options(load),
            Arc::new(SystemClock),
        )?;
        let took = begun.elapsed();
        // Nothing is known to take nothing.
        let resident_bytes = measure()?.saturating_sub(before).max(1);
        let ready = Ready {
            slot: load.slot,
            library_version: self.library.library_version().to_owned(),
            providers: runtime.providers().to_vec(),
            resident_bytes,
            load_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            sandbox: self.sandbox.clone(),
        };
        Ok((runtime, ready))
    }

    fn options(&self, load: &Load) -> Options {
        let Batching {
            max_rows,
            max_tokens,
            max_delay_us,
            ..
        } = load.batching;
        let usual = Options::default();
        let count = |asked: Option<u32>, usual: usize| {
            asked.map_or(usual, |asked| usize::try_from(asked).unwrap_or(usual).max(1))
        };
        Options {
            inference: berth_inference::Options {
                providers: self.providers.clone(),
                threads: self.settings.threads,
                ..berth_inference::Options::default()
            },
            queue_requests: self.settings.queue_requests,
            batch_rows: count(max_rows, usual.batch_rows),
            batch_tokens: count(max_tokens, usual.batch_tokens),
            batch_delay: max_delay_us.map_or(usual.batch_delay, |asked| Duration::from_micros(asked.into())),
            mark: load.slot,
            ..usual
        }
    }
}

/// The backend's own words say best why a model cannot be loaded; what stands above them is no news.
fn in_words(error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<LoadError>() {
        Ok(LoadError::Backend(error)) => anyhow::Error::msg(error.to_string()),
        Ok(error) => error.into(),
        Err(error) => error,
    }
}
