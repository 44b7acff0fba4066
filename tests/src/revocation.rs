//! A key that no longer holds is worthless on every node within a second, whichever way it came to its end.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use berth_domain::clock::{Clock as _, SystemClock, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::installation::{Cluster, Member, Server};
use crate::tenant::{Answer, Key, Tenant};

/// What is promised. A call that is sent later than that is refused, however long it takes to be answered.
const PROMISE: Duration = Duration::from_secs(1);

/// From when to when a key comes to its end: before it holds, after it does not.
#[derive(Debug, Clone, Copy)]
struct End {
    begin: Instant,
    done: Instant,
}

/// A call with a key.
#[derive(Debug, Clone)]
struct Probe {
    sent: Instant,
    answered: Instant,
    /// `None` when it was answered as asked, else the status and the code.
    refusal: Option<(u16, String)>,
}

/// A person's token, to be sent as keys are.
fn token(tenant: &Tenant) -> Key {
    Key {
        id: String::new(),
        text: tenant.token.clone(),
    }
}

async fn probe(tenant: &Tenant, key: &Key) -> Result<Probe> {
    let sent = Instant::now();
    let answer = tenant.call(Method::GET, "/v1/models", key, None).await?;
    let answered = Instant::now();
    let code = answer.code().unwrap_or_default().to_owned();
    Ok(Probe {
        sent,
        answered,
        refusal: (!answer.status.is_success()).then(|| (answer.status.as_u16(), code)),
    })
}

/// Calls with the key, one call after the other, until one was sent when the promise was due.
async fn watch(tenant: &Tenant, key: &Key, end: watch::Receiver<Option<End>>) -> Result<Vec<Probe>> {
    let mut probes = Vec::new();
    loop {
        let next = probe(tenant, key).await?;
        let is_last = end.borrow().is_some_and(|end| next.sent > end.done + PROMISE);
        probes.push(next);
        if is_last {
            return Ok(probes);
        }
    }
}

/// What one node has to answer: as asked until the end begins, one of `refusals` from a second after it is done, and once it
/// has refused, nothing else.
fn check(probes: &[Probe], end: End, refusals: &[(u16, &str)]) -> Result<()> {
    let mut refused = false;
    for probe in probes {
        let Some((status, code)) = &probe.refusal else {
            let late = probe.sent.saturating_duration_since(end.done);
            ensure!(late <= PROMISE, "the key was admitted {late:?} after its end");
            ensure!(!refused, "the key was admitted after it had been refused");
            continue;
        };
        ensure!(
            probe.answered >= end.begin,
            "the key was refused with {status} `{code}` before its end"
        );
        ensure!(
            refusals.contains(&(*status, code.as_str())),
            "the key was refused with {status} `{code}`"
        );
        refused = true;
    }
    Ok(())
}

/// Has the key used on every node before, while and after `ending` ends it, and checks what they answer.
async fn ends_everywhere(
    nodes: &[Tenant; 2],
    key: &Key,
    ending: impl AsyncFnOnce(&Tenant) -> Result<End>,
    refusals: &[(u16, &str)],
) -> Result<()> {
    for node in nodes {
        let held = probe(node, key).await?;
        ensure!(held.refusal.is_none(), "the key holds at first: {held:?}");
    }
    let (tell, told) = watch::channel(None);
    let end = async {
        let end = ending(&nodes[0]).await?;
        tell.send_replace(Some(end));
        anyhow::Ok(end)
    };
    let (here, there) = (watch(&nodes[0], key, told.clone()), watch(&nodes[1], key, told));
    let (end, here, there) = tokio::try_join!(end, here, there)?;
    check(&here, end, refusals).context("where it was ended")?;
    check(&there, end, refusals).context("on the other node")
}

/// Sends a change that ends a key.
async fn change(tenant: &Tenant, method: Method, path: &str, body: Option<&Value>) -> Result<(End, Answer)> {
    let begin = Instant::now();
    let answer = tenant
        .call(method, path, &token(tenant), body)
        .await?
        .accepted()?;
    let done = Instant::now();
    Ok((End { begin, done }, answer))
}

async fn post(tenant: &Tenant, path: String) -> Result<End> {
    Ok(change(tenant, Method::POST, &path, Some(&json!({}))).await?.0)
}

