//! The verdict on what was promised to callers: it must hold soon after the storm.

use std::time::Duration;

use anyhow::{Context as _, Result};
use berth_queue::Queue as _;
use berth_queue::amqp::{Amqp, Options};
use berth_test_support::wait_until;
use reqwest::Method;
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};

use super::breaker::Breaker;
use super::callers::Callers;
use super::gateway::{Body, Gateway, Outcome, Request};
use super::keys::use_key;
use super::uploaders::{Accepted, HOSTILE};
use crate::installation::LIMIT;
use crate::tenant::{Key, Tenant, http};

/// How long the checks of what was uploaded last may take: one that failed waits up to a quarter of a minute for the next
/// try.
const CHECKS: Duration = Duration::from_mins(2);

/// Both APIs are ready, the model answers rightly at both, and revoked keys are worthless at both.
pub(super) async fn service(
    breaker: &mut Breaker,
    callers: &Callers,
    gateway: &Gateway,
    revoked: &[Key],
) -> Result<()> {
    breaker.note_deaths()?;
    let client = http();
    for (api, (_, address)) in breaker.cluster.apis.iter().enumerate() {
        let url = format!("{address}/readyz");
        let ready = || async {
            let answer = client.get(&url).send().await;
            answer.is_ok_and(|answer| answer.status().is_success())
        };
        if wait_until(LIMIT, ready).await.is_err() {
            breaker.record.fault(&format!("api {api} does not become ready"));
        }
        let every_text = [0, 1, 2, 3, 4];
        let serves = || {
            callers.call(
                api,
                &every_text,
                &["unavailable", "model_not_ready", "runner_crashed"],
            )
        };
        if wait_until(LIMIT, serves).await.is_err() {
            breaker
                .record
                .fault(&format!("api {api} does not serve the model any more"));
        }
        for key in revoked {
            match use_key(gateway, "revoked key in the end", api, key, &["api_key_revoked"]).await {
                Outcome::Refused | Outcome::Fault => {}
                other => {
                    let text = format!("the revoked key {} gets {other:?} at api {api}", key.id);
                    breaker.record.fault(&text);
                }
            }
        }
    }
    breaker.record.event("the service was looked at");
    Ok(())
}

/// Every accepted version is ready, none is there twice, and no work is left or lost.
pub(super) async fn versions(
    breaker: &Breaker,
    gateway: &Gateway,
    tenant: &Tenant,
    accepted: &[Accepted],
) -> Result<()> {
    let record = &breaker.record;
    let url = breaker.cluster.database().system_url();
    let count = async |query: &'static str| -> Result<i64> {
        let mut connection = PgConnection::connect(&url).await?;
        Ok(sqlx::query_scalar(query).fetch_one(&mut connection).await?)
    };
    let (unsent, unchecked) = (
        "SELECT count(*) FROM outbox",
        "SELECT count(*) FROM model_versions WHERE state = 'checking'",
    );
    let done = || async {
        count(unsent).await.is_ok_and(|n| n == 0) && count(unchecked).await.is_ok_and(|n| n == 0)
    };
    if wait_until(CHECKS, done).await.is_err() {
        let (unsent, unchecked) = (count(unsent).await?, count(unchecked).await?);
        record.fault(&format!(
            "{unsent} messages are not sent, {unchecked} versions are not checked"
        ));
    }
    // Beside those of the storm there is the model that is served.
    let (expected, found) = (
        accepted.len() + 1,
        count("SELECT count(*) FROM model_versions").await?,
    );
    if i64::try_from(expected) != Ok(found) {
        record.fault(&format!("{expected} versions were accepted, {found} are there"));
    }
    for one in accepted {
        let version = ask(
            gateway,
            tenant,
            &format!("/models/{}/versions/{}", one.model, one.number),
        )
        .await;
        let is_there =
            |version: &Value| version["state"] == "ready" && version["version_id"] == one.version.as_str();
        if !version.as_ref().is_some_and(is_there) {
            let text = format!("{} version {} is not ready: {version:?}", one.model, one.number);
            record.fault(&text);
        }
    }
    if ask(gateway, tenant, &format!("/models/{HOSTILE}"))
        .await
        .is_some()
    {
        record.fault("a model was made for uploads that mean harm");
    }
    dead_letters(breaker).await?;
    record.event("the versions were looked at");
    Ok(())
}

/// An object of the project, if it is there.
async fn ask(gateway: &Gateway, tenant: &Tenant, path: &str) -> Option<Value> {
    let request = Request {
        what: "look in the end",
        method: Method::GET,
        path: &tenant.path(path),
        token: &tenant.token,
        body: Body::Nothing,
        may_fail: &["not_found"],
    };
    match gateway.send(0, request).await {
        Outcome::Accepted(object) => Some(object),
        _ => None,
    }
}

async fn dead_letters(breaker: &Breaker) -> Result<()> {
    let broker = breaker.cluster.broker();
    let options = Options {
        prefix: broker.prefix().to_owned(),
        ..Options::new(broker.url())
    };
    let queue = Amqp::connect(&options).context("reaching the broker")?;
    for letter in queue.dead_letters(10).await? {
        let text = format!("a dead letter of `{}`: {}", letter.kind, letter.reason);
        breaker.record.fault(&text);
    }
    Ok(())
}
