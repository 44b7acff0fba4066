//! An installation with people, organizations and projects, as tests need them.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use berth_auth::accounts::NewAccount;
use berth_auth::api_keys::{KeyWish, ShownKey};
use berth_auth::auth::{Auth, Options, Parts, SignUpPolicy};
use berth_auth::authenticator::{self, Authenticator, Service};
use berth_auth::organizations::OrganizationWish;
use berth_auth::pepper::{Pepper, Peppers};
use berth_auth::projects::ProjectWish;
use berth_auth::sessions::SignedIn;
use berth_auth::signing::{self, SigningKey, SigningKeys};
use berth_coordination::Coordination;
use berth_coordination::memory::Memory;
use berth_domain::access::{Access, Caller, Grant, Person, ProjectAccess, can};
use berth_domain::address::AddressList;
use berth_domain::clock::{Clock as _, ManualClock, SystemClock};
use berth_domain::id::{MembershipId, OrganizationId, ProjectId, UserId};
use berth_domain::name::Email;
use berth_domain::permission::{BuiltinRole, Permission};
use berth_domain::random::SystemRandom;
use berth_domain::secret::Secret;
use berth_store::idempotency_keys::Keep;
use berth_store::page::{Order, Page};
use berth_store::roles::GivenRole;
use berth_store::{Options as StoreOptions, Store};
use berth_test_support::TestDatabase;
use chrono::SubsecRound as _;

pub(crate) const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));
pub(crate) const PASSWORD: &str = "a long walk on the pier";

/// One installation.
pub(crate) struct House {
    pub(crate) auth: Auth,
    pub(crate) store: Store,
    pub(crate) clock: ManualClock,
    pub(crate) coordination: Arc<dyn Coordination>,
    // Dropped last: the pools go first.
    pub(crate) database: TestDatabase,
}

/// An organization with a project and its owner.
pub(crate) struct Tenant {
    pub(crate) owner: Caller,
    pub(crate) organization: OrganizationId,
    pub(crate) project: ProjectId,
}

impl House {
    /// Everyone may sign up, and no mail is sent.
    pub(crate) async fn new() -> Self {
        Self::with(|_| ()).await
    }

    /// The same under other rules.
    pub(crate) async fn with(change: impl FnOnce(&mut Options)) -> Self {
        Self::over(Arc::new(Memory::new()), change).await
    }

    pub(crate) async fn over(coordination: Arc<dyn Coordination>, change: impl FnOnce(&mut Options)) -> Self {
        let database = TestDatabase::create().await.expect("a database");
        let store = connect(&database.app_url(), &database.system_url()).await;
        let clock = ManualClock::new(SystemClock.now().trunc_subsecs(6));
        let auth = auth(store.clone(), Arc::clone(&coordination), &clock, change);
        Self {
            auth,
            store,
            clock,
            coordination,
            database,
        }
    }

    /// A node of the same installation under other rules.
    pub(crate) fn other(&self, change: impl FnOnce(&mut Options)) -> Auth {
        auth(
            self.store.clone(),
            Arc::clone(&self.coordination),
            &self.clock,
            change,
        )
    }

    pub(crate) fn clock_now(&self) -> berth_domain::clock::Timestamp {
        self.clock.now()
    }

    /// Makes an account with [`PASSWORD`].
    pub(crate) async fn sign_up(&self, email: &str) -> SignedIn {
        self.auth
            .sign_up(account(email), ADDRESS)
            .await
            .expect("signs up")
    }

    /// Signs in, and tells who that is.
    pub(crate) async fn caller(&self, signed_in: &SignedIn) -> Caller {
        Caller::Person(self.person(signed_in).await)
    }

    pub(crate) async fn person(&self, signed_in: &SignedIn) -> Person {
        self.auth
            .authenticate_token(signed_in.access.text.expose())
            .await
            .expect("the token holds")
    }

