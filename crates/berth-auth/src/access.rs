//! The permission table: who may do what where. Everything that needs a permission takes a proof from here.
//!
//! | caller | in an organization | in a project |
//! |---|---|---|
//! | a person without a membership there | not found | not found |
//! | a member of the whole organization | what the role permits | the same |
//! | a member of some projects | `organization.read`, if such a role includes it | in those: what the role permits; others: not found |
//! | a platform operator | nothing, unless they are a member | the same |
//! | an API key | its own: forbidden; others: not found | its own: its scopes; others: not found |
//!
//! In a suspended organization or project, reading goes on, and so does what is needed to end the suspension or to pay.

use std::sync::Arc;

use berth_domain::access::{Access, Caller, Grant, Holds, KeyIdentity, Operator, Person, ProjectAccess};
use berth_domain::id::{OrganizationId, ProjectId, UserId};
use berth_domain::permission::{Permission, PermissionSet};
use berth_store::memberships::Held;
use berth_store::organizations::Organization;
use berth_store::projects::Project;
use berth_store::{SystemTx, Tx};

use crate::auth::Auth;

/// Why a caller may not do something.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such organization or project, or the caller may not know of it.
    #[error("there is nothing of that name here")]
    NotFound,
    /// The caller sees it, but lacks the permission: an owner or admin of the organization can act.
    #[error("this needs the permission `{}`", permission.as_str())]
    Forbidden {
        /// The permission that is missing.
        permission: Permission,
    },
    /// Only operators of the platform may do this.
    #[error("only an operator of the platform may do this")]
    NotOperator,
    /// The organization is suspended: its owners, or the operator, can act.
    #[error("the organization is suspended")]
    OrganizationSuspended,
    /// The project is suspended: a member who manages projects can act.
    #[error("the project is suspended")]
    ProjectSuspended,
    /// Memberships cannot be read at the moment: try again; the operator can act.
    #[error("could not read what the caller may do")]
    Store(#[from] berth_store::Error),
}

/// What is known of a person in an organization, and in a project of it if one is meant.
#[derive(Debug, Clone, Default)]
struct Standing {
    /// The permissions of memberships of the whole organization; `None` without one.
    everywhere: Option<PermissionSet>,
    /// The permissions of memberships of the project that is meant; `None` without one.
    in_project: Option<PermissionSet>,
    /// The permissions of memberships of any projects; `None` without one.
    in_projects: Option<PermissionSet>,
    organization_suspended: bool,
    project_suspended: bool,
}

impl Standing {
    fn new(memberships: &[Held], project: Option<ProjectId>) -> Self {
        let gather = |wanted: &dyn Fn(Option<ProjectId>) -> bool| {
            memberships
                .iter()
                .filter(|held| wanted(held.membership.project))
                .map(|held| held.permissions.clone())
                .reduce(|one, other| one.union(&other))
        };
        Self {
            everywhere: gather(&|place| place.is_none()),
            in_project: project.and_then(|project| gather(&|place| place == Some(project))),
            in_projects: gather(&|place| place.is_some()),
            organization_suspended: false,
            project_suspended: false,
        }
    }

    /// What `memberships` are worth in `organization`, and in `project` if one is meant. Fails when either is not there.
    async fn read(
        tx: &mut Tx,
        organization: OrganizationId,
        project: Option<ProjectId>,
        memberships: &[Held],
    ) -> Result<Self, Error> {
        let mut standing = Self::new(memberships, project);
        standing.organization_suspended = live_organization(tx, organization).await?.suspended.is_some();
        if let Some(project) = project {
            let place = live_project(tx, organization, project).await?;
            standing.project_suspended = place.suspended_at.is_some();
        }
        Ok(standing)
    }

