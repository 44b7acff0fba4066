//! The engine with its threads, and programs that run when they are let.

use std::collections::HashSet;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use berth_inference::Interrupt;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{Done, Engine, Form, Lane, LaneOptions, Options, Piece, Program, Refusal, Results, late};
use crate::failure::{Code, Failure};
use crate::turns::Always;

const LIMIT: Duration = Duration::from_secs(20);

/// What the program refuses, what nothing else can run with, and what makes it panic.
const BAD: u32 = 13;
const LONER: u32 = 14;
const DEFECT: u32 = 15;

/// Says what it runs, and goes on when it is let; the product is the work.
struct Gated {
    begun: tokio::sync::mpsc::UnboundedSender<Vec<u32>>,
    gate: Option<mpsc::Receiver<()>>,
}

impl Program for Gated {
    type Work = u32;
    type Product = u32;

    fn run(&mut self, works: &[&u32], interrupt: &Interrupt) -> Result<Results<u32>, Refusal> {
        let works: Vec<u32> = works.iter().map(|&&work| work).collect();
        // The test may be over.
        let _ = self.begun.send(works.clone());
        while let Some(gate) = &self.gate
            && gate.recv_timeout(Duration::from_millis(1)).is_err()
        {
            if interrupt.is_triggered() {
                return Err(Refusal::Failed(late()));
            }
        }
        assert!(!works.contains(&DEFECT), "a defect");
        if works.contains(&BAD) {
            return Err(Refusal::Failed(Failure::new(Code::InputRejected, "no")));
        }
        if works.len() > 1 && works.contains(&LONER) {
            return Err(Refusal::Inseparable);
        }
        Ok(works.into_iter().map(Ok).collect())
    }
}

struct Scene {
    lane: Arc<Lane<Gated>>,
    begins: UnboundedReceiver<Vec<u32>>,
    open: mpsc::Sender<()>,
}

fn engine(threads: usize) -> Arc<Engine<Gated>> {
    Engine::start(Options {
        threads,
        queue_bytes: 1000,
        turns: Arc::new(Always),
        marks: Arc::new(crate::marks::Unmarked),
    })
    .expect("threads")
}

fn limits(queue_requests: usize) -> LaneOptions {
    LaneOptions {
        queue_requests,
        longest_wait: Duration::ZERO,
        usual_weight: 32,
        most_weight: 64,
        mark: 0,
    }
}

fn scene_on(engine: &Arc<Engine<Gated>>, queue_requests: usize) -> Scene {
    let (begun, begins) = unbounded_channel();
    let (open, gate) = mpsc::channel();
    let program = Gated {
        begun,
        gate: Some(gate),
    };
    Scene {
        lane: Arc::new(engine.open(program, limits(queue_requests))),
        begins,
        open,
    }
}

fn scene(queue_requests: usize) -> Scene {
    scene_on(&engine(1), queue_requests)
}

fn piece(work: u32) -> Piece<u32> {
    Piece {
        work,
        form: Form {
            key: Some(1),
            rows: 1,
            width: 1,
            used: 1,
            limit: 64,
        },
        bytes: 10,
    }
}

type Answer = Result<Done<u32>, Failure>;

impl Scene {
    /// Asks, and has asked when this returns.
    async fn ask(&self, tenant: u64, works: &[u32]) -> JoinHandle<Answer> {
        let lane = Arc::clone(&self.lane);
        let pieces: Vec<_> = works.iter().map(|&work| piece(work)).collect();
        let asked = tokio::spawn(async move { lane.run(tenant, pieces, None).await });
        tokio::task::yield_now().await;
        asked
    }

    /// What runs next, whoever of several tenants comes first.
    async fn begun(&mut self) -> Vec<u32> {
        let begun = timeout(LIMIT, self.begins.recv()).await;
        let mut works = begun.expect("in time").expect("a run");
        works.sort_unstable();
        works
    }

    /// Lets so many runs go on.
    fn let_go(&self, runs: usize) {
        for _ in 0..runs {
            self.open.send(()).expect("the program is there");
        }
    }
}

async fn answer(asked: JoinHandle<Answer>) -> Answer {
    timeout(LIMIT, asked).await.expect("in time").expect("no panic")
}

