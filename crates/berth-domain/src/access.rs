//! Who calls, and proof of what they may do.
//!
//! A function that needs a permission takes [`Access`] (organization-wide) or [`ProjectAccess`] (one project) with the
//! permission as its type, such as `&ProjectAccess<can::ModelsWrite>`. The proofs have private fields and are vouched for
//! by the authorization of `berth-auth` alone, so a check that was forgotten does not compile.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::id::{ApiKeyId, OrganizationId, ProjectId, ServiceAccountId, SessionId, UserId};
use crate::name::Handle;
use crate::permission::{Permission, PermissionSet};

/// A signed-in person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Person {
    /// Who it is.
    pub user: UserId,
    /// The session in which they signed in.
    pub session: SessionId,
    /// Whether they operate the platform.
    pub operator: bool,
}

/// What an API key stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyIdentity {
    /// The key's record.
    pub key: ApiKeyId,
    /// The organization that the key belongs to.
    pub organization: OrganizationId,
    /// The project that the key belongs to.
    pub project: ProjectId,
    /// The service account that holds the key, if one does.
    pub service_account: Option<ServiceAccountId>,
    /// What the key may do.
    pub scopes: PermissionSet,
    /// The names that the key may call; `None` admits every name.
    pub models: Option<Vec<Handle>>,
    /// The origins whose pages may call with a key of this project: `scheme://host[:port]`, or `*` for every one.
    pub origins: Vec<String>,
}

impl KeyIdentity {
    /// Whether the key may call what is deployed under `name`.
    pub fn admits_model(&self, name: &str) -> bool {
        self.models
            .as_ref()
            .is_none_or(|models| models.iter().any(|model| model.as_str() == name))
    }

    /// Whether a page of `origin` may call with the key.
    pub fn admits_origin(&self, origin: &str) -> bool {
        self.origins
            .iter()
            .any(|listed| listed == "*" || listed == origin)
    }
}

/// Whoever makes a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// A person with an access token.
    Person(Person),
    /// A program with an API key.
    Key(Arc<KeyIdentity>),
}

impl Caller {
    /// The person, unless it is a key that calls.
    pub fn user(&self) -> Option<UserId> {
        match self {
            Self::Person(person) => Some(person.user),
            Self::Key(_) => None,
        }
    }
}

/// A permission as a type. Implemented by the markers in [`can`], one for each [`Permission`].
pub trait Grant: Send + Sync + 'static {
    /// The permission.
    const PERMISSION: Permission;
}

macro_rules! grants {
    ($($name:ident)*) => {
        /// One marker type for each permission.
        pub mod can {
            use super::Grant;
            use crate::permission::Permission;

            $(
                #[doc = concat!("Proof of [`Permission::", stringify!($name), "`].")]
                #[derive(Debug, Clone, Copy)]
                pub enum $name {}

                impl Grant for $name {
                    const PERMISSION: Permission = Permission::$name;
                }
            )*

            #[cfg(test)]
            pub(super) const ALL: &[Permission] = &[$(Permission::$name,)*];
        }
    };
}

grants! {
    OrganizationRead OrganizationManage MembersRead MembersManage ProjectsRead ProjectsManage KeysRead KeysManage
    ModelsRead ModelsWrite DeploymentsRead DeploymentsWrite InferenceRun BillingRead BillingManage
}

/// Proof that a caller holds the permission `P` in the whole of an organization.
#[derive(Debug, Clone)]
pub struct Access<P> {
    organization: OrganizationId,
    caller: Caller,
    permissions: PermissionSet,
    grant: PhantomData<fn() -> P>,
}

impl<P: Grant> Access<P> {
    /// The proof, if `permissions`, which `caller` was found to hold in `organization`, include `P`. For the
    /// authorization of `berth-auth` alone.
    pub fn vouch(organization: OrganizationId, caller: Caller, permissions: PermissionSet) -> Option<Self> {
        permissions.contains(P::PERMISSION).then_some(Self {
            organization,
            caller,
            permissions,
            grant: PhantomData,
        })
    }

    /// The organization that the caller acts in.
    pub fn organization(&self) -> OrganizationId {
        self.organization
    }

    /// Who calls.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Everything that the caller may do in the whole organization, `P` among it.
    pub fn permissions(&self) -> &PermissionSet {
        &self.permissions
    }
}

/// Proof that a caller holds the permission `P` in a project.
#[derive(Debug, Clone)]
pub struct ProjectAccess<P> {
    organization: OrganizationId,
    project: ProjectId,
    caller: Caller,
    permissions: PermissionSet,
    grant: PhantomData<fn() -> P>,
}

