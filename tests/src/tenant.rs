//! What a tenant does over the API.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use berth_test_support::wait_for;
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::installation::LIMIT;

/// The password of every person in these tests.
pub const PASSWORD: &str = "correct horse battery staple";

/// A person with an organization and a project of their own.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// The address of the server.
    pub address: String,
    /// The person's access token.
    pub token: String,
    /// The id of the organization.
    pub organization: String,
    /// The id of the project.
    pub project: String,
    http: Client,
}

/// An API key.
#[derive(Debug, Clone)]
pub struct Key {
    /// Its id.
    pub id: String,
    /// The text to call with.
    pub text: String,
}

/// An answer, read whole.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The header `retry-after`.
    pub retry_after: Option<String>,
    /// The body; null when it is empty or no JSON.
    pub body: Value,
    /// The body as text.
    pub text: String,
}

impl Answer {
    /// Reads an answer whole.
    pub async fn read(response: Response) -> Result<Self> {
        let status = response.status();
        let retry_after = response
            .headers()
            .get("retry-after")
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let text = response.text().await.context("reading an answer")?;
        let body = serde_json::from_str(&text).unwrap_or_default();
        Ok(Self {
            status,
            retry_after,
            body,
            text,
        })
    }

    /// The answer, if it says yes.
    pub fn accepted(self) -> Result<Self> {
        ensure!(
            self.status.is_success(),
            "the server answered {}: {}",
            self.status,
            self.text
        );
        Ok(self)
    }

    /// The stable code of an error, in any of the three forms of error bodies.
    pub fn code(&self) -> Option<&str> {
        self.body["code"]
            .as_str()
            .or_else(|| self.body["error"]["code"].as_str())
    }

    /// A text of the body.
    pub fn text_of(&self, name: &str) -> Result<String> {
        let text = self.body[name].as_str().map(str::to_owned);
        text.with_context(|| format!("`{name}` in {}", self.text))
    }
}

/// A client for HTTP.
pub fn http() -> Client {
    // Several parts of one test process may come here; the first one sets the provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::new()
}

impl Tenant {
    /// Signs up as `name` at the server, which must be open for it, and makes an organization and a project.
    pub async fn sign_up(address: &str, name: &str) -> Result<Self> {
        Self::sign_up_by(http(), address, name).await
    }

    /// The same, by a client of the test's own.
    pub async fn sign_up_by(http: Client, address: &str, name: &str) -> Result<Self> {
        let mut tenant = Self {
            address: address.to_owned(),
            token: String::new(),
            organization: String::new(),
            project: String::new(),
            http,
        };
        let account = json!({ "email": format!("{name}@example.com"), "password": PASSWORD });
        let session = tenant
            .post("/api/v1/auth/sign-up", &account)
            .await?
            .accepted()
            .context("signing up")?;
        tenant.token = session.text_of("access_token")?;
        let wish = json!({ "name": name, "title": name });
        let made = tenant
            .post("/api/v1/organizations", &wish)
            .await?
            .accepted()
            .context("making an organization")?;
        tenant.organization = made.text_of("organization_id")?;
        let path = format!("/api/v1/organizations/{}/projects", tenant.organization);
        let made = tenant
            .post(&path, &wish)
            .await?
            .accepted()
            .context("making a project")?;
        tenant.project = made.text_of("project_id")?;
        Ok(tenant)
    }

    /// The same tenant at another address of the installation.
    pub fn at(&self, address: &str) -> Self {
        Self {
            address: address.to_owned(),
            ..self.clone()
        }
    }

    /// A path inside the project.
    pub fn path(&self, rest: &str) -> String {
        format!(
            "/api/v1/organizations/{}/projects/{}{rest}",
            self.organization, self.project
        )
    }

