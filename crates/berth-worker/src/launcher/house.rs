//! A runner and the models that it holds: told what to load, listened to, and watched until it ends.

use std::collections::{BTreeMap, VecDeque};
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::StreamExt as _;
use tokio_util::codec::{FramedRead, LinesCodec};

use super::process::{Process, in_words, launch};
use super::{Error, Launcher, Order, Running, shortened};
use crate::measure::{Exit, Lives, Purpose};
use crate::runner::{Command, Event, Load, Ready, Settings};

/// What a runner says of itself is short. It holds uploaded models, so it is not believed to say little.
const EVENT_LIMIT_BYTES: usize = 64 << 10;

/// How many lines it may say, for each model and each second that it lives.
const EVENTS_ANYWAY: u64 = 100;
const EVENTS_A_MODEL: u64 = 4;
const EVENTS_A_SECOND: u64 = 20;

/// A runner. It is killed when this is dropped, the last model being gone.
#[derive(Debug)]
pub(super) struct House {
    asks: mpsc::UnboundedSender<Ask>,
    address: String,
    pid: Option<u32>,
    shared: bool,
    rooms: Arc<Mutex<Rooms>>,
}

/// What a runner holds or will hold.
#[derive(Debug, Default)]
struct Rooms {
    last: u64,
    bytes: BTreeMap<u64, u64>,
    /// Nothing more gets in.
    closed: bool,
}

impl Rooms {
    fn taken(&self) -> u64 {
        self.bytes
            .values()
            .fold(0, |sum, &bytes| sum.saturating_add(bytes))
    }
}

/// What the task is asked.
enum Ask {
    Enter(Box<Entering>),
    Leave {
        slot: u64,
        patience: Duration,
        /// Dropped when it is gone.
        gone: oneshot::Sender<()>,
    },
}

struct Entering {
    load: Load,
    answer: oneshot::Sender<Result<(Ready, Duration), Error>>,
    ended: oneshot::Sender<Ended>,
}

/// That a runner ended by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    /// How, to be said after its name.
    pub(crate) how: String,
    pub(crate) part: Part,
}

/// What part a model had in the end of its runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// It was there alone.
    Alone,
    /// It was computed or loaded at that moment, and others shared the runner.
    Suspect,
    /// It just happened to be there.
    Bystander,
}

impl House {
    /// Starts a runner.
    pub(super) fn open(
        launcher: &Launcher,
        name: &str,
        settings: &Settings,
        purpose: Purpose,
    ) -> Result<Arc<Self>, Error> {
        let mut first = serde_json::to_vec(settings)
            .map_err(|error| launch("writing the runner's settings")(error.into()))?;
        first.push(b'\n');
        let mut process = launcher.spawn(name)?;
        let (Some(input), Some(output)) = (process.child.stdin.take(), process.child.stdout.take()) else {
            return Err(launch("reaching the runner")(
                std::io::ErrorKind::BrokenPipe.into(),
            ));
        };
        let (asks, asked) = mpsc::unbounded_channel();
        let rooms = Arc::new(Mutex::new(Rooms::default()));
        let house = Self {
            asks,
            address: process.socket.address(),
            pid: process.child.id(),
            shared: settings.shared,
            rooms: Arc::clone(&rooms),
        };
        let task = Task {
            process,
            launcher: launcher.clone(),
            shared: settings.shared,
            most_bytes: settings.memory_most_bytes,
            input,
            said: Some(FramedRead::new(
                output,
                LinesCodec::new_with_max_length(EVENT_LIMIT_BYTES),
            )),
            asked,
            lives: Lives::begin(purpose),
            rooms,
            guests: BTreeMap::new(),
            queue: VecDeque::new(),
            loading: None,
            answered: false,
            heard: 0,
            closing: None,
            since: Instant::now(),
        };
        tokio::spawn(task.run(first));
        Ok(Arc::new(house))
    }

    /// A place for a model that is taken to need so many bytes; `None` when the runner would hold more than `most_bytes`, or
    /// ends. The first always finds one.
    pub(super) fn reserve(&self, bytes: u64, most_bytes: Option<u64>) -> Option<u64> {
        let mut rooms = lock(&self.rooms);
        let full = most_bytes.is_some_and(|most| rooms.taken().saturating_add(bytes) > most);
        if rooms.closed || (full && !rooms.bytes.is_empty()) {
            return None;
        }
        rooms.last += 1;
        let slot = rooms.last;
        rooms.bytes.insert(slot, bytes);
        Some(slot)
    }

