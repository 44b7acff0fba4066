//! What operators do about people and organizations.

use serde_json::{Value, json};

use crate::furniture::Furnished;
use crate::house::{API, House, PASSWORD, text};
use crate::snapshot::{items, snapshot, texts};

const USERS: &str = "/api/v1/platform/users";
const ORGANIZATIONS: &str = "/api/v1/platform/organizations";
const ME: &str = "/api/v1/auth/me";

fn user(value: &Value) -> String {
    format!("{USERS}/{}", text(&value["user_id"]))
}

#[tokio::test]
async fn account_is_made_without_a_password_and_its_person_sets_one_by_a_link() {
    let house = House::new().await;
    let operator = house.operator().await;
    let body = json!({"email": "ada@acme.example", "name": "Ada L."});
    let made = house.post(USERS, &operator, &body).await.succeeded(201);
    let account = json!({
        "user_id": "<user>",
        "email": "ada@acme.example",
        "name": "Ada L.",
        "operator": false,
        "created_at": "<time>",
        "disabled_at": null,
    });
    assert_eq!(
        snapshot(&made),
        json!({
            "user": account,
            "password_link": {"expires_at": "<time>", "token": "<random>"},
        })
    );
    house
        .post(USERS, &operator, &body)
        .await
        .refused(409, "email_taken");
    let one = user(&made["user"]);
    assert_eq!(house.get(&one, &operator).await.succeeded(200), made["user"]);
    let list = house.get(USERS, &operator).await.succeeded(200);
    assert_eq!(
        texts(&list, "email"),
        ["ada@acme.example", "operator@example.com"]
    );
    assert!(items(&list).contains(&made["user"]));

    let confirm = "/api/v1/auth/password-resets/confirm";
    let set = |token: &Value, password: &str| json!({"token": token, "new_password": password});
    let first = &made["password_link"]["token"];
    house
        .post(confirm, "", &set(first, "short"))
        .await
        .refused(400, "password_refused");
    house
        .sign_in("ada@acme.example", PASSWORD)
        .await
        .refused(401, "sign_in_failed");
    let done = house.post(confirm, "", &set(first, PASSWORD)).await;
    assert_eq!((done.status.as_u16(), done.body.len()), (204, 0));
    house
        .post(confirm, "", &set(first, "a stroll by the harbor"))
        .await
        .refused(400, "password_link_invalid");
    let session = house.sign_in("ada@acme.example", PASSWORD).await.succeeded(200);

    // A link for who forgot the password ends the sessions.
    let link = house
        .post(&format!("{one}/password-links"), &operator, &json!({}))
        .await
        .succeeded(201);
    assert_eq!(
        snapshot(&link),
        json!({"expires_at": "<time>", "token": "<random>"})
    );
    house
        .post(confirm, "", &set(&link["token"], "a stroll by the harbor"))
        .await
        .succeeded(204);
    house
        .get(ME, &text(&session["access_token"]))
        .await
        .refused(401, "session_ended");
    house
        .sign_in("ada@acme.example", "a stroll by the harbor")
        .await
        .succeeded(200);
}