    /// What the person may do in the whole organization, if that includes `wanted`.
    fn in_organization(self, wanted: Permission) -> Result<PermissionSet, Error> {
        let mut held = match (self.everywhere, &self.in_projects) {
            (None, None) => return Err(Error::NotFound),
            (everywhere, _) => everywhere.unwrap_or_default(),
        };
        let seen = Permission::OrganizationRead;
        if self
            .in_projects
            .is_some_and(|permissions| permissions.contains(seen))
        {
            held = held.union(&[seen].into_iter().collect());
        }
        if !held.contains(wanted) {
            return Err(Error::Forbidden { permission: wanted });
        }
        if self.organization_suspended && !outlives_suspension(wanted) {
            return Err(Error::OrganizationSuspended);
        }
        Ok(held)
    }

    /// What the person may do in the project that is meant, if that includes `wanted`.
    fn in_project(self, wanted: Permission) -> Result<PermissionSet, Error> {
        let held = match (self.everywhere, self.in_project) {
            (None, None) => return Err(Error::NotFound),
            (everywhere, in_project) => everywhere
                .unwrap_or_default()
                .union(&in_project.unwrap_or_default()),
        };
        if !held.contains(wanted) {
            return Err(Error::Forbidden { permission: wanted });
        }
        if self.organization_suspended && !outlives_suspension(wanted) {
            return Err(Error::OrganizationSuspended);
        }
        if self.project_suspended && !outlives_suspension(wanted) && wanted != Permission::ProjectsManage {
            return Err(Error::ProjectSuspended);
        }
        Ok(held)
    }
}

/// Whether a permission holds in a suspended organization.
fn outlives_suspension(permission: Permission) -> bool {
    use Permission as P;
    match permission {
        P::OrganizationRead
        | P::OrganizationManage
        | P::MembersRead
        | P::ProjectsRead
        | P::KeysRead
        | P::ModelsRead
        | P::DeploymentsRead
        | P::BillingRead
        | P::BillingManage => true,
        P::MembersManage
        | P::ProjectsManage
        | P::KeysManage
        | P::ModelsWrite
        | P::DeploymentsWrite
        | P::InferenceRun => false,
    }
}

impl Auth {
    /// Proof that `caller` holds `P` in the whole of `organization`. Fails with [`Error::NotFound`] when the caller may
    /// not know of the organization.
    pub async fn authorize<P: Grant>(
        &self,
        caller: &Caller,
        organization: OrganizationId,
    ) -> Result<Access<P>, Error> {
        let wanted = P::PERMISSION;
        let held = match caller {
            Caller::Key(key) if key.organization == organization => {
                // A key acts in its project alone.
                return Err(Error::Forbidden { permission: wanted });
            }
            Caller::Key(_) => return Err(Error::NotFound),
            Caller::Person(person) => {
                let mut tx = self.store().tenant(organization).await?;
                let memberships = tx.memberships().of_user(organization, person.user).await?;
                let standing = Standing::read(&mut tx, organization, None, &memberships).await?;
                standing.in_organization(wanted)?
            }
        };
        Access::vouch(organization, caller.clone(), held).ok_or(Error::Forbidden { permission: wanted })
    }

    /// Proof that `caller` holds `P` in `project` of `organization`. Fails with [`Error::NotFound`] when the caller may
    /// not know of either.
    pub async fn authorize_project<P: Grant>(
        &self,
        caller: &Caller,
        organization: OrganizationId,
        project: ProjectId,
    ) -> Result<ProjectAccess<P>, Error> {
        let wanted = P::PERMISSION;
        let held = match caller {
            Caller::Key(key) if key.organization == organization && key.project == project => {
                return authorize_key(key);
            }
            Caller::Key(_) => return Err(Error::NotFound),
            Caller::Person(person) => {
                let mut tx = self.store().tenant(organization).await?;
                let memberships = tx.memberships().of_user(organization, person.user).await?;
                let standing = Standing::read(&mut tx, organization, Some(project), &memberships).await?;
                standing.in_project(wanted)?
            }
        };
        ProjectAccess::vouch(organization, project, caller.clone(), held)
            .ok_or(Error::Forbidden { permission: wanted })
    }

    /// Proof that `caller` operates the platform.
    pub fn authorize_operator(&self, caller: &Caller) -> Result<Operator, Error> {
        Operator::vouch(caller).ok_or(Error::NotOperator)
    }

