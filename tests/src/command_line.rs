//! The command line beside the usual path: what it says when something is wrong, and how it stays signed in.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, Result, ensure};
use berth_test_support::minilm_folder;
use serde_json::Value;

use crate::clients::{CommandLine, Outcome};
use crate::first_use::until_served;
use crate::installation::{Cluster, OneMachine};
use crate::tenant::{PASSWORD, Tenant};

fn sign_in(berth: &CommandLine, address: &str, password: &str) -> Result<Outcome> {
    berth.run(
        &[
            "login",
            "--url",
            address,
            "--email",
            "person@example.com",
            "--password-stdin",
        ],
        password,
    )
}

#[tokio::test]
async fn command_line_tells_who_can_act_and_stays_signed_in() {
    let state = OneMachine::state().expect("a folder");
    let machine = OneMachine::start(state.path(), false).await.expect("starts");
    let address = machine.told("address").expect("is told");
    Tenant::sign_up(address, "person").await.expect("signs up");
    let berth = CommandLine::new().expect("a folder");
    let number = |arguments: &[&str]| berth.run(arguments, "").expect("runs").number();

    assert_eq!(number(&["no-such-command"]), 2, "a wrong command line");
    assert_eq!(number(&["whoami"]), 4, "nobody is signed in");
    assert_eq!(
        number(&["whoami", "--url", "http://127.0.0.1:1", "--api-key", "x"]),
        5,
        "nothing answers"
    );
    let outcome = sign_in(&berth, address, "not the password").expect("runs");
    assert_eq!(outcome.number(), 4, "{}", outcome.errors);
    assert!(
        outcome.errors.contains("request req_"),
        "the operator can find it: {}",
        outcome.errors
    );
    assert!(!berth.credentials().exists());

    let outcome = sign_in(&berth, address, PASSWORD).expect("runs");
    assert!(outcome.status.success(), "{}", outcome.errors);
    let mode = std::fs::metadata(berth.credentials())
        .expect("is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600, "nobody else reads the session");
    let outcome = berth
        .run(&["projects", "create", "Not A Name"], "")
        .expect("runs");
    assert_eq!(
        outcome.number(),
        3,
        "the request has to be changed: {}",
        outcome.errors
    );

    // With an access token that has expired, the session is renewed without a word.
    let line_of = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.expect("is there").to_owned()
    };
    let text = std::fs::read_to_string(berth.credentials()).expect("can be read");
    let spoiled = text.replace(&line_of(&text, "access_token"), "access_token = \"expired\"");
    std::fs::write(berth.credentials(), spoiled).expect("can be written");
    assert_eq!(
        berth.json(&["whoami"]).expect("is renewed")["user"]["email"],
        "person@example.com"
    );
    let renewed = std::fs::read_to_string(berth.credentials()).expect("can be read");
    assert_ne!(line_of(&renewed, "access_token"), "access_token = \"expired\"");
    assert_ne!(
        line_of(&renewed, "refresh_token"),
        line_of(&text, "refresh_token"),
        "a refresh token works once"
    );

    assert_keys_live_and_die(&berth).expect("keys can be managed");
    for list in ["models", "deployments"] {
        assert_eq!(
            berth.json(&[list, "list"]).expect("is listed"),
            serde_json::json!([])
        );
    }
    assert_eq!(number(&["models", "show", "no-such-model"]), 3);

    assert_eq!(number(&["logout"]), 0);
    assert!(!berth.credentials().exists());
    assert_eq!(number(&["whoami"]), 4);
}

