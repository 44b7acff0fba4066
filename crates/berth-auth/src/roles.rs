//! Roles: the built-in ones and those that an organization makes of the same permissions. Nobody hands out more than
//! they have.

use berth_domain::access::{Access, can};
use berth_domain::id::{OrganizationId, RoleId};
use berth_domain::name::{Handle, Title};
use berth_domain::permission::{Permission, PermissionSet};
use berth_store::idempotency_keys::Keep;
use berth_store::page::{List, Page};
use berth_store::roles::{self, GivenRole, NewRole, Role, RoleChange};
use berth_store::{Store, Tx};

use crate::access;
use crate::auth::Auth;

/// Something would give permissions that its giver lacks: someone who has them can act.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "nobody gives permissions that they do not have; missing here: {}",
    list(missing)
)]
pub struct Beyond {
    /// The permissions that the giver lacks.
    pub missing: Vec<Permission>,
}

fn list(permissions: &[Permission]) -> String {
    let texts: Vec<&str> = permissions.iter().map(|permission| permission.as_str()).collect();
    texts.join(", ")
}

/// Checks that whoever has `held` may give `given`.
pub(crate) fn check_within(held: &PermissionSet, given: &PermissionSet) -> Result<(), Beyond> {
    let missing: Vec<Permission> = given
        .iter()
        .filter(|&permission| !held.contains(permission))
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Beyond { missing })
    }
}

/// What a given role permits; `None` when the organization has no such role.
pub(crate) async fn permissions_of(
    tx: &mut Tx,
    organization: OrganizationId,
    role: GivenRole,
) -> Result<Option<PermissionSet>, berth_store::Error> {
    match role {
        GivenRole::Builtin(role) => Ok(Some(role.permissions())),
        GivenRole::Custom(role) => Ok(tx
            .roles()
            .show(organization, role)
            .await?
            .map(|role| role.permissions)),
    }
}

