//! Members of organizations and projects: how they come, what they become, how they go.

use serde_json::{Value, json};

use crate::furniture::Furnished;
use crate::house::{API, House, Place, Tenant, text};
use crate::snapshot::{items, snapshot, texts};

async fn members(house: &House, root: &str, token: &str) -> Value {
    house.get(&format!("{root}/members"), token).await.succeeded(200)
}

/// A key of the caller's own in the project.
async fn own_key(house: &House, tenant: &Tenant, token: &str) -> String {
    let path = format!("{}/api-keys", tenant.project_root());
    let body = json!({"title": "own", "scopes": ["inference.run"]});
    text(&house.post(&path, token, &body).await.succeeded(201)["secret"])
}

#[tokio::test]
async fn member_is_listed_given_another_role_and_removed() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let ada = house
        .join(&acme, Place::Organization, "ada@acme.example", "developer")
        .await;
    let one = format!("{}/members/{}", acme.root(), ada.membership);
    let shown = house.get(&one, &acme.token).await.succeeded(200);
    assert_eq!(
        snapshot(&shown),
        json!({
            "membership_id": "<mbr>",
            "user_id": "<user>",
            "email": "ada@acme.example",
            "name": null,
            "project_id": null,
            "role": "developer",
            "created_at": "<time>",
            "disabled_at": null,
        })
    );
    let list = members(&house, &acme.root(), &acme.token).await;
    assert_eq!(texts(&list, "email"), ["ada@acme.example", "owner@acme.example"]);
    assert!(items(&list).contains(&shown));

    let models = format!("{}/models", acme.project_root());
    let model = |name: &str| json!({"name": name});
    house.post(&models, &ada.token, &model("a")).await.succeeded(201);
    let key = own_key(&house, &acme, &ada.token).await;
    let changed = house
        .patch(&one, &acme.token, &json!({"role": "viewer"}))
        .await
        .succeeded(200);
    assert_eq!(changed["role"], "viewer");
    assert_eq!(house.get(&one, &acme.token).await.succeeded(200), changed);
    house
        .post(&models, &ada.token, &model("b"))
        .await
        .refused(403, "permission_denied");
    house.get(&models, &ada.token).await.succeeded(200);

    house.get("/v1/models", &key).await.succeeded(200);
    let gone = house.delete(&one, &acme.token).await;
    assert_eq!((gone.status.as_u16(), gone.body.len()), (204, 0));
    house.get(&models, &ada.token).await.refused(404, "not_found");
    house
        .refused_soon("/v1/models", &key, 401, "api_key_revoked")
        .await;
    house.get(&one, &acme.token).await.refused(404, "not_found");
    house.delete(&one, &acme.token).await.refused(404, "not_found");
    let mine = house
        .get(&format!("{API}/organizations"), &ada.token)
        .await
        .succeeded(200);
    assert_eq!(mine["data"], json!([]));
    let list = members(&house, &acme.root(), &acme.token).await;
    assert_eq!(texts(&list, "email"), ["owner@acme.example"]);
}

