//! API keys of a project.
//!
//! A key is either held by a service account, or the own key of the person who made it: then it ends when that person
//! leaves the project or is disabled. A key may do what its scopes say, which are no more than its maker could do when it
//! was made. It keeps its id when it is rotated, so that limits and usage stay with it; what changes is its secret.

use std::collections::HashMap;

use berth_domain::access::{ProjectAccess, can};
use berth_domain::address::AddressList;
use berth_domain::clock::Timestamp;
use berth_domain::creator::Creator;
use berth_domain::id::{ApiKeyId, OrganizationId, ProjectId, ServiceAccountId};
use berth_domain::name::{Handle, Title};
use berth_domain::permission::{Permission, PermissionSet};
use berth_domain::secret::Secret;
use berth_store::Tx;
use berth_store::api_key_secrets::{ApiKeySecret, NewApiKeySecret};
use berth_store::api_keys::{self, ApiKey, NewApiKey};
use berth_store::idempotency_keys::Keep;
use berth_store::page::{List, Page};
use chrono::TimeDelta;

use crate::access;
use crate::auth::Auth;
use crate::key_text::{FreshKey, PublicId};
use crate::roles::{Beyond, check_within};
use crate::service_accounts;

/// What API keys may be allowed to do: to use what is in their project, not to decide about people, keys or money.
pub const SCOPES: [Permission; 7] = [
    Permission::ProjectsRead,
    Permission::KeysRead,
    Permission::ModelsRead,
    Permission::ModelsWrite,
    Permission::DeploymentsRead,
    Permission::DeploymentsWrite,
    Permission::InferenceRun,
];

/// The most names in a key's list of models.
pub const MAX_MODELS: usize = 100;

/// The most networks in a key's list of addresses.
pub const MAX_NETWORKS: usize = 100;