    /// Loads a model in its place. Dropping the future takes the model back.
    pub(super) async fn enter(self: Arc<Self>, slot: u64, order: Order<'_>) -> Result<Running, Error> {
        let (answer, answered) = oneshot::channel();
        let (ending, ended) = oneshot::channel();
        let entering = Entering {
            load: Load {
                slot,
                replica: order.replica.to_owned(),
                folder: order.folder.to_owned(),
                manifest: order.manifest.clone(),
                batching: order.batching,
            },
            answer,
            ended: ending,
        };
        // When the runner is gone, the answer is missing.
        let _ = self.asks.send(Ask::Enter(Box::new(entering)));
        let guest = Guest {
            house: self,
            slot,
            left: false,
        };
        let answered = answered.await.unwrap_or(Err(Error::Disturbed));
        let (ready, loaded_in) = answered?;
        Ok(Running {
            guest,
            ready,
            loaded_in,
            ended: Some(ended),
        })
    }

    pub(super) fn address(&self) -> String {
        self.address.clone()
    }

    pub(super) const fn pid(&self) -> Option<u32> {
        self.pid
    }

    pub(super) const fn is_shared(&self) -> bool {
        self.shared
    }
}

/// A model's place in a runner. Dropping it takes the model off at once.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) house: Arc<House>,
    slot: u64,
    left: bool,
}

impl Guest {
    /// Lets the model finish what it has, for at most `patience`, and waits until it is gone.
    pub(super) async fn leave(mut self, patience: Duration) {
        let (gone, went) = oneshot::channel();
        self.left = true;
        let leave = Ask::Leave {
            slot: self.slot,
            patience,
            gone,
        };
        if self.house.asks.send(leave).is_ok() {
            // Nothing is said: it is dropped.
            let _ = went.await;
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if !self.left {
            // When the runner is gone already, so is the model.
            let _ = self.house.asks.send(Ask::Leave {
                slot: self.slot,
                patience: Duration::ZERO,
                gone: oneshot::channel().0,
            });
        }
    }
}

/// Owns the process.
struct Task {
    process: Process,
    launcher: Launcher,
    shared: bool,
    most_bytes: Option<u64>,
    input: ChildStdin,
    /// Gone when the runner has closed its output.
    said: Option<FramedRead<ChildStdout, LinesCodec>>,
    asked: mpsc::UnboundedReceiver<Ask>,
    lives: Lives,
    rooms: Arc<Mutex<Rooms>>,
    /// The models that are there, come or go.
    guests: BTreeMap<u64, Inside>,
    /// Those whose turn to be loaded comes.
    queue: VecDeque<Entering>,
    /// The one that is loaded, and since when.
    loading: Option<(u64, Instant)>,
    /// Whether it has ever said anything of a model: it is inside of its sandbox then.
    answered: bool,
    /// How many lines it has said.
    heard: u64,
    /// It was told to end, and is killed then.
    closing: Option<Instant>,
    since: Instant,
}

struct Inside {
    /// As long as it is loaded.
    answer: Option<oneshot::Sender<Result<(Ready, Duration), Error>>>,
    ended: Option<oneshot::Sender<Ended>>,
    /// How long it may finish what it has, and who waits for that, once it goes.
    leaving: Option<(Duration, Vec<oneshot::Sender<()>>)>,
}

/// What a runner has come to.
enum Fate {
    /// It ended by itself.
    Ended(String),
    /// It did not load a model in time.
    TooLong,
    /// It said that it can hold nothing.
    Refused(String),
    /// It was told to.
    Stopped,
}

impl Task {
    async fn run(mut self, first: Vec<u8>) {
        // A runner that ended already is told of by its end.
        let _ = self.input.write_all(&first).await;
        let fate = self.live().await;
        lock(&self.rooms).closed = true;
        if self.process.child.id().is_some()
            && let Err(error) = self.process.child.kill().await
        {
            tracing::error!(%error, "a runner could not be killed");
        }
        let computed = if matches!(fate, Fate::Ended(_)) {
            self.process.notes.read().unwrap_or_else(|error| {
                tracing::error!(%error, "nobody knows what a runner computed when it ended");
                Vec::new()
            })
        } else {
            Vec::new()
        };
        self.tell(&fate, &computed);
    }

