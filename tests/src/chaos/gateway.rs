//! The way into the installation: every request goes through here, and every answer is judged.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, Response};
use serde_json::Value;
use tokio::time::Instant;

use super::handbook::Handbook;
use super::record::Record;
use super::weather::Weather;

/// Nothing that is sent here may take longer, whatever is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// What takes longer is a part of the story.
const LONG: Duration = Duration::from_secs(8);

/// Idle connections are given up well before the server does.
const IDLE: Duration = Duration::from_secs(2);

/// What is sent.
#[derive(Debug)]
pub(super) enum Body {
    Nothing,
    Json(Value),
    Bytes(Vec<u8>),
}

/// A request.
#[derive(Debug)]
pub(super) struct Request<'a> {
    /// What it is counted as.
    pub(super) what: &'static str,
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) token: &'a str,
    pub(super) body: Body,
    /// The codes with which it may be refused; any other is a fault.
    pub(super) may_fail: &'a [&'a str],
}

/// What became of a request.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It was answered with yes, and this.
    Accepted(Value),
    /// It was refused, with a code that was allowed.
    Refused,
    /// There was no answer, and nobody may be blamed for that.
    Silence,
    /// Something is wrong, and was noted.
    Fault,
}

/// Sends requests to both APIs.
#[derive(Debug)]
pub(super) struct Gateway {
    http: Client,
    addresses: [String; 2],
    weather: Arc<Weather>,
    record: Arc<Record>,
    handbook: Handbook,
}

impl Gateway {
    pub(super) fn new(addresses: [String; 2], weather: Arc<Weather>, record: Arc<Record>) -> Result<Self> {
        let http = Client::builder()
            .timeout(PATIENCE)
            .pool_idle_timeout(IDLE)
            .build()?;
        Ok(Self {
            http,
            addresses,
            weather,
            record,
            handbook: Handbook::read()?,
        })
    }

    /// Where things are noted.
    pub(super) fn record(&self) -> &Record {
        &self.record
    }

    /// Sends a request to one of the APIs, and judges the answer.
    pub(super) async fn send(&self, api: usize, request: Request<'_>) -> Outcome {
        let what = request.what;
        let before = self.weather.look(api);
        let begin = Instant::now();
        let exchanged = self.exchange(api, &request).await;
        if begin.elapsed() > LONG {
            let (took, end) = (begin.elapsed(), exchanged.as_ref().map(Answer::told));
            self.record
                .event(&format!("{what} at api {api} took {took:?}: {end:?}"));
        }
        let answer = match exchanged {
            Ok(answer) => answer,
            Err(error) if !error.is_timeout() && !self.weather.held_since(api, before) => {
                self.record.count(what, "no answer");
                return Outcome::Silence;
            }
            Err(error) => {
                let error = anyhow::Error::new(error);
                return self.fault(what, api, &format!("no answer though it is there: {error:#}"));
            }
        };
        if (200..300).contains(&answer.status) {
            self.record.count(what, "accepted");
            return Outcome::Accepted(answer.body);
        }
        let Some(code) = answer.code(request.path) else {
            return self.fault(what, api, &answer.told());
        };
        if let Some(objection) = self.handbook.objection(answer.status, &code, &answer.headers) {
            return self.fault(what, api, &format!("{objection}: {}", answer.told()));
        }
        if !request.may_fail.contains(&code.as_str()) {
            return self.fault(what, api, &format!("was refused: {}", answer.told()));
        }
        self.record.count(what, &code);
        Outcome::Refused
    }

    async fn exchange(&self, api: usize, request: &Request<'_>) -> Result<Answer, reqwest::Error> {
        let url = format!("{}{}", self.addresses[api], request.path);
        let sent = self.http.request(request.method.clone(), url);
        let sent = sent.bearer_auth(request.token);
        let sent = match &request.body {
            Body::Nothing => sent,
            Body::Json(value) => sent.json(value),
            Body::Bytes(bytes) => sent
                .header("content-type", "application/octet-stream")
                .body(bytes.clone()),
        };
        Answer::read(sent.send().await?).await
    }

    fn fault(&self, what: &'static str, api: usize, text: &str) -> Outcome {
        self.record.count(what, "fault");
        self.record.fault(&format!("{what} at api {api}: {text}"));
        Outcome::Fault
    }
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
    body: Value,
}

impl Answer {
    async fn read(response: Response) -> Result<Self, reqwest::Error> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await?;
        Ok(Self {
            status,
            headers,
            body: serde_json::from_str(&text).unwrap_or_default(),
            text,
        })
    }

    /// The code of an error whose body has the form that this path promises.
    fn code(&self, path: &str) -> Option<String> {
        let (object, keys) = if path.starts_with("/v1/") {
            (&self.body["error"], ["message", "type", "param", "code"])
        } else {
            (&self.body, ["type", "title", "status", "code"])
        };
        let object = object.as_object()?;
        let whole = keys.iter().all(|key| object.contains_key(*key));
        let code = object.get("code")?.as_str()?;
        whole.then(|| code.to_owned())
    }

    fn told(&self) -> String {
        format!("{} {}", self.status, self.text)
    }
}
