//! Models and their versions, as far as they go without a worker: how they come in is tested over the built binaries.

use berth_domain::digest::Sha256;
use serde_json::json;

use crate::furniture::{Furnished, deploy, prove, retire, upload};
use crate::house::{House, text};
use crate::snapshot::{items, snapshot, texts};

#[tokio::test]
async fn model_is_made_listed_changed_and_deleted() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let path = format!("{}/models", acme.project_root());
    let made = house
        .post(&path, &acme.token, &json!({"name": "plain"}))
        .await
        .succeeded(201);
    assert_eq!(
        snapshot(&made),
        json!({
            "model_id": "<model>",
            "project_id": "<proj>",
            "name": "plain",
            "title": null,
            "description": "",
            "license": null,
            "visibility": "project",
            "last_number": 0,
            "created_at": "<time>",
        })
    );
    let body = json!({
        "name": "rich", "title": "Rich", "description": "Says much.", "license": "Apache-2.0",
        "visibility": "organization",
    });
    let rich = house.post(&path, &acme.token, &body).await.succeeded(201);
    for (field, value) in body.as_object().expect("an object") {
        assert_eq!(&rich[field], value, "{field}");
    }
    house
        .post(&path, &acme.token, &body)
        .await
        .refused(409, "name_taken");
    let list = house.get(&path, &acme.token).await.succeeded(200);
    assert_eq!(items(&list), [rich.clone(), made.clone()]);
    let one = format!("{path}/plain");
    assert_eq!(house.get(&one, &acme.token).await.succeeded(200), made);

    let change = json!({"title": "Plain", "description": "Says little.", "license": "MIT"});
    let changed = house.patch(&one, &acme.token, &change).await.succeeded(200);
    assert_eq!(
        snapshot(&changed),
        json!({
            "model_id": "<model>",
            "project_id": "<proj>",
            "name": "plain",
            "title": "Plain",
            "description": "Says little.",
            "license": "MIT",
            "visibility": "project",
            "last_number": 0,
            "created_at": "<time>",
        })
    );
    let change = json!({"visibility": "organization"});
    let shared = house.patch(&one, &acme.token, &change).await.succeeded(200);
    assert_eq!(
        (&shared["visibility"], &shared["title"], &shared["license"]),
        (&json!("organization"), &json!("Plain"), &json!("MIT"))
    );
    assert_eq!(house.get(&one, &acme.token).await.succeeded(200), shared);
    house
        .patch(&one, &acme.token, &json!({"visibility": "platform"}))
        .await
        .refused(400, "invalid_value");

    let gone = house.delete(&one, &acme.token).await;
    assert_eq!((gone.status.as_u16(), gone.body.len()), (204, 0));
    house.get(&one, &acme.token).await.refused(404, "not_found");
    house.delete(&one, &acme.token).await.refused(404, "not_found");
    let list = house.get(&path, &acme.token).await.succeeded(200);
    assert_eq!(texts(&list, "name"), ["rich"]);
    let fresh = house
        .post(&path, &acme.token, &json!({"name": "plain"}))
        .await
        .succeeded(201);
    assert_ne!(fresh["model_id"], made["model_id"]);
}

#[tokio::test]
async fn model_that_its_organization_shares_is_seen_and_called_by_its_projects() {
    let house = House::new().await;
    let (acme, other) = (Furnished::new(&house, "acme").await, house.tenant("other").await);
    let (owner, side) = (&acme.tenant.token, &acme.side);
    let neighbor = house.key(side, &["inference.run", "models.read"]).await;
    let stranger = house.key(&other, &["inference.run", "models.read"]).await;
    let one = format!("{}/models/{}", acme.tenant.project_root(), acme.model);
    let models = format!("{}/models", side.project_root());
    let callable = format!("/v1/models/{}", acme.deployment);
    let seen = async || texts(&house.get(&models, &neighbor).await.succeeded(200), "name");

    house.get(&callable, &acme.key).await.succeeded(200);
    house
        .get(&callable, &neighbor)
        .await
        .refused(404, "model_not_found");
    assert_eq!(seen().await, Vec::<String>::new());
    house
        .patch(&one, owner, &json!({"visibility": "organization"}))
        .await
        .succeeded(200);
    assert_eq!(seen().await, [acme.model.as_str()]);
    let shown = house.answered_soon(&callable, &neighbor).await;
    assert_eq!(
        (&shown["id"], &shown["owned_by"]),
        (&json!(acme.deployment), &json!("acme"))
    );
    let body = json!({"model": acme.deployment, "input": "a"});
    house
        .post("/v1/embeddings", &neighbor, &body)
        .await
        .refused(503, "model_not_ready");
    // Seen is not changed: it is another project's.
    let there = format!("{models}/{}", acme.model);
    house
        .patch(&there, owner, &json!({"title": "Mine"}))
        .await
        .refused(404, "not_found");
    house.delete(&there, owner).await.refused(404, "not_found");
    house
        .get(&callable, &stranger)
        .await
        .refused(404, "model_not_found");

    house
        .patch(&one, owner, &json!({"visibility": "project"}))
        .await
        .succeeded(200);
    house
        .refused_soon(&callable, &neighbor, 404, "model_not_found")
        .await;
    assert_eq!(seen().await, Vec::<String>::new());
    house.get(&callable, &acme.key).await.succeeded(200);
}

