//! An organization from its making to its end.

use serde_json::json;

use crate::furniture::Furnished;
use crate::house::{API, House, text};
use crate::snapshot::{items, snapshot, texts};

#[tokio::test]
async fn organization_is_made_listed_and_renamed() {
    let house = House::new().await;
    let token = house.token("ada@acme.example").await;
    let path = format!("{API}/organizations");
    let none = house.get(&path, &token).await.succeeded(200);
    assert_eq!(
        none,
        json!({"data": [], "first_id": null, "last_id": null, "has_more": false})
    );
    let body = json!({"name": "acme", "title": "Acme Ltd."});
    let made = house.post(&path, &token, &body).await.succeeded(201);
    let organization = json!({
        "organization_id": "<org>",
        "name": "acme",
        "title": "Acme Ltd.",
        "status": "active",
        "created_at": "<time>",
    });
    assert_eq!(snapshot(&made), organization);
    let one = format!("{path}/{}", text(&made["organization_id"]));
    assert_eq!(house.get(&one, &token).await.succeeded(200), made);
    let list = house.get(&path, &token).await.succeeded(200);
    assert_eq!(items(&list), std::slice::from_ref(&made));
    assert_eq!(
        (&list["first_id"], &list["last_id"]),
        (&made["organization_id"], &made["organization_id"])
    );

    house.tenant("other").await;
    let taken = json!({"name": "other"});
    house.patch(&one, &token, &taken).await.refused(409, "name_taken");
    let renamed = json!({"name": "zenith"});
    let renamed = house.patch(&one, &token, &renamed).await.succeeded(200);
    assert_eq!(
        (&renamed["name"], &renamed["title"]),
        (&json!("zenith"), &json!("Acme Ltd."))
    );
    let renamed = json!({"title": "Zenith"});
    let renamed = house.patch(&one, &token, &renamed).await.succeeded(200);
    assert_eq!(
        (&renamed["name"], &renamed["title"]),
        (&json!("zenith"), &json!("Zenith"))
    );
    assert_eq!(house.get(&one, &token).await.succeeded(200), renamed);
    // The name that it had is free.
    house.post(&path, &token, &body).await.succeeded(201);
}

#[tokio::test]
async fn suspended_organization_is_read_and_not_used_until_it_is_resumed() {
    let house = House::new().await;
    let acme = Furnished::new(&house, "acme").await;
    let (root, owner) = (acme.tenant.root(), &acme.tenant.token);
    let models = format!("{}/models", acme.tenant.project_root());
    house.get("/v1/models", &acme.key).await.succeeded(200);
    let suspended = house
        .post(&format!("{root}/suspend"), owner, &json!({}))
        .await
        .succeeded(200);
    assert_eq!(suspended["status"], "suspended");
    house
        .refused_soon("/v1/models", &acme.key, 403, "organization_suspended")
        .await;
    house
        .get(&models, &acme.key)
        .await
        .refused(403, "organization_suspended");
    house.get(&models, owner).await.succeeded(200);
    house.get(&models, &acme.viewer.token).await.succeeded(200);
    house
        .post(&models, owner, &json!({"name": "fresh"}))
        .await
        .refused(403, "organization_suspended");
    let invitation = json!({"email": "x@acme.example", "role": "viewer"});
    house
        .post(&format!("{root}/invitations"), owner, &invitation)
        .await
        .refused(403, "organization_suspended");

    let again = house
        .post(&format!("{root}/suspend"), owner, &json!({}))
        .await
        .succeeded(200);
    assert_eq!(again, suspended);
    for _ in 0..2 {
        let resumed = house
            .post(&format!("{root}/resume"), owner, &json!({}))
            .await
            .succeeded(200);
        assert_eq!(resumed["status"], "active");
    }
    house.answered_soon("/v1/models", &acme.key).await;
    house
        .post(&models, owner, &json!({"name": "fresh"}))
        .await
        .succeeded(201);
}

#[tokio::test]
async fn invitation_into_a_suspended_organization_waits() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let root = acme.root();
    let body = json!({"email": "ada@acme.example", "role": "viewer"});
    let invited = house
        .post(&format!("{root}/invitations"), &acme.token, &body)
        .await
        .succeeded(201);
    let ada = house.token("ada@acme.example").await;
    house
        .post(&format!("{root}/suspend"), &acme.token, &json!({}))
        .await
        .succeeded(200);
    house
        .accept(&ada, &text(&invited["token"]))
        .await
        .refused(400, "invitation_invalid");
    house
        .post(&format!("{root}/resume"), &acme.token, &json!({}))
        .await
        .succeeded(200);
    house.accept(&ada, &text(&invited["token"])).await.succeeded(200);
}

#[tokio::test]
async fn deleted_organization_leaves_its_name_and_nothing_that_opens_it() {
    let house = House::new().await;
    let acme = Furnished::new(&house, "acme").await;
    let (root, owner) = (acme.tenant.root(), &acme.tenant.token);
    let body = json!({"email": "ada@acme.example", "role": "viewer"});
    let invited = house
        .post(&format!("{root}/invitations"), owner, &body)
        .await
        .succeeded(201);
    house.get("/v1/models", &acme.key).await.succeeded(200);

    let gone = house.delete(&root, owner).await;
    assert_eq!((gone.status.as_u16(), gone.body.len()), (204, 0));
    house
        .refused_soon("/v1/models", &acme.key, 401, "invalid_api_key")
        .await;
    for token in [owner, &acme.viewer.token] {
        house.get(&root, token).await.refused(404, "not_found");
        let project = acme.tenant.project_root();
        house.get(&project, token).await.refused(404, "not_found");
    }
    house.delete(&root, owner).await.refused(404, "not_found");
    let mine = house
        .get(&format!("{API}/organizations"), owner)
        .await
        .succeeded(200);
    assert_eq!(texts(&mine, "name"), Vec::<String>::new());
    let ada = house.token("ada@acme.example").await;
    house
        .accept(&ada, &text(&invited["token"]))
        .await
        .refused(400, "invitation_invalid");
    // Its people have their accounts, and anybody may have the name.
    let body = json!({"name": "acme", "title": "Another"});
    house
        .post(&format!("{API}/organizations"), &ada, &body)
        .await
        .succeeded(201);
}
