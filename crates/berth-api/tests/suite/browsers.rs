//! Web pages of other origins.

use reqwest::Method;
use serde_json::json;

use crate::answer::Answer;
use crate::house::House;

async fn preflight(house: &House, path: &str, origin: &str) -> Answer {
    let request = house
        .request(Method::OPTIONS, path, None)
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header(
            "access-control-request-headers",
            "authorization, content-type, x-stainless-os",
        );
    house.send(request).await
}

#[tokio::test]
async fn preflight_is_answered_for_origins_that_some_project_lists() {
    let house = House::new().await;
    house.tenant("acme").await;
    let listed = preflight(&house, "/v1/embeddings", "https://app.example").await;
    assert_eq!(listed.status.as_u16(), 204);
    assert_eq!(
        listed.header("access-control-allow-origin"),
        Some("https://app.example")
    );
    assert_eq!(
        listed.header("access-control-allow-headers"),
        Some("authorization, content-type, x-stainless-os")
    );
    assert!(
        listed
            .header("access-control-allow-methods")
            .is_some_and(|methods| methods.contains("POST"))
    );
    let other = preflight(&house, "/v1/embeddings", "https://evil.example").await;
    assert_eq!(other.header("access-control-allow-origin"), None);
    let control = preflight(&house, "/api/v1/auth/me", "https://app.example").await;
    assert_eq!(
        control.header("access-control-allow-origin"),
        None,
        "the control plane is closed by default"
    );
}

#[tokio::test]
async fn answer_is_readable_for_the_origins_of_the_keys_own_project() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let other = house.tenant("other").await;
    let path = format!(
        "/api/v1/organizations/{}/projects/{}",
        other.organization, other.project
    );
    house
        .patch(
            &path,
            &other.token,
            &json!({"origins": ["https://other.example"]}),
        )
        .await
        .succeeded(200);
    let key = house.key(&acme, &["inference.run"]).await;
    let read = async |origin: &'static str, key: Option<&str>| {
        let request = house
            .request(Method::GET, "/v1/models", key)
            .header("origin", origin);
        let answer = house.send(request).await;
        assert!(answer.header("vary").is_some_and(|vary| vary.contains("origin")));
        answer.header("access-control-allow-origin").map(str::to_owned)
    };
    assert_eq!(
        read("https://app.example", Some(&key)).await.as_deref(),
        Some("https://app.example")
    );
    assert_eq!(read("https://other.example", Some(&key)).await, None);
    assert_eq!(
        read("https://app.example", None).await.as_deref(),
        Some("https://app.example"),
        "a page may read why it is refused"
    );
}

#[tokio::test]
async fn operator_lists_origins_that_may_call_everything() {
    let house =
        House::with(|options| options.allowed_origins = vec!["https://console.example".to_owned()]).await;
    let allowed = preflight(&house, "/api/v1/auth/sign-in", "https://console.example").await;
    assert_eq!(
        allowed.header("access-control-allow-origin"),
        Some("https://console.example")
    );
    assert_eq!(allowed.header("access-control-allow-credentials"), None);
}
