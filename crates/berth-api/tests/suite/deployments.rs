//! A deployment from its making to its end, as far as it goes without a worker.

use berth_test_support::wait_until;
use serde_json::{Value, json};

use crate::furniture::{deploy, prove, retire, upload};
use crate::house::{House, LIMIT};
use crate::snapshot::{items, snapshot, texts};

/// Settings with so many replicas, and the rest as it is unless stated.
fn settings(min: u32) -> Value {
    json!({
        "replicas": {"min": min},
        "batching": {},
        "device": {"kind": "any"},
        "residency": {"policy": "shared"},
        "own_runner": false,
    })
}

/// A deployment as it stands where there is no worker.
fn without_worker(made: &Value) -> Value {
    let mut deployment = made.clone();
    deployment["reason"] = "There is no worker.".into();
    deployment
}

#[tokio::test]
async fn deployment_is_made_listed_and_found_by_callers_until_it_is_deleted() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let key = house.key(&acme, &["inference.run"]).await;
    let made = deploy(&house, &acme).await;
    assert_eq!(
        snapshot(&made),
        json!({
            "deployment_id": "<dep>",
            "name": "sum",
            "model_id": "<model>",
            "model": "adder",
            "versions": [{"number": 1, "weight": 1}],
            "retiring": [],
            "settings": settings(1),
            "created_at": "<time>",
            "updated_at": "<time>",
            "stopped_at": null,
            "state": "pending",
            "reason": null,
        })
    );
    let path = format!("{}/deployments", acme.project_root());
    let one = format!("{path}/sum");
    let shown = house.get(&one, &acme.token).await.succeeded(200);
    assert_eq!(shown, without_worker(&made));
    let list = house.get(&path, &acme.token).await.succeeded(200);
    assert_eq!(items(&list), [shown]);
    let body = json!({"name": "sum", "model": "adder"});
    house
        .post(&path, &acme.token, &body)
        .await
        .refused(409, "name_taken");
    let shown = house.answered_soon("/v1/models/sum", &key).await;
    assert_eq!(shown["id"], "sum");

    let gone = house.delete(&one, &acme.token).await;
    assert_eq!((gone.status.as_u16(), gone.body.len()), (204, 0));
    house
        .refused_soon("/v1/models/sum", &key, 404, "model_not_found")
        .await;
    let call = json!({"model": "sum", "input": "a"});
    house
        .post("/v1/embeddings", &key, &call)
        .await
        .refused(404, "model_not_found");
    house.get(&one, &acme.token).await.refused(404, "not_found");
    house.delete(&one, &acme.token).await.refused(404, "not_found");
    house
        .patch(&one, &acme.token, &json!({"stopped": true}))
        .await
        .refused(404, "not_found");
    let list = house.get(&path, &acme.token).await.succeeded(200);
    assert_eq!(texts(&list, "name"), Vec::<String>::new());
    let fresh = house.post(&path, &acme.token, &body).await.succeeded(201);
    assert_ne!(fresh["deployment_id"], made["deployment_id"]);
    house.answered_soon("/v1/models/sum", &key).await;
}

#[tokio::test]
async fn stopped_deployment_keeps_its_name_and_serves_nobody() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let key = house.key(&acme, &["inference.run"]).await;
    let made = deploy(&house, &acme).await;
    house.answered_soon("/v1/models/sum", &key).await;
    let path = format!("{}/deployments", acme.project_root());
    let one = format!("{path}/sum");
    let stopped = house
        .patch(&one, &acme.token, &json!({"stopped": true}))
        .await
        .succeeded(200);
    assert_eq!(snapshot(&stopped)["stopped_at"], "<time>");
    assert_eq!(stopped["state"], "stopped");
    house
        .refused_soon("/v1/models/sum", &key, 404, "model_not_found")
        .await;
    assert_eq!(
        house.get("/v1/models", &key).await.succeeded(200)["data"],
        json!([])
    );
    let list = house.get(&path, &acme.token).await.succeeded(200);
    assert_eq!(texts(&list, "name"), ["sum"]);
    house
        .post(&path, &acme.token, &json!({"name": "sum", "model": "adder"}))
        .await
        .refused(409, "name_taken");
    let again = house
        .patch(&one, &acme.token, &json!({"stopped": true}))
        .await
        .succeeded(200);
    assert_eq!(
        again["stopped_at"], stopped["stopped_at"],
        "since when it serves nobody"
    );

    let resumed = house
        .patch(&one, &acme.token, &json!({"stopped": false}))
        .await
        .succeeded(200);
    assert_eq!(
        (&resumed["stopped_at"], &resumed["state"]),
        (&Value::Null, &json!("pending"))
    );
    assert_eq!(resumed["versions"], made["versions"]);
    house.answered_soon("/v1/models/sum", &key).await;
}

