//! What processes log: the id of every request, and nothing that is secret, personal, or what models are given and give.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use berth_test_support::{PostOffice, minilm_folder, wait_for};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use crate::installation::{Cluster, LIMIT};
use crate::tenant::{Tenant, http, packed};

const MODEL: &str = "all-minilm-l6-v2";

/// What is sent to models. The words stand in no other place.
const TEXT: &str = "Quarterly losses of the zephyrine quokka farm";

/// A person who calls, and remembers what nobody may find in a log, and the ids of the requests.
struct Caller {
    http: Client,
    address: String,
    secrets: BTreeMap<String, String>,
    requests: Vec<String>,
}

/// An answer.
struct Answered {
    status: u16,
    body: Value,
}

impl Answered {
    fn text(&self, name: &str) -> String {
        self.body[name].as_str().unwrap_or_default().to_owned()
    }
}

impl Caller {
    fn new(address: &str) -> Self {
        Self {
            http: http(),
            address: address.to_owned(),
            secrets: BTreeMap::new(),
            requests: Vec::new(),
        }
    }

    /// Nobody may find this.
    fn keep(&mut self, what: &str, secret: &str) -> String {
        assert!(secret.len() >= 8, "{what} is there: `{secret}`");
        self.secrets.insert(what.to_owned(), secret.to_owned());
        secret.to_owned()
    }

    fn request(&self, method: Method, path: &str, token: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.address));
        if token.is_empty() {
            request
        } else {
            request.bearer_auth(token)
        }
    }

    async fn send(&mut self, request: RequestBuilder) -> Answered {
        let response = request.send().await.expect("the server answers");
        let id = response
            .headers()
            .get("x-request-id")
            .and_then(|id| id.to_str().ok());
        self.requests.push(id.expect("every answer has an id").to_owned());
        let status = response.status().as_u16();
        let text = response.text().await.expect("the answer is whole");
        Answered {
            status,
            body: serde_json::from_str(&text).unwrap_or_default(),
        }
    }

    /// Sends JSON, which must be answered so.
    async fn post(&mut self, path: &str, token: &str, body: &Value, status: u16) -> Answered {
        let request = self.request(Method::POST, path, token).json(body);
        let answered = self.send(request).await;
        assert_eq!(answered.status, status, "{path}: {}", answered.body);
        answered
    }

    fn keep_session(&mut self, what: &str, session: &Answered) -> (String, String) {
        let access = self.keep(&format!("access token {what}"), &session.text("access_token"));
        // Whoever has the signature of a token can put it together again from what is public.
        if let Some((_, signature)) = access.rsplit_once('.') {
            self.keep(&format!("signature {what}"), signature);
        }
        let refresh = session.text("refresh_token");
        (access, self.keep(&format!("refresh token {what}"), &refresh))
    }
}

/// The code of the newest letter to this address.
async fn code_for(office: &PostOffice, email: &str, letters: usize) -> Result<String> {
    let taken = wait_for(LIMIT, || async {
        let letters_to: Vec<_> = office
            .letters()
            .into_iter()
            .filter(|letter| letter.contains(&format!("To: {email}")))
            .collect();
        (letters_to.len() >= letters)
            .then(|| letters_to.last().cloned())
            .flatten()
    });
    let letter = taken
        .await
        .with_context(|| format!("waiting for a letter to {email}"))?;
    let code = letter
        .lines()
        .find(|line| line.starts_with("    ") && !line.trim().contains(' '));
    Ok(code.context("a code stands in it")?.trim().to_owned())
}

/// Accounts, sessions, letters and refusals; gives an access token and a key that calls models.
async fn live(caller: &mut Caller, tenant: &Tenant, office: &PostOffice) -> Result<(String, String)> {
    let ada = caller.keep("address of a person", "ada.lovelace@example.org");
    let first = caller.keep("first password", "a first walk on the pier");
    let second = caller.keep("second password", "a second walk on the pier");
    let third = caller.keep("third password", "a third walk on the pier");
    let wrong = caller.keep("wrong password", "not a walk on any pier");

    let account = json!({ "email": ada, "password": first, "name": "Ada" });
    let session = caller.post("/api/v1/auth/sign-up", "", &account, 201).await;
    caller.keep_session("at sign-up", &session);
    let known = |password: &str| json!({ "email": ada, "password": password });
    let session = caller.post("/api/v1/auth/sign-in", "", &known(&first), 200).await;
    let (access, refresh) = caller.keep_session("at sign-in", &session);
    caller.post("/api/v1/auth/sign-in", "", &known(&wrong), 401).await;
    let session = json!({ "refresh_token": refresh });
    let session = caller.post("/api/v1/auth/refresh", "", &session, 200).await;
    caller.keep_session("at refresh", &session);
    let form = format!(
        "grant_type=password&username={ada}&password={}",
        first.replace(' ', "+")
    );
    let request = caller
        .request(Method::POST, "/api/v1/auth/token", "")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form);
    let session = caller.send(request).await;
    assert_eq!(session.status, 200, "{}", session.body);
    caller.keep_session("by a form", &session);

    let change = json!({ "current_password": first, "new_password": second });
    caller.post("/api/v1/auth/password", &access, &change, 204).await;
    let forgotten = json!({ "email": ada });
    caller
        .post("/api/v1/auth/password-resets", "", &forgotten, 202)
        .await;
    let code = code_for(office, &ada, 1).await?;
    let code = caller.keep("token of a password link", &code);
    let reset = json!({ "token": code, "new_password": third });
    caller
        .post("/api/v1/auth/password-resets/confirm", "", &reset, 204)
        .await;
    let session = caller.post("/api/v1/auth/sign-in", "", &known(&third), 200).await;
    let (access, _) = caller.keep_session("with a new password", &session);

    let bob = caller.keep("address of somebody invited", "bob.babbage@example.org");
    let path = format!("/api/v1/organizations/{}/invitations", tenant.organization);
    let invitation = json!({ "email": bob, "role": "viewer" });
    caller.post(&path, &tenant.token, &invitation, 201).await;
    let code = code_for(office, &bob, 1).await?;
    let code = caller.keep("token of an invitation", &code);
    let account = json!({ "email": bob, "password": second, "invitation": code });
    caller.post("/api/v1/auth/sign-up", "", &account, 201).await;

    let wish = json!({ "title": "a key", "scopes": ["inference.run"] });
    let made = caller
        .post(&tenant.path("/api-keys"), &tenant.token, &wish, 201)
        .await;
    let key = caller.keep("API key", &made.text("secret"));
    Ok((access, key))
}

