//! What an operator does with an installation: sets it up, looks after it, gets back into it.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::clients::{CommandLine, Outcome};
use crate::installation::{Cluster, OneApi};
use crate::tenant::{Answer, http};

fn json_of(outcome: &Outcome) -> Value {
    assert!(outcome.status.success(), "{}", outcome.errors);
    serde_json::from_str(&outcome.output).expect("JSON was asked for")
}

async fn post(cluster: &Cluster, path: &str, body: &Value) -> Answer {
    let response = http()
        .post(format!("{}{path}", cluster.address()))
        .json(body)
        .send()
        .await;
    Answer::read(response.expect("the server answers"))
        .await
        .expect("the answer is whole")
}

#[tokio::test]
async fn operator_sets_up_an_installation_and_gets_back_into_it() {
    let cluster = Cluster::start().await.expect("starts");
    let run = |arguments: &[&str], input: &str| cluster.command(arguments, input).expect("runs");
    let sign_in = async |password: &str| {
        let body = json!({ "email": "operator@example.com", "password": password });
        post(&cluster, "/api/v1/auth/sign-in", &body).await
    };

    // Bringing the schema to this release again changes nothing.
    let outcome = run(&["migrate"], "");
    assert!(outcome.status.success(), "{}", outcome.errors);

    let findings = json_of(&run(&["doctor", "--output", "json"], ""));
    let parts: Vec<_> = findings
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one["part"].as_str())
        .collect();
    let all = [
        "postgres",
        "redis",
        "artifacts",
        "keys",
        "staging",
        "gate",
        "rabbitmq",
        "workers",
    ];
    assert_eq!(parts, all.map(Some));

    let bootstrap = [
        "admin",
        "bootstrap",
        "--email",
        "operator@example.com",
        "--output",
        "json",
    ];
    let made = json_of(&run(&bootstrap, ""));
    let password = made["password"].as_str().expect("is shown once");
    let session = sign_in(password).await.accepted().expect("signs in");
    assert!(session.body["access_token"].is_string());
    let again = run(&bootstrap, "");
    assert_eq!(
        again.number(),
        1,
        "there is one operator already: {}",
        again.errors
    );

    let link = json_of(&run(
        &["admin", "recover", "operator@example.com", "--output", "json"],
        "",
    ));
    let new = "another battery staple";
    let token = link["token"].as_str().expect("is shown once");
    let berth = CommandLine::new().expect("a folder");
    let reset = [
        "password",
        "reset",
        "--url",
        cluster.address(),
        "--token",
        token,
        "--password-stdin",
    ];
    let outcome = berth.run(&reset, new).expect("runs");
    assert!(outcome.status.success(), "{}", outcome.errors);
    assert!(!outcome.output.contains(new), "{}", outcome.output);
    let again = berth.run(&reset, new).expect("runs");
    assert_eq!(again.number(), 3, "a token works once: {}", again.errors);
    sign_in(new)
        .await
        .accepted()
        .expect("signs in with the new password");
    assert_eq!(
        sign_in(password).await.status.as_u16(),
        401,
        "the old one is worthless"
    );
}

#[tokio::test]
async fn doctor_tells_what_does_not_hold() {
    let cluster = Cluster::start().await.expect("starts");
    let outcome = cluster.command(&["doctor", "--for", "admin"], "").expect("runs");
    assert!(outcome.status.success(), "{}", outcome.errors);
    // The owner of the schema is not the role that requests may be served with.
    let owner = cluster.database().owner_url();
    let wrong = cluster
        .command_with(&["doctor", "--for", "admin"], &[("BERTH_DATABASE__URL", &owner)])
        .expect("runs");
    assert_eq!(wrong.number(), 1);
    assert!(wrong.output.contains("FAILS"), "{}", wrong.output);
}

#[tokio::test]
async fn api_sweeps_away_what_a_killed_one_left_in_staging() {
    let folder = tempfile::tempdir().expect("a folder");
    let staging = folder.path().join(".staging");
    fs::create_dir(&staging).expect("is made");
    let leave = |name: &str, age: Duration| {
        let path = staging.join(name);
        let file = fs::File::create(&path).expect("is made");
        let made = file.metadata().and_then(|it| it.modified()).expect("has a time");
        file.set_modified(made - age).expect("grows old");
        path
    };
    let old = leave("upload-old", Duration::from_hours(48));
    let recent = leave("upload-recent", Duration::from_hours(1));
    let foreign = leave("notes.txt", Duration::from_hours(48));
    let path = folder.path().display().to_string();
    let api = OneApi::start_with(&[("BERTH_ARTIFACTS__FOLDER", &path)])
        .await
        .expect("starts");
    assert!(!old.exists(), "nobody is uploading it any more");
    assert!(recent.exists(), "another API may be receiving it");
    assert!(foreign.exists(), "what is not ours stays");
    drop(api);
}
