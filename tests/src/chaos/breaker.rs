//! The breaker: does what the plan says, and sets right afterwards what an operator's machine would set right.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use berth_test_support::wait_until;
use tokio::task::{JoinSet, block_in_place};
use tokio::time::{Instant, sleep};

use super::logs::Logs;
use super::plan::{Breakage, Kind, Plan, Target};
use super::record::Record;
use super::weather::Weather;
use crate::installation::{Cluster, LIMIT, Lines, Member, Server};
use crate::processes::{is_alive, kill, resident_bytes, runners};

/// A runner that takes so much has loaded the served model, and is no proof of a small one.
const SERVES_BYTES: u64 = 100 << 20;

/// How soon runners have to follow their worker.
const FOLLOW: Duration = Duration::from_secs(10);

/// How long whoever starts processes waits after a start that failed.
const RESTART: Duration = Duration::from_millis(200);

/// When to stop breaking things.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    /// After so many breakages.
    After(usize),
    /// At a time.
    At(Instant),
}

/// Breaks things.
#[derive(Debug)]
pub(super) struct Breaker {
    pub(super) cluster: Cluster,
    lines: Arc<Lines>,
    weather: Arc<Weather>,
    pub(super) record: Arc<Record>,
    logs: Logs,
    cuts: JoinSet<()>,
    /// Whether the last cut was of one process alone.
    cut_alone: bool,
}

impl Breaker {
    pub(super) fn new(cluster: Cluster, weather: Arc<Weather>, record: Arc<Record>) -> Result<Self> {
        let lines = cluster.lines().context("the cluster stands behind lines")?;
        Ok(Self {
            lines: Arc::clone(lines),
            cluster,
            weather,
            record,
            logs: Logs::default(),
            cuts: JoinSet::new(),
            cut_alone: false,
        })
    }

    /// Breaks one thing after the other. When it returns, everything was started again, and every line is whole.
    ///
    /// Fails when something cannot be started again.
    pub(super) async fn run(&mut self, plan: &mut Plan, end: End) -> Result<()> {
        let mut broken = 0;
        loop {
            let is_over = match end {
                End::After(count) => broken == count,
                End::At(time) => Instant::now() >= time,
            };
            if is_over {
                break;
            }
            let breakage = plan.next();
            self.break_one(&breakage).await?;
            broken += 1;
            sleep(breakage.pause).await;
        }
        while self.cuts.join_next().await.is_some() {}
        Ok(())
    }

    async fn break_one(&mut self, breakage: &Breakage) -> Result<()> {
        let name = breakage.kind.name();
        self.record.count("broken", &name);
        let (kind, lasts) = (breakage.kind, breakage.lasts);
        let member = |target| match target {
            Target::Api => breakage.api,
            Target::Tasks => Member::Tasks,
            Target::Worker => Member::Worker,
        };
        self.record.event(&format!("{name}: {breakage:?}"));
        match kind {
            Kind::Kill(target) => self.replace(member(target), true, lasts).await?,
            Kind::End(target) => self.replace(member(target), false, lasts).await?,
            Kind::KillRunner => self.kill_runner()?,
            Kind::Cut(server) => self.cut(server, breakage.alone, lasts).await,
        }
        self.record.event(&format!("{name}: done"));
        Ok(())
    }

    /// Ends a process, by force or in order, and starts it again after a while.
    pub(super) async fn replace(&mut self, member: Member, by_force: bool, away: Duration) -> Result<()> {
        self.note_a_death(member)?;
        let api = match member {
            Member::ApiA => Some(0),
            Member::ApiB => Some(1),
            Member::Tasks | Member::Worker | Member::SecondWorker => None,
        };
        if let Some(api) = api {
            self.weather.down(api);
        }
        let process = self.cluster.process(member);
        let followers = runners(process.pid());
        if by_force {
            block_in_place(|| process.kill())?;
        } else {
            match block_in_place(|| process.terminate()) {
                Ok(status) if status.success() => {}
                Ok(status) => {
                    let text = format!("{} was asked to end, and failed ({status})", member.name());
                    self.record.fault(&text);
                }
                Err(error) => {
                    self.record
                        .fault(&format!("{} did not end: {error:#}", member.name()));
                    block_in_place(|| process.kill())?;
                }
            }
        }
        let gone = || async { followers.iter().all(|pid| !is_alive(*pid)) };
        if wait_until(FOLLOW, gone).await.is_err() {
            let text = format!("runners of {followers:?} outlived their worker by {FOLLOW:?}");
            self.record.fault(&text);
        }
        sleep(away).await;
        self.start_again(member).await?;
        if let Some(api) = api {
            self.weather.up(api);
        }
        Ok(())
    }

