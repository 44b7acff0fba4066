//! Who may do what where, over stored memberships. The table of rules itself is tested where it stands.

use berth_auth::access::{Error, authorize_key};
use berth_auth::projects::ProjectWish;
use berth_auth::roles::RoleWish;
use berth_domain::access::{Caller, can};
use berth_domain::id::{OrganizationId, ProjectId};
use berth_domain::permission::{BuiltinRole, Permission};
use berth_domain::random::SystemRandom;
use berth_store::idempotency_keys::Keep;
use berth_store::roles::{GivenRole, RoleChange};

use crate::house::{ADDRESS, House, first};

#[tokio::test]
async fn stranger_finds_neither_organization_nor_project() {
    let house = House::new().await;
    let (acme, other) = (house.tenant("acme").await, house.tenant("other").await);
    let denied = house
        .auth
        .authorize::<can::OrganizationRead>(&other.owner, acme.organization)
        .await;
    assert!(matches!(denied, Err(Error::NotFound)), "{denied:?}");
    let denied = house
        .auth
        .authorize_project::<can::ModelsRead>(&other.owner, acme.organization, acme.project)
        .await;
    assert!(matches!(denied, Err(Error::NotFound)), "{denied:?}");
    let denied = house
        .auth
        .authorize_project::<can::ModelsRead>(&other.owner, other.organization, acme.project)
        .await;
    assert!(
        matches!(denied, Err(Error::NotFound)),
        "another's project under one's own organization: {denied:?}"
    );
}

#[tokio::test]
async fn unknown_ids_are_not_found() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let organization = OrganizationId::new(&house.clock, &SystemRandom);
    let project = ProjectId::new(&house.clock, &SystemRandom);
    let denied = house
        .auth
        .authorize::<can::OrganizationRead>(&acme.owner, organization)
        .await;
    assert!(matches!(denied, Err(Error::NotFound)), "{denied:?}");
    let denied = house
        .auth
        .authorize_project::<can::ModelsRead>(&acme.owner, acme.organization, project)
        .await;
    assert!(matches!(denied, Err(Error::NotFound)), "{denied:?}");
}

#[tokio::test]
async fn member_without_the_permission_is_told_which_it_is() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let (viewer, _) = house
        .member(&acme, None, "viewer@acme.example", BuiltinRole::Viewer)
        .await;
    house
        .project_access::<can::ModelsRead>(&viewer, acme.organization, acme.project)
        .await;
    let denied = house
        .auth
        .authorize_project::<can::ModelsWrite>(&viewer, acme.organization, acme.project)
        .await;
    assert!(
        matches!(
            denied,
            Err(Error::Forbidden {
                permission: Permission::ModelsWrite
            })
        ),
        "{denied:?}"
    );
}

#[tokio::test]
async fn member_of_a_project_sees_that_project_alone() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let second = house.project(&acme.owner, acme.organization, "second").await;
    let (dev, _) = house
        .member(&acme, Some(second), "dev@acme.example", BuiltinRole::Developer)
        .await;
    house
        .project_access::<can::ModelsWrite>(&dev, acme.organization, second)
        .await;
    let denied = house
        .auth
        .authorize_project::<can::ModelsRead>(&dev, acme.organization, acme.project)
        .await;
    assert!(matches!(denied, Err(Error::NotFound)), "{denied:?}");
    let denied = house
        .auth
        .authorize::<can::MembersRead>(&dev, acme.organization)
        .await;
    assert!(matches!(denied, Err(Error::Forbidden { .. })), "{denied:?}");
    let access = house
        .access::<can::OrganizationRead>(&dev, acme.organization)
        .await;
    let projects = house.auth.list_projects(&access, &first()).await.expect("lists");
    let seen: Vec<_> = projects.items.iter().map(|project| project.id).collect();
    assert_eq!(seen, [second]);
    let access = house
        .access::<can::OrganizationRead>(&acme.owner, acme.organization)
        .await;
    assert_eq!(
        house
            .auth
            .list_projects(&access, &first())
            .await
            .expect("lists")
            .items
            .len(),
        2
    );
}

#[tokio::test]
async fn custom_role_permits_what_it_says_and_follows_its_changes() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let access = house
        .access::<can::MembersManage>(&acme.owner, acme.organization)
        .await;
    let wish = RoleWish {
        name: "uploader".parse().expect("a handle"),
        title: "Uploader".parse().expect("a title"),
        permissions: [Permission::ModelsRead, Permission::ModelsWrite]
            .into_iter()
            .collect(),
    };
    let role = house
        .auth
        .create_role(&access, wish, &Keep::nothing())
        .await
        .expect("makes");
    let (ada, _) = house
        .member(&acme, None, "ada@acme.example", GivenRole::Custom(role.id))
        .await;
    house
        .project_access::<can::ModelsWrite>(&ada, acme.organization, acme.project)
        .await;
    let denied = house
        .auth
        .authorize::<can::MembersRead>(&ada, acme.organization)
        .await;
    assert!(matches!(denied, Err(Error::Forbidden { .. })), "{denied:?}");
    let change = RoleChange {
        permissions: Some([Permission::ModelsRead].into_iter().collect()),
        ..RoleChange::default()
    };
    house
        .auth
        .update_role(&access, role.id, &change)
        .await
        .expect("changes");
    let denied = house
        .auth
        .authorize_project::<can::ModelsWrite>(&ada, acme.organization, acme.project)
        .await;
    assert!(matches!(denied, Err(Error::Forbidden { .. })), "{denied:?}");
}

