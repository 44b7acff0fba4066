//! Whether what permitted an upload still does, once it has come in.
//!
//! The permission was proved before the first byte, and bytes may come in for hours. In the transaction that makes the
//! version, organization and project are held, so that neither is deleted or suspended between this look and the commit.

use berth_domain::access::{Caller, KeyIdentity, Person, ProjectAccess, can};
use berth_domain::clock::Timestamp;
use berth_domain::id::{OrganizationId, ProjectId};
use berth_domain::permission::Permission;
use berth_store::Tx;

use super::Error;
use crate::place;

/// What the proof was for.
const WANTED: Permission = Permission::ModelsWrite;

/// What ended while an upload came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// The organization or the project was deleted or suspended.
    #[error(transparent)]
    Place(place::Ended),
    /// The API key was revoked, or has expired.
    #[error("the API key was revoked or has expired meanwhile")]
    Key,
    /// The caller's role, or the key's scopes, no longer include the permission, or the caller was disabled.
    #[error("the permission `{}` was taken away meanwhile", WANTED.as_str())]
    Permission,
}

/// Looks again at what `access` was granted for, and holds what must not end before the commit.
pub(super) async fn check(
    tx: &mut Tx,
    access: &ProjectAccess<can::ModelsWrite>,
    now: Timestamp,
) -> Result<(), Error> {
    let (organization, project) = (access.organization(), access.project());
    place::hold(tx, organization, project)
        .await?
        .map_err(|ended| Error::Ended(Ended::Place(ended)))?;
    match access.caller() {
        Caller::Key(key) => check_key(tx, organization, key, now).await,
        Caller::Person(person) => check_person(tx, organization, project, person).await,
    }
}

async fn check_key(
    tx: &mut Tx,
    organization: OrganizationId,
    key: &KeyIdentity,
    now: Timestamp,
) -> Result<(), Error> {
    let over = |end: Option<Timestamp>| end.is_some_and(|end| end <= now);
    let found = tx.api_keys().show(organization, key.key).await?;
    let found = found
        .filter(|found| found.revoked_at.is_none() && !over(found.expires_at))
        .ok_or(Error::Ended(Ended::Key))?;
    if !found.scopes.contains(WANTED) {
        return Err(Error::Ended(Ended::Permission));
    }
    if let Some(account) = found.service_account {
        let account = tx.service_accounts().show(organization, account).await?;
        account
            .filter(|account| account.disabled_at.is_none() && account.deleted_at.is_none())
            .ok_or(Error::Ended(Ended::Permission))?;
    }
    Ok(())
}

async fn check_person(
    tx: &mut Tx,
    organization: OrganizationId,
    project: ProjectId,
    person: &Person,
) -> Result<(), Error> {
    let memberships = tx.memberships().of_user(organization, person.user).await?;
    let permitted = memberships
        .iter()
        .filter(|held| held.membership.project.is_none_or(|place| place == project))
        .any(|held| held.permissions.contains(WANTED));
    // Members of an organization are seen in it, with whether they may sign in.
    let account = tx.users().show(person.user).await?;
    if permitted && account.is_some_and(|account| account.disabled_at.is_none()) {
        Ok(())
    } else {
        Err(Error::Ended(Ended::Permission))
    }
}