async fn product(asked: JoinHandle<Answer>) -> u32 {
    answer(asked).await.expect("done").products[0]
}

#[tokio::test]
async fn requests_that_wait_share_the_next_run_and_get_their_own() {
    let mut scene = scene(8);
    let first = scene.ask(1, &[1]).await;
    assert_eq!(scene.begun().await, [1]);
    let (second, third) = (scene.ask(1, &[2]).await, scene.ask(2, &[3]).await);
    scene.let_go(2);
    assert_eq!(scene.begun().await, [2, 3]);
    assert_eq!(product(first).await, 1);
    let (second, third) = (
        answer(second).await.expect("done"),
        answer(third).await.expect("done"),
    );
    assert_eq!((&*second.products, &*third.products), (&[2][..], &[3][..]));
    assert_eq!((third.times.batch_requests, third.times.batch_weight), (2, 2));
}

#[tokio::test]
async fn pieces_of_one_request_come_back_in_order() {
    let mut scene = scene(8);
    let whole = scene.ask(1, &[5, 6, 7]).await;
    let mut seen = 0;
    while seen < 3 {
        seen += scene.begun().await.len();
        scene.let_go(1);
    }
    assert_eq!(answer(whole).await.expect("done").products, [5, 6, 7]);
}

#[tokio::test]
async fn bad_piece_fails_alone_and_so_does_a_defect() {
    let mut scene = scene(8);
    for (wrong, code) in [(BAD, Code::InputRejected), (DEFECT, Code::Internal)] {
        let first = scene.ask(1, &[1]).await;
        assert_eq!(scene.begun().await, [1]);
        let asked = [
            scene.ask(1, &[2]).await,
            scene.ask(1, &[wrong]).await,
            scene.ask(1, &[3]).await,
        ];
        // The first; the three together; each by itself.
        scene.let_go(5);
        assert_eq!(product(first).await, 1);
        let [fine, bad, also] = asked;
        assert_eq!((product(fine).await, product(also).await), (2, 3));
        assert_eq!(answer(bad).await.expect_err("it is wrong").code, code);
        let mut seen = Vec::new();
        while let Ok(works) = scene.begins.try_recv() {
            seen.push(works);
        }
        assert_eq!(seen, [vec![2, wrong, 3], vec![2], vec![wrong], vec![3]]);
    }
}

#[tokio::test]
async fn model_whose_rows_cannot_be_told_apart_is_remembered() {
    let mut scene = scene(8);
    for together in [true, false] {
        let first = scene.ask(1, &[1]).await;
        assert_eq!(scene.begun().await, [1]);
        let asked = [scene.ask(1, &[LONER]).await, scene.ask(1, &[2]).await];
        scene.let_go(if together { 4 } else { 3 });
        if together {
            assert_eq!(scene.begun().await, [2, LONER]);
        }
        assert_eq!(scene.begun().await, [LONER]);
        assert_eq!(scene.begun().await, [2]);
        let [one, two] = asked;
        assert_eq!(
            (product(first).await, product(one).await, product(two).await),
            (1, LONER, 2)
        );
    }
}

#[tokio::test]
async fn one_who_leaves_disturbs_nobody_and_the_last_one_stops_the_run() {
    let mut scene = scene(8);
    let first = scene.ask(1, &[1]).await;
    assert_eq!(scene.begun().await, [1]);
    let (leaves, stays) = (scene.ask(1, &[2]).await, scene.ask(2, &[3]).await);
    scene.let_go(1);
    assert_eq!(scene.begun().await, [2, 3]);
    leaves.abort();
    assert!(leaves.await.expect_err("aborted").is_cancelled());
    scene.let_go(1);
    assert_eq!((product(first).await, product(stays).await), (1, 3));
    // One that waits leaves the queue; the one that runs is stopped: nobody lets it go.
    let running = scene.ask(1, &[4]).await;
    assert_eq!(scene.begun().await, [4]);
    let waiting = scene.ask(1, &[5]).await;
    waiting.abort();
    assert!(waiting.await.expect_err("aborted").is_cancelled());
    let next = scene.ask(1, &[6]).await;
    running.abort();
    assert_eq!(scene.begun().await, [6]);
    scene.let_go(1);
    assert_eq!(product(next).await, 6);
}

