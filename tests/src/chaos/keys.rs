//! Makers of keys: make one, call with it, revoke it, and see that it is worthless everywhere a second later.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::gateway::{Body, Gateway, Outcome, Request};
use crate::installation::LIMIT;
use crate::tenant::{Key, Tenant};

/// How long after the answer to its revocation a key may still be taken.
const PROMISED: Duration = Duration::from_secs(1);

/// How long a revoked key is tried after that.
const TRIED_FOR: Duration = Duration::from_millis(1_500);

const RHYTHM: Duration = Duration::from_millis(150);

/// How often a fresh key is tried at each API, until it is taken there.
const FIRST_CALLS: usize = 5;

/// Makes keys and revokes them.
#[derive(Debug)]
pub(super) struct Maker {
    number: usize,
    gateway: Arc<Gateway>,
    tenant: Tenant,
}

impl Maker {
    pub(super) fn new(number: usize, gateway: Arc<Gateway>, tenant: Tenant) -> Self {
        Self {
            number,
            gateway,
            tenant,
        }
    }

    /// Goes on until told to stop; a key that was made is revoked. Gives the keys.
    pub(super) async fn run(self, stop: watch::Receiver<bool>) -> Vec<Key> {
        let mut tick = interval(RHYTHM);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut revoked = Vec::new();
        let mut turn = self.number;
        while !*stop.borrow() {
            tick.tick().await;
            turn += 1;
            let Some(key) = self.make(turn % 2).await else {
                continue;
            };
            for api in [0, 1] {
                for _ in 0..FIRST_CALLS {
                    // Both have the key in their caches now, if nothing is in the way.
                    if let Outcome::Accepted(_) = self.use_key("fresh key", api, &key, &["unavailable"]).await
                    {
                        break;
                    }
                    tick.tick().await;
                }
            }
            if let Some(answered) = self.revoke((turn / 2) % 2, &key).await {
                self.watch(answered, &key).await;
                revoked.push(key);
            }
        }
        revoked
    }

    async fn make(&self, api: usize) -> Option<Key> {
        let request = Request {
            what: "make key",
            method: Method::POST,
            path: &self.tenant.path("/api-keys"),
            token: &self.tenant.token,
            body: Body::Json(json!({ "title": "chaos", "scopes": ["inference.run"] })),
            may_fail: &["unavailable"],
        };
        let Outcome::Accepted(made) = self.gateway.send(api, request).await else {
            return None;
        };
        let text = |name: &str| made[name].as_str().map(str::to_owned);
        Some(Key {
            id: text("api_key_id")?,
            text: text("secret")?,
        })
    }

    /// Revokes a key; again and again until one of the APIs says that it is done. Gives the time of that answer.
    async fn revoke(&self, first: usize, key: &Key) -> Option<Instant> {
        let mut tick = interval(RHYTHM);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let begin = Instant::now();
        let mut api = first;
        while begin.elapsed() < LIMIT {
            tick.tick().await;
            let request = Request {
                what: "revoke key",
                method: Method::POST,
                path: &self.tenant.path(&format!("/api-keys/{}/revoke", key.id)),
                token: &self.tenant.token,
                body: Body::Json(Value::Object(serde_json::Map::new())),
                may_fail: &["unavailable"],
            };
            match self.gateway.send(api, request).await {
                Outcome::Accepted(_) => return Some(Instant::now()),
                Outcome::Fault => return None,
                Outcome::Refused | Outcome::Silence => api = 1 - api,
            }
        }
        let text = format!("the key {} could not be revoked within {LIMIT:?}", key.id);
        self.gateway.record().fault(&text);
        None
    }

    /// Tries a revoked key from the promised moment on.
    async fn watch(&self, answered: Instant, key: &Key) {
        // What is promised is a time, so a time is waited for.
        sleep_until(answered + PROMISED).await;
        let mut tick = interval(RHYTHM);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while answered.elapsed() < PROMISED + TRIED_FOR {
            tick.tick().await;
            for api in [0, 1] {
                let since = answered.elapsed();
                let may_fail = ["api_key_revoked", "unavailable"];
                if let Outcome::Accepted(_) = self.use_key("revoked key", api, key, &may_fail).await {
                    let text = format!("api {api} took the key {} {since:?} after it was revoked", key.id);
                    self.gateway.record().fault(&text);
                }
            }
        }
    }

    async fn use_key(&self, what: &'static str, api: usize, key: &Key, may_fail: &[&str]) -> Outcome {
        use_key(&self.gateway, what, api, key, may_fail).await
    }
}

/// Calls with a key.
pub(super) async fn use_key(
    gateway: &Gateway,
    what: &'static str,
    api: usize,
    key: &Key,
    may_fail: &[&str],
) -> Outcome {
    let request = Request {
        what,
        method: Method::GET,
        path: "/v1/models",
        token: &key.text,
        body: Body::Nothing,
        may_fail,
    };
    gateway.send(api, request).await
}