impl<P: Grant> ProjectAccess<P> {
    /// The proof, if `permissions`, which `caller` was found to hold in `project` of `organization`, include `P`. For
    /// the authorization of `berth-auth` alone.
    pub fn vouch(
        organization: OrganizationId,
        project: ProjectId,
        caller: Caller,
        permissions: PermissionSet,
    ) -> Option<Self> {
        permissions.contains(P::PERMISSION).then_some(Self {
            organization,
            project,
            caller,
            permissions,
            grant: PhantomData,
        })
    }

    /// The organization that the project belongs to.
    pub fn organization(&self) -> OrganizationId {
        self.organization
    }

    /// The project that the caller acts in.
    pub fn project(&self) -> ProjectId {
        self.project
    }

    /// Who calls.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Everything that the caller may do in the project, `P` among it.
    pub fn permissions(&self) -> &PermissionSet {
        &self.permissions
    }
}

/// Proof of the permission `P` in the whole of an organization or in one project: for what exists in both, such as
/// members.
pub trait Holds<P: Grant>: sealed::Sealed {
    /// The organization that the caller acts in.
    fn organization(&self) -> OrganizationId;

    /// The project that the proof is confined to; `None` for the whole organization.
    fn scope(&self) -> Option<ProjectId>;

    /// Who calls.
    fn caller(&self) -> &Caller;

    /// Everything that the caller may do there.
    fn permissions(&self) -> &PermissionSet;
}

mod sealed {
    pub trait Sealed {}
    impl<P> Sealed for super::Access<P> {}
    impl<P> Sealed for super::ProjectAccess<P> {}
}

impl<P: Grant> Holds<P> for Access<P> {
    fn organization(&self) -> OrganizationId {
        self.organization
    }

    fn scope(&self) -> Option<ProjectId> {
        None
    }

    fn caller(&self) -> &Caller {
        &self.caller
    }

    fn permissions(&self) -> &PermissionSet {
        &self.permissions
    }
}

impl<P: Grant> Holds<P> for ProjectAccess<P> {
    fn organization(&self) -> OrganizationId {
        self.organization
    }

    fn scope(&self) -> Option<ProjectId> {
        Some(self.project)
    }

    fn caller(&self) -> &Caller {
        &self.caller
    }

    fn permissions(&self) -> &PermissionSet {
        &self.permissions
    }
}

/// Proof that a person operates the platform. It opens platform-level functions, not the data of tenants.
#[derive(Debug, Clone, Copy)]
pub struct Operator {
    person: Person,
}

impl Operator {
    /// The proof, if `caller` is an operator. For the authorization of `berth-auth` alone.
    pub fn vouch(caller: &Caller) -> Option<Self> {
        match caller {
            Caller::Person(person) if person.operator => Some(Self { person: *person }),
            Caller::Person(_) | Caller::Key(_) => None,
        }
    }

    /// The person who operates.
    pub fn person(&self) -> Person {
        self.person
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::permission::BuiltinRole;
    use crate::random::SeededRandom;

    fn person(operator: bool) -> Caller {
        let random = SeededRandom::new(1);
        Caller::Person(Person {
            user: UserId::new(&SystemClock, &random),
            session: SessionId::new(&SystemClock, &random),
            operator,
        })
    }

    fn key() -> KeyIdentity {
        let random = SeededRandom::new(3);
        KeyIdentity {
            key: ApiKeyId::new(&SystemClock, &random),
            organization: OrganizationId::new(&SystemClock, &random),
            project: ProjectId::new(&SystemClock, &random),
            service_account: None,
            scopes: PermissionSet::default(),
            models: None,
            origins: Vec::new(),
        }
    }

    #[test]
    fn every_permission_has_its_marker() {
        assert_eq!(can::ALL, Permission::ALL);
    }

    #[test]
    fn proof_needs_the_permission_of_its_type() {
        let organization = OrganizationId::new(&SystemClock, &SeededRandom::new(2));
        let viewer = BuiltinRole::Viewer.permissions();
        assert!(Access::<can::ModelsRead>::vouch(organization, person(false), viewer.clone()).is_some());
        assert!(Access::<can::ModelsWrite>::vouch(organization, person(false), viewer).is_none());
    }

    #[test]
    fn only_an_operator_is_an_operator() {
        assert!(Operator::vouch(&person(true)).is_some());
        assert!(Operator::vouch(&person(false)).is_none());
    }

    #[test]
    fn origin_is_admitted_when_it_or_every_one_is_listed() {
        let mut key = key();
        assert!(!key.admits_origin("https://app.example"));
        key.origins = vec!["https://app.example".to_owned()];
        assert!(key.admits_origin("https://app.example") && !key.admits_origin("http://app.example"));
        key.origins = vec!["*".to_owned()];
        assert!(key.admits_origin("http://app.example"));
    }

    #[test]
    fn key_without_a_model_list_admits_every_name() {
        let mut key = key();
        assert!(key.admits_model("minilm"));
        key.models = Some(vec!["minilm".parse().expect("a handle")]);
        assert!(key.admits_model("minilm") && !key.admits_model("other"));
    }
}