fn assert_keys_live_and_die(berth: &CommandLine) -> Result<()> {
    let made = berth.json(&[
        "keys",
        "create",
        "a key",
        "--scope",
        "models.read",
        "--address",
        "127.0.0.0/8",
    ])?;
    let (id, secret) = (
        made["api_key_id"].as_str().unwrap_or_default(),
        made["secret"].as_str().unwrap_or_default(),
    );
    let as_key = |secret: &str| {
        berth
            .run(&["whoami", "--api-key", secret], "")
            .map(|outcome| outcome.number())
    };
    assert_eq!(as_key(secret)?, 0, "a key can be used at once");
    assert_eq!(berth.json(&["keys", "list"])?[0]["api_key_id"], id);
    assert!(
        !berth.json(&["keys", "list"])?.to_string().contains(secret),
        "a secret is shown once"
    );

    let rotated = berth.json(&["keys", "rotate", id, "--grace", "0"])?;
    let fresh = rotated["secret"].as_str().unwrap_or_default();
    assert_ne!(fresh, secret);
    assert_eq!(as_key(fresh)?, 0);
    let revoked = berth.json(&["keys", "revoke", id])?;
    assert!(revoked["revoked_at"].is_string(), "{revoked}");
    assert_eq!(as_key(fresh)?, 4);
    assert_eq!(as_key(secret)?, 4);
    Ok(())
}

#[test]
fn settings_are_told_whole() {
    let berth = CommandLine::new().expect("a folder");
    let outcome = berth.run(&["config", "check", "--for", "api"], "").expect("runs");
    assert_eq!(outcome.number(), 2);
    for path in ["database.url", "redis.url", "artifacts.folder", "auth.peppers"] {
        assert!(outcome.errors.contains(path), "{path} in {}", outcome.errors);
    }
}

/// The commands below `path` that take `--output`, found by asking each for its help.
fn commands_with_output(berth: &CommandLine, path: &[&str], found: &mut BTreeSet<String>) -> Result<()> {
    let outcome = berth.run(&[path, &["-h"]].concat(), "")?;
    ensure!(outcome.status.success(), "{path:?}: {}", outcome.errors);
    let (_, after) = outcome.output.split_once("Commands:\n").unwrap_or_default();
    let inner: Vec<_> = after
        .lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|name| !name.is_empty() && *name != "help")
        .collect();
    if inner.is_empty() && outcome.output.contains("--output ") {
        found.insert(path.join(" "));
    }
    for name in inner {
        commands_with_output(berth, &[path, &[name]].concat(), found)?;
    }
    Ok(())
}

/// What was run with `--output json`.
#[derive(Default)]
struct Run(BTreeSet<String>);

impl Run {
    /// The one document that a command, which must succeed, has printed.
    fn document(&mut self, command: &str, outcome: &Outcome) -> Result<Value> {
        ensure!(
            outcome.status.success(),
            "`berth {command}` failed: {}",
            outcome.errors
        );
        self.0.insert(command.to_owned());
        let document: Value = serde_json::from_str(&outcome.output)
            .with_context(|| format!("`berth {command}` printed `{}`", outcome.output))?;
        ensure!(
            document.is_object() || document.is_array(),
            "`berth {command}` says nothing: {document}"
        );
        Ok(document)
    }

    fn person(&mut self, berth: &CommandLine, command: &str, rest: &[&str], input: &str) -> Result<Value> {
        let words: Vec<_> = command.split(' ').collect();
        let outcome = berth.run(&[&words[..], rest, &["--output", "json"]].concat(), input)?;
        self.document(command, &outcome)
    }

    fn operator(&mut self, cluster: &Cluster, command: &str, rest: &[&str]) -> Result<Value> {
        let words: Vec<_> = command.split(' ').collect();
        let outcome = cluster.command(&[&words[..], rest, &["--output", "json"]].concat(), "")?;
        self.document(command, &outcome)
    }
}

fn run_as_operator(run: &mut Run, cluster: &Cluster, berth: &CommandLine) -> Result<()> {
    let email = "operator@example.com";
    run.operator(cluster, "doctor", &[])?;
    run.operator(cluster, "admin bootstrap", &["--email", email])?;
    let trace = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../crates/berth-serving/tests/traces/turns.jsonl"
    );
    run.operator(cluster, "admin placement simulate", &[trace])?;
    let link = run.operator(cluster, "admin recover", &[email])?;
    let token = link["token"].as_str().context("a token")?;
    let reset = ["--url", cluster.address(), "--token", token, "--password-stdin"];
    run.person(berth, "password reset", &reset, "another battery staple\n")?;
    let forgot = ["--url", cluster.address(), "--email", email];
    run.person(berth, "password forgot", &forgot, "")?;
    Ok(())
}

