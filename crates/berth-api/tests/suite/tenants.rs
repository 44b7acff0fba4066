//! Organizations, projects, people and sessions over HTTP.

use serde_json::{Value, json};

use crate::house::{API, House, PASSWORD, text};

#[tokio::test]
async fn session_is_refreshed_once_and_ended() {
    let house = House::new().await;
    let session = house.sign_up("ada@acme.example").await;
    assert_eq!(session["token_type"], "Bearer");
    let refresh = json!({"refresh_token": session["refresh_token"]});
    let next = house
        .post("/api/v1/auth/refresh", "", &refresh)
        .await
        .succeeded(200);
    let token = text(&next["access_token"]);
    assert_eq!(
        house.get("/api/v1/auth/me", &token).await.succeeded(200)["user"]["email"],
        "ada@acme.example"
    );
    house
        .post("/api/v1/auth/refresh", "", &refresh)
        .await
        .refused(401, "refresh_token_reused");
    house
        .get("/api/v1/auth/me", &token)
        .await
        .refused(401, "session_ended");
}

#[tokio::test]
async fn signing_out_ends_the_session() {
    let house = House::new().await;
    let token = house.token("ada@acme.example").await;
    house
        .post("/api/v1/auth/sign-out", &token, &json!({}))
        .await
        .succeeded(204);
    house
        .get("/api/v1/auth/me", &token)
        .await
        .refused(401, "session_ended");
}

#[tokio::test]
async fn oauth_clients_sign_in_by_a_form() {
    let house = House::new().await;
    house.sign_up("ada@acme.example").await;
    let form = |fields: String| {
        house
            .client
            .post(format!("{}/api/v1/auth/token", house.base))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(fields)
    };
    let password = PASSWORD.replace(' ', "+");
    let right = form(format!(
        "grant_type=password&username=ada%40acme.example&password={password}&scope="
    ));
    assert!(house.send(right).await.succeeded(200)["access_token"].is_string());
    let wrong = form("grant_type=password&username=ada%40acme.example&password=x".to_owned());
    house.send(wrong).await.refused(401, "sign_in_failed");
    let other = form("grant_type=client_credentials".to_owned());
    house.send(other).await.refused(400, "invalid_value");
}

#[tokio::test]
async fn wrong_sign_ins_are_told_alike_and_slowed_down() {
    let house = House::new().await;
    house.sign_up("ada@acme.example").await;
    let sign_in = |email: &str| json!({"email": email, "password": "wrong"});
    let known = house
        .post("/api/v1/auth/sign-in", "", &sign_in("ada@acme.example"))
        .await;
    let unknown = house
        .post("/api/v1/auth/sign-in", "", &sign_in("bob@acme.example"))
        .await;
    let (known, unknown) = (
        known.refused(401, "sign_in_failed"),
        unknown.refused(401, "sign_in_failed"),
    );
    assert_eq!(known.json()["detail"], unknown.json()["detail"]);
    let mut last = known;
    for _ in 0..20 {
        last = house
            .post("/api/v1/auth/sign-in", "", &sign_in("ada@acme.example"))
            .await;
        if last.status.as_u16() == 429 {
            break;
        }
    }
    let last = last.refused(429, "too_many_attempts");
    let wait: u64 = last
        .header("retry-after")
        .and_then(|wait| wait.parse().ok())
        .expect("a wait");
    assert!(wait >= 1);
    assert_eq!(last.header("x-should-retry"), Some("true"));
}

#[tokio::test]
async fn lists_page_by_key() {
    let house = House::new().await;
    let tenant = house.tenant("acme").await;
    let path = format!("{}/projects", tenant.root());
    for name in ["b", "c", "d"] {
        let body = json!({"name": name, "title": name});
        house.post(&path, &tenant.token, &body).await.succeeded(201);
    }
    let names = |page: &Value| -> Vec<String> {
        page["data"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|item| text(&item["name"]))
            .collect()
    };
    let first = house
        .get(&format!("{path}?limit=3&order=asc"), &tenant.token)
        .await
        .succeeded(200);
    assert_eq!(
        (names(&first), first["has_more"].clone()),
        (
            vec!["main".to_owned(), "b".to_owned(), "c".to_owned()],
            json!(true)
        )
    );
    let last = text(&first["last_id"]);
    let rest = house
        .get(&format!("{path}?limit=3&order=asc&after={last}"), &tenant.token)
        .await
        .succeeded(200);
    assert_eq!(
        (names(&rest), rest["has_more"].clone()),
        (vec!["d".to_owned()], json!(false))
    );
    let before = text(&rest["first_id"]);
    let back = house
        .get(
            &format!("{path}?limit=2&order=asc&before={before}"),
            &tenant.token,
        )
        .await
        .succeeded(200);
    assert_eq!(names(&back), ["b", "c"]);
    let none = house
        .get(
            &format!("{path}?before={}", text(&first["first_id"])),
            &tenant.token,
        )
        .await;
    let newest_first = none.succeeded(200);
    assert_eq!(names(&newest_first), ["d", "c", "b"]);
}