async fn delete(tenant: &Tenant, path: String) -> Result<End> {
    Ok(change(tenant, Method::DELETE, &path, None).await?.0)
}

fn organization(tenant: &Tenant) -> String {
    format!("/api/v1/organizations/{}", tenant.organization)
}

/// Another organization of the same person, on every node.
async fn fresh(nodes: &[Tenant; 2], name: &str) -> Result<[Tenant; 2]> {
    let wish = json!({ "name": name, "title": name });
    let mut here = nodes[0].clone();
    let made = here.post("/api/v1/organizations", &wish).await?.accepted()?;
    here.organization = made.text_of("organization_id")?;
    let path = format!("{}/projects", organization(&here));
    here.project = here.post(&path, &wish).await?.accepted()?.text_of("project_id")?;
    let there = here.at(&nodes[1].address);
    Ok([here, there])
}

async fn start(cluster: &Cluster) -> Result<[Tenant; 2]> {
    let here = Tenant::sign_up(cluster.address(), "tenant").await?;
    let there = here.at(&cluster.apis[1].1);
    Ok([here, there])
}

const REVOKED: &[(u16, &str)] = &[(401, "api_key_revoked")];
const UNKNOWN: &[(u16, &str)] = &[(401, "invalid_api_key")];

async fn revoke(nodes: &[Tenant; 2]) -> Result<()> {
    let key = nodes[0].make_key().await?;
    let path = nodes[0].path(&format!("/api-keys/{}/revoke", key.id));
    ends_everywhere(nodes, &key, async |here| post(here, path).await, REVOKED).await
}

/// Rotates with a grace period, after which the old text ends by itself and the new one goes on.
async fn rotate(nodes: &[Tenant; 2], grace_seconds: u32) -> Result<()> {
    let old = nodes[0].make_key().await?;
    let path = nodes[0].path(&format!("/api-keys/{}/rotate", old.id));
    let mut new = None;
    let ending = async |here: &Tenant| {
        let wish = json!({ "grace_seconds": grace_seconds });
        let (end, rotated) = change(here, Method::POST, &path, Some(&wish)).await?;
        new = Some(Key {
            id: old.id.clone(),
            text: rotated.text_of("secret")?,
        });
        if grace_seconds == 0 {
            return Ok(end);
        }
        let expires_at: Timestamp = rotated.body["secrets"][0]["expires_at"]
            .as_str()
            .context("the old secret expires")?
            .parse()?;
        let left = (expires_at - SystemClock.now()).to_std()?;
        let over = Instant::now() + left;
        Ok(End {
            begin: over,
            done: over,
        })
    };
    ends_everywhere(nodes, &old, ending, REVOKED).await?;
    let new = new.context("the key was rotated")?;
    for node in nodes {
        let held = probe(node, &new).await?;
        ensure!(held.refusal.is_none(), "the new text holds: {held:?}");
    }
    Ok(())
}

/// A service account with a key.
async fn service_account(tenant: &Tenant, name: &str) -> Result<(String, Key)> {
    let path = tenant.path("/service-accounts");
    let wish = json!({ "name": name, "title": name });
    let account = tenant.post(&path, &wish).await?.accepted()?;
    let account = account.text_of("service_account_id")?;
    let wish = json!({ "title": name, "scopes": ["inference.run"], "service_account_id": account });
    let made = tenant.post(&tenant.path("/api-keys"), &wish).await?.accepted()?;
    let key = Key {
        id: made.text_of("api_key_id")?,
        text: made.text_of("secret")?,
    };
    Ok((format!("{path}/{account}"), key))
}

async fn end_service_accounts(nodes: &[Tenant; 2]) -> Result<()> {
    let (account, key) = service_account(&nodes[0], "disabled").await?;
    let refusals = &[(403, "api_key_holder_disabled")];
    let path = format!("{account}/disable");
    ends_everywhere(nodes, &key, async |here| post(here, path).await, refusals)
        .await
        .context("disabling the service account")?;
    let (account, key) = service_account(&nodes[0], "deleted").await?;
    ends_everywhere(nodes, &key, async |here| delete(here, account).await, UNKNOWN)
        .await
        .context("deleting the service account")
}

