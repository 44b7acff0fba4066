//! Roles that an organization makes.

use serde_json::json;

use crate::house::{House, Place, text};
use crate::snapshot::{items, snapshot, texts};

#[tokio::test]
async fn role_is_made_listed_changed_for_everyone_who_has_it_and_removed() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let path = format!("{}/roles", acme.root());
    let body =
        json!({"name": "reader", "title": "Reader", "permissions": ["models.read", "deployments.read"]});
    let made = house.post(&path, &acme.token, &body).await.succeeded(201);
    assert_eq!(
        snapshot(&made),
        json!({
            "role_id": "<role>",
            "name": "reader",
            "title": "Reader",
            "permissions": ["models.read", "deployments.read"],
            "created_at": "<time>",
        })
    );
    let one = format!("{path}/{}", text(&made["role_id"]));
    assert_eq!(house.get(&one, &acme.token).await.succeeded(200), made);
    let list = house.get(&path, &acme.token).await.succeeded(200);
    assert_eq!(items(&list), std::slice::from_ref(&made));
    for name in ["reader", "owner", "viewer"] {
        let taken = json!({"name": name, "title": "T", "permissions": ["models.read"]});
        house
            .post(&path, &acme.token, &taken)
            .await
            .refused(409, "name_taken");
    }
    for (body, pointer) in [
        (
            json!({"name": "none", "title": "T", "permissions": []}),
            "/permissions",
        ),
        (
            json!({"name": "none", "title": "T", "permissions": ["fly"]}),
            "/permissions/0",
        ),
    ] {
        let answer = house
            .post(&path, &acme.token, &body)
            .await
            .refused(400, "invalid_value");
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer);
    }

    let role = text(&made["role_id"]);
    let everywhere = house
        .join(&acme, Place::Organization, "ada@acme.example", &role)
        .await;
    let here = house.join(&acme, Place::Project, "bob@acme.example", &role).await;
    let membership = format!("{}/members/{}", acme.root(), everywhere.membership);
    let shown = house.get(&membership, &acme.token).await.succeeded(200);
    assert_eq!(shown["role"], role.as_str());
    let models = format!("{}/models", acme.project_root());
    for member in [&everywhere, &here] {
        house.get(&models, &member.token).await.succeeded(200);
        house
            .post(&models, &member.token, &json!({"name": "m"}))
            .await
            .refused(403, "permission_denied");
    }
    let change = json!({"title": "Writer", "permissions": ["models.write"]});
    let changed = house.patch(&one, &acme.token, &change).await.succeeded(200);
    assert_eq!(
        snapshot(&changed),
        json!({
            "role_id": "<role>",
            "name": "reader",
            "title": "Writer",
            "permissions": ["models.write"],
            "created_at": "<time>",
        })
    );
    assert_eq!(house.get(&one, &acme.token).await.succeeded(200), changed);
    for (number, member) in [&everywhere, &here].into_iter().enumerate() {
        house
            .get(&models, &member.token)
            .await
            .refused(403, "permission_denied");
        house
            .post(&models, &member.token, &json!({"name": format!("m{number}")}))
            .await
            .succeeded(201);
    }
    house.delete(&one, &acme.token).await.refused(409, "role_in_use");
    for (root, member) in [(acme.root(), &everywhere), (acme.project_root(), &here)] {
        let path = format!("{root}/members/{}", member.membership);
        house.delete(&path, &acme.token).await.succeeded(204);
    }
    let gone = house.delete(&one, &acme.token).await;
    assert_eq!((gone.status.as_u16(), gone.body.len()), (204, 0));
    house.get(&one, &acme.token).await.refused(404, "not_found");
    house.delete(&one, &acme.token).await.refused(404, "not_found");
    let list = house.get(&path, &acme.token).await.succeeded(200);
    assert_eq!(texts(&list, "name"), Vec::<String>::new());
    house.post(&path, &acme.token, &body).await.succeeded(201);
}

#[tokio::test]
async fn removed_role_takes_the_invitations_that_promise_it_along() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let roles = format!("{}/roles", acme.root());
    let body = json!({"name": "reader", "title": "Reader", "permissions": ["models.read"]});
    let role = text(&house.post(&roles, &acme.token, &body).await.succeeded(201)["role_id"]);
    let ada = house.token("ada@acme.example").await;
    let mut tokens = Vec::new();
    for root in [acme.root(), acme.project_root()] {
        let body = json!({"email": "ada@acme.example", "role": role});
        let path = format!("{root}/invitations");
        let made = house.post(&path, &acme.token, &body).await.succeeded(201);
        tokens.push(text(&made["token"]));
    }
    house
        .delete(&format!("{roles}/{role}"), &acme.token)
        .await
        .succeeded(204);
    for token in tokens {
        house
            .accept(&ada, &token)
            .await
            .refused(400, "invitation_invalid");
    }
    let open = house
        .get(&format!("{}/invitations", acme.root()), &acme.token)
        .await
        .succeeded(200);
    assert_eq!(open["data"], json!([]));
}
