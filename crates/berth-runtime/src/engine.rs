//! A bounded queue before one compute thread that owns what computes.

mod queue;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{io, thread};

use berth_inference::Interrupt;
use tokio::sync::oneshot;

use crate::engine::queue::{Job, Next, Queue};
use crate::failure::{Code, Failure};

/// After so long without work the compute thread gives freed memory back to the system.
const QUIET: Duration = Duration::from_secs(2);

/// Runs work of type `W` one by one, each giving a product `P`. Dropping it finishes the present work and ends the thread.
pub(crate) struct Engine<W, P> {
    queue: Arc<Queue<W, P>>,
    thread: Option<JoinHandle<()>>,
}

/// A product, and how it came about.
#[derive(Debug)]
pub(crate) struct Done<P> {
    pub(crate) product: P,
    pub(crate) queued: Duration,
    pub(crate) computed: Duration,
}

impl<W: Send + 'static, P: Send + 'static> Engine<W, P> {
    /// Starts the compute thread, which owns `execute`. At most `capacity` requests wait. Fails when the system gives no
    /// thread.
    pub(crate) fn start(
        capacity: usize,
        execute: impl FnMut(W, &Interrupt) -> Result<P, Failure> + Send + 'static,
    ) -> io::Result<Self> {
        let queue = Arc::new(Queue::new(capacity));
        let source = Arc::clone(&queue);
        let thread = thread::Builder::new()
            .name("compute".to_owned())
            .spawn(move || compute(&source, execute))?;
        Ok(Self {
            queue,
            thread: Some(thread),
        })
    }

    /// Runs `work` when its turn comes. Dropping the future takes the work back: out of the queue, or by interrupting it.
    ///
    /// Fails when the queue is full, when the deadline passes, or when the work itself fails.
    pub(crate) async fn run(&self, work: W, deadline: Option<Instant>) -> Result<Done<P>, Failure> {
        let (reply, answer) = oneshot::channel();
        let interrupt = Interrupt::new();
        let ticket = self.queue.push(work, interrupt.clone(), reply)?;
        let _withdrawn = Withdraw {
            queue: &self.queue,
            ticket,
            interrupt,
        };
        let answer = match deadline {
            None => answer.await,
            Some(deadline) => tokio::time::timeout_at(deadline.into(), answer)
                .await
                .map_err(|_| late())?,
        };
        // The thread answers everything it takes, and takes everything before it ends.
        answer.unwrap_or_else(|_| Err(Failure::new(Code::Internal, "The model has stopped.")))
    }
}

impl<W, P> Drop for Engine<W, P> {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!(panic = words(&*panic), "the compute thread panicked");
        }
    }
}

/// What a request that is too late is told.
pub(crate) fn late() -> Failure {
    Failure::new(
        Code::DeadlineExceeded,
        "The deadline passed before the answer was ready.",
    )
}

/// Takes work back when nobody waits for it any more.
struct Withdraw<'a, W, P> {
    queue: &'a Queue<W, P>,
    ticket: u64,
    interrupt: Interrupt,
}

impl<W, P> Drop for Withdraw<'_, W, P> {
    fn drop(&mut self) {
        self.queue.remove(self.ticket);
        self.interrupt.trigger();
    }
}

fn compute<W, P>(queue: &Queue<W, P>, mut execute: impl FnMut(W, &Interrupt) -> Result<P, Failure>) {
    let mut worked = false;
    loop {
        let job = match queue.next(worked.then_some(QUIET)) {
            Next::Job(job) => job,
            Next::Quiet => {
                berth_inference::memory::release_free_pages();
                worked = false;
                continue;
            }
            Next::Closed => return,
        };
        worked = true;
        let Job {
            work,
            interrupt,
            queued_at,
            reply,
            ..
        } = job;
        if interrupt.is_triggered() {
            continue;
        }
        let begun = Instant::now();
        // A defect in one request must not end the service of all others.
        let result = catch_unwind(AssertUnwindSafe(|| execute(work, &interrupt))).unwrap_or_else(|panic| {
            tracing::error!(panic = words(&*panic), "a request made the compute thread panic");
            Err(Failure::new(
                Code::Internal,
                "The request hit a defect of the server.",
            ))
        });
        let done = result.map(|product| Done {
            product,
            queued: begun.duration_since(queued_at),
            computed: begun.elapsed(),
        });
        // Whoever asked may have gone in the meantime, which is theirs to do.
        let _ = reply.send(done);
    }
}

