//! Service accounts and the keys that they hold.

use serde_json::{Value, json};

use crate::house::{House, Tenant, text};
use crate::snapshot::{items, snapshot, texts};

async fn key_of(house: &House, tenant: &Tenant, account: &str) -> Value {
    let path = format!("{}/api-keys", tenant.project_root());
    let body = json!({"title": "robot's", "scopes": ["inference.run"], "service_account_id": account});
    house.post(&path, &tenant.token, &body).await.succeeded(201)
}

#[tokio::test]
async fn service_account_is_made_disabled_enabled_and_deleted_and_its_keys_with_it() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let path = format!("{}/service-accounts", acme.project_root());
    let body = json!({"name": "robot", "title": "Robot"});
    let made = house.post(&path, &acme.token, &body).await.succeeded(201);
    assert_eq!(
        snapshot(&made),
        json!({
            "service_account_id": "<sa>",
            "name": "robot",
            "title": "Robot",
            "created_at": "<time>",
            "disabled_at": null,
        })
    );
    house
        .post(&path, &acme.token, &body)
        .await
        .refused(409, "name_taken");
    let id = text(&made["service_account_id"]);
    let one = format!("{path}/{id}");
    assert_eq!(house.get(&one, &acme.token).await.succeeded(200), made);
    let list = house.get(&path, &acme.token).await.succeeded(200);
    assert_eq!(items(&list), std::slice::from_ref(&made));

    let key = key_of(&house, &acme, &id).await;
    assert_eq!(key["service_account_id"], id.as_str());
    let secret = text(&key["secret"]);
    let me = house.get("/api/v1/auth/me", &secret).await.succeeded(200);
    assert_eq!(
        snapshot(&me),
        json!({
            "kind": "key",
            "key": {
                "api_key_id": "<key>",
                "organization_id": "<org>",
                "project_id": "<proj>",
                "service_account_id": "<sa>",
                "scopes": ["inference.run"],
                "models": null,
            },
        })
    );
    house.get("/v1/models", &secret).await.succeeded(200);

    let disabled = house
        .post(&format!("{one}/disable"), &acme.token, &json!({}))
        .await
        .succeeded(200);
    assert_eq!(snapshot(&disabled)["disabled_at"], "<time>");
    let again = house
        .post(&format!("{one}/disable"), &acme.token, &json!({}))
        .await
        .succeeded(200);
    assert_eq!(again, disabled);
    house
        .refused_soon("/v1/models", &secret, 403, "api_key_holder_disabled")
        .await;
    let keys = format!("{}/api-keys", acme.project_root());
    let wish = json!({"title": "k", "scopes": ["models.read"], "service_account_id": id});
    house
        .post(&keys, &acme.token, &wish)
        .await
        .refused(400, "invalid_value");
    for _ in 0..2 {
        let enabled = house
            .post(&format!("{one}/enable"), &acme.token, &json!({}))
            .await
            .succeeded(200);
        assert_eq!(enabled, made);
    }
    house.answered_soon("/v1/models", &secret).await;

    let gone = house.delete(&one, &acme.token).await;
    assert_eq!((gone.status.as_u16(), gone.body.len()), (204, 0));
    house
        .refused_soon("/v1/models", &secret, 401, "invalid_api_key")
        .await;
    let revoked = format!("{keys}/{}", text(&key["api_key_id"]));
    let revoked = house.get(&revoked, &acme.token).await.succeeded(200);
    assert_eq!(snapshot(&revoked)["revoked_at"], "<time>");
    for (method, path) in [("GET", one.clone()), ("DELETE", one.clone())] {
        let method = method.parse().expect("a method");
        let request = house.request(method, &path, Some(&acme.token));
        house.send(request).await.refused(404, "not_found");
    }
    for verb in ["disable", "enable"] {
        house
            .post(&format!("{one}/{verb}"), &acme.token, &json!({}))
            .await
            .refused(404, "not_found");
    }
    house
        .post(&keys, &acme.token, &wish)
        .await
        .refused(400, "invalid_value");
    let list = house.get(&path, &acme.token).await.succeeded(200);
    assert_eq!(texts(&list, "name"), Vec::<String>::new());
    let fresh = house.post(&path, &acme.token, &body).await.succeeded(201);
    assert_ne!(fresh["service_account_id"], made["service_account_id"]);
    house
        .get("/v1/models", &secret)
        .await
        .refused(401, "invalid_api_key");
}

#[tokio::test]
async fn disabling_one_service_account_leaves_the_others() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let path = format!("{}/service-accounts", acme.project_root());
    let mut made = Vec::new();
    for name in ["one", "two"] {
        let body = json!({"name": name, "title": name});
        let account = text(&house.post(&path, &acme.token, &body).await.succeeded(201)["service_account_id"]);
        let key = text(&key_of(&house, &acme, &account).await["secret"]);
        house.get("/v1/models", &key).await.succeeded(200);
        made.push((account, key));
    }
    let own = house.key(&acme, &["inference.run"]).await;
    house
        .post(&format!("{path}/{}/disable", made[0].0), &acme.token, &json!({}))
        .await
        .succeeded(200);
    house
        .refused_soon("/v1/models", &made[0].1, 403, "api_key_holder_disabled")
        .await;
    for key in [&made[1].1, &own] {
        house.get("/v1/models", key).await.succeeded(200);
    }
}