#[tokio::test]
async fn deployment_is_given_other_versions_and_settings() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let key = house.key(&acme, &["inference.run"]).await;
    let made = deploy(&house, &acme).await;
    let one = format!("{}/deployments/sum", acme.project_root());
    let checking = upload(&house, &acme, "adder", b"adder 2").await;
    let both = json!({"versions": [{"number": 1, "weight": 9}, {"number": 2}]});
    house
        .patch(&one, &acme.token, &both)
        .await
        .refused(409, "version_not_ready");
    let missing = json!({"versions": [{"number": 7}]});
    let answer = house
        .patch(&one, &acme.token, &missing)
        .await
        .refused(400, "invalid_value");
    assert_eq!(answer.json()["errors"][0]["pointer"], "/versions");
    let shown = house.get(&one, &acme.token).await.succeeded(200);
    assert_eq!(shown, without_worker(&made), "a refused change changes nothing");

    prove(&house, checking).await;
    let changed = house.patch(&one, &acme.token, &both).await.succeeded(200);
    assert_eq!(
        changed["versions"],
        json!([{"number": 1, "weight": 9}, {"number": 2, "weight": 1}])
    );
    assert_eq!(changed["settings"], made["settings"]);
    assert_eq!(changed["created_at"], made["created_at"]);
    assert_ne!(changed["updated_at"], made["updated_at"]);
    let versions = async || house.get("/v2/models/sum", &key).await.json()["versions"].clone();
    wait_until(LIMIT, async || versions().await == json!(["1", "2"]))
        .await
        .expect("callers see both versions");
    house.get("/v2/models/sum/versions/2", &key).await.succeeded(200);

    // Weight 0 is called by number alone.
    let newest = json!({"versions": [{"number": 1, "weight": 0}, {"number": 2, "weight": 3}]});
    house.patch(&one, &acme.token, &newest).await.succeeded(200);
    let settings = json!({"settings": {"replicas": {"min": 3}, "threads": 2}});
    let changed = house.patch(&one, &acme.token, &settings).await.succeeded(200);
    let mut expected = self::settings(3);
    expected["threads"] = 2.into();
    assert_eq!(changed["settings"], expected);
    assert_eq!(changed["versions"], newest["versions"]);
    assert_eq!(house.get(&one, &acme.token).await.succeeded(200), changed);

    let last = json!({"versions": [{"number": 2}]});
    house.patch(&one, &acme.token, &last).await.succeeded(200);
    retire(&house, &made).await;
    wait_until(LIMIT, async || versions().await == json!(["2"]))
        .await
        .expect("callers see the one that is left");
    for gone in ["/v2/models/sum/versions/1", "/v1/models/sum@1"] {
        assert_eq!(house.get(gone, &key).await.status.as_u16(), 404, "{gone}");
    }
}

#[tokio::test]
async fn deployment_serves_the_newest_version_that_is_ready_unless_stated() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    deploy(&house, &acme).await;
    prove(&house, upload(&house, &acme, "adder", b"adder 2").await).await;
    upload(&house, &acme, "adder", b"adder 3").await;
    let path = format!("{}/deployments", acme.project_root());
    let body = json!({"name": "newest", "model": "adder"});
    let made = house.post(&path, &acme.token, &body).await.succeeded(201);
    assert_eq!(made["versions"], json!([{"number": 2, "weight": 1}]));
    let body = json!({
        "name": "stated", "model": "adder", "versions": [{"number": 1, "weight": 2}],
        "settings": {"replicas": {"min": 2}},
    });
    let made = house.post(&path, &acme.token, &body).await.succeeded(201);
    assert_eq!(made["versions"], body["versions"]);
    assert_eq!(made["settings"], settings(2));
    let list = house.get(&path, &acme.token).await.succeeded(200);
    assert_eq!(texts(&list, "name"), ["newest", "stated", "sum"]);
}