/// Why a key was not made, read or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such key in the project.
    #[error("there is no such API key")]
    NotFound,
    /// A key must be allowed something: give it a scope.
    #[error("an API key needs at least one scope")]
    NoScope,
    /// A permission that no key may have.
    #[error("no API key may have the scope `{}`", permission.as_str())]
    NotForKeys {
        /// The permission.
        permission: Permission,
    },
    /// The caller may not do this any more.
    #[error("the caller may not manage keys any more")]
    Access(#[from] access::Error),
    /// The key would be allowed more than the caller is.
    #[error("the API key would be allowed more than the caller is")]
    Beyond(#[from] Beyond),
    /// A list of models that admits none: leave it out to admit all.
    #[error("a list of models names 1 to {MAX_MODELS}; leave it out to admit all")]
    Models,
    /// Too many networks: shorten the list.
    #[error("a list of addresses has at most {MAX_NETWORKS} networks")]
    Addresses,
    /// The key would have expired already.
    #[error("the time at which the API key expires has passed")]
    Expiry,
    /// The project has no such service account, or it is disabled.
    #[error("the project has no such service account, or it is disabled")]
    NoSuchServiceAccount,
    /// The key was revoked or has expired: make another.
    #[error("the API key does not hold any more")]
    Over,
    /// The old secret would go on too long, or a negative time.
    #[error("the grace period is longer than {} days, or negative", longest.num_days())]
    Grace {
        /// The longest time allowed.
        longest: TimeDelta,
    },
    /// The database cannot be asked at the moment: try again.
    #[error("could not read or write API keys")]
    Store(#[source] berth_store::Error),
}

impl From<berth_store::Error> for Error {
    fn from(error: berth_store::Error) -> Self {
        match error.constraint() {
            Some(api_keys::NO_SUCH_SERVICE_ACCOUNT) => Self::NoSuchServiceAccount,
            _ => Self::Store(error),
        }
    }
}

/// A key that is wanted.
#[derive(Debug, Clone)]
pub struct KeyWish {
    /// What people read.
    pub title: Title,
    /// What the key may do: some of [`SCOPES`].
    pub scopes: PermissionSet,
    /// The names that the key may call; `None` admits every name.
    pub models: Option<Vec<Handle>>,
    /// Where the key may be used from.
    pub addresses: AddressList,
    /// When the key stops to hold by itself.
    pub expires_at: Option<Timestamp>,
    /// The service account that holds the key; without one it is the caller's own.
    pub service_account: Option<ServiceAccountId>,
}

/// A key with its secrets, as far as they may be seen again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyView {
    /// The key.
    pub key: ApiKey,
    /// What opens it, the newest last: one secret, or two while the grace period of a rotation runs.
    pub secrets: Vec<ApiKeySecret>,
}

/// A key whose text is shown this once.
#[derive(Debug, Clone)]
pub struct ShownKey {
    /// The key.
    pub view: KeyView,
    /// The whole text.
    pub text: Secret,
}

impl Auth {
    /// Makes a key. Its text is shown this once.
    pub async fn create_key(
        &self,
        access: &ProjectAccess<can::KeysManage>,
        wish: KeyWish,
        keep: &Keep<'_, ShownKey>,
    ) -> Result<ShownKey, Error> {
        let now = self.now();
        check(&wish, now)?;
        let (organization, project) = (access.organization(), access.project());
        let mut tx = self.store().tenant(organization).await?;
        let held = self.hold(&mut tx, access).await?;
        check_within(&held, &wish.scopes)?;
        if let Some(account) = wish.service_account {
            check_service_account(&mut tx, organization, project, account).await?;
        }
        let key = NewApiKey {
            id: ApiKeyId::new(self.clock(), self.random()),
            project,
            service_account: wish.service_account,
            title: wish.title,
            scopes: wish.scopes,
            models: wish.models,
            addresses: wish.addresses,
            created_by: Creator::from(access.caller()),
            created_at: now,
            expires_at: wish.expires_at,
        };
        tx.api_keys().insert(organization, &key).await?;
        let fresh = self.add_secret(&mut tx, organization, key.id).await?;
        let shown = ShownKey {
            view: view(&mut tx, organization, project, key.id).await?,
            text: fresh.text,
        };
        keep.write(&mut tx, &shown).await?;
        self.commit_and_announce(tx, vec![fresh.public_id]).await?;
        Ok(shown)
    }

    async fn add_secret(
        &self,
        tx: &mut Tx,
        organization: OrganizationId,
        key: ApiKeyId,
    ) -> Result<FreshKey, Error> {
        let fresh = FreshKey::new(&self.options().environment, self.random(), self.peppers());
        let secret = NewApiKeySecret {
            public_id: fresh.public_id.to_string(),
            key,
            secret_hash: fresh.hash,
            pepper_id: fresh.pepper_id.clone(),
            created_at: self.now(),
        };
        tx.api_key_secrets().insert(organization, &secret).await?;
        Ok(fresh)
    }

    /// The keys of the project, revoked and expired ones among them.
    pub async fn list_keys(
        &self,
        access: &ProjectAccess<can::KeysRead>,
        page: &Page<ApiKeyId>,
    ) -> Result<List<KeyView>, Error> {
        let organization = access.organization();
        let mut tx = self.store().tenant(organization).await?;
        let keys = tx.api_keys().list(organization, access.project(), page).await?;
        let ids: Vec<ApiKeyId> = keys.items.iter().map(|key| key.id).collect();
        let mut secrets: HashMap<ApiKeyId, Vec<ApiKeySecret>> = HashMap::new();
        for secret in tx.api_key_secrets().list(organization, &ids).await? {
            secrets.entry(secret.key).or_default().push(secret);
        }
        Ok(keys.map(|key| KeyView {
            secrets: secrets.remove(&key.id).unwrap_or_default(),
            key,
        }))
    }

    /// One key of the project.
    pub async fn show_key(
        &self,
        access: &ProjectAccess<can::KeysRead>,
        key: ApiKeyId,
    ) -> Result<KeyView, Error> {
        let mut tx = self.store().tenant(access.organization()).await?;
        view(&mut tx, access.organization(), access.project(), key).await
    }

    /// Gives a key another secret, whose text is shown this once. The present one goes on for `grace`, an earlier one
    /// whose grace period still runs no longer than it would have. The caller must have what the key may do.
    pub async fn rotate_key(
        &self,
        access: &ProjectAccess<can::KeysManage>,
        key: ApiKeyId,
        grace: TimeDelta,
        keep: &Keep<'_, ShownKey>,
    ) -> Result<ShownKey, Error> {
        let longest = self.options().max_grace;
        if grace < TimeDelta::zero() || grace > longest {
            return Err(Error::Grace { longest });
        }
        let (organization, project, now) = (access.organization(), access.project(), self.now());
        let mut tx = self.store().tenant(organization).await?;
        let held = self.hold(&mut tx, access).await?;
        let present = tx
            .api_keys()
            .lock(organization, key)
            .await?
            .filter(|found| found.project == project)
            .ok_or(Error::NotFound)?;
        if present.revoked_at.is_some() || present.expires_at.is_some_and(|end| end <= now) {
            return Err(Error::Over);
        }
        check_within(&held, &present.scopes)?;
        let fresh = self.add_secret(&mut tx, organization, key).await?;
        let kept = fresh.public_id.to_string();
        tx.api_key_secrets()
            .expire_others(organization, key, &kept, now + grace)
            .await?;
        let shown = ShownKey {
            view: view(&mut tx, organization, project, key).await?,
            text: fresh.text,
        };
        keep.write(&mut tx, &shown).await?;
        self.commit_and_announce(tx, public_ids(&shown.view)).await?;
        Ok(shown)
    }

    /// Revokes a key: it stops on every node within a second. Done again, it changes nothing.
    pub async fn revoke_key(
        &self,
        access: &ProjectAccess<can::KeysManage>,
        key: ApiKeyId,
    ) -> Result<KeyView, Error> {
        let (organization, project) = (access.organization(), access.project());
        let mut tx = self.store().tenant(organization).await?;
        self.hold(&mut tx, access).await?;
        view(&mut tx, organization, project, key).await?;
        tx.api_keys().revoke(organization, key, self.now()).await?;
        let revoked = view(&mut tx, organization, project, key).await?;
        self.commit_and_announce(tx, public_ids(&revoked)).await?;
        Ok(revoked)
    }
}

/// Checks what does not depend on who asks.
fn check(wish: &KeyWish, now: Timestamp) -> Result<(), Error> {
    if wish.scopes.is_empty() {
        return Err(Error::NoScope);
    }
    if let Some(permission) = wish.scopes.iter().find(|scope| !SCOPES.contains(scope)) {
        return Err(Error::NotForKeys { permission });
    }
    if wish
        .models
        .as_ref()
        .is_some_and(|models| !(1..=MAX_MODELS).contains(&models.len()))
    {
        return Err(Error::Models);
    }
    if wish.addresses.networks().len() > MAX_NETWORKS {
        return Err(Error::Addresses);
    }
    if wish.expires_at.is_some_and(|end| end <= now) {
        return Err(Error::Expiry);
    }
    Ok(())
}

async fn check_service_account(
    tx: &mut Tx,
    organization: OrganizationId,
    project: ProjectId,
    account: ServiceAccountId,
) -> Result<(), Error> {
    match service_accounts::found(tx, organization, project, account).await {
        Ok(account) if account.disabled_at.is_none() => Ok(()),
        Ok(_) | Err(service_accounts::Error::NotFound | service_accounts::Error::NameTaken) => {
            Err(Error::NoSuchServiceAccount)
        }
        Err(service_accounts::Error::Access(error)) => Err(Error::Access(error)),
        Err(service_accounts::Error::Store(error)) => Err(Error::Store(error)),
    }
}

/// The key with its secrets, unless it is another project's.
async fn view(
    tx: &mut Tx,
    organization: OrganizationId,
    project: ProjectId,
    key: ApiKeyId,
) -> Result<KeyView, Error> {
    let key = tx
        .api_keys()
        .show(organization, key)
        .await?
        .filter(|found| found.project == project)
        .ok_or(Error::NotFound)?;
    let secrets = tx.api_key_secrets().list(organization, &[key.id]).await?;
    Ok(KeyView { key, secrets })
}

/// The public ids of a key's secrets. Stored ones have the right form, as only this crate writes them.
fn public_ids(view: &KeyView) -> Vec<PublicId> {
    view.secrets
        .iter()
        .filter_map(|secret| secret.public_id.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use berth_domain::permission::BuiltinRole;
    use chrono::DateTime;

    use super::*;

    fn wish(scopes: &[Permission]) -> KeyWish {
        KeyWish {
            title: "a key".parse().expect("a title"),
            scopes: scopes.iter().copied().collect(),
            models: None,
            addresses: AddressList::default(),
            expires_at: None,
            service_account: None,
        }
    }

    #[test]
    fn developer_may_give_every_scope_that_keys_may_have() {
        let scopes: PermissionSet = SCOPES.into_iter().collect();
        assert!(BuiltinRole::Developer.permissions().covers(&scopes));
    }

    #[test]
    fn key_decides_neither_about_people_nor_keys_nor_money() {
        for &permission in Permission::ALL {
            let checked = check(&wish(&[permission]), DateTime::UNIX_EPOCH);
            if SCOPES.contains(&permission) {
                assert!(checked.is_ok(), "{permission:?}");
            } else {
                assert!(matches!(checked, Err(Error::NotForKeys { .. })), "{permission:?}");
            }
        }
    }

    #[test]
    fn wishes_that_make_no_sense_are_refused() {
        let now = DateTime::UNIX_EPOCH;
        let name: Handle = "minilm".parse().expect("a handle");
        let network = "10.0.0.0/8".parse().expect("a network");
        let good = || wish(&[Permission::InferenceRun]);
        assert!(matches!(check(&wish(&[]), now), Err(Error::NoScope)));
        for models in [vec![], vec![name; MAX_MODELS + 1]] {
            let models = Some(models);
            assert!(matches!(
                check(&KeyWish { models, ..good() }, now),
                Err(Error::Models)
            ));
        }
        let addresses = AddressList::new(vec![network; MAX_NETWORKS + 1]);
        assert!(matches!(
            check(&KeyWish { addresses, ..good() }, now),
            Err(Error::Addresses)
        ));
        let expires_at = Some(now);
        assert!(matches!(
            check(&KeyWish { expires_at, ..good() }, now),
            Err(Error::Expiry)
        ));
    }
}
