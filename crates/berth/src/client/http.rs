//! Calls to the server: addresses, who calls, and reading what comes back.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::{Body, Method, RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::credentials::{Credentials, Session, Store};
use super::{Error, Refusal, sessions};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an answer may take; uploads are not bounded as a whole.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(2);

/// How many items are asked for at a time; the most that the server gives.
const PAGE_ITEMS: &str = "200";

/// Who calls.
#[derive(Debug, Clone)]
pub(crate) enum Identity {
    /// Nobody: signing in.
    Nobody,
    /// A program with an API key.
    Key(String),
    /// A person, for no longer than one access token lasts.
    Visitor(Session),
    /// A person; a renewed session is kept in the store.
    Person(Session, Store),
}

/// An answer: what the server said, and what this client makes of it.
#[derive(Debug)]
pub(crate) struct Reply<T> {
    /// The JSON as it came.
    pub(crate) json: Value,
    /// What of it this client knows.
    pub(crate) body: T,
}

/// Calls the server at one address as one caller.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    identity: Mutex<Identity>,
}

impl Client {
    /// Calls the server at `url` as `identity`. Fails when `url` is none.
    pub(crate) fn new(url: &str, identity: Identity) -> Result<Self, Error> {
        let wrong = || Error::Url { url: url.to_owned() };
        let base = Url::parse(url).map_err(|_| wrong())?;
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(wrong());
        }
        let http = reqwest::Client::builder()
            .user_agent(concat!("berth/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
            .map_err(|source| Error::Unreachable {
                url: url.to_owned(),
                source,
            })?;
        Ok(Self {
            http,
            base,
            identity: Mutex::new(identity),
        })
    }

    /// Whether a key calls, rather than a person.
    pub(crate) fn calls_with_key(&self) -> bool {
        matches!(
            &*self.identity.lock().unwrap_or_else(PoisonError::into_inner),
            Identity::Key(_)
        )
    }

    /// The address of a path, made of parts that are escaped as needed.
    pub(crate) fn url(&self, parts: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(parts);
        }
        url
    }

    /// Reads.
    pub(crate) async fn get<T: DeserializeOwned>(&self, url: Url) -> Result<Reply<T>, Error> {
        self.call(Method::GET, url, None).await
    }