#[tokio::test]
async fn disabled_account_opens_nothing_until_it_is_enabled() {
    let house = House::new().await;
    let operator = house.operator().await;
    let acme = Furnished::new(&house, "acme").await;
    let one = format!("{USERS}/{}", acme.parts("")["user_id"]);
    let project = acme.tenant.project_root();
    let body = json!({
        "title": "robot's", "scopes": ["inference.run"],
        "service_account_id": acme.parts("")["service_account_id"],
    });
    let robots = house
        .post(&format!("{project}/api-keys"), &acme.tenant.token, &body)
        .await
        .succeeded(201);
    let robots = text(&robots["secret"]);
    for key in [&acme.key, &robots] {
        house.get("/v1/models", key).await.succeeded(200);
    }

    let disabled = house
        .post(&format!("{one}/disable"), &operator, &json!({}))
        .await
        .succeeded(200);
    assert_eq!(snapshot(&disabled)["disabled_at"], "<time>");
    let again = house
        .post(&format!("{one}/disable"), &operator, &json!({}))
        .await
        .succeeded(200);
    assert_eq!(again, disabled);
    house
        .sign_in("owner@acme.example", PASSWORD)
        .await
        .refused(403, "account_disabled");
    house
        .get(ME, &acme.tenant.token)
        .await
        .refused(403, "account_disabled");
    house
        .refused_soon("/v1/models", &acme.key, 403, "api_key_holder_disabled")
        .await;
    house.get("/v1/models", &robots).await.succeeded(200);
    house
        .post(&format!("{one}/password-links"), &operator, &json!({}))
        .await
        .refused(403, "account_disabled");
    // Its members see it.
    let members = house
        .get(&format!("{}/members", acme.tenant.root()), &acme.viewer.token)
        .await
        .succeeded(200);
    let owner = items(&members)
        .into_iter()
        .find(|member| member["email"] == "owner@acme.example");
    assert_eq!(snapshot(&owner.expect("the owner"))["disabled_at"], "<time>");

    for _ in 0..2 {
        let enabled = house
            .post(&format!("{one}/enable"), &operator, &json!({}))
            .await
            .succeeded(200);
        assert_eq!(enabled["disabled_at"], Value::Null);
    }
    house.answered_soon("/v1/models", &acme.key).await;
    // The sessions stay ended.
    house
        .get(ME, &acme.tenant.token)
        .await
        .refused(401, "session_ended");
    house.sign_in("owner@acme.example", PASSWORD).await.succeeded(200);
}

#[tokio::test]
async fn operators_make_operators_and_the_last_one_stays() {
    let house = House::new().await;
    let operator = house.operator().await;
    let ada = house.sign_up("ada@acme.example").await;
    let token = text(&ada["access_token"]);
    house.get(USERS, &token).await.refused(403, "operator_required");
    let one = user(&ada);
    let made = house
        .patch(&one, &operator, &json!({"operator": true}))
        .await
        .succeeded(200);
    assert_eq!(made["operator"], true);
    let me = house.get(ME, &token).await.succeeded(200);
    assert_eq!(me["user"]["operator"], true);
    house.get(USERS, &token).await.succeeded(200);

    let first = house.get(ME, &operator).await.succeeded(200);
    let first = user(&first["user"]);
    let dismissed = house
        .patch(&first, &token, &json!({"operator": false}))
        .await
        .succeeded(200);
    assert_eq!(dismissed["operator"], false);
    house
        .get(USERS, &operator)
        .await
        .refused(403, "operator_required");
    house
        .patch(&one, &token, &json!({"operator": false}))
        .await
        .refused(409, "last_operator");
    house
        .post(&format!("{one}/disable"), &token, &json!({}))
        .await
        .refused(409, "last_operator");
    house.get(USERS, &token).await.succeeded(200);
}

/// An account proves nothing about its address, so whoever has one is invited like everybody else.
#[tokio::test]
async fn organization_that_an_operator_makes_for_somebody_waits_for_its_invitation() {
    let house = House::new().await;
    let operator = house.operator().await;
    let boss = house.token("boss@newcomer.example").await;
    let body = json!({"name": "newcomer", "title": "Newcomer", "owner_email": "boss@newcomer.example"});
    let made = house.post(ORGANIZATIONS, &operator, &body).await.succeeded(201);
    let organization = json!({
        "organization_id": "<org>",
        "name": "newcomer",
        "title": "Newcomer",
        "status": "active",
        "created_at": "<time>",
    });
    assert_eq!(
        snapshot(&made),
        json!({
            "organization": organization,
            "invitation": {"invitation_id": "<inv>", "expires_at": "<time>", "token": "<random>"},
        })
    );
    house
        .post(ORGANIZATIONS, &operator, &body)
        .await
        .refused(409, "name_taken");
    let path = format!("{API}/organizations");
    let mine = house.get(&path, &boss).await.succeeded(200);
    assert_eq!(mine["data"], json!([]));
    house
        .accept(&boss, &text(&made["invitation"]["token"]))
        .await
        .succeeded(200);
    let mine = house.get(&path, &boss).await.succeeded(200);
    assert_eq!(items(&mine), [made["organization"].clone()]);
    // Operators who name themselves own it at once.
    let body = json!({"name": "own", "title": "Own", "owner_email": "operator@example.com"});
    let made = house.post(ORGANIZATIONS, &operator, &body).await.succeeded(201);
    assert_eq!(made["invitation"], Value::Null);
    let mine = house.get(&path, &operator).await.succeeded(200);
    assert_eq!(items(&mine), [made["organization"].clone()]);
}