    /// What the holder of `access` may do now, read in the transaction that is about to hand something out: between the proof
    /// and this moment they may have been removed. Their memberships stay as they are until it ends, so whoever removes them
    /// at the same time comes before, and this fails, or after, and finds what was handed out.
    pub(crate) async fn hold<P: Grant>(
        &self,
        tx: &mut Tx,
        access: &impl Holds<P>,
    ) -> Result<PermissionSet, Error> {
        let Caller::Person(Person { user, .. }) = access.caller() else {
            // The scopes of a key never change, and no key may hand out anything.
            return Ok(access.permissions().clone());
        };
        let (organization, project) = (access.organization(), access.scope());
        let memberships = tx.memberships().lock_of_user(organization, *user).await?;
        let standing = Standing::read(tx, organization, project, &memberships).await?;
        match project {
            None => standing.in_organization(P::PERMISSION),
            Some(_) => standing.in_project(P::PERMISSION),
        }
    }
}

/// The operators, while `operator` is still one of them. They stay as they are until the transaction ends, so that of two
/// who remove each other, or the last two, the second one sees what the first did.
pub(crate) async fn hold_operator(tx: &mut SystemTx, operator: &Operator) -> Result<Vec<UserId>, Error> {
    let operators = tx.users().lock_operators().await?;
    if operators.contains(&operator.person().user) {
        Ok(operators)
    } else {
        Err(Error::NotOperator)
    }
}

async fn live_organization(tx: &mut Tx, organization: OrganizationId) -> Result<Organization, Error> {
    let found = tx.organizations().show(organization).await?;
    found
        .filter(|found| found.deleted_at.is_none())
        .ok_or(Error::NotFound)
}

async fn live_project(
    tx: &mut Tx,
    organization: OrganizationId,
    project: ProjectId,
) -> Result<Project, Error> {
    let found = tx.projects().show(organization, project).await?;
    found
        .filter(|found| found.deleted_at.is_none())
        .ok_or(Error::NotFound)
}

/// Proof that `key`, which the authenticator has just admitted, holds `P` in its project. Costs no I/O: whether the
/// organization and the project are suspended was checked with the key.
pub fn authorize_key<P: Grant>(key: &Arc<KeyIdentity>) -> Result<ProjectAccess<P>, Error> {
    let caller = Caller::Key(Arc::clone(key));
    ProjectAccess::vouch(key.organization, key.project, caller, key.scopes.clone()).ok_or(Error::Forbidden {
        permission: P::PERMISSION,
    })
}

#[cfg(test)]
mod tests {
    use berth_domain::permission::BuiltinRole;

    use super::*;

    /// What was decided, without what cannot be compared.
    #[derive(Debug, PartialEq, Eq, Clone, Copy)]
    enum Outcome {
        Held,
        NotFound,
        Forbidden,
        OrganizationSuspended,
        ProjectSuspended,
    }

    fn outcome(decided: &Result<PermissionSet, Error>) -> Outcome {
        match decided {
            Ok(_) => Outcome::Held,
            Err(Error::NotFound) => Outcome::NotFound,
            Err(Error::Forbidden { .. }) => Outcome::Forbidden,
            Err(Error::OrganizationSuspended) => Outcome::OrganizationSuspended,
            Err(Error::ProjectSuspended) => Outcome::ProjectSuspended,
            Err(Error::NotOperator | Error::Store(_)) => unreachable!("not decided here"),
        }
    }

    fn standing(everywhere: Option<BuiltinRole>, in_project: Option<BuiltinRole>) -> Standing {
        Standing {
            everywhere: everywhere.map(BuiltinRole::permissions),
            in_project: in_project.map(BuiltinRole::permissions),
            in_projects: in_project.map(BuiltinRole::permissions),
            ..Standing::default()
        }
    }

    #[test]
    fn stranger_finds_nothing() {
        for &permission in Permission::ALL {
            assert_eq!(
                outcome(&standing(None, None).in_organization(permission)),
                Outcome::NotFound
            );
            assert_eq!(
                outcome(&standing(None, None).in_project(permission)),
                Outcome::NotFound
            );
        }
    }

