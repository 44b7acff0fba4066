//! The protocol's repository of models, over REST and over gRPC: what there is are deployments. To load is to resume one, or to
//! make it of the model of that name; to unload is to stop it.

use std::time::Duration;

use berth_auth::access::authorize_key;
use berth_domain::access::{KeyIdentity, ProjectAccess, can};
use berth_domain::deployment::{Settings, State};
use berth_domain::id::DeploymentId;
use berth_domain::name::Handle;
use berth_serving::deployments::{self, Change, Draft};
use berth_serving::inference;
use berth_serving::routing::Absence;
use berth_store::idempotency_keys::Keep;
use berth_store::page::{Order, Page};
use berth_wire::oip::IndexEntry;
use tokio::time::Instant;

use crate::errors::{Code, Failure, model_not_found};
use crate::services::Services;

/// How often a model that is being loaded is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How many stopped deployments are read at a time.
const PAGE: u32 = 200;

/// Every version that `key` can call, and, where the key may see deployments, those of its project that are stopped. With
/// `ready` those alone that answer now.
pub(crate) async fn index(
    services: &Services,
    key: &std::sync::Arc<KeyIdentity>,
    ready: bool,
) -> Result<Vec<IndexEntry>, Failure> {
    let router = services.inference.router();
    let mut entries = Vec::new();
    for callable in router.callables(key).await? {
        let own = callable.organization == key.organization;
        for version in &callable.versions {
            let standing = router.standing(version.version);
            let state = match standing.state {
                State::Ready => "READY",
                State::Loading => "LOADING",
                State::Failed | State::Pending | State::Stopped => "UNAVAILABLE",
            };
            // What a model of others is made of is nobody's business.
            let reason = standing.reason.filter(|_| own);
            entries.push(entry(&callable.name, version.number, state, reason));
        }
    }
    if ready {
        entries.retain(|entry| entry.state == "READY");
    } else if let Ok(access) = authorize_key::<can::DeploymentsRead>(key) {
        stopped(services, &access, &mut entries).await?;
    }
    Ok(entries)
}

async fn stopped(
    services: &Services,
    access: &ProjectAccess<can::DeploymentsRead>,
    entries: &mut Vec<IndexEntry>,
) -> Result<(), Failure> {
    let mut page: Page<DeploymentId> = Page::first(PAGE, Order::Ascending);
    loop {
        let list = services.deployments.list(access, &page).await?;
        page.after = list.items.last().map(|deployment| deployment.id);
        for deployment in list.items {
            if deployment.stopped_at.is_some() {
                let reason = Some("The deployment is stopped.".to_owned());
                let versions = deployment.versions.iter();
                entries.extend(
                    versions.map(|version| {
                        entry(&deployment.name, version.number, "UNAVAILABLE", reason.clone())
                    }),
                );
            }
        }
        if !list.has_more {
            return Ok(());
        }
    }
}

fn entry(name: &Handle, version: u32, state: &str, reason: Option<String>) -> IndexEntry {
    IndexEntry {
        name: name.to_string(),
        version: version.to_string(),
        state: state.to_owned(),
        reason: reason.unwrap_or_default(),
    }
}

/// Resumes the deployment of this name in the key's project, or makes it of the model of this name there, and waits until it
/// answers, for at most `patience`. Fails when there is neither, when it cannot be loaded, or when it takes too long; it is
/// being loaded then all the same.
pub(crate) async fn load(
    services: &Services,
    access: &ProjectAccess<can::DeploymentsWrite>,
    key: &KeyIdentity,
    model: &str,
    patience: Duration,
) -> Result<(), Failure> {
    let until = Instant::now() + patience;
    let name = own(key, model)?;
    match switch(services, access, &name, false).await {
        Err(deployments::Error::NotFound(_)) => make(services, access, name).await?,
        other => other?,
    }
    loop {
        let last = match services.inference.describe(key, model, None).await {
            Ok(found) => match found.absence {
                None => return Ok(()),
                Some(absence @ Absence::Failed { .. }) => {
                    return Err(inference::Error::NotReady(absence).into());
                }
                Some(absence) => inference::Error::NotReady(absence),
            },
            // The news has not come here yet.
            Err(error @ inference::Error::ModelNotFound(_)) => error,
            Err(error) => return Err(error.into()),
        };
        if Instant::now() + LOOK_EVERY > until {
            return Err(match last {
                inference::Error::ModelNotFound(_) => Failure::of(Code::ModelNotReady),
                other => other.into(),
            });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Stops the deployment of this name in the key's project. Fails when there is none.
pub(crate) async fn unload(
    services: &Services,
    access: &ProjectAccess<can::DeploymentsWrite>,
    key: &KeyIdentity,
    model: &str,
) -> Result<(), Failure> {
    let name = own(key, model)?;
    match switch(services, access, &name, true).await {
        Err(deployments::Error::NotFound(_)) => Err(model_not_found(model)),
        other => Ok(other?),
    }
}

/// A parameter of `load` that changes how a model is set up.
pub(crate) fn refuse_parameters<'p>(names: impl IntoIterator<Item = &'p str>) -> Result<(), Failure> {
    match names.into_iter().next() {
        None => Ok(()),
        Some(name) => {
            let name = name.escape_debug();
            let told = "models are uploaded and deployments are set up under `/api/v1`";
            Err(Failure::new(
                Code::UnsupportedParameter,
                format!("The parameter `{name}` is not taken: {told}."),
            )
            .field("/parameters", told))
        }
    }
}

/// The name, if the key may have to do with it.
fn own(key: &KeyIdentity, model: &str) -> Result<Handle, Failure> {
    let name: Handle = model.parse().map_err(|_| model_not_found(model))?;
    if key.admits_model(model) {
        Ok(name)
    } else {
        Err(model_not_found(model))
    }
}

async fn switch(
    services: &Services,
    access: &ProjectAccess<can::DeploymentsWrite>,
    name: &Handle,
    stopped: bool,
) -> Result<(), deployments::Error> {
    let change = Change {
        stopped: Some(stopped),
        ..Change::default()
    };
    services.deployments.update(access, name, change).await.map(drop)
}

/// A deployment of the newest version that is ready, under the name of the model.
async fn make(
    services: &Services,
    access: &ProjectAccess<can::DeploymentsWrite>,
    name: Handle,
) -> Result<(), Failure> {
    let draft = Draft {
        name: name.clone(),
        model: name.clone(),
        versions: Vec::new(),
        settings: Settings::default(),
    };
    match services.deployments.create(access, draft, &Keep::nothing()).await {
        Ok(_) => Ok(()),
        Err(deployments::Error::ModelNotFound(_)) => Err(model_not_found(name.as_str())),
        // Somebody else was quicker.
        Err(deployments::Error::NameTaken(_)) => Ok(switch(services, access, &name, false).await?),
        Err(error) => Err(error.into()),
    }
}
