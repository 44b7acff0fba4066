//! `berth dev` leaves nothing behind, however it ends.

use berth_test_support::wait_until;

use crate::installation::{LIMIT, OneMachine};
use crate::processes::{descendants, is_alive};

async fn assert_all_gone(pids: &[u32]) {
    let gone = || async { pids.iter().all(|pid| !is_alive(*pid)) };
    wait_until(LIMIT, gone).await.expect("no process is left");
}

#[tokio::test]
async fn interrupt_ends_every_child() {
    let state = OneMachine::state().expect("a folder");
    let mut machine = OneMachine::start(state.path(), true).await.expect("starts");
    let children = descendants(machine.process.pid());
    assert!(
        children.len() >= 4,
        "Postgres, its helpers, the worker and a runner: {children:?}"
    );
    let status = machine.process.interrupt().expect("ends in time");
    assert!(status.success(), "{status}");
    let left: Vec<_> = children.iter().filter(|pid| is_alive(**pid)).collect();
    assert!(left.is_empty(), "when it has ended, all have ended: {left:?}");
}

#[tokio::test]
async fn killed_machine_takes_its_children_along_and_starts_again() {
    let state = OneMachine::state().expect("a folder");
    let mut machine = OneMachine::start(state.path(), false).await.expect("starts");
    let key = machine.told("api_key").expect("is told").to_owned();
    let children = descendants(machine.process.pid());
    assert!(
        children.len() >= 3,
        "Postgres, its helpers and the worker: {children:?}"
    );
    let sockets = std::fs::read_to_string(state.path().join("sockets")).expect("is noted");
    assert!(std::path::Path::new(&sockets).exists());
    machine.process.kill().expect("can be killed");
    assert_all_gone(&children).await;
    let machine = OneMachine::start(state.path(), false)
        .await
        .expect("starts again");
    assert_eq!(machine.told("api_key").expect("is told"), key);
    assert!(
        !std::path::Path::new(&sockets).exists(),
        "what was left behind is gone"
    );
}