fn words(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
    use tokio::time::timeout;

    use super::*;

    /// An engine that says when it begins a job and goes on when it is let; the product is the work.
    fn gated(capacity: usize) -> (Engine<u32, u32>, UnboundedReceiver<u32>, mpsc::Sender<()>) {
        let (begun, begins) = unbounded_channel();
        let (open, gate) = mpsc::channel();
        let engine = Engine::start(capacity, move |work, interrupt: &Interrupt| {
            begun.send(work).expect("the test listens");
            while gate.recv_timeout(Duration::from_millis(1)).is_err() {
                if interrupt.is_triggered() {
                    return Err(late());
                }
            }
            Ok(work)
        });
        (engine.expect("a thread"), begins, open)
    }

    const LIMIT: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn work_is_done_in_order_and_timed() {
        let engine = Engine::start(8, |work: u32, _: &Interrupt| Ok(work + 1)).expect("a thread");
        let (a, b) = tokio::join!(engine.run(1, None), engine.run(2, None));
        let (a, b) = (a.expect("done"), b.expect("done"));
        assert_eq!((a.product, b.product), (2, 3));
    }

    #[tokio::test]
    async fn full_queue_refuses_at_once() {
        let (engine, mut begins, open) = gated(1);
        let engine = Arc::new(engine);
        let spawn = |work| {
            let engine = Arc::clone(&engine);
            tokio::spawn(async move { engine.run(work, None).await })
        };
        let running = spawn(1);
        tokio::task::yield_now().await;
        assert_eq!(timeout(LIMIT, begins.recv()).await, Ok(Some(1)));
        let waiting = spawn(2);
        tokio::task::yield_now().await;
        let refused = engine.run(3, None).await.expect_err("the queue is full");
        assert_eq!(refused.code, Code::QueueFull);
        for _ in 0..2 {
            open.send(()).expect("the engine listens");
        }
        assert_eq!(running.await.expect("no panic").expect("done").product, 1);
        assert_eq!(waiting.await.expect("no panic").expect("done").product, 2);
    }

    #[tokio::test]
    async fn caller_that_goes_away_leaves_the_queue_and_stops_the_run() {
        let (engine, mut begins, open) = gated(1);
        let engine = Arc::new(engine);
        let spawn = |work| {
            let engine = Arc::clone(&engine);
            tokio::spawn(async move { engine.run(work, None).await })
        };
        let running = spawn(1);
        tokio::task::yield_now().await;
        assert_eq!(timeout(LIMIT, begins.recv()).await, Ok(Some(1)));
        let waiting = spawn(2);
        tokio::task::yield_now().await;
        waiting.abort();
        assert!(waiting.await.expect_err("aborted").is_cancelled());
        // The place in the queue is free again, and the second job never begins.
        let third = spawn(3);
        tokio::task::yield_now().await;
        running.abort();
        assert_eq!(timeout(LIMIT, begins.recv()).await, Ok(Some(3)));
        open.send(()).expect("the engine listens");
        assert_eq!(third.await.expect("no panic").expect("done").product, 3);
    }

    #[tokio::test]
    async fn deadline_interrupts_the_run() {
        let (engine, _begins, open) = gated(1);
        let soon = Instant::now() + Duration::from_millis(20);
        let failure = engine.run(1, Some(soon)).await.expect_err("too late");
        assert_eq!(failure.code, Code::DeadlineExceeded);
        // The first run may still take one before it sees the interrupt.
        for _ in 0..2 {
            open.send(()).expect("the engine listens");
        }
        assert_eq!(engine.run(2, None).await.expect("done").product, 2);
    }

    #[tokio::test]
    async fn panic_in_one_request_is_its_own_failure() {
        let engine = Engine::start(1, |work: u32, _: &Interrupt| {
            assert!(work != 1, "a defect");
            Ok(work)
        });
        let engine = engine.expect("a thread");
        let failure = engine.run(1, None).await.expect_err("a defect");
        assert_eq!(failure.code, Code::Internal);
        assert_eq!(engine.run(2, None).await.expect("done").product, 2);
    }
}
