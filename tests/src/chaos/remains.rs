//! The verdict on what is left on the machine: files and processes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use berth_test_support::wait_until;

use super::breaker::Breaker;
use super::plan::{Kind, Target};
use super::uploaders::Accepted;
use crate::installation::{LIMIT, Member};
use crate::processes::runners;
use crate::tenant::Tenant;

/// What is older than a day is swept.
const OLD: Duration = Duration::from_hours(25);

/// The bytes of every accepted version are kept; nothing else lies between them, and what kills left is swept.
pub(super) async fn files(breaker: &mut Breaker, tenant: &Tenant, accepted: &[Accepted]) -> Result<()> {
    let artifacts = breaker.cluster.artifacts();
    let own = artifacts.join(&tenant.organization);
    for one in accepted {
        let path = own.join(&one.digest[..2]).join(&one.digest);
        if !fs::read(&path).is_ok_and(|bytes| bytes == one.bytes) {
            let text = format!("{} version {} has lost its bytes", one.model, one.number);
            breaker.record.fault(&text);
        }
    }
    for path in files_below(&own) {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if name.len() != 64 || !name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            breaker
                .record
                .fault(&format!("{} lies among the artifacts", path.display()));
        }
    }

    let staging = artifacts.join(".staging");
    let left = entries(&staging)?;
    let kills = breaker.record.counted("broken", &Kind::Kill(Target::Api).name());
    if kills == 0 && !left.is_empty() {
        breaker
            .record
            .fault(&format!("nobody was killed, and {left:?} are left"));
    }
    breaker.record.count("left by kills", &format!("{}", left.len()));
    for path in &left {
        let entry = File::open(path).with_context(|| format!("opening {}", path.display()))?;
        let then = entry.metadata()?.modified()?.checked_sub(OLD);
        entry.set_modified(then.context("it is older than time")?)?;
    }
    breaker.replace(Member::ApiA, false, Duration::ZERO).await?;
    let left = entries(&staging)?;
    if !left.is_empty() {
        breaker.record.fault(&format!("{left:?} are not swept away"));
    }
    breaker.record.event("the files were looked at");
    Ok(())
}

/// Nobody died, and there is one runner for the one deployment.
pub(super) async fn processes(breaker: &mut Breaker) -> Result<()> {
    breaker.note_deaths()?;
    let worker = breaker.cluster.worker.pid();
    let one = || async { runners(worker).len() == 1 };
    if wait_until(LIMIT, one).await.is_err() {
        let text = format!("{:?} run for one deployment", runners(worker));
        breaker.record.fault(&text);
    }
    breaker.record.event("the processes were looked at");
    Ok(())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let paths = entries(folder).unwrap_or_default().into_iter();
    paths
        .flat_map(|path| {
            if path.is_dir() {
                files_below(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}
