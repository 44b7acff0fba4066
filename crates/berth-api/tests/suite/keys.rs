//! API keys over HTTP: what they open, and what happens when they no longer do.

use std::time::Duration;

use berth_domain::clock::{Clock as _, SystemClock};
use berth_test_support::wait_until;
use chrono::TimeDelta;
use reqwest::Method;
use serde_json::json;

use crate::house::{House, text};
use crate::snapshot::{items, snapshot};

#[tokio::test]
async fn text_of_a_key_is_shown_once() {
    let house = House::new().await;
    let tenant = house.tenant("acme").await;
    let path = format!("{}/api-keys", tenant.project_root());
    let body = json!({"title": "ci", "scopes": ["inference.run"]});
    let made = house.post(&path, &tenant.token, &body).await.succeeded(201);
    let secret = text(&made["secret"]);
    assert!(secret.starts_with("bth_test_"), "{secret}");
    let shown = house
        .get(&format!("{path}/{}", text(&made["api_key_id"])), &tenant.token)
        .await;
    let shown = shown.succeeded(200);
    assert_eq!(shown["title"], "ci");
    assert!(shown.get("secret").is_none());
    let listed = house.get(&path, &tenant.token).await.succeeded(200);
    assert!(!listed.to_string().contains(&secret));
}

#[tokio::test]
async fn key_is_shown_with_all_that_was_wished_and_when_it_ended() {
    let house = House::new().await;
    let tenant = house.tenant("acme").await;
    let path = format!("{}/api-keys", tenant.project_root());
    let body = json!({
        "title": "Nightly", "scopes": ["inference.run", "models.read"], "models": ["sum", "minilm"],
        "addresses": ["127.0.0.0/8", "2001:db8::/32"], "expires_at": "2100-01-01T00:00:00Z",
    });
    let made = house.post(&path, &tenant.token, &body).await.succeeded(201);
    let mut key = json!({
        "api_key_id": "<key>",
        "service_account_id": null,
        "title": "Nightly",
        "scopes": ["models.read", "inference.run"],
        "models": ["sum", "minilm"],
        "addresses": ["127.0.0.0/8", "2001:db8::/32"],
        "created_at": "<time>",
        "expires_at": "<time>",
        "revoked_at": null,
        "last_used_at": null,
        "secrets": [{"public_id": "<random>", "created_at": "<time>", "expires_at": null}],
        "secret": "<random>",
    });
    assert_eq!(snapshot(&made), key);
    key.as_object_mut().expect("an object").remove("secret");
    let one = format!("{path}/{}", text(&made["api_key_id"]));
    let shown = house.get(&one, &tenant.token).await.succeeded(200);
    assert_eq!(snapshot(&shown), key);
    let list = house.get(&path, &tenant.token).await.succeeded(200);
    assert_eq!(items(&list), [shown]);

    let rotated = house
        .post(
            &format!("{one}/rotate"),
            &tenant.token,
            &json!({"grace_seconds": 60}),
        )
        .await
        .succeeded(200);
    assert_eq!(
        snapshot(&rotated["secrets"]),
        json!([
            {"public_id": "<random>", "created_at": "<time>", "expires_at": "<time>"},
            {"public_id": "<random>", "created_at": "<time>", "expires_at": null},
        ])
    );
    let revoked = house
        .post(&format!("{one}/revoke"), &tenant.token, &json!({}))
        .await
        .succeeded(200);
    assert_eq!(snapshot(&revoked)["revoked_at"], "<time>");
    let again = house
        .post(&format!("{one}/revoke"), &tenant.token, &json!({}))
        .await
        .succeeded(200);
    assert_eq!(again, revoked);
    house
        .post(&format!("{one}/rotate"), &tenant.token, &json!({}))
        .await
        .refused(409, "api_key_over");
}