/// Calls a model, and gives the id that the answer's head tells. Blocks the thread.
fn request_id(address: &str, key: &str) -> Result<String> {
    let host = address.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host)?;
    let body = r#"{"model":"minilm","input":"a text"}"#;
    write!(
        stream,
        "POST /v1/embeddings HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let id = answer
        .lines()
        .find_map(|line| line.strip_prefix("x-request-id: "));
    id.map(str::to_owned).context("the answer tells its id")
}

fn run_as_person(run: &mut Run, cluster: &Cluster, berth: &CommandLine) -> Result<()> {
    let mut run = |command: &str, rest: &[&str], input: &str| run.person(berth, command, rest, input);
    let nobody = run("logout", &[], "")?;
    assert_eq!(nobody["signed_out"], false);
    let login = [
        "--url",
        cluster.address(),
        "--email",
        "person@example.com",
        "--project",
        "person",
        "--password-stdin",
    ];
    let me = run("login", &login, PASSWORD)?;
    assert_eq!(me["user"]["email"], "person@example.com");
    assert_eq!(me["url"], cluster.address());
    for list in [
        "whoami",
        "organizations",
        "projects list",
        "keys list",
        "models list",
    ] {
        run(list, &[], "")?;
    }
    run("projects create", &["another"], "")?;
    let passwords = format!("{PASSWORD}\nanother battery staple\n");
    run("password change", &["--password-stdin"], &passwords)?;

    let folder = minilm_folder()?.display().to_string();
    run("models push", &[&folder, "--name", "minilm", "--wait"], "")?;
    run("models show", &["minilm"], "")?;
    run("deployments create", &["minilm"], "")?;
    let updated = run("deployments update", &["minilm", "--version", "1"], "")?;
    assert_eq!(updated["name"], "minilm");
    run("deployments list", &[], "")?;

    let key = run("keys create", &["a key", "--use"], "")?;
    let id = key["api_key_id"].as_str().context("an id")?;
    until_served(|| berth.run(&["embed", "a text"], ""))?;
    run("embed", &["a text"], "")?;
    let zeros = [
        "input_ids=[[101]]",
        "attention_mask=[[1]]",
        "token_type_ids=[[0]]",
    ];
    let inputs: Vec<_> = zeros.iter().flat_map(|input| ["--input", input]).collect();
    run("infer", &[&["minilm"][..], &inputs].concat(), "")?;
    let secret = key["secret"].as_str().context("a secret")?;
    let request = request_id(cluster.address(), secret)?;
    let explained = run("explain", &[&request], "")?;
    assert_eq!(explained["request_id"], request);
    run("keys rotate", &[id], "")?;
    run("keys revoke", &[id], "")?;

    let deleted = run("deployments delete", &["minilm"], "")?;
    assert_eq!(deleted, serde_json::json!({ "name": "minilm", "deleted": true }));
    let gone = run("logout", &[], "")?;
    assert_eq!(gone["signed_out"], true);
    Ok(())
}

#[tokio::test]
async fn every_command_answers_with_one_json_document_when_asked() {
    let cluster = Cluster::start().await.expect("starts");
    Tenant::sign_up(cluster.address(), "person")
        .await
        .expect("signs up");
    let berth = CommandLine::new().expect("a folder");
    let mut all = BTreeSet::new();
    commands_with_output(&berth, &[], &mut all).expect("help is given");
    assert!(all.contains("deployments delete"), "{all:?}");

    let mut run = Run::default();
    run_as_operator(&mut run, &cluster, &berth).expect("the operator's commands");
    run_as_person(&mut run, &cluster, &berth).expect("a person's commands");
    assert_eq!(run.0, all, "each command with `--output` is run here");
}

#[test]
fn key_has_no_password_to_change() {
    let berth = CommandLine::new().expect("a folder");
    let change = [
        "password",
        "change",
        "--url",
        "http://127.0.0.1:1",
        "--api-key",
        "x",
        "--password-stdin",
    ];
    let outcome = berth.run(&change, "one\ntwo\n").expect("runs");
    assert_eq!(outcome.number(), 1);
    assert!(outcome.errors.contains("berth login"), "{}", outcome.errors);
}