#[tokio::test]
async fn version_is_listed_with_its_files_and_deleted_when_nothing_serves_it() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let deployment = deploy(&house, &acme).await;
    let model = format!("{}/models/adder", acme.project_root());
    let path = format!("{model}/versions");
    let first = house.get(&format!("{path}/1"), &acme.token).await.succeeded(200);
    let port = |name: &str| json!({"name": name, "datatype": "FP32", "shape": ["rows", 3]});
    let manifest = first["manifest"].clone();
    assert_eq!(
        (&manifest["task"], &manifest["inputs"], &manifest["outputs"]),
        (&json!("tensors"), &json!([port("x")]), &json!([port("y")]))
    );
    assert_eq!(
        snapshot(&first),
        json!({
            "version_id": "<ver>",
            "model_id": "<model>",
            "number": 1,
            "state": "ready",
            "reason": null,
            "warnings": [],
            "digest": first["digest"],
            "size_bytes": 5,
            "manifest": manifest,
            "measured": {"resident_bytes": 1, "load_us": 2, "run_us": 3},
            "created_at": "<time>",
            "checked_at": "<time>",
            "files": [{"path": "model.onnx", "digest": first["files"][0]["digest"], "size_bytes": 5}],
        })
    );
    let digest = Sha256::of(b"adder").to_string();
    assert_eq!(first["files"][0]["digest"], digest.as_str());

    upload(&house, &acme, "adder", b"adder 2").await;
    let second = house.get(&format!("{path}/2"), &acme.token).await.succeeded(200);
    assert_eq!(
        (&second["state"], &second["measured"], &second["checked_at"]),
        (&json!("checking"), &json!(null), &json!(null))
    );
    let list = house.get(&path, &acme.token).await.succeeded(200);
    let mut listed = first.clone();
    listed.as_object_mut().expect("an object").remove("files");
    assert_eq!(items(&list)[1], listed);
    assert_eq!(items(&list)[0]["number"], 2);
    let shown = house.get(&model, &acme.token).await.succeeded(200);
    assert_eq!(shown["last_number"], 2);

    for served in [format!("{path}/1"), model.clone()] {
        house
            .delete(&served, &acme.token)
            .await
            .refused(409, "model_deployed");
    }
    let gone = house.delete(&format!("{path}/2"), &acme.token).await;
    assert_eq!((gone.status.as_u16(), gone.body.len()), (204, 0));
    for method in ["GET", "DELETE"] {
        let method = method.parse().expect("a method");
        let request = house.request(method, &format!("{path}/2"), Some(&acme.token));
        house.send(request).await.refused(404, "not_found");
    }
    // Its number is not given again, even to the same bytes.
    prove(&house, upload(&house, &acme, "adder", b"adder 2").await).await;
    let list = house.get(&path, &acme.token).await.succeeded(200);
    let numbers: Vec<_> = items(&list).iter().map(|item| item["number"].clone()).collect();
    assert_eq!(numbers, [3, 1]);

    // Once the deployment serves another, the version can go, and the model after the deployment.
    let serving = format!(
        "{}/deployments/{}",
        acme.project_root(),
        text(&deployment["name"])
    );
    house
        .patch(&serving, &acme.token, &json!({"versions": [{"number": 3}]}))
        .await
        .succeeded(200);
    house
        .delete(&format!("{path}/1"), &acme.token)
        .await
        .refused(409, "model_deployed");
    retire(&house, &deployment).await;
    house
        .delete(&format!("{path}/1"), &acme.token)
        .await
        .succeeded(204);
    house
        .patch(&serving, &acme.token, &json!({"stopped": true}))
        .await
        .succeeded(200);
    house
        .delete(&model, &acme.token)
        .await
        .refused(409, "model_deployed");
    house.delete(&serving, &acme.token).await.succeeded(204);
    house.delete(&model, &acme.token).await.succeeded(204);
    house.get(&path, &acme.token).await.refused(404, "not_found");
}