    #[test]
    fn role_in_the_organization_decides_everywhere() {
        for role in BuiltinRole::ALL {
            for &permission in Permission::ALL {
                let expected = if role.permissions().contains(permission) {
                    Outcome::Held
                } else {
                    Outcome::Forbidden
                };
                let here = standing(Some(role), None);
                assert_eq!(
                    outcome(&here.clone().in_organization(permission)),
                    expected,
                    "{role:?} {permission:?}"
                );
                assert_eq!(
                    outcome(&here.in_project(permission)),
                    expected,
                    "{role:?} {permission:?}"
                );
            }
        }
    }

    #[test]
    fn member_of_a_project_sees_the_organization_and_no_more_of_it() {
        for role in BuiltinRole::ALL {
            for &permission in Permission::ALL {
                let expected = if permission == Permission::OrganizationRead {
                    Outcome::Held
                } else {
                    Outcome::Forbidden
                };
                let decided = standing(None, Some(role)).in_organization(permission);
                assert_eq!(outcome(&decided), expected, "{role:?} {permission:?}");
            }
        }
    }

    #[test]
    fn member_of_another_project_does_not_find_this_one() {
        let mut elsewhere = standing(None, None);
        elsewhere.in_projects = Some(BuiltinRole::Owner.permissions());
        assert_eq!(
            outcome(&elsewhere.in_project(Permission::ModelsRead)),
            Outcome::NotFound
        );
    }

    #[test]
    fn roles_in_organization_and_project_add_up() {
        let both = standing(Some(BuiltinRole::Billing), Some(BuiltinRole::Developer));
        for (permission, expected) in [
            (Permission::BillingManage, Outcome::Held),
            (Permission::ModelsWrite, Outcome::Held),
            (Permission::MembersManage, Outcome::Forbidden),
        ] {
            assert_eq!(
                outcome(&both.clone().in_project(permission)),
                expected,
                "{permission:?}"
            );
        }
        let decided = both.in_organization(Permission::ModelsWrite);
        assert_eq!(
            outcome(&decided),
            Outcome::Forbidden,
            "the role in a project ends at its border"
        );
    }

    #[test]
    fn suspended_organization_is_read_and_paid_but_not_used() {
        for &permission in Permission::ALL {
            let mut suspended = standing(Some(BuiltinRole::Owner), None);
            suspended.organization_suspended = true;
            let reads = permission.as_str().split('.').next_back() == Some("read");
            let ends_it = matches!(
                permission,
                Permission::OrganizationManage | Permission::BillingManage
            );
            let expected = if reads || ends_it {
                Outcome::Held
            } else {
                Outcome::OrganizationSuspended
            };
            assert_eq!(
                outcome(&suspended.clone().in_organization(permission)),
                expected,
                "{permission:?}"
            );
            assert_eq!(
                outcome(&suspended.in_project(permission)),
                expected,
                "{permission:?}"
            );
        }
    }

    #[test]
    fn suspended_project_can_be_resumed_by_who_manages_projects() {
        let mut suspended = standing(Some(BuiltinRole::Owner), None);
        suspended.project_suspended = true;
        for (permission, expected) in [
            (Permission::ModelsRead, Outcome::Held),
            (Permission::ProjectsManage, Outcome::Held),
            (Permission::ModelsWrite, Outcome::ProjectSuspended),
            (Permission::InferenceRun, Outcome::ProjectSuspended),
            (Permission::KeysManage, Outcome::ProjectSuspended),
        ] {
            assert_eq!(
                outcome(&suspended.clone().in_project(permission)),
                expected,
                "{permission:?}"
            );
        }
        let decided = suspended.in_organization(Permission::MembersManage);
        assert_eq!(
            outcome(&decided),
            Outcome::Held,
            "the rest of the organization goes on"
        );
    }

    #[test]
    fn lacking_permission_is_told_before_the_suspension() {
        let mut suspended = standing(Some(BuiltinRole::Viewer), None);
        suspended.organization_suspended = true;
        assert_eq!(
            outcome(&suspended.in_project(Permission::ModelsWrite)),
            Outcome::Forbidden
        );
    }
}
