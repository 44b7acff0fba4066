//! The command line beside the usual path: what it says when something is wrong, and how it stays signed in.

use std::os::unix::fs::PermissionsExt as _;

use anyhow::Result;

use crate::clients::CommandLine;
use crate::installation::OneMachine;
use crate::tenant::{PASSWORD, Tenant};

fn sign_in(berth: &CommandLine, address: &str, password: &str) -> Result<crate::clients::Outcome> {
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