    /// Makes the first operator.
    pub(crate) async fn operator(&self) -> Caller {
        let password = Secret::new(PASSWORD);
        self.auth
            .bootstrap(email("operator@example.com"), &password, None)
            .await
            .expect("the first operator");
        let signed_in = self
            .auth
            .sign_in(&email("operator@example.com"), &password, None, ADDRESS)
            .await
            .expect("signs in");
        self.caller(&signed_in).await
    }

    /// An organization `name` with the project `main`.
    pub(crate) async fn tenant(&self, name: &str) -> Tenant {
        let owner = self.sign_up(&format!("owner@{name}.example")).await;
        let owner = self.caller(&owner).await;
        let wish = OrganizationWish {
            name: name.parse().expect("a handle"),
            title: name.parse().expect("a title"),
        };
        let organization = self
            .auth
            .create_organization(&owner, wish, &Keep::nothing())
            .await
            .expect("an organization")
            .id;
        let project = self.project(&owner, organization, "main").await;
        Tenant {
            owner,
            organization,
            project,
        }
    }

    pub(crate) async fn project(
        &self,
        owner: &Caller,
        organization: OrganizationId,
        name: &str,
    ) -> ProjectId {
        let wish = ProjectWish {
            name: name.parse().expect("a handle"),
            title: name.parse().expect("a title"),
            cors_origins: vec![],
        };
        let access = self.access::<can::ProjectsManage>(owner, organization).await;
        self.auth
            .create_project(&access, wish, &Keep::nothing())
            .await
            .expect("a project")
            .id
    }

    /// Proof for the whole organization, which must be there.
    pub(crate) async fn access<P: Grant>(&self, caller: &Caller, organization: OrganizationId) -> Access<P> {
        self.auth
            .authorize::<P>(caller, organization)
            .await
            .expect("the permission is held")
    }

    /// Proof for a project, which must be there.
    pub(crate) async fn project_access<P: Grant>(
        &self,
        caller: &Caller,
        organization: OrganizationId,
        project: ProjectId,
    ) -> ProjectAccess<P> {
        self.auth
            .authorize_project::<P>(caller, organization, project)
            .await
            .expect("the permission is held")
    }

    /// A new person who may manage the organization's members, and the proof of that.
    pub(crate) async fn admin(&self, tenant: &Tenant) -> (Caller, MembershipId, Access<can::MembersManage>) {
        let (admin, membership) = self
            .member(tenant, None, "admin@acme.example", BuiltinRole::Admin)
            .await;
        let access = self.access(&admin, tenant.organization).await;
        (admin, membership, access)
    }

    /// A new person with `role` in the whole organization, or in `project`.
    pub(crate) async fn member(
        &self,
        tenant: &Tenant,
        project: Option<ProjectId>,
        address: &str,
        role: impl Into<Role>,
    ) -> (Caller, MembershipId) {
        let caller = self.sign_up(address).await;
        let caller = self.caller(&caller).await;
        let Role(role) = role.into();
        let invited = match project {
            None => {
                let access = self
                    .access::<can::MembersManage>(&tenant.owner, tenant.organization)
                    .await;
                self.auth
                    .invite(&access, email(address), role, &Keep::nothing())
                    .await
            }
            Some(project) => {
                let access = self
                    .project_access::<can::MembersManage>(&tenant.owner, tenant.organization, project)
                    .await;
                self.auth
                    .invite(&access, email(address), role, &Keep::nothing())
                    .await
            }
        };
        let token = invited.expect("invites").token.expect("no mail is sent");
        let accepted = self
            .auth
            .accept_invitation(&person(&caller), &token, ADDRESS)
            .await
            .expect("accepts");
        (caller, accepted.membership)
    }

    /// An authenticator that nobody informs until its service runs: it asks the database for every request.
    pub(crate) fn authenticator(&self) -> (Authenticator, Service) {
        node(
            self,
            self.store.clone(),
            Arc::clone(&self.coordination),
            authenticator::Options::default(),
        )
    }

