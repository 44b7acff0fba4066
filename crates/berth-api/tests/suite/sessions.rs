//! The sessions of a person, and their password.

use reqwest::Method;
use serde_json::{Value, json};

use crate::house::{House, PASSWORD, text};
use crate::snapshot::{items, snapshot, texts};

const SESSIONS: &str = "/api/v1/auth/sessions";
const ME: &str = "/api/v1/auth/me";
const OTHER_PASSWORD: &str = "a stroll by the harbor";

async fn signed_in(house: &House, password: &str) -> Value {
    house.sign_in("ada@acme.example", password).await.succeeded(200)
}

#[tokio::test]
async fn signing_in_gives_tokens_and_tells_who_one_is() {
    let house = House::new().await;
    let account = json!({"email": "Ada@Acme.example", "password": PASSWORD, "name": "Ada L."});
    let session = house
        .post("/api/v1/auth/sign-up", "", &account)
        .await
        .succeeded(201);
    let tokens = json!({
        "user_id": "<user>",
        "session_id": "<sess>",
        "access_token": "<random>",
        "token_type": "Bearer",
        "expires_in": session["expires_in"],
        "refresh_token": "<random>",
        "refresh_expires_at": "<time>",
    });
    assert_eq!(snapshot(&session), tokens);
    assert!(session["expires_in"].as_i64().is_some_and(|seconds| seconds > 60));
    let again = signed_in(&house, PASSWORD).await;
    assert_eq!(again["user_id"], session["user_id"]);
    assert_ne!(again["session_id"], session["session_id"]);
    let me = house.get(ME, &text(&again["access_token"])).await.succeeded(200);
    assert_eq!(
        snapshot(&me),
        json!({
            "kind": "person",
            "user": {"user_id": "<user>", "email": "ada@acme.example", "name": "Ada L.", "operator": false},
            "session_id": "<sess>",
        })
    );
    house
        .post("/api/v1/auth/sign-up", "", &account)
        .await
        .refused(409, "email_taken");
}

#[tokio::test]
async fn sessions_are_listed_and_ended_one_by_one() {
    let house = House::new().await;
    let first = house.sign_up("ada@acme.example").await;
    let request = house
        .request(Method::POST, "/api/v1/auth/sign-in", None)
        .header("user-agent", "telephone/1")
        .json(&json!({"email": "ada@acme.example", "password": PASSWORD}));
    let second = house.send(request).await.succeeded(200);
    let (one, two) = (text(&first["access_token"]), text(&second["access_token"]));

    let list = house.get(SESSIONS, &one).await.succeeded(200);
    assert_eq!(
        snapshot(&items(&list)[0]),
        json!({
            "session_id": "<sess>",
            "client": "telephone/1",
            "created_at": "<time>",
            "expires_at": "<time>",
        })
    );
    let ids: Vec<Value> = items(&list)
        .iter()
        .map(|item| item["session_id"].clone())
        .collect();
    assert_eq!(ids, [second["session_id"].clone(), first["session_id"].clone()]);

    // Another person ends none of them.
    let bob = house.token("bob@acme.example").await;
    let of = |session: &Value| format!("{SESSIONS}/{}", text(&session["session_id"]));
    house.delete(&of(&second), &bob).await.refused(404, "not_found");
    house.get(ME, &two).await.succeeded(200);

    let ended = house.delete(&of(&second), &one).await;
    assert_eq!((ended.status.as_u16(), ended.body.len()), (204, 0));
    house.get(ME, &two).await.refused(401, "session_ended");
    let refresh = json!({"refresh_token": second["refresh_token"]});
    house
        .post("/api/v1/auth/refresh", "", &refresh)
        .await
        .refused(401, "refresh_token_invalid");
    house.get(ME, &one).await.succeeded(200);
    house.delete(&of(&second), &one).await.refused(404, "not_found");
    let list = house.get(SESSIONS, &one).await.succeeded(200);
    assert_eq!(texts(&list, "session_id"), [text(&first["session_id"])]);

    // The session that one is in, too.
    house.delete(&of(&first), &one).await.succeeded(204);
    house.get(ME, &one).await.refused(401, "session_ended");
}

#[tokio::test]
async fn changed_password_ends_the_other_sessions() {
    let house = House::new().await;
    let other = house.sign_up("ada@acme.example").await;
    let session = signed_in(&house, PASSWORD).await;
    let (token, elsewhere) = (text(&session["access_token"]), text(&other["access_token"]));
    let path = "/api/v1/auth/password";
    let change = |present: &str, new: &str| json!({"current_password": present, "new_password": new});
    house
        .post(path, &token, &change("wrong", OTHER_PASSWORD))
        .await
        .refused(403, "password_wrong");
    for weak in ["short", "ada@acme.example", "passwordpassword"] {
        let answer = house
            .post(path, &token, &change(PASSWORD, weak))
            .await
            .refused(400, "password_refused");
        assert_eq!(answer.json()["errors"][0]["pointer"], "/new_password", "{weak}");
    }
    house.get(ME, &elsewhere).await.succeeded(200);
    signed_in(&house, PASSWORD).await;

    let changed = house.post(path, &token, &change(PASSWORD, OTHER_PASSWORD)).await;
    assert_eq!((changed.status.as_u16(), changed.body.len()), (204, 0));
    house.get(ME, &token).await.succeeded(200);
    house.get(ME, &elsewhere).await.refused(401, "session_ended");
    let refresh = json!({"refresh_token": other["refresh_token"]});
    house
        .post("/api/v1/auth/refresh", "", &refresh)
        .await
        .refused(401, "refresh_token_invalid");
    let list = house.get(SESSIONS, &token).await.succeeded(200);
    assert_eq!(texts(&list, "session_id"), [text(&session["session_id"])]);
    house
        .sign_in("ada@acme.example", PASSWORD)
        .await
        .refused(401, "sign_in_failed");
    signed_in(&house, OTHER_PASSWORD).await;
}

#[tokio::test]
async fn asking_for_a_new_password_tells_nothing() {
    let house = House::new().await;
    house.sign_up("ada@acme.example").await;
    let mut answers = Vec::new();
    for email in ["ada@acme.example", "nobody@acme.example"] {
        let answer = house
            .post("/api/v1/auth/password-resets", "", &json!({"email": email}))
            .await;
        answers.push((answer.status.as_u16(), answer.body));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0].0, 202);
}