async fn suspend(nodes: &[Tenant; 2], what: String, code: &str) -> Result<()> {
    let key = nodes[0].make_key().await?;
    let path = format!("{what}/suspend");
    let suspended = ends_everywhere(nodes, &key, async |here| post(here, path).await, &[(403, code)]).await;
    suspended.with_context(|| format!("suspending {what}"))
}

async fn end(nodes: &[Tenant; 2], what: String) -> Result<()> {
    let key = nodes[0].make_key().await?;
    let ended = ends_everywhere(
        nodes,
        &key,
        async |here| delete(here, what.clone()).await,
        UNKNOWN,
    )
    .await;
    ended.with_context(|| format!("deleting {what}"))
}

#[tokio::test]
async fn keys_end_on_every_node_within_a_second() {
    let cluster = Cluster::start().await.expect("starts");
    let nodes = start(&cluster).await.expect("signs up");
    revoke(&nodes).await.expect("a revocation");
    rotate(&nodes, 0).await.expect("a rotation");
    rotate(&nodes, 2).await.expect("the end of a grace period");
    end_service_accounts(&nodes).await.expect("service accounts");
    let project = nodes[0].path("");
    suspend(&nodes, project, "project_suspended")
        .await
        .expect("the suspension of a project");

    let nodes = fresh(&nodes, "second").await.expect("another organization");
    end(&nodes, nodes[0].path(""))
        .await
        .expect("the end of a project");
    let nodes = fresh(&nodes, "third").await.expect("another organization");
    suspend(&nodes, organization(&nodes[0]), "organization_suspended")
        .await
        .expect("the suspension of an organization");
    let nodes = fresh(&nodes, "fourth").await.expect("another organization");
    end(&nodes, organization(&nodes[0]))
        .await
        .expect("the end of an organization");
}

#[tokio::test]
async fn keys_end_on_every_node_within_a_second_without_redis() {
    let cluster = Cluster::start_behind_lines(&[]).await.expect("starts");
    let lines = cluster.lines().expect("it stands behind lines");
    let nodes = start(&cluster).await.expect("signs up");
    let spare = nodes[0].make_key().await.expect("a key");
    // Lost by all, and by the node that has to hear of it.
    for members in [&[Member::ApiA, Member::ApiB][..], &[Member::ApiB]] {
        for &member in members {
            lines.cut(member, Server::Redis);
        }
        revoke(&nodes).await.expect("a revocation");
        rotate(&nodes, 0).await.expect("a rotation");
        rotate(&nodes, 2).await.expect("the end of a grace period");
        for &member in members {
            lines.mend(member, Server::Redis);
        }
        revoke(&nodes).await.expect("a revocation when Redis is back");
    }
    lines.cut(Member::ApiA, Server::Redis);
    lines.cut(Member::ApiB, Server::Redis);
    end_service_accounts(&nodes).await.expect("service accounts");
    for node in &nodes {
        let held = probe(node, &spare).await.expect("the server answers");
        assert!(held.refusal.is_none(), "what was not ended holds: {held:?}");
    }
    suspend(&nodes, organization(&nodes[0]), "organization_suspended")
        .await
        .expect("the suspension of an organization");
}

/// A node that cannot ask the database hears of an end through Redis. When it hears nothing, it refuses every key.
#[tokio::test]
async fn keys_end_within_a_second_on_a_node_without_its_database() {
    let cluster = Cluster::start_behind_lines(&[]).await.expect("starts");
    let lines = cluster.lines().expect("it stands behind lines");
    let nodes = start(&cluster).await.expect("signs up");
    let refusals = &[(401, "api_key_revoked"), (503, "unavailable")];
    for lost in [&[Server::Postgres][..], &[Server::Postgres, Server::Redis]] {
        let key = nodes[0].make_key().await.expect("a key");
        let path = nodes[0].path(&format!("/api-keys/{}/revoke", key.id));
        let ending = async |here: &Tenant| {
            for &server in lost {
                lines.cut(Member::ApiB, server);
            }
            // From here on the other node may be unable to tell.
            let begin = Instant::now();
            Ok(End {
                begin,
                ..post(here, path).await?
            })
        };
        ends_everywhere(&nodes, &key, ending, refusals)
            .await
            .expect("a revocation");
        for &server in lost {
            lines.mend(Member::ApiB, server);
        }
        revoke(&nodes).await.expect("a revocation when all is back");
    }
}
