//! A project from its making to its end.

use serde_json::json;

use crate::furniture::Furnished;
use crate::house::{House, text};
use crate::snapshot::{items, snapshot, texts};

#[tokio::test]
async fn project_is_made_listed_and_changed() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let path = format!("{}/projects", acme.root());
    let body = json!({"name": "search", "title": "Search", "origins": ["https://search.example"]});
    let made = house.post(&path, &acme.token, &body).await.succeeded(201);
    let project = json!({
        "project_id": "<proj>",
        "name": "search",
        "title": "Search",
        "status": "active",
        "origins": ["https://search.example"],
        "created_at": "<time>",
    });
    assert_eq!(snapshot(&made), project);
    let one = format!("{path}/{}", text(&made["project_id"]));
    assert_eq!(house.get(&one, &acme.token).await.succeeded(200), made);
    let list = house.get(&path, &acme.token).await.succeeded(200);
    assert_eq!(texts(&list, "name"), ["main", "search"]);
    assert!(items(&list).contains(&made));

    let taken = json!({"name": "main"});
    house
        .patch(&one, &acme.token, &taken)
        .await
        .refused(409, "name_taken");
    let changed = json!({"name": "find", "title": "Find", "origins": []});
    let changed = house.patch(&one, &acme.token, &changed).await.succeeded(200);
    assert_eq!(
        snapshot(&changed),
        json!({
            "project_id": "<proj>",
            "name": "find",
            "title": "Find",
            "status": "active",
            "origins": [],
            "created_at": "<time>",
        })
    );
    let same = house.patch(&one, &acme.token, &json!({})).await.succeeded(200);
    assert_eq!(same, changed);
    assert_eq!(house.get(&one, &acme.token).await.succeeded(200), changed);
}

#[tokio::test]
async fn names_of_projects_are_taken_once_in_an_organization_alone() {
    let house = House::new().await;
    let (acme, other) = (house.tenant("acme").await, house.tenant("other").await);
    let body = json!({"name": "search", "title": "Search"});
    for tenant in [&acme, &other] {
        let path = format!("{}/projects", tenant.root());
        house.post(&path, &tenant.token, &body).await.succeeded(201);
        house
            .post(&path, &tenant.token, &body)
            .await
            .refused(409, "name_taken");
    }
}

#[tokio::test]
async fn suspended_project_serves_nobody_until_it_is_resumed() {
    let house = House::new().await;
    let acme = Furnished::new(&house, "acme").await;
    let (project, owner) = (acme.tenant.project_root(), &acme.tenant.token);
    let share = json!({"visibility": "organization"});
    house
        .patch(&format!("{project}/models/{}", acme.model), owner, &share)
        .await
        .succeeded(200);
    let neighbor = house.key(&acme.side, &["inference.run"]).await;
    let model = format!("/v1/models/{}", acme.deployment);
    house.answered_soon(&model, &neighbor).await;

    let suspended = house
        .post(&format!("{project}/suspend"), owner, &json!({}))
        .await
        .succeeded(200);
    assert_eq!(suspended["status"], "suspended");
    house
        .refused_soon(&model, &acme.key, 403, "project_suspended")
        .await;
    house
        .refused_soon(&model, &neighbor, 404, "model_not_found")
        .await;
    let keys = format!("{project}/api-keys");
    house.get(&keys, owner).await.succeeded(200);
    let key = json!({"title": "k", "scopes": ["models.read"]});
    house
        .post(&keys, owner, &key)
        .await
        .refused(403, "project_suspended");
    let again = house
        .post(&format!("{project}/suspend"), owner, &json!({}))
        .await
        .succeeded(200);
    assert_eq!(again, suspended);

    for _ in 0..2 {
        let resumed = house
            .post(&format!("{project}/resume"), owner, &json!({}))
            .await
            .succeeded(200);
        assert_eq!(resumed["status"], "active");
    }
    house.answered_soon(&model, &acme.key).await;
    house.answered_soon(&model, &neighbor).await;
    house.post(&keys, owner, &key).await.succeeded(201);
}

#[tokio::test]
async fn deleted_project_leaves_its_name_and_its_neighbors() {
    let house = House::new().await;
    let acme = Furnished::new(&house, "acme").await;
    let (project, owner) = (acme.tenant.project_root(), &acme.tenant.token);
    let share = json!({"visibility": "organization"});
    house
        .patch(&format!("{project}/models/{}", acme.model), owner, &share)
        .await
        .succeeded(200);
    let neighbor = house.key(&acme.side, &["inference.run", "models.read"]).await;
    let model = format!("/v1/models/{}", acme.deployment);
    house.answered_soon(&model, &neighbor).await;

    let gone = house.delete(&project, owner).await;
    assert_eq!((gone.status.as_u16(), gone.body.len()), (204, 0));
    house
        .refused_soon(&model, &acme.key, 401, "invalid_api_key")
        .await;
    house
        .refused_soon(&model, &neighbor, 404, "model_not_found")
        .await;
    let shared = house
        .get(&format!("{}/models", acme.side.project_root()), &neighbor)
        .await
        .succeeded(200);
    assert_eq!(texts(&shared, "name"), Vec::<String>::new());
    for path in ["", "/models", "/api-keys", "/members", "/deployments"] {
        house
            .get(&format!("{project}{path}"), owner)
            .await
            .refused(404, "not_found");
    }
    house.delete(&project, owner).await.refused(404, "not_found");
    // Who belonged to the project alone belongs nowhere.
    house
        .get(&acme.tenant.root(), &acme.developer.token)
        .await
        .refused(404, "not_found");

    let projects = format!("{}/projects", acme.tenant.root());
    let list = house.get(&projects, owner).await.succeeded(200);
    assert_eq!(texts(&list, "name"), ["side"]);
    let body = json!({"name": "main", "title": "Main again"});
    let made = house.post(&projects, owner, &body).await.succeeded(201);
    let models = format!("{projects}/{}/models", text(&made["project_id"]));
    let models = house.get(&models, owner).await.succeeded(200);
    assert_eq!(models["data"], json!([]));
}