#[tokio::test]
async fn names_are_taken_once() {
    let house = House::new().await;
    let tenant = house.tenant("acme").await;
    let body = json!({"name": "acme", "title": "Another"});
    house
        .post(&format!("{API}/organizations"), &tenant.token, &body)
        .await
        .refused(409, "name_taken");
    let body = json!({"name": "main", "title": "Another"});
    house
        .post(&format!("{}/projects", tenant.root()), &tenant.token, &body)
        .await
        .refused(409, "name_taken");
}

#[tokio::test]
async fn custom_role_permits_what_it_says() {
    let house = House::new().await;
    let tenant = house.tenant("acme").await;
    let body =
        json!({"name": "uploader", "title": "Uploader", "permissions": ["models.read", "models.write"]});
    let role = house
        .post(&format!("{}/roles", tenant.root()), &tenant.token, &body)
        .await
        .succeeded(201);
    let member = house
        .member(&tenant, "ada@acme.example", &text(&role["role_id"]))
        .await;
    let models = format!("{}/models", tenant.project_root());
    house
        .post(&models, &member, &json!({"name": "m"}))
        .await
        .succeeded(201);
    house
        .get(&format!("{}/deployments", tenant.project_root()), &member)
        .await
        .refused(403, "permission_denied");
    let path = format!("{}/roles/{}", tenant.root(), text(&role["role_id"]));
    house
        .delete(&path, &tenant.token)
        .await
        .refused(409, "role_in_use");
}

#[tokio::test]
async fn last_owner_cannot_go_and_nobody_gives_more_than_they_have() {
    let house = House::new().await;
    let tenant = house.tenant("acme").await;
    let admin = house.member(&tenant, "admin@acme.example", "admin").await;
    let invitations = format!("{}/invitations", tenant.root());
    let body = json!({"email": "x@acme.example", "role": "owner"});
    house
        .post(&invitations, &admin, &body)
        .await
        .refused(403, "permission_beyond_own");
    let members = house
        .get(&format!("{}/members", tenant.root()), &tenant.token)
        .await
        .succeeded(200);
    let owner = members["data"]
        .as_array()
        .expect("members")
        .iter()
        .find(|member| member["role"] == "owner");
    let path = format!(
        "{}/members/{}",
        tenant.root(),
        text(&owner.expect("an owner")["membership_id"])
    );
    house
        .delete(&path, &tenant.token)
        .await
        .refused(409, "last_owner");
    house
        .patch(&path, &tenant.token, &json!({"role": "viewer"}))
        .await
        .refused(409, "last_owner");
}

#[tokio::test]
async fn suspended_project_stops_its_keys() {
    let house = House::new().await;
    let tenant = house.tenant("acme").await;
    let key = house.key(&tenant, &["models.read"]).await;
    let models = format!("{}/models", tenant.project_root());
    house.get(&models, &key).await.succeeded(200);
    house
        .post(
            &format!("{}/suspend", tenant.project_root()),
            &tenant.token,
            &json!({}),
        )
        .await
        .succeeded(200);
    house.get(&models, &key).await.refused(403, "project_suspended");
    house.get(&models, &tenant.token).await.succeeded(200);
    house
        .post(&models, &tenant.token, &json!({"name": "m"}))
        .await
        .refused(403, "project_suspended");
    house
        .post(
            &format!("{}/resume", tenant.project_root()),
            &tenant.token,
            &json!({}),
        )
        .await
        .succeeded(200);
    house.get(&models, &key).await.succeeded(200);
}

#[tokio::test]
async fn deleted_organization_is_found_by_nobody() {
    let house = House::new().await;
    let tenant = house.tenant("acme").await;
    let key = house.key(&tenant, &["models.read"]).await;
    house.delete(&tenant.root(), &tenant.token).await.succeeded(204);
    house
        .get(&tenant.root(), &tenant.token)
        .await
        .refused(404, "not_found");
    house
        .get("/api/v1/auth/me", &key)
        .await
        .refused(401, "invalid_api_key");
}

#[tokio::test]
async fn operator_makes_an_organization_for_somebody() {
    let house = House::new().await;
    let operator = house.operator().await;
    let body = json!({"name": "newcomer", "title": "Newcomer", "owner_email": "boss@newcomer.example"});
    let path = format!("{API}/platform/organizations");
    let made = house.post(&path, &operator, &body).await.succeeded(201);
    let token = text(&made["invitation"]["token"]);
    let boss = house.token("boss@newcomer.example").await;
    house
        .post("/api/v1/auth/invitations/accept", &boss, &json!({"token": token}))
        .await
        .succeeded(200);
    let id = text(&made["organization"]["organization_id"]);
    house
        .get(&format!("{API}/organizations/{id}"), &boss)
        .await
        .succeeded(200);
    house
        .get(&format!("{API}/organizations/{id}"), &operator)
        .await
        .refused(404, "not_found");
    house
        .post(&format!("{path}/{id}/suspend"), &operator, &json!({}))
        .await
        .succeeded(200);
    house
        .post(&format!("{API}/organizations/{id}/resume"), &boss, &json!({}))
        .await
        .refused(403, "suspended_by_operator");
}