#[tokio::test]
async fn member_of_a_project_is_listed_given_another_role_and_removed() {
    let house = House::new().await;
    let acme = Furnished::new(&house, "acme").await;
    let (tenant, developer) = (&acme.tenant, &acme.developer);
    let root = tenant.project_root();
    let one = format!("{root}/members/{}", developer.membership);
    let shown = house.get(&one, &tenant.token).await.succeeded(200);
    assert_eq!(
        snapshot(&shown),
        json!({
            "membership_id": "<mbr>",
            "user_id": "<user>",
            "email": "developer@acme.example",
            "name": null,
            "project_id": "<proj>",
            "role": "developer",
            "created_at": "<time>",
            "disabled_at": null,
        })
    );
    assert_eq!(shown["project_id"], tenant.project.as_str());
    let list = members(&house, &root, &tenant.token).await;
    assert_eq!(
        items(&list),
        [shown],
        "who is a member of the whole is not one of the project"
    );
    let projects = house
        .get(&format!("{}/projects", tenant.root()), &developer.token)
        .await
        .succeeded(200);
    assert_eq!(
        texts(&projects, "name"),
        ["main"],
        "only what they are a member of"
    );

    let key = own_key(&house, tenant, &developer.token).await;
    house.get("/v1/models", &key).await.succeeded(200);
    let changed = house
        .patch(&one, &tenant.token, &json!({"role": "viewer"}))
        .await
        .succeeded(200);
    assert_eq!(changed["role"], "viewer");
    house
        .post(&format!("{root}/models"), &developer.token, &json!({"name": "b"}))
        .await
        .refused(403, "permission_denied");
    house.delete(&one, &tenant.token).await.succeeded(204);
    house.get(&root, &developer.token).await.refused(404, "not_found");
    house
        .get(&tenant.root(), &developer.token)
        .await
        .refused(404, "not_found");
    house
        .refused_soon("/v1/models", &key, 401, "api_key_revoked")
        .await;
    assert_eq!(members(&house, &root, &tenant.token).await["data"], json!([]));
}

#[tokio::test]
async fn key_that_a_service_account_holds_outlives_who_made_it() {
    let house = House::new().await;
    let acme = Furnished::new(&house, "acme").await;
    let (tenant, developer) = (&acme.tenant, &acme.developer);
    let body = json!({
        "title": "robot's",
        "scopes": ["inference.run"],
        "service_account_id": acme.parts("")["service_account_id"],
    });
    let path = format!("{}/api-keys", tenant.project_root());
    let robots = text(&house.post(&path, &developer.token, &body).await.succeeded(201)["secret"]);
    let own = own_key(&house, tenant, &developer.token).await;
    for key in [&robots, &own] {
        house.get("/v1/models", key).await.succeeded(200);
    }
    let one = format!("{}/members/{}", tenant.project_root(), developer.membership);
    house.delete(&one, &tenant.token).await.succeeded(204);
    house
        .refused_soon("/v1/models", &own, 401, "api_key_revoked")
        .await;
    house.get("/v1/models", &robots).await.succeeded(200);
}

#[tokio::test]
async fn members_leave_and_nobody_has_others_leave() {
    let house = House::new().await;
    let acme = Furnished::new(&house, "acme").await;
    let leave = |membership: &str| format!("{}/members/{membership}/leave", acme.tenant.root());
    let (viewer, developer) = (&acme.viewer, &acme.developer);
    for (membership, token) in [
        (&viewer.membership, &developer.token),
        (&developer.membership, &viewer.token),
        (&viewer.membership, &acme.tenant.token),
    ] {
        house
            .post(&leave(membership), token, &json!({}))
            .await
            .refused(404, "not_found");
    }
    let key = own_key(&house, &acme.tenant, &developer.token).await;
    house.get("/v1/models", &key).await.succeeded(200);
    for (member, seen) in [
        (viewer, acme.tenant.root()),
        (developer, acme.tenant.project_root()),
    ] {
        house.get(&seen, &member.token).await.succeeded(200);
        let left = house
            .post(&leave(&member.membership), &member.token, &json!({}))
            .await;
        assert_eq!((left.status.as_u16(), left.body.len()), (204, 0));
        house.get(&seen, &member.token).await.refused(404, "not_found");
        house
            .post(&leave(&member.membership), &member.token, &json!({}))
            .await
            .refused(404, "not_found");
    }
    house
        .refused_soon("/v1/models", &key, 401, "api_key_revoked")
        .await;

    let list = members(&house, &acme.tenant.root(), &acme.tenant.token).await;
    let [owner] = items(&list).try_into().expect("the owner alone");
    let own = leave(&text(&owner["membership_id"]));
    house
        .post(&own, &acme.tenant.token, &json!({}))
        .await
        .refused(409, "last_owner");
    house
        .join(&acme.tenant, Place::Organization, "heir@acme.example", "owner")
        .await;
    house
        .post(&own, &acme.tenant.token, &json!({}))
        .await
        .succeeded(204);
}