    /// Reads, as the person.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        let request = self
            .http
            .get(format!("{}{path}", self.address))
            .bearer_auth(&self.token);
        Answer::read(request.send().await?).await
    }

    /// Sends JSON, as the person.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        let mut request = self.http.post(format!("{}{path}", self.address)).json(body);
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        Answer::read(request.send().await?).await
    }

    /// Changes with JSON, as the person.
    pub async fn patch(&self, path: &str, body: &Value) -> Result<Answer> {
        let request = self.http.patch(format!("{}{path}", self.address)).json(body);
        Answer::read(request.bearer_auth(&self.token).send().await?).await
    }

    /// Makes a key that may call models.
    pub async fn make_key(&self) -> Result<Key> {
        let wish = json!({ "title": "test", "scopes": ["inference.run"] });
        let made = self
            .post(&self.path("/api-keys"), &wish)
            .await?
            .accepted()
            .context("making a key")?;
        Ok(Key {
            id: made.text_of("api_key_id")?,
            text: made.text_of("secret")?,
        })
    }

    /// Revokes a key.
    pub async fn revoke(&self, key: &Key) -> Result<()> {
        let path = self.path(&format!("/api-keys/{}/revoke", key.id));
        self.post(&path, &json!({})).await?.accepted().map(|_| ())
    }

    /// Uploads bytes as a version of a model.
    pub async fn upload(&self, model: &str, file_name: &str, bytes: Vec<u8>) -> Result<Answer> {
        let url = format!(
            "{}{}?filename={file_name}",
            self.address,
            self.path(&format!("/models/{model}/versions"))
        );
        let request = self.http.post(url).bearer_auth(&self.token);
        let request = request
            .header("content-type", "application/octet-stream")
            .body(bytes);
        Answer::read(request.send().await?).await
    }

    /// Uploads a model, waits until it is proved, and serves it under its own name until it answers.
    pub async fn serve(&self, model: &str, file_name: &str, bytes: Vec<u8>) -> Result<()> {
        let uploaded = self
            .upload(model, file_name, bytes)
            .await?
            .accepted()
            .context("uploading")?;
        let number = uploaded.body["number"]
            .as_u64()
            .context("a version has a number")?;
        self.wait_until_proved(model, number).await?;
        let wish = json!({ "name": model, "model": model, "versions": [{ "number": number }] });
        self.post(&self.path("/deployments"), &wish)
            .await?
            .accepted()
            .context("deploying")?;
        let key = self.make_key().await?;
        self.wait_until_served(model, &key).await
    }

    /// Waits until a version is ready. Fails with the reason when it is not to be.
    pub async fn wait_until_proved(&self, model: &str, number: u64) -> Result<()> {
        let path = self.path(&format!("/models/{model}/versions/{number}"));
        let proved = wait_for(LIMIT, || async {
            let version = self.get(&path).await.ok()?;
            (version.body["state"] != "checking").then_some(version)
        });
        let version = proved.await.context("waiting for the proof")?;
        ensure!(
            version.body["state"] == "ready",
            "the version is not ready: {}",
            version.text
        );
        Ok(())
    }

    /// Waits until a model answers that it is ready.
    pub async fn wait_until_served(&self, model: &str, key: &Key) -> Result<()> {
        let path = format!("/v2/models/{model}/ready");
        let ready = || async {
            self.call(Method::GET, &path, key, None)
                .await
                .is_ok_and(|answer| answer.status.is_success())
        };
        berth_test_support::wait_until(LIMIT, ready)
            .await
            .with_context(|| format!("waiting for `{model}`"))
    }

    /// Calls the server with a key.
    pub async fn call(&self, method: Method, path: &str, key: &Key, body: Option<&Value>) -> Result<Answer> {
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.address))
            .bearer_auth(&key.text);
        if let Some(body) = body {
            request = request.json(body);
        }
        Answer::read(request.send().await?).await
    }

    /// Embeds texts with a key.
    pub async fn embed(&self, model: &str, key: &Key, input: &Value) -> Result<Answer> {
        self.call(
            Method::POST,
            "/v1/embeddings",
            key,
            Some(&json!({ "model": model, "input": input })),
        )
        .await
    }
}

/// A folder as a `.tar.gz`, made by the `tar` of the machine. Blocks the thread.
pub fn packed(folder: &Path) -> Result<Vec<u8>> {
    let done = std::process::Command::new("tar")
        .args(["-czhf-", "--hard-dereference"])
        .arg("-C")
        .arg(folder)
        .arg(".")
        .output();
    let done = done.context("running tar")?;
    ensure!(
        done.status.success(),
        "tar failed: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    Ok(done.stdout)
}
