//! A whole installation in a storm: processes are killed and lines are cut while tenants call, upload and revoke. Then the
//! storm ends, and everything that was promised must hold.
//!
//! The seed decides what breaks in which order, so a storm can be had again: `BERTH_CHAOS_SEED`. An ordinary run takes a
//! fixed seed and breaks each thing once; `cargo xtask soak` takes a fresh one and goes on for `BERTH_SOAK_MINUTES`.

mod breaker;
mod callers;
mod gateway;
mod handbook;
mod keys;
mod logs;
mod plan;
mod record;
mod remains;
mod uploaders;
mod verdict;
mod weather;

use std::env;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use berth_domain::random::{Random as _, SystemRandom};
use berth_test_support::minilm_folder;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use self::breaker::{Breaker, End};
use self::callers::Callers;
use self::gateway::Gateway;
use self::plan::{Dice, Kind, Plan};
use self::record::Record;
use self::weather::Weather;
use crate::installation::{Cluster, LIMIT};
use crate::tenant::{Tenant, packed};

/// The model that is called all the time.
const MODEL: &str = "all-minilm-l6-v2";

/// The seed of an ordinary run.
const USUAL_SEED: u64 = 20_261_123;

/// Parallel callers, uploaders and makers of keys.
const EACH: usize = 2;

/// What the environment asks for.
struct Wish {
    seed: u64,
    /// How long to break things; without it, each thing once.
    minutes: Option<u64>,
}

impl Wish {
    fn from_environment() -> Result<Self> {
        let number = |name: &str| {
            let text = env::var(name).ok().filter(|text| !text.is_empty());
            let number = text.map(|text| {
                text.parse::<u64>()
                    .with_context(|| format!("`{name}` is `{text}`"))
            });
            number.transpose()
        };
        let minutes = number("BERTH_SOAK_MINUTES")?;
        let seed = match (number("BERTH_CHAOS_SEED")?, minutes) {
            (Some(seed), _) => seed,
            (None, None) => USUAL_SEED,
            (None, Some(_)) => u64::from(u32::from_le_bytes(SystemRandom.bytes())),
        };
        Ok(Self { seed, minutes })
    }

    fn end(&self) -> End {
        match self.minutes {
            Some(minutes) => End::At(Instant::now() + Duration::from_secs(60 * minutes)),
            None => End::After(Kind::ALL.len()),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn installation_keeps_its_promises_through_chaos() {
    let wish = Wish::from_environment().expect("the environment asks for something");
    let record = Arc::new(Record::new());
    let storm = storm(&wish, &record).await;
    tell(&format!("chaos with seed {}: {}", wish.seed, record.summary()));
    let faults = record.faults();
    if !faults.is_empty() || storm.is_err() {
        tell(&record.story());
    }
    storm.expect("the storm could be made");
    assert!(
        faults.is_empty(),
        "{} faults with seed {}:\n{}",
        faults.len(),
        wish.seed,
        faults.join("\n")
    );
}

/// The test runner shows it; a soak has nothing else to show.
fn tell(text: &str) {
    eprintln!("{text}");
}

async fn storm(wish: &Wish, record: &Arc<Record>) -> Result<()> {
    // A soak outlives a token, and renewing one is another test's business.
    let settings = [
        ("BERTH_AUTH__ACCESS_TOKEN_LIFETIME", "1d"),
        // A line for each request would hide what matters.
        (
            "BERTH_TELEMETRY__LOG_LEVEL",
            "info,berth_api::layers::record=warn",
        ),
    ];
    let cluster = Cluster::start_behind_lines(&settings).await?;
    let tenant = Tenant::sign_up(cluster.address(), "tenant").await?;
    tenant
        .serve(MODEL, "model.tar.gz", packed(&minilm_folder()?)?)
        .await?;
    let key = tenant.make_key().await?;
    tenant
        .at(&cluster.apis[1].1)
        .wait_until_served(MODEL, &key)
        .await?;

    let weather = Arc::new(Weather::default());
    let addresses = [cluster.apis[0].1.clone(), cluster.apis[1].1.clone()];
    let gateway = Arc::new(Gateway::new(addresses, Arc::clone(&weather), Arc::clone(record))?);
    let callers = Arc::new(Callers::prepare(Arc::clone(&gateway), key).await?);
    let mut breaker = Breaker::new(cluster, weather, Arc::clone(record))?;

    let (stop, stopped) = watch::channel(false);
    let load = Load::begin(wish.seed, &callers, &gateway, &tenant, &stopped)?;
    record.event("the storm begins");
    let broken = breaker.run(&mut Plan::new(wish.seed), wish.end()).await;
    record.event("the storm is over");
    stop.send_replace(true);
    let (accepted, revoked) = load.end().await?;
    broken?;

    verdict::service(&mut breaker, &callers, &gateway, &revoked).await?;
    verdict::versions(&breaker, &gateway, &tenant, &accepted).await?;
    remains::files(&mut breaker, &tenant, &accepted).await?;
    remains::processes(&mut breaker).await?;
    breaker.read_logs();
    Ok(())
}

/// Everybody who uses the installation.
struct Load {
    callers: Vec<tokio::task::JoinHandle<()>>,
    uploaders: Vec<tokio::task::JoinHandle<Vec<uploaders::Accepted>>>,
    makers: Vec<tokio::task::JoinHandle<Vec<crate::tenant::Key>>>,
}

impl Load {
    fn begin(
        seed: u64,
        callers: &Arc<Callers>,
        gateway: &Arc<Gateway>,
        tenant: &Tenant,
        stop: &watch::Receiver<bool>,
    ) -> Result<Self> {
        let mut load = Self {
            callers: Vec::new(),
            uploaders: Vec::new(),
            makers: Vec::new(),
        };
        for number in 0..EACH {
            let dice = |whose: u64| Dice::new(seed ^ (whose << 32) ^ ((number as u64) << 40));
            let call = Arc::clone(callers).run(number, dice(1), stop.clone());
            load.callers.push(tokio::spawn(call));
            let uploader = uploaders::Uploader::new(number, Arc::clone(gateway), tenant.clone(), dice(2))?;
            load.uploaders.push(tokio::spawn(uploader.run(stop.clone())));
            let maker = keys::Maker::new(number, Arc::clone(gateway), tenant.clone());
            load.makers.push(tokio::spawn(maker.run(stop.clone())));
        }
        Ok(load)
    }

    /// Waits until everybody has finished what they are doing.
    async fn end(self) -> Result<(Vec<uploaders::Accepted>, Vec<crate::tenant::Key>)> {
        let all = async {
            for caller in self.callers {
                caller.await?;
            }
            let (mut accepted, mut revoked) = (Vec::new(), Vec::new());
            for uploader in self.uploaders {
                accepted.extend(uploader.await?);
            }
            for maker in self.makers {
                revoked.extend(maker.await?);
            }
            anyhow::Ok((accepted, revoked))
        };
        timeout(LIMIT * 2, all)
            .await
            .context("somebody does not get to an end")?
    }
}
