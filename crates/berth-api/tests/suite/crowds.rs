//! More at a time than the server takes.

use berth_test_support::wait_until;
use reqwest::{Client, Method};
use serde_json::json;

use crate::answer::Answer;
use crate::house::{House, LIMIT, text};

#[tokio::test]
async fn connection_with_too_many_requests_under_way_gets_a_refusal() {
    let house = House::with(|options| {
        options.requests_per_connection = 2;
        options.h2c = true;
    })
    .await;
    let token = text(&house.sign_up("ada@example.com").await["access_token"]);
    // One connection for everything that this client asks.
    let client = Client::builder()
        .http2_prior_knowledge()
        .build()
        .expect("a client");
    let ask = || {
        client
            .get(format!("{}/api/v1/auth/me", house.base))
            .bearer_auth(&token)
    };
    let status = async || ask().send().await.expect("an answer").status().as_u16();
    assert_eq!(status().await, 200);

    let locked = house.database.lock_table("users").await.expect("locks");
    let waiting: Vec<_> = (0..2).map(|_| tokio::spawn(ask().send())).collect();
    let third = wait_until(LIMIT, async || {
        let answer = client.get(format!("{}/healthz", house.base)).send().await;
        let answer = Answer::read(answer.expect("an answer")).await;
        answer.status == 503 && answer.code().as_deref() == Some("overloaded")
    });
    third.await.expect("the third one is refused");
    let others = house.client.get(format!("{}/healthz", house.base)).send().await;
    assert_eq!(
        others.expect("an answer").status(),
        200,
        "other connections go on"
    );
    locked.free().await.expect("frees");
    for asked in waiting {
        assert_eq!(asked.await.expect("runs").expect("an answer").status(), 200);
    }
    assert_eq!(status().await, 200, "the places are free again");
}

#[tokio::test]
async fn body_for_which_there_is_no_memory_is_refused_with_a_hint() {
    let house = House::with(|options| options.body_memory = 32 << 10).await;
    let acme = house.tenant("acme").await;
    let key = house.key(&acme, &["inference.run"]).await;
    let request = |length: usize| {
        house
            .request(Method::POST, "/v1/embeddings", Some(&key))
            .json(&json!({
                "model": "no-such-model",
                "input": "x".repeat(length),
            }))
    };
    let refused = house.send(request(60_000)).await.refused(503, "overloaded");
    assert_eq!(refused.header("x-should-retry"), Some("true"));
    assert!(refused.header("retry-after").is_some());
    house.send(request(20_000)).await.refused(404, "model_not_found");
}

#[tokio::test]
async fn strangers_send_short_bodies() {
    let house = House::with(|options| options.body_limits.control = 1 << 20).await;
    let acme = house.tenant("acme").await;
    let long = "x".repeat(17 * 1024);
    for (path, body) in [
        ("sign-in", json!({"email": "ada@example.com", "password": long})),
        ("sign-up", json!({"email": "ada@example.com", "password": long})),
        ("refresh", json!({"refresh_token": long})),
        ("password-resets", json!({"email": long})),
        (
            "password-resets/confirm",
            json!({"token": "bthp_", "new_password": long}),
        ),
    ] {
        let request = house
            .request(Method::POST, &format!("/api/v1/auth/{path}"), None)
            .json(&body);
        house.send(request).await.refused(413, "body_too_large");
    }
    let form = house
        .request(Method::POST, "/api/v1/auth/token", None)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!(
            "grant_type=password&username=ada@example.com&password={long}"
        ));
    house.send(form).await.refused(413, "body_too_large");
    let model = json!({"name": "a-model", "description": long});
    let made = house
        .post(&format!("{}/models", acme.project_root()), &acme.token, &model)
        .await;
    assert_ne!(made.status, 413, "{made:?}");
}
