//! Models that an operator publishes to every organization.

use serde_json::json;

use crate::furniture::{Furnished, deploy};
use crate::house::{API, House};
use crate::snapshot::{snapshot, texts};

#[tokio::test]
async fn published_model_is_called_by_every_organization_until_it_is_withdrawn() {
    let house = House::new().await;
    let (acme, other) = (
        Furnished::new(&house, "acme").await,
        Furnished::new(&house, "other").await,
    );
    let operator = house.operator().await;
    let model = acme.parts("")["model_id"].clone();
    let verb = |verb: &str| format!("{API}/platform/models/{model}/{verb}");
    let callable = format!("/v1/models/{}", acme.deployment);
    house.get(&callable, &acme.key).await.succeeded(200);
    house
        .get(&callable, &other.key)
        .await
        .refused(404, "model_not_found");
    for _ in 0..2 {
        let published = house
            .post(&verb("publish"), &operator, &json!({}))
            .await
            .succeeded(200);
        assert_eq!(
            snapshot(&published),
            json!({
                "model_id": "<model>",
                "project_id": "<proj>",
                "name": "acme-adder",
                "title": null,
                "description": "",
                "license": null,
                "visibility": "platform",
                "last_number": 1,
                "created_at": "<time>",
            })
        );
    }
    let shown = house.answered_soon(&callable, &other.key).await;
    assert_eq!(
        (&shown["id"], &shown["owned_by"]),
        (&json!("acme-sum"), &json!("acme"))
    );
    let list = house.get("/v1/models", &other.key).await.succeeded(200);
    let mut names: Vec<_> = list["data"].as_array().expect("a list").iter().collect();
    names.sort_unstable_by_key(|item| item["id"].as_str());
    assert_eq!((names.len(), &names[0]["id"]), (2, &json!("acme-sum")));
    let metadata = house.get("/v2/models/acme-sum", &other.key).await.succeeded(200);
    assert_eq!(metadata["versions"], json!(["1"]));
    let body = json!({"model": "acme-sum", "input": "a"});
    house
        .post("/v1/embeddings", &other.key, &body)
        .await
        .refused(503, "model_not_ready");
    // It is called, not seen: what is in it stays its owner's.
    let models = format!("{}/models", other.tenant.project_root());
    let seen = house.get(&models, &other.tenant.token).await.succeeded(200);
    assert_eq!(texts(&seen, "name"), ["other-adder"]);
    house
        .get(&format!("{models}/acme-adder"), &other.tenant.token)
        .await
        .refused(404, "not_found");
    // Whoever may change the model cannot say who else calls it.
    let own = format!("{}/models/acme-adder", acme.tenant.project_root());
    let changed = house
        .patch(&own, &acme.tenant.token, &json!({"title": "Adder"}))
        .await
        .succeeded(200);
    assert_eq!(changed["visibility"], "platform");

    for _ in 0..2 {
        let withdrawn = house
            .post(&verb("unpublish"), &operator, &json!({}))
            .await
            .succeeded(200);
        assert_eq!(withdrawn["visibility"], "project");
    }
    house
        .refused_soon(&callable, &other.key, 404, "model_not_found")
        .await;
    house.get(&callable, &acme.key).await.succeeded(200);
}

#[tokio::test]
async fn published_model_goes_with_its_organization() {
    let house = House::new().await;
    let (acme, other) = (
        Furnished::new(&house, "acme").await,
        Furnished::new(&house, "other").await,
    );
    let operator = house.operator().await;
    let publish = format!("{API}/platform/models/{}/publish", acme.parts("")["model_id"]);
    house.post(&publish, &operator, &json!({})).await.succeeded(200);
    let callable = format!("/v1/models/{}", acme.deployment);
    house.answered_soon(&callable, &other.key).await;
    let organization = format!("{API}/platform/organizations/{}", acme.tenant.organization);
    house
        .post(&format!("{organization}/suspend"), &operator, &json!({}))
        .await
        .succeeded(200);
    house
        .refused_soon(&callable, &other.key, 404, "model_not_found")
        .await;
    house
        .post(&format!("{organization}/resume"), &operator, &json!({}))
        .await
        .succeeded(200);
    house.answered_soon(&callable, &other.key).await;
    house.delete(&organization, &operator).await.succeeded(204);
    house
        .refused_soon(&callable, &other.key, 404, "model_not_found")
        .await;
    house
        .post(&publish, &operator, &json!({}))
        .await
        .refused(404, "not_found");
}

/// A name that a project uses itself is its own, whatever an operator publishes.
#[tokio::test]
async fn own_deployment_comes_before_a_published_one_of_its_name() {
    let house = House::new().await;
    let (acme, other) = (house.tenant("acme").await, house.tenant("other").await);
    let made = deploy(&house, &acme).await;
    let operator = house.operator().await;
    let publish = format!(
        "{API}/platform/models/{}/publish",
        made["model_id"].as_str().expect("an id")
    );
    house.post(&publish, &operator, &json!({})).await.succeeded(200);
    let key = house.key(&other, &["inference.run"]).await;
    let shown = house.answered_soon("/v1/models/sum", &key).await;
    assert_eq!(shown["owned_by"], "acme");
    deploy(&house, &other).await;
    let own = berth_test_support::wait_until(crate::house::LIMIT, async || {
        house.get("/v1/models/sum", &key).await.json()["owned_by"] == "other"
    });
    own.await.expect("its own is found");
}