#[tokio::test]
async fn full_queue_refuses_those_who_have_the_most_waiting() {
    let mut scene = scene(3);
    let running = scene.ask(1, &[1]).await;
    assert_eq!(scene.begun().await, [1]);
    let mut loud = Vec::new();
    for work in [2, 3, 4] {
        loud.push(scene.ask(1, &[work]).await);
    }
    let refused = answer(scene.ask(1, &[5]).await).await.expect_err("it is full");
    assert_eq!(refused.code, Code::QueueFull);
    // Another tenant has less: the newest of the loud one gives way.
    let quiet = scene.ask(2, &[6]).await;
    let newest = loud.pop().expect("three");
    assert_eq!(answer(newest).await.expect_err("gave way").code, Code::QueueFull);
    // Bytes are counted, too: what fills the whole memory is only taken into an empty queue.
    let mut large = piece(7);
    large.bytes = 2000;
    let refused = scene.lane.run(3, vec![large], None).await.expect_err("too large");
    assert_eq!(refused.code, Code::QueueFull);
    scene.let_go(10);
    assert_eq!((product(running).await, product(quiet).await), (1, 6));
    for asked in loud {
        product(asked).await;
    }
}

#[tokio::test]
async fn deadline_interrupts_a_run_and_one_that_cannot_be_met_is_refused_at_once() {
    let mut scene = scene(100);
    let soon = Instant::now() + Duration::from_millis(20);
    let failure = scene
        .lane
        .run(1, vec![piece(1)], Some(soon))
        .await
        .expect_err("too late");
    assert_eq!(failure.code, Code::DeadlineExceeded);
    scene.begun().await;
    // Runs of at least 20 ms each, until the engine is sure of that.
    for _ in 0..12 {
        let asked = scene.ask(1, &[1]).await;
        scene.begun().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        scene.let_go(1);
        answer(asked).await.expect("done");
    }
    let mut asked = Vec::new();
    for _ in 0..50 {
        asked.push(scene.ask(1, &[1]).await);
    }
    scene.begun().await;
    assert!(scene.lane.standing().wait > Duration::ZERO);
    let soon = Instant::now() + Duration::from_millis(100);
    let refused = scene
        .lane
        .run(1, vec![piece(1)], Some(soon))
        .await
        .expect_err("too long a wait");
    assert_eq!(refused.code, Code::QueueFull);
    assert!(refused.message.contains("wait"), "{refused}");
}

#[tokio::test]
async fn models_run_at_once_as_far_as_there_are_threads() {
    let engine = engine(2);
    let mut scenes: Vec<Scene> = (0..3).map(|_| scene_on(&engine, 8)).collect();
    let mut asked = Vec::new();
    for scene in &scenes {
        asked.push(scene.ask(1, &[1]).await);
    }
    // Two begin, and neither is let go.
    scenes[0].begun().await;
    scenes[1].begun().await;
    assert!(scenes[2].begins.try_recv().is_err());
    scenes[0].let_go(1);
    scenes[2].begun().await;
    scenes[1].let_go(1);
    scenes[2].let_go(1);
    for asked in asked {
        product(asked).await;
    }
}

#[tokio::test]
async fn thousands_of_models_take_no_threads_and_leave_nothing() {
    let threads = || std::fs::read_dir("/proc/self/task").expect("a process").count();
    let engine = engine(1);
    let before = threads();
    let (begun, mut begins) = unbounded_channel();
    let open = |_| {
        let program = Gated {
            begun: begun.clone(),
            gate: None,
        };
        engine.open(program, limits(8))
    };
    let mut lanes: Vec<_> = (0..2000).map(open).collect();
    let answers = lanes.iter().enumerate().map(|(index, lane)| {
        let work = 100 + u32::try_from(index).expect("small");
        lane.run(1, vec![piece(work)], None)
    });
    for (index, answer) in answers.enumerate() {
        assert_eq!(
            answer.await.expect("done").products,
            [100 + u32::try_from(index).expect("small")]
        );
    }
    assert_eq!(threads(), before);
    let mut seen = HashSet::new();
    while let Ok(works) = begins.try_recv() {
        seen.extend(works);
    }
    assert_eq!(seen.len(), 2000);
    lanes.truncate(1);
    assert_eq!(
        lanes[0]
            .run(1, vec![piece(7)], None)
            .await
            .expect("done")
            .products,
        [7]
    );
}