    /// Does what is asked until the runner ends, or is to be ended.
    async fn live(&mut self) -> Fate {
        loop {
            let deadline = self.deadline();
            let late = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                    None => pending().await,
                }
            };
            let said = async {
                match &mut self.said {
                    Some(said) => said.next().await,
                    None => pending().await,
                }
            };
            tokio::select! {
                // What it said before it ended comes before its end.
                biased;
                () = late => {
                    if self.closing.is_some() {
                        self.lives.end(Exit::DrainTimeout);
                        tracing::warn!(pid = self.process.child.id(), "a runner did not finish in time and is killed");
                        return Fate::Stopped;
                    }
                    self.lives.end(Exit::LoadTimeout);
                    return Fate::TooLong;
                }
                said = said => match said {
                    Some(Ok(line)) => {
                        if let Some(fate) = self.hear(&line).await {
                            return fate;
                        }
                    }
                    Some(Err(error)) => {
                        tracing::warn!(%error, "a runner says what nobody understands");
                        self.lives.end(Exit::Exited);
                        return Fate::Ended("said what nobody understands".to_owned());
                    }
                    None => self.said = None,
                },
                ended = self.process.child.wait() => return self.ended(ended),
                asked = self.asked.recv() => match asked {
                    Some(Ask::Enter(entering)) => self.enter(*entering).await,
                    Some(Ask::Leave { slot, patience, gone }) => {
                        if self.leave(slot, patience, gone).await {
                            return Fate::Stopped;
                        }
                    }
                    None => return Fate::Stopped,
                },
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let loading = self.loading.map(|(_, since)| since + self.launcher.load_timeout);
        self.closing.or(loading)
    }

    fn ended(&mut self, ended: std::io::Result<std::process::ExitStatus>) -> Fate {
        if self.closing.is_some() {
            self.lives.end(Exit::Stopped);
            return Fate::Stopped;
        }
        match ended {
            Ok(status) => {
                self.lives.end(Exit::of(status));
                Fate::Ended(in_words(status))
            }
            Err(error) => Fate::Ended(format!("ended, and nobody knows how ({error})")),
        }
    }

    async fn enter(&mut self, entering: Entering) {
        self.queue.push_back(entering);
        self.load_next().await;
    }

    /// One after the other, so that it is known which one a runner cannot bear.
    async fn load_next(&mut self) {
        if self.loading.is_some() {
            return;
        }
        let Some(Entering { load, answer, ended }) = self.queue.pop_front() else {
            return;
        };
        let slot = load.slot;
        self.loading = Some((slot, if self.answered { Instant::now() } else { self.since }));
        self.guests.insert(
            slot,
            Inside {
                answer: Some(answer),
                ended: Some(ended),
                leaving: None,
            },
        );
        self.raise_ceiling();
        self.command(&Command::Load(Box::new(load))).await;
    }

    /// The ceiling of a runner with several models grows with what it holds.
    fn raise_ceiling(&self) {
        let Some(most) = self.most_bytes.filter(|_| self.answered) else {
            return;
        };
        let bytes = self.launcher.ceiling(lock(&self.rooms).taken()).unwrap_or(most);
        if let Err(error) = self.process.limit_memory(bytes, most) {
            tracing::warn!(%error, "the memory ceiling of a runner could not be raised");
        }
    }

    async fn command(&mut self, command: &Command) {
        let mut line = match serde_json::to_vec(command) {
            Ok(line) => line,
            Err(error) => {
                tracing::error!(%error, "a command to a runner cannot be written");
                return;
            }
        };
        line.push(b'\n');
        // A runner that hears nothing any more is told of by its end.
        let _ = self.input.write_all(&line).await;
    }

    /// Takes a model off. Gives whether the runner is to end at once.
    async fn leave(&mut self, slot: u64, patience: Duration, gone: oneshot::Sender<()>) -> bool {
        if let Some(place) = self.queue.iter().position(|entering| entering.load.slot == slot) {
            self.queue.remove(place);
            lock(&self.rooms).bytes.remove(&slot);
        }
        let last = {
            let mut rooms = lock(&self.rooms);
            let last = rooms.bytes.keys().all(|&other| other == slot);
            rooms.closed |= last;
            last
        };
        if last && patience.is_zero() {
            self.lives.end(Exit::Abandoned);
            return true;
        }
        if last && self.closing.is_none() {
            self.closing = Some(Instant::now() + patience);
            if let Err(error) = self.process.terminate() {
                tracing::warn!(%error, "a runner could not be asked to end");
            }
        }
        let Some(inside) = self.guests.get_mut(&slot) else {
            return false;
        };
        match &mut inside.leaving {
            Some((_, waiting)) => waiting.push(gone),
            None => inside.leaving = Some((patience, vec![gone])),
        }
        if !last && inside.answer.is_none() {
            self.unload(slot, patience).await;
        }
        false
    }

    async fn unload(&mut self, slot: u64, patience: Duration) {
        self.command(&Command::Unload {
            slot,
            patience_ms: u64::try_from(patience.as_millis()).unwrap_or(u64::MAX),
        })
        .await;
    }

