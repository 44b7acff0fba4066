//! What the server says of itself.

use berth_domain::address::AddressList;
use berth_test_support::wait_until;
use reqwest::Method;
use serde_json::json;

use crate::house::{House, LIMIT};

#[tokio::test]
async fn health_is_told() {
    let house = House::new().await;
    assert_eq!(house.get("/healthz", "").await.succeeded(200)["status"], "ok");
    let ready = house.get("/readyz", "").await.succeeded(200);
    assert_eq!(
        (&ready["ready"], &ready["degraded"]),
        (&json!(true), &json!(false))
    );
    let parts: Vec<_> = ready["parts"]
        .as_array()
        .expect("parts")
        .iter()
        .map(|part| part["name"].clone())
        .collect();
    assert_eq!(parts, ["database", "coordination"]);
    house.get("/v2/health/live", "").await.succeeded(200);
    house.get("/v2/health/ready", "").await.succeeded(200);
}

#[tokio::test]
async fn stopped_server_ends_in_order_and_listens_no_more() {
    let mut house = House::new().await;
    house.get("/healthz", "").await.succeeded(200);
    house.stop.cancel();
    let served = house.served.take().expect("it was started");
    served.await.expect("no panic").expect("no failure");
    let refused = house.request(Method::GET, "/healthz", None).send().await;
    assert!(refused.expect_err("nobody listens").is_connect());
}

#[tokio::test]
async fn lost_database_is_named_and_everything_says_so() {
    let house = House::new().await;
    let tenant = house.tenant("acme").await;
    house.store.close().await;
    let ready = house.get("/readyz", "").await.succeeded(503);
    assert_eq!(
        ready,
        json!({
            "ready": false,
            "degraded": false,
            "draining": false,
            "parts": [{"name": "database", "ready": false}, {"name": "coordination", "ready": true}],
        }),
        "not all was there so far"
    );
    let ready = house.get("/v2/health/ready", "").await;
    assert_eq!(ready.status.as_u16(), 503);
    assert_eq!(house.get("/healthz", "").await.succeeded(200)["status"], "ok");
    let answer = house
        .get(&tenant.root(), &tenant.token)
        .await
        .refused(503, "unavailable");
    assert!(answer.header("retry-after").is_some());
}

#[tokio::test]
async fn server_that_was_complete_stays_ready_without_the_database() {
    let house = House::new().await;
    house.get("/readyz", "").await.succeeded(200);
    house.store.close().await;
    // What is told may be a second old.
    let noticed = wait_until(LIMIT, async || {
        house.get("/readyz", "").await.succeeded(200)["degraded"] == true
    });
    noticed.await.expect("the loss is told");
    let ready = house.get("/readyz", "").await.succeeded(200);
    assert_eq!(
        (&ready["ready"], &ready["parts"][0]),
        (&json!(true), &json!({"name": "database", "ready": false}))
    );
    let ready = house.get("/v2/health/ready", "").await.succeeded(200);
    assert_eq!(ready["ready"], true);
}

#[tokio::test]
async fn pages_come_from_the_binary_alone() {
    let house = House::new().await;
    let page = house.get("/docs/", "").await;
    assert_eq!(page.status.as_u16(), 200);
    let text = String::from_utf8_lossy(&page.body).into_owned();
    assert!(
        text.contains("swagger-ui") && !text.contains("https://"),
        "{text}"
    );
    assert!(
        page.header("content-security-policy")
            .is_some_and(|policy| policy.contains("default-src 'self'"))
    );
    for file in ["swagger-ui-bundle.js", "swagger-ui.css", "swagger-initializer.js"] {
        assert_eq!(
            house.get(&format!("/docs/{file}"), "").await.status.as_u16(),
            200,
            "{file}"
        );
    }
    let start = house.get("/docs/swagger-initializer.js", "").await;
    assert!(String::from_utf8_lossy(&start.body).contains("/openapi.json"));
    house
        .get("/docs/no-such-file.js", "")
        .await
        .refused(404, "route_not_found");
    house
        .get("/docs/..%2f..%2fetc%2fpasswd", "")
        .await
        .refused(404, "route_not_found");
    let moved = house.get("/docs", "").await;
    assert_eq!(moved.status.as_u16(), 200, "the client follows to the pages");
}

#[tokio::test]
async fn description_can_be_kept_back() {
    let house = House::with(|options| options.documentation = false).await;
    for path in ["/openapi.json", "/docs/"] {
        house.get(path, "").await.refused(404, "route_not_found");
    }
}

#[tokio::test]
async fn document_is_served_as_it_is() {
    let house = House::new().await;
    let served = house.get("/openapi.json", "").await.succeeded(200);
    assert_eq!(served, *crate::answer::DOCUMENT);
}

#[tokio::test]
async fn keys_that_sign_tokens_are_published() {
    let house = House::new().await;
    let keys = house.get("/.well-known/jwks.json", "").await;
    assert!(
        keys.header("cache-control")
            .is_some_and(|value| value.contains("max-age"))
    );
    let keys = keys.succeeded(200);
    assert_eq!(keys["keys"][0]["crv"], "Ed25519");
    assert!(keys["keys"][0].get("d").is_none(), "the private half stays here");
}

#[tokio::test]
async fn every_code_has_its_page() {
    let house = House::new().await;
    let all = house.get("/errors", "").await;
    assert!(String::from_utf8_lossy(&all.body).contains("| `model_not_found` | 404 |"));
    let one = house.get("/errors/model_not_found", "").await;
    assert!(String::from_utf8_lossy(&one.body).starts_with("# model_not_found"));
    house
        .get("/errors/no_such_code", "")
        .await
        .refused(404, "not_found");
}

#[tokio::test]
async fn metrics_are_for_those_whom_the_operator_names() {
    let house = House::new().await;
    let metrics = house.get("/metrics", "").await;
    assert!(String::from_utf8_lossy(&metrics.body).contains("berth_build_info"));
    let closed = House::with(|options| {
        let elsewhere = "203.0.113.0/24".parse().expect("a network");
        options.metrics_readers = AddressList::new(vec![elsewhere]);
    })
    .await;
    closed.get("/metrics", "").await.refused(404, "route_not_found");
}

#[tokio::test]
async fn proxies_are_believed_only_when_trusted() {
    let reader = || {
        let elsewhere = "203.0.113.0/24".parse().expect("a network");
        AddressList::new(vec![elsewhere])
    };
    let ask = |house: &House| {
        house
            .request(Method::GET, "/metrics", None)
            .header("x-forwarded-for", "203.0.113.9")
    };
    let trusting = House::with(|options| {
        options.metrics_readers = reader();
        options.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
    })
    .await;
    assert_eq!(trusting.send(ask(&trusting)).await.status.as_u16(), 200);
    let wary = House::with(|options| options.metrics_readers = reader()).await;
    assert_eq!(wary.send(ask(&wary)).await.status.as_u16(), 404);
    // A proxy on this machine that nobody named must not lend its own address to the whole world.
    let open = House::with(|options| {
        options.metrics_readers = AddressList::new(vec!["127.0.0.0/8".parse().expect("a network")]);
    })
    .await;
    assert_eq!(open.get("/metrics", "").await.status.as_u16(), 200);
    assert_eq!(open.send(ask(&open)).await.status.as_u16(), 404);
}