/// Counts how often it is dropped.
struct Dropped(Arc<Mutex<u32>>);

impl Program for Dropped {
    type Work = ();
    type Product = ();

    fn run(&mut self, works: &[&()], _: &Interrupt) -> Result<Results<()>, Refusal> {
        Ok(works.iter().map(|()| Ok(())).collect())
    }
}

impl Drop for Dropped {
    fn drop(&mut self) {
        *self.0.lock().expect("no panic") += 1;
    }
}

#[test]
fn model_is_gone_when_its_lane_is() {
    let dropped = Arc::new(Mutex::new(0));
    let engine = Engine::start(Options {
        threads: 1,
        queue_bytes: 1000,
        turns: Arc::new(Always),
        marks: Arc::new(crate::marks::Unmarked),
    });
    let engine = engine.expect("a thread");
    let lane = engine.open(Dropped(Arc::clone(&dropped)), limits(1));
    assert_eq!(*dropped.lock().expect("no panic"), 0);
    drop(lane);
    assert_eq!(*dropped.lock().expect("no panic"), 1);
}

/// One turn that several engines share, and how often it was taken and given back.
#[derive(Debug, Default)]
struct OneTurn {
    taken: Mutex<bool>,
    free: std::sync::Condvar,
    counts: Mutex<(u32, u32)>,
}

impl crate::turns::Turns for OneTurn {
    fn are_used(&self) -> bool {
        true
    }

    fn take(&self) {
        let mut taken = self.taken.lock().expect("no panic");
        while *taken {
            taken = self.free.wait(taken).expect("no panic");
        }
        *taken = true;
        self.counts.lock().expect("no panic").0 += 1;
    }

    fn give_back(&self, _: Duration) {
        *self.taken.lock().expect("no panic") = false;
        self.counts.lock().expect("no panic").1 += 1;
        self.free.notify_one();
    }
}

/// Sees whether it is alone.
struct Alone(Arc<Mutex<u32>>);

impl Program for Alone {
    type Work = ();
    type Product = u32;

    fn run(&mut self, works: &[&()], _: &Interrupt) -> Result<Results<u32>, Refusal> {
        *self.0.lock().expect("no panic") += 1;
        std::thread::yield_now();
        let inside = *self.0.lock().expect("no panic");
        *self.0.lock().expect("no panic") -= 1;
        Ok(works.iter().map(|()| Ok(inside)).collect())
    }
}

#[tokio::test]
async fn runs_happen_in_turns_and_every_turn_is_given_back() {
    let (turns, inside) = (Arc::new(OneTurn::default()), Arc::new(Mutex::new(0)));
    let engines: Vec<_> = (0..3)
        .map(|_| {
            let options = Options {
                threads: 1,
                queue_bytes: 1000,
                turns: Arc::clone(&turns) as Arc<dyn crate::turns::Turns>,
                marks: Arc::new(crate::marks::Unmarked),
            };
            Engine::start(options).expect("a thread")
        })
        .collect();
    let lanes: Vec<_> = engines
        .iter()
        .map(|engine| Arc::new(engine.open(Alone(Arc::clone(&inside)), limits(100))))
        .collect();
    let mut asked = tokio::task::JoinSet::new();
    for index in 0..150 {
        let lane = Arc::clone(&lanes[index % 3]);
        asked.spawn(async move {
            let Piece { form, bytes, .. } = piece(0);
            let pieces = vec![Piece {
                work: (),
                form,
                bytes,
            }];
            lane.run(1, pieces, None).await.expect("done").products[0]
        });
    }
    let seen = timeout(LIMIT, asked.join_all()).await.expect("in time");
    assert!(seen.iter().all(|&inside| inside == 1), "one at a time");
    drop(lanes);
    drop(engines);
    let (taken, given) = *turns.counts.lock().expect("no panic");
    assert_eq!(taken, given);
    assert!(taken >= 3, "{taken}");
}
