//! Nobody hands out, changes or takes more than they have.

use berth_domain::permission::{BuiltinRole, Permission};
use reqwest::Method;
use serde_json::{Value, json};

use crate::furniture::Furnished;
use crate::house::{House, Place, text};

/// Requests by `credential`, each refused because it is about more than the caller has.
async fn check_beyond(house: &House, credential: &str, requests: Vec<(Method, String, Value)>) {
    let before = house.rows().await;
    for (method, path, body) in requests {
        let request = house.request(method.clone(), &path, Some(credential));
        let request = if body.is_null() {
            request
        } else {
            request.json(&body)
        };
        let answer = house.send(request).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_deref()),
            (403, Some("permission_beyond_own")),
            "{method} {path} {body}: {}",
            String::from_utf8_lossy(&answer.body)
        );
    }
    house.check_unchanged(&before).await;
}

/// What an admin lacks: to manage the organization and its money.
#[tokio::test]
async fn admin_makes_nobody_stronger_than_themselves() {
    let house = House::new().await;
    let acme = Furnished::new(&house, "acme").await;
    let (root, owner) = (acme.tenant.root(), &acme.tenant.token);
    let make = async |path: String, body: Value| house.post(&path, owner, &body).await.succeeded(201);
    let admin = house
        .join(&acme.tenant, Place::Organization, "admin@acme.example", "admin")
        .await;
    let strong =
        json!({"name": "strong", "title": "Strong", "permissions": ["models.read", "organization.manage"]});
    let strong = text(&make(format!("{root}/roles"), strong).await["role_id"]);
    let boss = house
        .join(&acme.tenant, Place::Organization, "boss@acme.example", "owner")
        .await;
    let chief = house
        .join(&acme.tenant, Place::Organization, "chief@acme.example", &strong)
        .await;
    let project_boss = house
        .join(&acme.tenant, Place::Project, "local@acme.example", "owner")
        .await;
    let invite = |role: &str| json!({"email": "x@acme.example", "role": role});
    let for_owner = make(format!("{root}/invitations"), invite("owner")).await;
    let for_strong = make(format!("{root}/invitations"), invite(&strong)).await;
    let role = |role: &str| json!({"role": role});
    let weak = format!("{root}/roles/{}", acme.parts("")["role_id"]);
    let of = |member: &crate::house::Member| format!("{root}/members/{}", member.membership);
    let project = acme.tenant.project_root();
    let none = Value::Null;
    check_beyond(
        &house,
        &admin.token,
        vec![
            (
                Method::POST,
                format!("{root}/roles"),
                json!({"name": "x", "title": "X", "permissions": ["organization.manage"]}),
            ),
            (
                Method::POST,
                format!("{root}/roles"),
                json!({"name": "x", "title": "X", "permissions": ["members.read", "billing.manage"]}),
            ),
            (
                Method::PATCH,
                weak.clone(),
                json!({"permissions": ["organization.manage"]}),
            ),
            // A role that has more is not the admin's to change, not even to make it weaker.
            (
                Method::PATCH,
                format!("{root}/roles/{strong}"),
                json!({"permissions": ["models.read"]}),
            ),
            (
                Method::PATCH,
                format!("{root}/roles/{strong}"),
                json!({"title": "Tamed"}),
            ),
            (Method::DELETE, format!("{root}/roles/{strong}"), none.clone()),
            (Method::POST, format!("{root}/invitations"), invite("owner")),
            (Method::POST, format!("{root}/invitations"), invite("billing")),
            (Method::POST, format!("{root}/invitations"), invite(&strong)),
            (Method::POST, format!("{project}/invitations"), invite("owner")),
            (
                Method::DELETE,
                format!("{root}/invitations/{}", text(&for_owner["invitation_id"])),
                none.clone(),
            ),
            (
                Method::DELETE,
                format!("{root}/invitations/{}", text(&for_strong["invitation_id"])),
                none.clone(),
            ),
            // Nobody below them, and not themselves, becomes stronger than they are.
            (Method::PATCH, of(&acme.viewer), role("owner")),
            (Method::PATCH, of(&acme.viewer), role(&strong)),
            (Method::PATCH, of(&admin), role("owner")),
            (Method::PATCH, of(&admin), role(&strong)),
            // Nobody above them is touched.
            (Method::PATCH, of(&boss), role("viewer")),
            (Method::DELETE, of(&boss), none.clone()),
            (Method::PATCH, of(&chief), role("viewer")),
            (Method::DELETE, of(&chief), none.clone()),
            (
                Method::DELETE,
                format!("{project}/members/{}", project_boss.membership),
                none,
            ),
        ],
    )
    .await;
    // What the admin has, the admin gives.
    let within = json!({"role": "admin"});
    house
        .patch(&of(&acme.viewer), &admin.token, &within)
        .await
        .succeeded(200);
    let within = json!({"permissions": ["members.read", "billing.read"]});
    house.patch(&weak, &admin.token, &within).await.succeeded(200);
}