/// Why a role was not made or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such role.
    #[error("there is no such role")]
    NotFound,
    /// Another role, or a built-in one, has the name: choose another.
    #[error("there is a role of that name already")]
    NameTaken,
    /// A role must permit something.
    #[error("a role needs at least one permission")]
    Empty,
    /// The caller may not do this any more.
    #[error("the caller may not manage roles any more")]
    Access(#[from] access::Error),
    /// The role gives more than the caller has.
    #[error("the role gives more than the caller has")]
    Beyond(#[from] Beyond),
    /// Members have the role: give them another first.
    #[error("members still have the role")]
    Held,
    /// The database cannot be asked at the moment: try again.
    #[error("could not read or write roles")]
    Store(#[source] berth_store::Error),
}

impl From<berth_store::Error> for Error {
    fn from(error: berth_store::Error) -> Self {
        match error.constraint() {
            Some(roles::NAME_TAKEN) => Self::NameTaken,
            Some(roles::HELD) => Self::Held,
            _ => Self::Store(error),
        }
    }
}

/// A role that is wanted.
#[derive(Debug, Clone)]
pub struct RoleWish {
    /// What stands in addresses; none of the built-in names.
    pub name: Handle,
    /// What people read.
    pub title: Title,
    /// What those who have it may do.
    pub permissions: PermissionSet,
}

impl Auth {
    /// Makes a role.
    pub async fn create_role(
        &self,
        access: &Access<can::MembersManage>,
        wish: RoleWish,
        keep: &Keep<'_, Role>,
    ) -> Result<Role, Error> {
        check(&wish.name, &wish.permissions)?;
        let organization = access.organization();
        let role = NewRole {
            id: RoleId::new(self.clock(), self.random()),
            name: wish.name,
            title: wish.title,
            permissions: wish.permissions,
            created_at: self.now(),
        };
        let mut tx = self.store().tenant(organization).await?;
        let held = self.hold(&mut tx, access).await?;
        check_within(&held, &role.permissions)?;
        tx.roles().insert(organization, &role).await?;
        let made = tx
            .roles()
            .show(organization, role.id)
            .await?
            .ok_or(Error::NotFound)?;
        keep.write(&mut tx, &made).await?;
        tx.commit().await?;
        Ok(made)
    }

    /// The roles that the organization made.
    pub async fn list_roles(
        &self,
        access: &Access<can::MembersRead>,
        page: &Page<RoleId>,
    ) -> Result<List<Role>, Error> {
        let mut tx = self.store().tenant(access.organization()).await?;
        Ok(tx.roles().list(access.organization(), page).await?)
    }

    /// One role that the organization made.
    pub async fn show_role(&self, access: &Access<can::MembersRead>, role: RoleId) -> Result<Role, Error> {
        find(self.store(), access.organization(), role).await
    }

    /// Changes a role, for everyone who has it. The caller must have what it permitted and what it will permit.
    pub async fn update_role(
        &self,
        access: &Access<can::MembersManage>,
        role: RoleId,
        change: &RoleChange,
    ) -> Result<Role, Error> {
        let organization = access.organization();
        let mut tx = self.store().tenant(organization).await?;
        let held = self.hold(&mut tx, access).await?;
        let present = tx
            .roles()
            .show(organization, role)
            .await?
            .ok_or(Error::NotFound)?;
        let name = change.name.as_ref().unwrap_or(&present.name);
        let permissions = change.permissions.as_ref().unwrap_or(&present.permissions);
        check(name, permissions)?;
        check_within(&held, &present.permissions.union(permissions))?;
        if !tx.roles().update(organization, role, change).await? {
            return Err(Error::NotFound);
        }
        let changed = tx
            .roles()
            .show(organization, role)
            .await?
            .ok_or(Error::NotFound)?;
        tx.commit().await?;
        Ok(changed)
    }

    /// Removes a role that nobody has, and the invitations that promise it.
    pub async fn remove_role(&self, access: &Access<can::MembersManage>, role: RoleId) -> Result<(), Error> {
        let organization = access.organization();
        let mut tx = self.store().tenant(organization).await?;
        let held = self.hold(&mut tx, access).await?;
        let present = tx
            .roles()
            .show(organization, role)
            .await?
            .ok_or(Error::NotFound)?;
        check_within(&held, &present.permissions)?;
        if !tx.roles().remove(organization, role).await? {
            return Err(Error::NotFound);
        }
        tx.commit().await?;
        Ok(())
    }
}

/// Checks what does not depend on who asks.
fn check(name: &Handle, permissions: &PermissionSet) -> Result<(), Error> {
    if name
        .as_str()
        .parse::<berth_domain::permission::BuiltinRole>()
        .is_ok()
    {
        return Err(Error::NameTaken);
    }
    if permissions.is_empty() {
        return Err(Error::Empty);
    }
    Ok(())
}

async fn find(store: &Store, organization: OrganizationId, role: RoleId) -> Result<Role, Error> {
    let mut tx = store.tenant(organization).await?;
    tx.roles().show(organization, role).await?.ok_or(Error::NotFound)
}

#[cfg(test)]
mod tests {
    use berth_domain::permission::BuiltinRole;

    use super::*;

    #[test]
    fn admin_gives_what_an_admin_has_and_no_more() {
        let admin = BuiltinRole::Admin.permissions();
        for (role, missing) in [
            (BuiltinRole::Admin, vec![]),
            (BuiltinRole::Developer, vec![]),
            (BuiltinRole::Viewer, vec![]),
            (BuiltinRole::Billing, vec![Permission::BillingManage]),
            (
                BuiltinRole::Owner,
                vec![Permission::OrganizationManage, Permission::BillingManage],
            ),
        ] {
            let checked = check_within(&admin, &role.permissions());
            let expected = if missing.is_empty() {
                Ok(())
            } else {
                Err(Beyond { missing })
            };
            assert_eq!(checked, expected, "{role:?}");
        }
    }

    #[test]
    fn refusal_names_what_is_missing() {
        let refused = check_within(&PermissionSet::default(), &BuiltinRole::Billing.permissions());
        let text = refused.expect_err("nothing is held").to_string();
        assert!(
            text.ends_with("organization.read, projects.read, billing.read, billing.manage"),
            "{text}"
        );
    }

    #[test]
    fn role_is_not_called_like_a_built_in_one_and_is_not_empty() {
        let name = |text: &str| text.parse::<Handle>().expect("a handle");
        let some: PermissionSet = [Permission::ModelsRead].into_iter().collect();
        assert!(matches!(check(&name("owner"), &some), Err(Error::NameTaken)));
        assert!(matches!(
            check(&name("helper"), &PermissionSet::default()),
            Err(Error::Empty)
        ));
        assert!(check(&name("helper"), &some).is_ok());
    }
}
