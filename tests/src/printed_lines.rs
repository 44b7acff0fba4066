//! The lines that `berth dev` prints for people, and those of the README, run as they stand.

use std::fs;
use std::path::Path;
use std::process::Command;

use berth_test_support::python_program;
use serde_json::Value;

use crate::clients::{Outcome, run};
use crate::first_use::{MODEL, assert_beginning_is_known, assert_known};
use crate::installation::{LIMIT, OneMachine};

/// The lines from the one that begins with `first` to the one that begins with `last`.
fn lines_between(text: &str, first: &str, last: &str) -> String {
    let from = text.lines().skip_while(|line| !line.starts_with(first));
    let mut taken = Vec::new();
    for line in from {
        taken.push(line);
        if line.starts_with(last) {
            return taken.join("\n");
        }
    }
    String::new()
}

/// What stands in the block of the README that begins with this line.
fn block_of_readme(first: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = fs::read_to_string(path).expect("there is a README");
    let block = readme.split("```").find(|block| {
        let code = block.split_once('\n').map_or("", |(_, code)| code);
        code.starts_with(first)
    });
    let block = block.expect("the README has it");
    block.split_once('\n').map_or("", |(_, code)| code).to_owned()
}

fn shell(script: &str, key: &str) -> Outcome {
    let mut command = Command::new("sh");
    command.args(["-c", script]).env("BERTH_API_KEY", key);
    let outcome = run(&mut command, "").expect("runs");
    assert!(outcome.status.success(), "{script}\n{}", outcome.errors);
    outcome
}

fn python(script: &str) -> Outcome {
    let mut command = Command::new(python_program().expect("is named"));
    command.args(["-c", script]);
    let outcome = run(&mut command, "").expect("runs");
    assert!(outcome.status.success(), "{script}\n{}", outcome.errors);
    outcome
}

/// The vector of an answer to an embedding request.
fn vector(outcome: &Outcome) -> Value {
    let answer: Value = serde_json::from_str(&outcome.output).expect("JSON");
    answer["data"][0]["embedding"].clone()
}

#[tokio::test]
async fn lines_for_people_work_as_they_stand() {
    let state = OneMachine::state().expect("a folder");
    let mut dev = OneMachine::start_for_people(state.path()).expect("starts");
    let is_up = |line: &str| line.starts_with("Ctrl-C stops everything").then_some(());
    dev.wait_for_line(LIMIT * 3, is_up).await.expect("is up");
    let told = dev.output();

    let curl = told.lines().find(|line| line.starts_with("curl "));
    let curl = curl.expect("a line for curl");
    assert_known(&vector(&shell(curl, "")));
    let lines = lines_between(&told, "from openai", "print(");
    let printed = python(&lines).output;
    assert_beginning_is_known(&serde_json::from_str(&printed).expect("a list"));

    // The README names the usual address and leaves the key out.
    let usual = "http://127.0.0.1:8080";
    let word_after = |label: &str| {
        let line = told
            .lines()
            .find_map(|line| line.trim_start().strip_prefix(label));
        let word = line.and_then(|rest| rest.split_whitespace().next());
        word.expect("is told").to_owned()
    };
    let (address, key) = (word_after("address "), word_after("API key "));
    let curl = block_of_readme("curl ");
    assert!(curl.contains(usual) && curl.contains(MODEL), "{curl}");
    assert_known(&vector(&shell(&curl.replace(usual, &address), &key)));
    let lines = block_of_readme("from openai");
    assert!(lines.contains(usual) && lines.contains("bth_…"), "{lines}");
    let lines = lines.replace(usual, &address).replace("bth_…", &key);
    let (before, call) = lines.trim_end().rsplit_once('\n').expect("several lines");
    let printed = python(&format!("{before}\nprint({call}.data[0].embedding)")).output;
    assert_known(&serde_json::from_str(&printed).expect("a list"));
}
