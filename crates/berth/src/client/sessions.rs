//! Signing in, staying signed in, signing out, and who one is.

use serde::Deserialize;
use serde_json::{Value, json};

use super::credentials::Session;
use super::{Client, Error, Reply};

/// Begins a session of a person. The client may call as nobody.
pub(crate) async fn sign_in(client: &Client, email: &str, password: &str) -> Result<Session, Error> {
    let body = json!({ "email": email, "password": password });
    client
        .post_as_nobody(client.url(&["api", "v1", "auth", "sign-in"]), &body)
        .await
}

/// Gives a refresh token for the next pair of tokens. A token works once.
pub(crate) async fn refresh(client: &Client, refresh_token: &str) -> Result<Session, Error> {
    let body = json!({ "refresh_token": refresh_token });
    client
        .post_as_nobody(client.url(&["api", "v1", "auth", "refresh"]), &body)
        .await
}

/// Ends the session.
pub(crate) async fn sign_out(client: &Client) -> Result<(), Error> {
    client
        .post::<Value>(client.url(&["api", "v1", "auth", "sign-out"]), &json!({}))
        .await
        .map(|_| ())
}

/// Replaces the password of whoever is signed in, and ends all other sessions of the account.
pub(crate) async fn change_password(client: &Client, present: &str, new: &str) -> Result<(), Error> {
    let body = json!({ "current_password": present, "new_password": new });
    client
        .post::<Value>(client.url(&["api", "v1", "auth", "password"]), &body)
        .await
        .map(|_| ())
}

/// Asks for a letter with a token to set a forgotten password. The client may call as nobody.
pub(crate) async fn forgot_password(client: &Client, email: &str) -> Result<(), Error> {
    let body = json!({ "email": email });
    client
        .post_as_nobody::<Value>(client.url(&["api", "v1", "auth", "password-resets"]), &body)
        .await
        .map(|_| ())
}

/// Sets a password by a token, which works once. The client may call as nobody.
pub(crate) async fn reset_password(client: &Client, token: &str, new: &str) -> Result<(), Error> {
    let body = json!({ "token": token, "new_password": new });
    let url = client.url(&["api", "v1", "auth", "password-resets", "confirm"]);
    client.post_as_nobody::<Value>(url, &body).await.map(|_| ())
}

/// Who calls.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Me {
    /// A person.
    Person {
        /// The person's account.
        user: User,
    },
    /// A program with a key.
    Key {
        /// The key.
        key: Key,
    },
}

/// An account.
#[derive(Debug, Deserialize)]
pub(crate) struct User {
    #[serde(rename = "user_id")]
    pub(crate) id: String,
    pub(crate) email: String,
    pub(crate) operator: bool,
}

/// What a key knows of itself.
#[derive(Debug, Deserialize)]
pub(crate) struct Key {
    pub(crate) api_key_id: String,
    pub(crate) organization_id: String,
    pub(crate) project_id: String,
    pub(crate) scopes: Vec<String>,
}

/// Says who calls.
pub(crate) async fn me(client: &Client) -> Result<Reply<Me>, Error> {
    client.get(client.url(&["api", "v1", "auth", "me"])).await
}