    /// Takes in what the runner says; gives what has become of it, if that is its end.
    async fn hear(&mut self, line: &str) -> Option<Fate> {
        self.heard += 1;
        if self.heard > self.talk() {
            self.lives.end(Exit::Exited);
            return Some(Fate::Ended("said too much".to_owned()));
        }
        let event = match serde_json::from_str(line) {
            Ok(event) => event,
            Err(error) => {
                tracing::warn!(%error, "a runner says what nobody understands");
                return None;
            }
        };
        match event {
            Event::Ready(ready) => self.ready(ready).await,
            Event::Failed { slot: None, reason } => {
                self.lives.end(Exit::Refused);
                return Some(Fate::Refused(shortened(reason)));
            }
            Event::Failed {
                slot: Some(slot),
                reason,
            } => {
                let since = self.loaded(slot)?;
                tracing::debug!(
                    slot,
                    duration_ms = since.elapsed().as_millis(),
                    "a model was refused"
                );
                let inside = self.guests.remove(&slot);
                lock(&self.rooms).bytes.remove(&slot);
                if let Some(answer) = inside.and_then(|inside| inside.answer) {
                    // Whoever asked may have gone.
                    let _ = answer.send(Err(Error::Refused(shortened(reason))));
                }
                if !self.shared {
                    self.lives.end(Exit::Refused);
                    return Some(Fate::Stopped);
                }
                self.load_next().await;
            }
            Event::Unloaded { slot } => {
                self.guests.remove(&slot);
                lock(&self.rooms).bytes.remove(&slot);
            }
        }
        None
    }

    /// How much it may have said by now.
    fn talk(&self) -> u64 {
        let models = lock(&self.rooms).last.saturating_mul(EVENTS_A_MODEL);
        let time = self.since.elapsed().as_secs().saturating_mul(EVENTS_A_SECOND);
        EVENTS_ANYWAY.saturating_add(models).saturating_add(time)
    }

    /// Since when this model was loaded; `None` when that is not so.
    fn loaded(&mut self, slot: u64) -> Option<Instant> {
        self.answered = true;
        let (_, since) = self.loading.take_if(|(loading, _)| *loading == slot)?;
        Some(since)
    }

    async fn ready(&mut self, ready: Ready) {
        let slot = ready.slot;
        let Some(since) = self.loaded(slot) else { return };
        if let Some(bytes) = lock(&self.rooms).bytes.get_mut(&slot) {
            *bytes = ready.resident_bytes;
        }
        let mut leaving = None;
        if let Some(inside) = self.guests.get_mut(&slot) {
            leaving = inside.leaving.as_ref().map(|(patience, _)| *patience);
            if let Some(answer) = inside.answer.take() {
                // Whoever asked may have gone; that is told too.
                let _ = answer.send(Ok((ready, since.elapsed())));
            }
        }
        if let Some(patience) = leaving.filter(|_| self.closing.is_none()) {
            self.unload(slot, patience).await;
        }
        self.load_next().await;
    }

    /// Tells everybody what has become of it. Those who wait for a model to be gone hear that by being dropped.
    fn tell(&mut self, fate: &Fate, computed: &[u64]) {
        let loading = self.loading.map(|(slot, _)| slot);
        let part = |slot: u64| match (self.shared, loading == Some(slot) || computed.contains(&slot)) {
            (false, _) => Part::Alone,
            (true, true) => Part::Suspect,
            (true, false) => Part::Bystander,
        };
        let too_long = || Error::TooLong(self.launcher.load_timeout);
        for (slot, inside) in std::mem::take(&mut self.guests) {
            let part = part(slot);
            if let Some(answer) = inside.answer {
                let error = match (fate, part) {
                    (Fate::Refused(reason), _) => Error::Refused(reason.clone()),
                    (_, Part::Bystander) | (Fate::Stopped, _) => Error::Disturbed,
                    (Fate::Ended(how), Part::Alone) => Error::Ended(how.clone()),
                    (Fate::Ended(how), Part::Suspect) => {
                        Error::Suspected(Box::new(Error::Ended(how.clone())))
                    }
                    (Fate::TooLong, Part::Alone) => too_long(),
                    (Fate::TooLong, Part::Suspect) => Error::Suspected(Box::new(too_long())),
                };
                // Whoever asked may have gone.
                let _ = answer.send(Err(error));
            } else if let Some(ended) = inside.ended {
                let how = match fate {
                    Fate::Ended(how) => how.clone(),
                    Fate::TooLong => "was killed, since another model was not loaded in time".to_owned(),
                    Fate::Refused(_) | Fate::Stopped => "was ended".to_owned(),
                };
                let _ = ended.send(Ended { how, part });
            }
        }
        for Entering { answer, .. } in self.queue.drain(..) {
            let error = match fate {
                Fate::Refused(reason) => Error::Refused(reason.clone()),
                _ => Error::Disturbed,
            };
            let _ = answer.send(Err(error));
        }
    }
}

fn lock(rooms: &Mutex<Rooms>) -> MutexGuard<'_, Rooms> {
    // Each change is one assignment.
    rooms.lock().unwrap_or_else(PoisonError::into_inner)
}