    /// A key of the tenant's project that may call models.
    pub(crate) async fn key(&self, tenant: &Tenant) -> ShownKey {
        self.key_with(tenant, |_| ()).await
    }

    pub(crate) async fn key_with(&self, tenant: &Tenant, change: impl FnOnce(&mut KeyWish)) -> ShownKey {
        let access = self
            .project_access::<can::KeysManage>(&tenant.owner, tenant.organization, tenant.project)
            .await;
        let mut wish = key_wish();
        change(&mut wish);
        self.auth
            .create_key(&access, wish, &Keep::nothing())
            .await
            .expect("a key")
    }
}

pub(crate) struct Role(GivenRole);

impl From<BuiltinRole> for Role {
    fn from(role: BuiltinRole) -> Self {
        Self(GivenRole::Builtin(role))
    }
}

impl From<GivenRole> for Role {
    fn from(role: GivenRole) -> Self {
        Self(role)
    }
}

pub(crate) fn key_wish() -> KeyWish {
    KeyWish {
        title: "a key".parse().expect("a title"),
        scopes: [Permission::InferenceRun].into_iter().collect(),
        models: None,
        addresses: AddressList::default(),
        expires_at: None,
        service_account: None,
    }
}

pub(crate) fn account(address: &str) -> NewAccount {
    NewAccount {
        email: email(address),
        password: Secret::new(PASSWORD),
        name: None,
        invitation: None,
        client: Some("a test".to_owned()),
    }
}

pub(crate) fn email(text: &str) -> Email {
    text.parse().expect("an address")
}

pub(crate) fn person(caller: &Caller) -> Person {
    match caller {
        Caller::Person(person) => *person,
        Caller::Key(_) => unreachable!("a person is expected"),
    }
}

pub(crate) fn user(caller: &Caller) -> UserId {
    person(caller).user
}

pub(crate) fn first<Id>() -> Page<Id> {
    Page::first(100, Order::Ascending)
}

pub(crate) async fn connect(app_url: &str, system_url: &str) -> Store {
    let options = StoreOptions::new(Secret::new(app_url), Secret::new(system_url));
    Store::connect(&options).await.expect("the database is there")
}

pub(crate) fn peppers() -> Peppers {
    let pepper = Pepper {
        id: "one".to_owned(),
        secret: Secret::new("the sea is salt enough already, thank you"),
    };
    Peppers::new(pepper, vec![]).expect("a pepper")
}

/// Weak hashes and wide limits: what tests are not about.
fn auth(
    store: Store,
    coordination: Arc<dyn Coordination>,
    clock: &ManualClock,
    change: impl FnOnce(&mut Options),
) -> Auth {
    let mut options = Options::new("https://berth.example", "test".parse().expect("an environment"));
    options.sign_up = SignUpPolicy::Open;
    options.passwords.memory_kib = 64;
    options.passwords.iterations = 1;
    for limit in [
        &mut options.throttle.sign_in_by_address,
        &mut options.throttle.sign_up_by_address,
        &mut options.throttle.reset_by_address,
    ] {
        limit.attempts = 1000;
    }
    change(&mut options);
    let signing_key = SigningKey::from_pem(&signing::generate(&SystemRandom)).expect("a key");
    let parts = Parts {
        store,
        coordination,
        clock: Arc::new(clock.clone()),
        random: Arc::new(SystemRandom),
        peppers: peppers(),
        signing_keys: SigningKeys::new(signing_key, vec![]),
    };
    Auth::new(options, parts).expect("valid parameters")
}

/// An authenticator of the installation over its own store and coordination.
pub(crate) fn node(
    house: &House,
    store: Store,
    coordination: Arc<dyn Coordination>,
    options: authenticator::Options,
) -> (Authenticator, Service) {
    let clock = Arc::new(house.clock.clone());
    Authenticator::new(options, store, coordination, peppers(), clock, &SystemRandom)
}
