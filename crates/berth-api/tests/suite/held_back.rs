//! Requests whose last byte comes late: when it is there, it counts what the caller may do then.

use berth_test_support::wait_until;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::house::{API, House, LIMIT, Place, text};

/// Waits until something in the house waits for a lock.
async fn somebody_waits(house: &House) {
    wait_until(LIMIT, async || {
        house.database.somebody_waits().await.expect("an answer")
    })
    .await
    .expect("somebody waits");
}

/// A request that has come in but for its last byte.
struct HeldBack {
    line: TcpStream,
    last: u8,
}

impl HeldBack {
    /// Sends everything but the last byte, and lets the server check the caller for the first time: that reads `table`, as
    /// nothing else does at the moment.
    async fn begin(
        house: &House,
        table: &str,
        (method, path): (Method, &str),
        credential: &str,
        body: &Value,
    ) -> Self {
        let locked = house.database.lock_table(table).await.expect("locks");
        let body = body.to_string().into_bytes();
        let (last, rest) = body.split_last().expect("a body");
        let address = house.base.strip_prefix("http://").expect("plain HTTP");
        let mut line = TcpStream::connect(address).await.expect("connects");
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {credential}\r\n\
            content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        line.write_all(head.as_bytes()).await.expect("writes");
        line.write_all(rest).await.expect("writes");
        somebody_waits(house).await;
        locked.free().await.expect("frees");
        Self { line, last: *last }
    }

    /// Sends the last byte. The status and the code of the answer.
    async fn end(mut self) -> (u16, Option<String>) {
        self.line.write_all(&[self.last]).await.expect("writes");
        let mut answer = String::new();
        self.line.read_to_string(&mut answer).await.expect("an answer");
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let code = serde_json::from_str::<Value>(body)
            .ok()
            .and_then(|body| body["code"].as_str().map(str::to_owned));
        (status.unwrap_or_else(|| panic!("{answer:?}")), code)
    }

    async fn ends_in(self, status: u16, code: &str) {
        assert_eq!(self.end().await, (status, Some(code.to_owned())));
    }
}

#[tokio::test]
async fn removed_member_who_holds_the_last_byte_back_changes_nothing() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let key = json!({"title": "a key", "scopes": ["inference.run"]});
    let keys = format!("{}/api-keys", acme.project_root());
    let made = house.post(&keys, &acme.token, &key).await.succeeded(201);
    let rotate = format!("{keys}/{}/rotate", text(&made["api_key_id"]));
    let invitations = format!("{}/invitations", acme.root());
    let roles = format!("{}/roles", acme.root());
    let models = format!("{}/models", acme.project_root());
    let role = json!({"name": "helper", "title": "Helper", "permissions": ["models.read"]});
    for (number, (path, body)) in [
        (
            &invitations,
            json!({"email": "eve@example.com", "role": "viewer"}),
        ),
        (&keys, key),
        (&rotate, json!({})),
        (&roles, role),
        (&models, json!({"name": "a-model"})),
    ]
    .into_iter()
    .enumerate()
    {
        let address = format!("ada{number}@example.com");
        let ada = house.join(&acme, Place::Organization, &address, "admin").await;
        let request = (Method::POST, path.as_str());
        let held_back = HeldBack::begin(&house, "memberships", request, &ada.token, &body).await;
        let membership = format!("{}/members/{}", acme.root(), ada.membership);
        house.delete(&membership, &acme.token).await.succeeded(204);
        let before = house.rows().await;
        held_back.ends_in(404, "not_found").await;
        house.check_unchanged(&before).await;
    }
}

#[tokio::test]
async fn request_whose_caller_stays_goes_on_when_the_last_byte_comes() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let path = format!("{}/invitations", acme.root());
    let body = json!({"email": "eve@example.com", "role": "viewer"});
    let request = (Method::POST, path.as_str());
    let held_back = HeldBack::begin(&house, "memberships", request, &acme.token, &body).await;
    assert_eq!(held_back.end().await, (201, None));
}

#[tokio::test]
async fn demoted_operator_who_holds_the_last_byte_back_does_not_promote_himself() {
    let house = House::new().await;
    let first = house.operator().await;
    let second = house.sign_up("ada@example.com").await;
    let me = house.get("/api/v1/auth/me", &text(&second["access_token"])).await;
    let path = format!(
        "{API}/platform/users/{}",
        text(&me.succeeded(200)["user"]["user_id"])
    );
    let operates = |operator: bool| json!({"operator": operator});
    house.patch(&path, &first, &operates(true)).await.succeeded(200);
    // A session that the server does not remember yet, so that it has to ask.
    let signed_in = house.sign_in("ada@example.com", crate::house::PASSWORD).await;
    let token = text(&signed_in.succeeded(200)["access_token"]);

    let request = (Method::PATCH, path.as_str());
    let held_back = HeldBack::begin(&house, "sessions", request, &token, &operates(true)).await;
    house.patch(&path, &first, &operates(false)).await.succeeded(200);
    let before = house.rows().await;
    held_back.ends_in(403, "operator_required").await;
    house.check_unchanged(&before).await;
}

#[tokio::test]
async fn session_and_key_that_end_before_the_last_byte_make_nothing() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let path = format!("{}/models", acme.project_root());
    let body = json!({"name": "a-model"});
    let request = || (Method::POST, path.as_str());

    let made = json!({"title": "a key", "scopes": ["models.read", "models.write"]});
    let keys = format!("{}/api-keys", acme.project_root());
    let made = house.post(&keys, &acme.token, &made).await.succeeded(201);
    let key = text(&made["secret"]);
    let held_back = HeldBack::begin(&house, "api_keys", request(), &key, &body).await;
    let revoke = format!("{keys}/{}/revoke", text(&made["api_key_id"]));
    house.post(&revoke, &acme.token, &json!({})).await.succeeded(200);
    house.refused_soon(&path, &key, 401, "api_key_revoked").await;
    let before = house.rows().await;
    held_back.ends_in(401, "api_key_revoked").await;
    house.check_unchanged(&before).await;

    let held_back = HeldBack::begin(&house, "memberships", request(), &acme.token, &body).await;
    house
        .post("/api/v1/auth/sign-out", &acme.token, &json!({}))
        .await
        .succeeded(204);
    let before = house.rows().await;
    held_back.ends_in(401, "session_ended").await;
    house.check_unchanged(&before).await;
}