    /// Starts a process until it stays. Only one whose lines are disturbed may end while it starts.
    async fn start_again(&mut self, member: Member) -> Result<()> {
        let begin = Instant::now();
        loop {
            let (cuts_before, was_cut) = self.lines.cuts(member);
            let error = match self.cluster.start_again(member).await {
                Ok(ended) => {
                    self.logs.read(member.name(), &ended.output(), &self.record);
                    block_in_place(|| drop(ended));
                    return Ok(());
                }
                Err(error) => error,
            };
            let (cuts_after, is_cut) = self.lines.cuts(member);
            let was_disturbed = was_cut || is_cut || cuts_before != cuts_after;
            if !was_disturbed || begin.elapsed() > LIMIT {
                bail!("{} cannot be started again: {error:#}", member.name());
            }
            self.record.count("start that failed", member.name());
            sleep(RESTART).await;
        }
    }

    fn kill_runner(&mut self) -> Result<()> {
        let all = runners(self.cluster.worker.pid());
        if let Some(&runner) = all.iter().find(|pid| resident_bytes(**pid) > SERVES_BYTES) {
            return kill(runner);
        }
        // The worker has just been started, and the model is still being loaded.
        self.record.count("no runner to kill", "times");
        Ok(())
    }

    /// Cuts lines; they are mended by themselves.
    ///
    /// A process that is cut off alone is so while all other lines are whole: of two APIs, one without Redis and one
    /// without Postgres, the second cannot hear of a key that the first revokes. That is known, and the price of keeping
    /// keys alive while Postgres is away (`docs/decisions/0026-revocation-is-heard-two-ways.md`).
    async fn cut(&mut self, server: Server, alone: Option<Member>, lasts: Duration) {
        if alone.is_some() || self.cut_alone {
            while self.cuts.join_next().await.is_some() {}
        }
        self.cut_alone = alone.is_some();
        let members = alone.map_or_else(|| Member::ALL.to_vec(), |member| vec![member]);
        for member in &members {
            self.lines.cut(*member, server);
        }
        let (lines, record) = (Arc::clone(&self.lines), Arc::clone(&self.record));
        self.cuts.spawn(async move {
            sleep(lasts).await;
            for member in members {
                lines.mend(member, server);
            }
            record.event(&format!("{server:?} is mended"));
        });
    }

    /// Notes processes that ended although nobody asked them to.
    pub(super) fn note_deaths(&mut self) -> Result<()> {
        Member::ALL
            .into_iter()
            .try_for_each(|member| self.note_a_death(member))
    }

    fn note_a_death(&mut self, member: Member) -> Result<()> {
        if let Some(status) = self.cluster.process(member).exit_status()? {
            self.record
                .fault(&format!("{} ended by itself ({status})", member.name()));
        }
        Ok(())
    }

    /// Reads what the processes wrote that still run, and adds what matters of all of them to the record.
    pub(super) fn read_logs(&mut self) {
        for member in Member::ALL {
            let output = self.cluster.process(member).output();
            self.logs.read(member.name(), &output, &self.record);
        }
        for (line, count) in self.logs.errors() {
            self.record.event(&format!("{count} times in the log of {line}"));
            self.record.count("errors in logs", "lines");
        }
        self.record.event(&self.logs.tails());
    }
}