/// A role that manages members and nothing else gives nothing else.
#[tokio::test]
async fn role_that_manages_members_gives_no_other_permission() {
    let house = House::new().await;
    let acme = Furnished::new(&house, "acme").await;
    let (root, owner) = (acme.tenant.root(), &acme.tenant.token);
    let body = json!({"name": "doorkeeper", "title": "Doorkeeper", "permissions": ["members.read", "members.manage"]});
    let role = house
        .post(&format!("{root}/roles"), owner, &body)
        .await
        .succeeded(201);
    let keeper = house
        .join(
            &acme.tenant,
            Place::Organization,
            "keeper@acme.example",
            &text(&role["role_id"]),
        )
        .await;
    let mut requests = Vec::new();
    for &permission in Permission::ALL {
        if !matches!(permission, Permission::MembersRead | Permission::MembersManage) {
            let body =
                json!({"name": "x", "title": "X", "permissions": ["members.read", permission.as_str()]});
            requests.push((Method::POST, format!("{root}/roles"), body));
        }
    }
    for role in BuiltinRole::ALL {
        let body = json!({"email": "x@acme.example", "role": role.as_str()});
        requests.push((Method::POST, format!("{root}/invitations"), body));
        let body = json!({"role": role.as_str()});
        let own = format!("{root}/members/{}", keeper.membership);
        requests.push((Method::PATCH, own, body));
    }
    check_beyond(&house, &keeper.token, requests).await;
    let auditor = &acme.parts("")["role_id"];
    let body = json!({"email": "x@acme.example", "role": auditor});
    house
        .post(&format!("{root}/invitations"), &keeper.token, &body)
        .await
        .succeeded(201);
}

/// Whoever owns a project gives what they have in that project alone.
#[tokio::test]
async fn owner_of_a_project_gives_nothing_outside() {
    let house = House::new().await;
    let acme = Furnished::new(&house, "acme").await;
    let local = house
        .join(&acme.tenant, Place::Project, "local@acme.example", "owner")
        .await;
    let (root, project) = (acme.tenant.root(), acme.tenant.project_root());
    let body = json!({"email": "friend@acme.example", "role": "admin"});
    let before = house.rows().await;
    house
        .post(&format!("{root}/invitations"), &local.token, &body)
        .await
        .refused(403, "permission_denied");
    let side = format!("{}/invitations", acme.side.project_root());
    house
        .post(&side, &local.token, &body)
        .await
        .refused(404, "not_found");
    // Neither does a membership of the organization stand under the project.
    for membership in [&acme.viewer.membership, &local.membership] {
        let path = format!("{root}/members/{membership}");
        let role = json!({"role": "viewer"});
        house
            .patch(&path, &local.token, &role)
            .await
            .refused(403, "permission_denied");
    }
    let path = format!("{project}/members/{}", acme.viewer.membership);
    house.delete(&path, &local.token).await.refused(404, "not_found");
    house.check_unchanged(&before).await;

    let invited = house
        .post(&format!("{project}/invitations"), &local.token, &body)
        .await
        .succeeded(201);
    let friend = house.token("friend@acme.example").await;
    let accepted = house
        .accept(&friend, &text(&invited["token"]))
        .await
        .succeeded(200);
    assert_eq!(accepted["project_id"], acme.tenant.project.as_str());
    house
        .get(&format!("{project}/models"), &friend)
        .await
        .succeeded(200);
    let elsewhere = format!("{}/models", acme.side.project_root());
    house.get(&elsewhere, &friend).await.refused(404, "not_found");
}

#[tokio::test]
async fn keys_are_given_and_renewed_within_what_their_maker_has() {
    let house = House::new().await;
    let acme = Furnished::new(&house, "acme").await;
    let (root, owner) = (acme.tenant.root(), &acme.tenant.token);
    let body = json!({
        "name": "keeper", "title": "Keeper", "permissions": ["keys.read", "keys.manage", "models.read"],
    });
    let role = house
        .post(&format!("{root}/roles"), owner, &body)
        .await
        .succeeded(201);
    let keeper = house
        .join(
            &acme.tenant,
            Place::Project,
            "keeper@acme.example",
            &text(&role["role_id"]),
        )
        .await
        .token;
    let keys = format!("{}/api-keys", acme.tenant.project_root());
    let everything = format!("{keys}/{}", acme.parts("")["api_key_id"]);
    let scopes = |scopes: &[&str]| json!({"title": "k", "scopes": scopes});
    check_beyond(
        &house,
        &keeper,
        vec![
            (Method::POST, keys.clone(), scopes(&["inference.run"])),
            (
                Method::POST,
                keys.clone(),
                scopes(&["models.read", "models.write"]),
            ),
            // A renewed key would be theirs to use.
            (Method::POST, format!("{everything}/rotate"), json!({})),
        ],
    )
    .await;
    let own = house
        .post(&keys, &keeper, &scopes(&["models.read"]))
        .await
        .succeeded(201);
    let path = format!("{keys}/{}/rotate", text(&own["api_key_id"]));
    house.post(&path, &keeper, &json!({})).await.succeeded(200);
    // Taking a key away hands nothing out.
    house
        .post(&format!("{everything}/revoke"), &keeper, &json!({}))
        .await
        .succeeded(200);
}
