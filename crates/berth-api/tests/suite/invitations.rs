//! Invitations: how they are made, accepted and taken back.

use berth_domain::permission::BuiltinRole;
use serde_json::{Value, json};

use crate::house::{House, PASSWORD, Tenant, text};
use crate::snapshot::{items, snapshot};

fn roots(tenant: &Tenant) -> [(String, Value); 2] {
    [
        (tenant.root(), Value::Null),
        (tenant.project_root(), tenant.project.clone().into()),
    ]
}

#[tokio::test]
async fn invitation_is_listed_until_it_is_accepted_once() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let ada = house.token("ada@acme.example").await;
    let bob = house.token("bob@acme.example").await;
    for (root, project) in roots(&acme) {
        let path = format!("{root}/invitations");
        let body = json!({"email": "Ada@acme.example", "role": "developer"});
        let made = house.post(&path, &acme.token, &body).await.succeeded(201);
        assert_eq!(
            snapshot(&made),
            json!({"invitation_id": "<inv>", "expires_at": "<time>", "token": "<random>"})
        );
        let list = house.get(&path, &acme.token).await.succeeded(200);
        let [listed] = items(&list).try_into().expect("one invitation");
        assert_eq!(listed["project_id"], project);
        assert_eq!(
            snapshot(&listed),
            json!({
                "invitation_id": "<inv>",
                "project_id": if project.is_null() { Value::Null } else { "<proj>".into() },
                "email": "ada@acme.example",
                "role": "developer",
                "invited_by_user_id": "<user>",
                "created_at": "<time>",
                "expires_at": "<time>",
            })
        );
        let token = text(&made["token"]);
        assert!(!list.to_string().contains(&token));
        house
            .accept(&bob, &token)
            .await
            .refused(400, "invitation_invalid");
        let accepted = house.accept(&ada, &token).await.succeeded(200);
        assert_eq!(accepted["project_id"], project);
        assert_eq!(
            snapshot(&accepted),
            json!({
                "organization_id": "<org>",
                "project_id": if project.is_null() { Value::Null } else { "<proj>".into() },
                "membership_id": "<mbr>",
            })
        );
        let role = house
            .get(
                &format!("{root}/members/{}", text(&accepted["membership_id"])),
                &acme.token,
            )
            .await
            .succeeded(200);
        assert_eq!(
            (&role["role"], &role["project_id"]),
            (&json!("developer"), &project)
        );
        house
            .accept(&ada, &token)
            .await
            .refused(400, "invitation_invalid");
        let list = house.get(&path, &acme.token).await.succeeded(200);
        assert_eq!(list["data"], json!([]));
    }
}

#[tokio::test]
async fn invitation_that_was_taken_back_opens_nothing() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let ada = house.token("ada@acme.example").await;
    for (root, _) in roots(&acme) {
        let path = format!("{root}/invitations");
        let body = json!({"email": "ada@acme.example", "role": "viewer"});
        let made = house.post(&path, &acme.token, &body).await.succeeded(201);
        let one = format!("{path}/{}", text(&made["invitation_id"]));
        let gone = house.delete(&one, &acme.token).await;
        assert_eq!((gone.status.as_u16(), gone.body.len()), (204, 0));
        house.delete(&one, &acme.token).await.refused(404, "not_found");
        house
            .accept(&ada, &text(&made["token"]))
            .await
            .refused(400, "invitation_invalid");
        house.get(&root, &ada).await.refused(404, "not_found");
        let list = house.get(&path, &acme.token).await.succeeded(200);
        assert_eq!(list["data"], json!([]));
    }
}

#[tokio::test]
async fn account_is_made_with_the_invitation_that_it_accepts() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let path = format!("{}/invitations", acme.root());
    for role in BuiltinRole::ALL {
        let email = format!("{}@acme.example", role.as_str().replace("owner", "second"));
        let body = json!({"email": email, "role": role.as_str()});
        let made = house.post(&path, &acme.token, &body).await.succeeded(201);
        let account = json!({
            "email": email, "password": PASSWORD, "name": "A guest", "invitation": made["token"],
        });
        let session = house
            .post("/api/v1/auth/sign-up", "", &account)
            .await
            .succeeded(201);
        let organization = house
            .get(&acme.root(), &text(&session["access_token"]))
            .await
            .succeeded(200);
        assert_eq!(organization["name"], "acme", "{role:?}");
    }
    let stranger = json!({"email": "x@acme.example", "password": PASSWORD, "invitation": "no such token"});
    house
        .post("/api/v1/auth/sign-up", "", &stranger)
        .await
        .refused(400, "invitation_invalid");
    house
        .sign_in("x@acme.example", PASSWORD)
        .await
        .refused(401, "sign_in_failed");
}