    /// Creates, or does something.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        url: Url,
        body: &impl Serialize,
    ) -> Result<Reply<T>, Error> {
        let body = json_of(&url, body)?;
        self.call(Method::POST, url, Some(body)).await
    }

    /// Changes.
    pub(crate) async fn patch<T: DeserializeOwned>(
        &self,
        url: Url,
        body: &impl Serialize,
    ) -> Result<Reply<T>, Error> {
        let body = json_of(&url, body)?;
        self.call(Method::PATCH, url, Some(body)).await
    }

    /// Removes.
    pub(crate) async fn delete(&self, url: Url) -> Result<(), Error> {
        self.send(Method::DELETE, &url, None).await.map(|_| ())
    }

    /// Creates from a stream, which cannot be sent twice: the session is renewed before rather than after.
    pub(crate) async fn upload<T: DeserializeOwned>(
        &self,
        url: Url,
        headers: &[(&str, String)],
        body: Body,
    ) -> Result<Reply<T>, Error> {
        self.renew(None).await?;
        let mut request = self.request(Method::POST, &url).body(body);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let response = deliver(&url, request).await?;
        read(&url, accept(&url, response).await?).await
    }

    /// Every item of a list that comes in pages.
    pub(crate) async fn list<T: DeserializeOwned>(&self, url: Url) -> Result<Reply<Vec<T>>, Error> {
        let mut items = Vec::new();
        let mut page = url.clone();
        page.query_pairs_mut().append_pair("limit", PAGE_ITEMS);
        loop {
            let mut reply = self.get::<Page>(page.clone()).await?;
            items.append(&mut reply.body.data);
            let Some(last) = reply.body.last_id.filter(|_| reply.body.has_more) else {
                break;
            };
            page = url.clone();
            page.query_pairs_mut()
                .append_pair("limit", PAGE_ITEMS)
                .append_pair("after", &last);
        }
        let json = Value::Array(items);
        let body = Vec::deserialize(&json).map_err(|source| Error::Body {
            url: url.into(),
            source,
        })?;
        Ok(Reply { json, body })
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        url: Url,
        body: Option<Vec<u8>>,
    ) -> Result<Reply<T>, Error> {
        let response = self.send(method, &url, body).await?;
        read(&url, response).await
    }

    /// Sends, and once more with a renewed session when the first answer is that it has expired.
    async fn send(&self, method: Method, url: &Url, body: Option<Vec<u8>>) -> Result<Response, Error> {
        let attempt = || {
            let mut request = self.request(method.clone(), url).timeout(ANSWER_TIMEOUT);
            if let Some(body) = &body {
                request = request
                    .header("content-type", "application/json")
                    .body(body.clone());
            }
            deliver(url, request)
        };
        let session = self.session();
        let response = attempt().await?;
        if response.status() == StatusCode::UNAUTHORIZED && session.is_some() {
            self.renew(session).await?;
            return accept(url, attempt().await?).await;
        }
        accept(url, response).await
    }

    fn request(&self, method: Method, url: &Url) -> RequestBuilder {
        let request = self.http.request(method, url.clone());
        match &*self.identity.lock().unwrap_or_else(PoisonError::into_inner) {
            Identity::Nobody => request,
            Identity::Key(key) => request.bearer_auth(key),
            Identity::Visitor(session) | Identity::Person(session, _) => {
                request.bearer_auth(&session.access_token)
            }
        }
    }

    fn session(&self) -> Option<Session> {
        match &*self.identity.lock().unwrap_or_else(PoisonError::into_inner) {
            Identity::Person(session, _) => Some(session.clone()),
            _ => None,
        }
    }

    /// Renews the session of a person, unless another process did since `seen` was read. With `None`, renews always.
    async fn renew(&self, seen: Option<Session>) -> Result<(), Error> {
        let store = match &*self.identity.lock().unwrap_or_else(PoisonError::into_inner) {
            Identity::Person(_, store) => store.clone(),
            _ => return Ok(()),
        };
        let locked = store.clone();
        let lock = tokio::task::spawn_blocking(move || locked.lock()).await;
        let _lock = lock.map_err(|error| store.failed("locking", error))??;
        let Some(mut credentials) = store.read()? else {
            return Err(Error::NotSignedIn);
        };
        let Some(current) = credentials.session.take() else {
            return Err(Error::NotSignedIn);
        };
        let session = if seen.as_ref().is_some_and(|seen| *seen != current) {
            current
        } else {
            let session = sessions::refresh(self, &current.refresh_token).await?;
            store.write(&Credentials {
                session: Some(session.clone()),
                ..credentials
            })?;
            session
        };
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = Identity::Person(session, store);
        Ok(())
    }

    /// A call as nobody, whoever this client calls as.
    pub(crate) async fn post_as_nobody<T: DeserializeOwned>(
        &self,
        url: Url,
        body: &impl Serialize,
    ) -> Result<T, Error> {
        let body = json_of(&url, body)?;
        let request = self.http.post(url.clone()).timeout(ANSWER_TIMEOUT);
        let request = request.header("content-type", "application/json").body(body);
        let response = accept(&url, deliver(&url, request).await?).await?;
        Ok(read(&url, response).await?.body)
    }
}

/// One page of a list.
#[derive(Debug, Deserialize)]
struct Page {
    data: Vec<Value>,
    last_id: Option<String>,
    #[serde(default)]
    has_more: bool,
}

fn json_of(url: &Url, body: &impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(body).map_err(|source| Error::Body {
        url: url.to_string(),
        source,
    })
}

async fn deliver(url: &Url, request: RequestBuilder) -> Result<Response, Error> {
    request.send().await.map_err(|source| Error::Unreachable {
        url: url.to_string(),
        source: source.without_url(),
    })
}

/// The response, if it says yes.
async fn accept(url: &Url, response: Response) -> Result<Response, Error> {
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status().as_u16();
    let id = response
        .headers()
        .get("x-request-id")
        .and_then(|id| id.to_str().ok())
        .map(str::to_owned);
    let body = bytes_of(url, response).await?;
    Err(Error::Refused(Box::new(Refusal::read(status, id, &body))))
}

async fn read<T: DeserializeOwned>(url: &Url, response: Response) -> Result<Reply<T>, Error> {
    let bytes = bytes_of(url, response).await?;
    let unreadable = |source| Error::Body {
        url: url.to_string(),
        source,
    };
    // An answer without content is read as null, which fits the unit type.
    let json: Value = if bytes.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&bytes).map_err(unreadable)?
    };
    let body = T::deserialize(&json).map_err(unreadable)?;
    Ok(Reply { json, body })
}

async fn bytes_of(url: &Url, response: Response) -> Result<bytes::Bytes, Error> {
    let failed = |source: reqwest::Error| Error::Unreachable {
        url: url.to_string(),
        source: source.without_url(),
    };
    response.bytes().await.map_err(failed)
}