#[tokio::test]
async fn operator_suspends_resumes_and_deletes_any_organization() {
    let house = House::new().await;
    let operator = house.operator().await;
    let acme = Furnished::new(&house, "acme").await;
    house.tenant("other").await;
    let one = format!("{ORGANIZATIONS}/{}", acme.tenant.organization);
    let (root, owner) = (acme.tenant.root(), &acme.tenant.token);
    let shown = house.get(&one, &operator).await.succeeded(200);
    assert_eq!(
        snapshot(&shown),
        json!({
            "organization_id": "<org>",
            "name": "acme",
            "title": "acme",
            "status": "active",
            "created_at": "<time>",
        })
    );
    let list = house.get(ORGANIZATIONS, &operator).await.succeeded(200);
    assert_eq!(texts(&list, "name"), ["acme", "other"]);
    assert!(items(&list).contains(&shown));
    house.get("/v1/models", &acme.key).await.succeeded(200);

    for _ in 0..2 {
        let suspended = house
            .post(&format!("{one}/suspend"), &operator, &json!({}))
            .await
            .succeeded(200);
        assert_eq!(suspended["status"], "suspended");
    }
    house
        .refused_soon("/v1/models", &acme.key, 403, "organization_suspended")
        .await;
    house
        .post(&format!("{root}/resume"), owner, &json!({}))
        .await
        .refused(403, "suspended_by_operator");
    // An owner's own suspension does not take the operator's away.
    house
        .post(&format!("{root}/suspend"), owner, &json!({}))
        .await
        .succeeded(200);
    house
        .post(&format!("{root}/resume"), owner, &json!({}))
        .await
        .refused(403, "suspended_by_operator");
    let list = house.get(ORGANIZATIONS, &operator).await.succeeded(200);
    assert_eq!(texts(&list, "status"), ["active", "suspended"]);
    for _ in 0..2 {
        let resumed = house
            .post(&format!("{one}/resume"), &operator, &json!({}))
            .await
            .succeeded(200);
        assert_eq!(resumed["status"], "active");
    }
    house.answered_soon("/v1/models", &acme.key).await;

    // One that its owners suspended is the operator's from then on.
    house
        .post(&format!("{root}/suspend"), owner, &json!({}))
        .await
        .succeeded(200);
    house
        .post(&format!("{one}/suspend"), &operator, &json!({}))
        .await
        .succeeded(200);
    house
        .post(&format!("{root}/resume"), owner, &json!({}))
        .await
        .refused(403, "suspended_by_operator");

    let gone = house.delete(&one, &operator).await;
    assert_eq!((gone.status.as_u16(), gone.body.len()), (204, 0));
    house
        .refused_soon("/v1/models", &acme.key, 401, "invalid_api_key")
        .await;
    house.get(&root, owner).await.refused(404, "not_found");
    let shown = house.get(&one, &operator).await.succeeded(200);
    assert_eq!(
        shown["status"], "deleted",
        "the operator can see what became of it"
    );
    let list = house.get(ORGANIZATIONS, &operator).await.succeeded(200);
    assert_eq!(texts(&list, "name"), ["other"]);
    house.delete(&one, &operator).await.refused(404, "not_found");
    for verb in ["suspend", "resume"] {
        house
            .post(&format!("{one}/{verb}"), &operator, &json!({}))
            .await
            .refused(404, "not_found");
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_found_by_operators_either() {
    let house = House::new().await;
    let operator = house.operator().await;
    let nobody = "user_01jd0000000000000000000000";
    let nothing = "model_01jd0000000000000000000000";
    for path in ["disable", "enable", "password-links"] {
        house
            .post(&format!("{USERS}/{nobody}/{path}"), &operator, &json!({}))
            .await
            .refused(404, "not_found");
    }
    house
        .get(&format!("{USERS}/{nobody}"), &operator)
        .await
        .refused(404, "not_found");
    house
        .patch(
            &format!("{USERS}/{nobody}"),
            &operator,
            &json!({"operator": true}),
        )
        .await
        .refused(404, "not_found");
    for verb in ["publish", "unpublish"] {
        let path = format!("{API}/platform/models/{nothing}/{verb}");
        house
            .post(&path, &operator, &json!({}))
            .await
            .refused(404, "not_found");
    }
}