#[tokio::test]
async fn suspension_stops_changes_and_leaves_reading() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let manage = house
        .access::<can::OrganizationManage>(&acme.owner, acme.organization)
        .await;
    house.auth.suspend_organization(&manage).await.expect("suspends");
    house
        .project_access::<can::ModelsRead>(&acme.owner, acme.organization, acme.project)
        .await;
    let denied = house
        .auth
        .authorize_project::<can::ModelsWrite>(&acme.owner, acme.organization, acme.project)
        .await;
    assert!(matches!(denied, Err(Error::OrganizationSuspended)), "{denied:?}");
    let manage = house
        .access::<can::OrganizationManage>(&acme.owner, acme.organization)
        .await;
    house.auth.resume_organization(&manage).await.expect("resumes");

    let project = house
        .project_access::<can::ProjectsManage>(&acme.owner, acme.organization, acme.project)
        .await;
    house.auth.suspend_project(&project).await.expect("suspends");
    let denied = house
        .auth
        .authorize_project::<can::ModelsWrite>(&acme.owner, acme.organization, acme.project)
        .await;
    assert!(matches!(denied, Err(Error::ProjectSuspended)), "{denied:?}");
    let project = house
        .project_access::<can::ProjectsManage>(&acme.owner, acme.organization, acme.project)
        .await;
    house.auth.resume_project(&project).await.expect("resumes");
    house
        .project_access::<can::ModelsWrite>(&acme.owner, acme.organization, acme.project)
        .await;
}

#[tokio::test]
async fn deleted_organization_and_project_are_not_found() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let project = house
        .project_access::<can::ProjectsManage>(&acme.owner, acme.organization, acme.project)
        .await;
    house.auth.delete_project(&project).await.expect("deletes");
    let denied = house
        .auth
        .authorize_project::<can::ProjectsRead>(&acme.owner, acme.organization, acme.project)
        .await;
    assert!(matches!(denied, Err(Error::NotFound)), "{denied:?}");
    let manage = house
        .access::<can::ProjectsManage>(&acme.owner, acme.organization)
        .await;
    let wish = ProjectWish {
        name: "main".parse().expect("a handle"),
        title: "Main again".parse().expect("a title"),
        cors_origins: vec![],
    };
    house
        .auth
        .create_project(&manage, wish, &Keep::nothing())
        .await
        .expect("the name is free");

    let manage = house
        .access::<can::OrganizationManage>(&acme.owner, acme.organization)
        .await;
    house.auth.delete_organization(&manage).await.expect("deletes");
    let denied = house
        .auth
        .authorize::<can::OrganizationRead>(&acme.owner, acme.organization)
        .await;
    assert!(matches!(denied, Err(Error::NotFound)), "{denied:?}");
}

#[tokio::test]
async fn operator_has_no_way_into_an_organization_they_do_not_belong_to() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let operator = house.operator().await;
    let denied = house
        .auth
        .authorize::<can::OrganizationRead>(&operator, acme.organization)
        .await;
    assert!(matches!(denied, Err(Error::NotFound)), "{denied:?}");
    assert!(house.auth.authorize_operator(&operator).is_ok());
    assert!(matches!(
        house.auth.authorize_operator(&acme.owner),
        Err(Error::NotOperator)
    ));
}

#[tokio::test]
async fn key_acts_in_its_project_within_its_scopes() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let second = house.project(&acme.owner, acme.organization, "second").await;
    let shown = house.key(&acme).await;
    let (authenticator, _service) = house.authenticator();
    let identity = authenticator
        .authenticate_key(shown.text.expose(), ADDRESS)
        .await
        .expect("holds");
    assert!(authorize_key::<can::InferenceRun>(&identity).is_ok());
    let denied = authorize_key::<can::ModelsWrite>(&identity);
    assert!(
        matches!(
            denied,
            Err(Error::Forbidden {
                permission: Permission::ModelsWrite
            })
        ),
        "{denied:?}"
    );
    let caller = Caller::Key(identity);
    house
        .project_access::<can::InferenceRun>(&caller, acme.organization, acme.project)
        .await;
    let denied = house
        .auth
        .authorize_project::<can::InferenceRun>(&caller, acme.organization, second)
        .await;
    assert!(matches!(denied, Err(Error::NotFound)), "{denied:?}");
    let denied = house
        .auth
        .authorize::<can::OrganizationRead>(&caller, acme.organization)
        .await;
    assert!(matches!(denied, Err(Error::Forbidden { .. })), "{denied:?}");
    let other = house.tenant("other").await;
    let denied = house
        .auth
        .authorize::<can::OrganizationRead>(&caller, other.organization)
        .await;
    assert!(matches!(denied, Err(Error::NotFound)), "{denied:?}");
    assert!(matches!(
        house.auth.authorize_operator(&caller),
        Err(Error::NotOperator)
    ));
}