#[tokio::test]
async fn refused_keys_say_why() {
    let house = House::new().await;
    let tenant = house.tenant("acme").await;
    let me = "/api/v1/auth/me";
    house
        .get(me, "bth_test_nonsense")
        .await
        .refused(401, "invalid_api_key");
    house.get(me, "sk-nonsense").await.refused(401, "invalid_api_key");
    house.get(me, "a.b.c").await.refused(401, "access_token_invalid");
    let basic = house
        .request(Method::GET, me, None)
        .header("authorization", "Basic YTpi");
    house.send(basic).await.refused(401, "credentials_missing");

    let elsewhere = json!({"title": "k", "scopes": ["models.read"], "addresses": ["203.0.113.0/24"]});
    let key = house.key_with(&tenant, &elsewhere).await;
    house.get(me, &key).await.refused(403, "address_not_allowed");

    let path = format!("{}/api-keys", tenant.project_root());
    let body = json!({"title": "k", "scopes": ["models.read"]});
    let made = house.post(&path, &tenant.token, &body).await.succeeded(201);
    let (id, key) = (text(&made["api_key_id"]), text(&made["secret"]));
    assert_eq!(house.get(me, &key).await.succeeded(200)["kind"], "key");
    house
        .post(&format!("{path}/{id}/revoke"), &tenant.token, &json!({}))
        .await
        .succeeded(200);
    house.get(me, &key).await.refused(401, "api_key_revoked");
}

#[tokio::test]
async fn expired_key_says_so() {
    let house = House::new().await;
    let tenant = house.tenant("acme").await;
    let soon = SystemClock.now() + TimeDelta::milliseconds(700);
    let body = json!({"title": "k", "scopes": ["models.read"], "expires_at": soon});
    let key = house.key_with(&tenant, &body).await;
    let expired = async || house.get("/api/v1/auth/me", &key).await.status.as_u16() == 401;
    wait_until(Duration::from_secs(20), expired)
        .await
        .expect("it expires");
    house
        .get("/api/v1/auth/me", &key)
        .await
        .refused(401, "api_key_expired");
}

#[tokio::test]
async fn rotated_key_goes_on_under_its_new_text() {
    let house = House::new().await;
    let tenant = house.tenant("acme").await;
    let path = format!("{}/api-keys", tenant.project_root());
    let body = json!({"title": "k", "scopes": ["models.read"]});
    let made = house.post(&path, &tenant.token, &body).await.succeeded(201);
    let (id, old) = (text(&made["api_key_id"]), text(&made["secret"]));
    let rotate = format!("{path}/{id}/rotate");
    let rotated = house
        .post(&rotate, &tenant.token, &json!({"grace_seconds": 600}))
        .await
        .succeeded(200);
    let new = text(&rotated["secret"]);
    assert_eq!(rotated["secrets"].as_array().map(Vec::len), Some(2));
    for key in [&old, &new] {
        assert_eq!(
            house.get("/api/v1/auth/me", key).await.succeeded(200)["key"]["api_key_id"],
            id.as_str()
        );
    }
    house
        .post(&rotate, &tenant.token, &json!({}))
        .await
        .succeeded(200);
    house
        .get("/api/v1/auth/me", &old)
        .await
        .refused(401, "api_key_revoked");
}

#[tokio::test]
async fn wishes_that_no_key_can_have_are_refused() {
    let house = House::new().await;
    let tenant = house.tenant("acme").await;
    let path = format!("{}/api-keys", tenant.project_root());
    for (body, pointer) in [
        (json!({"title": "k", "scopes": []}), "/scopes"),
        (json!({"title": "k", "scopes": ["members.manage"]}), "/scopes"),
        (
            json!({"title": "k", "scopes": ["models.read"], "models": []}),
            "/models",
        ),
        (
            json!({"title": "k", "scopes": ["models.read"], "expires_at": "2020-01-01T00:00:00Z"}),
            "/expires_at",
        ),
        (
            json!({"title": "k", "scopes": ["models.read"], "addresses": ["10.0.0.0/99"]}),
            "/addresses",
        ),
        (json!({"title": "\u{7}", "scopes": ["models.read"]}), "/title"),
    ] {
        let answer = house
            .post(&path, &tenant.token, &body)
            .await
            .refused(400, "invalid_value");
        let named = answer.json()["errors"][0]["pointer"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        assert!(named.starts_with(pointer), "{named} instead of {pointer}");
    }
}