/// Calls of models, answered and refused.
async fn call(caller: &mut Caller, access: &str, key: &str) {
    caller.keep("text for a model", TEXT);
    let wish = |model: &str| json!({ "model": model, "input": TEXT });
    let embedded = caller.post("/v1/embeddings", key, &wish(MODEL), 200).await;
    let number = embedded.body["data"][0]["embedding"][7].to_string();
    caller.keep("number of a vector", &number);
    caller
        .post("/v1/embeddings", key, &wish("no-such-model"), 404)
        .await;
    let misfit = json!({ "model": MODEL, "input": { TEXT: 1 } });
    caller.post("/v1/embeddings", key, &misfit, 400).await;
    let tensors = json!({ "inputs": [{ "name": TEXT, "shape": [1], "datatype": "BYTES", "data": [TEXT] }] });
    caller
        .post(&format!("/v2/models/{MODEL}/infer"), key, &tensors, 400)
        .await;
    let stranger = caller.keep(
        "key that is none",
        "bth_live_0123456789abcdefghij_0123456789abcdefghij",
    );
    caller.post("/v1/embeddings", &stranger, &wish(MODEL), 401).await;
    let broken = format!("{{\"model\": \"{MODEL}\", \"input\": \"{TEXT}");
    let request = caller.request(Method::POST, "/v1/embeddings", key).body(broken);
    assert_eq!(caller.send(request).await.status, 400);
    // Some clients put secrets where they do not belong.
    for path in [
        format!("/v1/models?api_key={key}"),
        format!("/api/v1/auth/me?access_token={access}"),
    ] {
        let request = caller.request(Method::GET, &path, "");
        assert_eq!(caller.send(request).await.status, 401, "{path}");
    }
    caller
        .post("/api/v1/auth/sign-out", access, &json!({}), 204)
        .await;
}

#[tokio::test]
async fn logs_hold_every_request_and_no_secret() {
    let office = PostOffice::open().await;
    let port = office.port.to_string();
    let settings = [
        ("BERTH_TELEMETRY__LOG_LEVEL", "debug"),
        ("BERTH_TELEMETRY__LOG_FORMAT", "json"),
        ("BERTH_MAIL__HOST", "127.0.0.1"),
        ("BERTH_MAIL__PORT", &port),
        ("BERTH_MAIL__SECURITY", "none"),
        ("BERTH_MAIL__FROM", "Berth <berth@berth.example>"),
    ];
    let cluster = Cluster::start_with(&settings).await.expect("starts");
    let tenant = Tenant::sign_up(cluster.address(), "tenant")
        .await
        .expect("signs up");
    let archive = packed(&minilm_folder().expect("is named")).expect("is packed");
    tenant
        .serve(MODEL, "model.tar.gz", archive)
        .await
        .expect("is served");

    let mut caller = Caller::new(cluster.address());
    let (access, key) = live(&mut caller, &tenant, &office).await.expect("goes well");
    call(&mut caller, &access, &key).await;

    let Cluster {
        mut worker,
        mut tasks,
        apis: [(mut api, _), _],
        ..
    } = cluster;
    // What is still in the pipes is written when they have ended.
    for process in [&mut api, &mut tasks, &mut worker] {
        assert!(process.terminate().expect("ends").success());
    }
    let logs = [
        ("the API", api.output()),
        ("the background work", tasks.output()),
        ("the worker", worker.output()),
    ];
    for (process, log) in &logs {
        assert!(log.contains("\"level\":\"DEBUG\""), "{process} logs at debug");
        for (what, secret) in &caller.secrets {
            let found = log.lines().find(|line| line.contains(secret.as_str()));
            assert!(found.is_none(), "{process} logged the {what}: {found:?}");
        }
    }
    let (_, log) = &logs[0];
    for id in &caller.requests {
        let line = log.lines().find(|line| line.contains(id.as_str()));
        assert!(line.is_some(), "the API logged nothing of the request {id}");
    }
    // What is not JSON would be lost on collectors.
    for (process, log) in &logs {
        for line in log.lines().filter(|line| !line.starts_with("listening on ")) {
            let parsed: Result<Value, _> = serde_json::from_str(line);
            assert!(parsed.is_ok_and(|line| line.is_object()), "{process}: {line}");
        }
    }
}
