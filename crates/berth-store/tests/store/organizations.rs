//! Organizations, projects, members, roles and invitations.

use anyhow::{Context as _, Result};
use berth_domain::model::TenantStatus;
use berth_domain::permission::{BuiltinRole, Permission};
use berth_store::organizations::{NAME_TAKEN, Suspender};
use berth_store::projects::ProjectChange;
use berth_store::roles::{GivenRole, HELD, RoleChange};
use berth_store::{Error, Order, Page, memberships, projects, roles};
use chrono::TimeDelta;

use crate::world::World;

fn constraint(error: &anyhow::Error) -> Option<&str> {
    error.downcast_ref::<Error>().and_then(Error::constraint)
}

#[tokio::test]
async fn names_are_unique_until_their_owner_is_deleted() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let error = world
        .project(tenant.organization, "main")
        .await
        .err()
        .context("two projects of one name")?;
    assert_eq!(constraint(&error), Some(projects::NAME_TAKEN));

    let mut tx = world.store.tenant(tenant.organization).await?;
    assert!(
        tx.projects()
            .delete(tenant.organization, tenant.project, world.now())
            .await?
    );
    assert!(
        !tx.projects()
            .delete(tenant.organization, tenant.project, world.now())
            .await?
    );
    tx.commit().await?;
    world.project(tenant.organization, "main").await?;

    let mut tx = world.store.tenant(tenant.organization).await?;
    let taken = tx
        .organizations()
        .rename(tenant.organization, Some(&"other".parse()?), None)
        .await?;
    assert!(taken);
    tx.commit().await?;
    let other = world.tenant_of(tenant.owner, "acme").await?;
    let mut tx = world.store.tenant(other.organization).await?;
    let error = tx
        .organizations()
        .rename(other.organization, Some(&"other".parse()?), None)
        .await
        .err()
        .context("two organizations of one name")?;
    assert_eq!(error.constraint(), Some(NAME_TAKEN));
    drop(tx);
    let mut tx = world.store.tenant(tenant.organization).await?;
    assert!(
        tx.organizations()
            .delete(tenant.organization, world.now())
            .await?
    );
    tx.commit().await?;
    let mut tx = world.store.tenant(other.organization).await?;
    assert!(
        tx.organizations()
            .rename(other.organization, Some(&"other".parse()?), None)
            .await?
    );
    Ok(())
}

#[tokio::test]
async fn owner_cannot_lift_what_an_operator_imposed() -> Result<()> {
    let world = World::new().await?;
    let organization = world.tenant("acme").await?.organization;
    let now = world.now();
    let mut tx = world.store.tenant(organization).await?;
    let mut organizations = tx.organizations();
    assert!(organizations.suspend(organization, Suspender::Owner, now).await?);
    assert!(!organizations.suspend(organization, Suspender::Owner, now).await?);
    assert!(organizations.resume(organization, Suspender::Owner).await?);
    assert!(!organizations.resume(organization, Suspender::Owner).await?);

    assert!(organizations.suspend(organization, Suspender::Owner, now).await?);
    assert!(
        organizations
            .suspend(organization, Suspender::Operator, now)
            .await?
    );
    assert!(!organizations.suspend(organization, Suspender::Owner, now).await?);
    assert!(!organizations.resume(organization, Suspender::Owner).await?);
    let shown = organizations.show(organization).await?.context("shown")?;
    assert_eq!(shown.status(), TenantStatus::Suspended);
    assert_eq!(shown.suspended, Some((now, Suspender::Operator)));
    assert!(organizations.resume(organization, Suspender::Operator).await?);
    let shown = organizations.lock(organization).await?.context("shown")?;
    assert_eq!(shown.status(), TenantStatus::Active);
    Ok(())
}

#[tokio::test]
async fn project_is_changed_suspended_and_resumed() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let (organization, project) = (tenant.organization, tenant.project);
    let mut tx = world.store.tenant(organization).await?;
    let mut projects = tx.projects();
    let change = ProjectChange {
        title: Some("Renamed".parse()?),
        cors_origins: Some(vec!["https://new.example".to_owned()]),
        ..ProjectChange::default()
    };
    assert!(projects.update(organization, project, &change).await?);
    let shown = projects.show(organization, project).await?.context("shown")?;
    assert_eq!(
        (shown.name.as_str(), shown.title.as_str(), shown.cors_origins),
        ("main", "Renamed", vec!["https://new.example".to_owned()])
    );
    assert!(projects.suspend(organization, project, world.now()).await?);
    assert!(!projects.suspend(organization, project, world.now()).await?);
    let shown = projects.show(organization, project).await?.context("shown")?;
    assert_eq!(shown.status(), TenantStatus::Suspended);
    assert!(projects.resume(organization, project).await?);
    assert!(!projects.resume(organization, project).await?);
    Ok(())
}

#[tokio::test]
async fn lists_page_by_key_in_both_directions() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let mut ids = vec![tenant.project];
    for name in ["b", "c", "d"] {
        world.clock.advance(TimeDelta::milliseconds(1));
        ids.push(world.project(tenant.organization, name).await?);
    }
    let mut tx = world.store.tenant(tenant.organization).await?;
    let mut read = async |page: Page<_>| -> Result<_> {
        let list = tx.projects().list(tenant.organization, &page).await?;
        let has_more = list.has_more;
        let items: Vec<_> = list.items.into_iter().map(|project| project.id).collect();
        Ok((items, has_more))
    };
    let first = Page::first(3, Order::Ascending);
    assert_eq!(read(first).await?, (ids[..3].to_vec(), true));
    let next = Page {
        after: Some(ids[2]),
        ..first
    };
    assert_eq!(read(next).await?, (ids[3..].to_vec(), false));
    let newest = Page::first(1, Order::Descending);
    assert_eq!(read(newest).await?, (ids[3..].to_vec(), true));
    let back = Page {
        limit: 2,
        before: Some(ids[3]),
        ..first
    };
    assert_eq!(read(back).await?, (ids[1..3].to_vec(), true));
    Ok(())
}

#[tokio::test]
async fn person_finds_the_organizations_they_belong_to() -> Result<()> {
    let world = World::new().await?;
    let acme = world.tenant("acme").await?;
    let other = world.tenant("other").await?;
    world
        .member(
            other,
            Some(other.project),
            acme.owner,
            GivenRole::Builtin(BuiltinRole::Viewer),
        )
        .await?;
    world.tenant("third").await?;
    let mut tx = world.store.person(acme.owner).await?;
    let page = Page::first(10, Order::Ascending);
    let mine = tx.organizations().list_mine(acme.owner, &page).await?;
    let names: Vec<_> = mine
        .items
        .iter()
        .map(|organization| organization.name.as_str())
        .collect();
    assert_eq!(names.len(), 2);
    assert!(names.contains(&"acme") && names.contains(&"other"), "{names:?}");
    assert_eq!(tx.memberships().list_of_user(acme.owner).await?.len(), 2);
    // Nobody sees another's, even by asking for them.
    assert_eq!(tx.memberships().list_of_user(other.owner).await?, []);
    Ok(())
}

#[tokio::test]
async fn member_holds_what_the_role_permits_at_present() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let organization = tenant.organization;
    let user = world.user("bob@example.com").await?;
    let role = world.role(tenant, "reader", &[Permission::ModelsRead]).await?;
    let membership = world
        .member(tenant, Some(tenant.project), user, GivenRole::Custom(role))
        .await?;

    let mut tx = world.store.tenant(organization).await?;
    let held = tx.memberships().of_user(organization, user).await?;
    assert_eq!(held.len(), 1);
    assert_eq!(held[0].membership.project, Some(tenant.project));
    assert_eq!(
        held[0].permissions.iter().collect::<Vec<_>>(),
        [Permission::ModelsRead]
    );

    let change = RoleChange {
        permissions: Some([Permission::KeysRead].into_iter().collect()),
        ..RoleChange::default()
    };
    assert!(tx.roles().update(organization, role, &change).await?);
    let held = tx.memberships().of_user(organization, user).await?;
    assert_eq!(
        held[0].permissions.iter().collect::<Vec<_>>(),
        [Permission::KeysRead]
    );
    assert!(
        tx.memberships()
            .give_role(organization, membership, GivenRole::Builtin(BuiltinRole::Admin))
            .await?
    );
    let held = tx.memberships().of_user(organization, user).await?;
    assert_eq!(held[0].permissions, BuiltinRole::Admin.permissions());
    let member = tx
        .memberships()
        .show(organization, membership)
        .await?
        .context("shown")?;
    assert_eq!(member.email.as_str(), "bob@example.com");

    // What belongs to a project goes with it.
    assert!(
        tx.projects()
            .delete(organization, tenant.project, world.now())
            .await?
    );
    assert_eq!(tx.memberships().of_user(organization, user).await?, []);
    assert!(tx.memberships().remove(organization, membership).await?);
    assert!(!tx.memberships().remove(organization, membership).await?);
    Ok(())
}

#[tokio::test]
async fn role_that_somebody_has_cannot_be_removed() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let organization = tenant.organization;
    let user = world.user("bob@example.com").await?;
    let role = world.role(tenant, "reader", &[]).await?;
    let error = world
        .role(tenant, "reader", &[])
        .await
        .err()
        .context("two roles of one name")?;
    assert_eq!(constraint(&error), Some(roles::NAME_TAKEN));
    let membership = world.member(tenant, None, user, GivenRole::Custom(role)).await?;
    let error = world
        .member(tenant, None, user, GivenRole::Custom(role))
        .await
        .err()
        .context("a member twice")?;
    assert_eq!(constraint(&error), Some(memberships::MEMBER_ALREADY));

    let mut tx = world.store.tenant(organization).await?;
    let error = tx
        .roles()
        .remove(organization, role)
        .await
        .err()
        .context("removed")?;
    assert_eq!(error.constraint(), Some(HELD));
    drop(tx);
    let mut tx = world.store.tenant(organization).await?;
    tx.memberships().remove(organization, membership).await?;
    assert!(tx.roles().remove(organization, role).await?);
    assert!(tx.roles().show(organization, role).await?.is_none());
    let list = tx
        .roles()
        .list(organization, &Page::first(5, Order::Descending))
        .await?;
    assert_eq!(list.items, []);
    Ok(())
}

#[tokio::test]
async fn project_lists_those_who_belong_to_it_alone() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let organization = tenant.organization;
    let elsewhere = world.project(organization, "elsewhere").await?;
    let user = world.user("bob@example.com").await?;
    world
        .member(
            tenant,
            Some(tenant.project),
            user,
            GivenRole::Builtin(BuiltinRole::Viewer),
        )
        .await?;
    let mut invitation = world.invitation("guest@example.com", [5; 32])?;
    invitation.project = Some(tenant.project);
    let mut tx = world.store.tenant(organization).await?;
    tx.invitations().insert(organization, &invitation).await?;
    let (members, invitations) = (
        Page::first(10, Order::Ascending),
        Page::first(10, Order::Ascending),
    );
    for (project, expected) in [(tenant.project, 1), (elsewhere, 0)] {
        let list = tx
            .memberships()
            .list_of_project(organization, project, &members)
            .await?;
        assert!(list.items.iter().all(|member| member.membership.user == user));
        assert_eq!(list.items.len(), expected);
        let list = tx
            .invitations()
            .list_of_project(organization, project, &invitations)
            .await?;
        assert_eq!(list.items.len(), expected);
    }
    let page = Page::first(10, Order::Ascending);
    let list = tx.projects().list_of_user(organization, user, &page).await?;
    let ids: Vec<_> = list.items.iter().map(|project| project.id).collect();
    assert_eq!(ids, [tenant.project]);
    // The owner of the whole is a member of no single project.
    let list = tx
        .projects()
        .list_of_user(organization, tenant.owner, &page)
        .await?;
    assert_eq!(list.items, []);
    Ok(())
}

#[tokio::test]
async fn of_two_who_remove_the_last_owners_one_waits_for_the_other() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let organization = tenant.organization;
    let second = world.user("second@example.com").await?;
    world
        .member(tenant, None, second, GivenRole::Builtin(BuiltinRole::Owner))
        .await?;
    // Each removes one owner, if another is left.
    let attempt = async |which: usize| -> Result<bool> {
        let mut tx = world.store.tenant(organization).await?;
        let owners = tx.memberships().lock_owners(organization).await?;
        if owners.len() < 2 {
            return Ok(false);
        }
        tx.memberships().remove(organization, owners[which].id).await?;
        tx.commit().await?;
        Ok(true)
    };
    let (first, second) = tokio::join!(attempt(0), attempt(1));
    assert_ne!(first?, second?);
    Ok(())
}

#[tokio::test]
async fn invitation_is_found_by_its_token_and_accepted_once() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let organization = tenant.organization;
    let invitation = world.invitation("guest@example.com", [5; 32])?;
    let mut tx = world.store.tenant(organization).await?;
    tx.invitations().insert(organization, &invitation).await?;
    tx.commit().await?;

    let found = world.store.find_invitation(&[5; 32]).await?.context("found")?;
    assert_eq!(found.invitation.organization, organization);
    assert_eq!(found.organization_title.as_str(), "An organization");
    assert!(found.invitation.is_open(world.now()) && !found.invitation.is_open(world.later(25)));
    assert!(world.store.find_invitation(&[6; 32]).await?.is_none());
    let mut tx = world.store.system().await?;
    let letter = tx
        .invitations()
        .letter(invitation.id)
        .await?
        .context("a letter")?;
    assert_eq!((letter.token_hash, letter.project_title), ([5; 32], None));
    assert_eq!(letter.organization_title, found.organization_title);
    assert_eq!(letter.invitation, found.invitation);

    let mut tx = world.store.tenant(organization).await?;
    let page = Page::first(10, Order::Ascending);
    assert_eq!(tx.invitations().list(organization, &page).await?.items.len(), 1);
    assert!(
        tx.invitations()
            .lock(organization, invitation.id)
            .await?
            .is_some()
    );
    assert!(
        tx.invitations()
            .mark_accepted(organization, invitation.id, world.now())
            .await?
    );
    assert!(
        !tx.invitations()
            .mark_accepted(organization, invitation.id, world.now())
            .await?
    );
    assert!(
        !tx.invitations()
            .revoke(organization, invitation.id, world.now())
            .await?
    );
    let shown = tx
        .invitations()
        .show(organization, invitation.id)
        .await?
        .context("shown")?;
    assert!(!shown.is_open(world.now()));
    assert_eq!(tx.invitations().list(organization, &page).await?.items, []);
    Ok(())
}

#[tokio::test]
async fn deleted_organization_takes_what_could_be_used_with_it() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.furnished_tenant("acme").await?;
    let organization = tenant.organization;
    let token = *berth_domain::digest::Sha256::of(b"acme").as_bytes();
    assert!(world.store.find_invitation(&token).await?.is_some());
    let mut tx = world.store.tenant(organization).await?;
    assert!(tx.organizations().delete(organization, world.now()).await?);
    tx.commit().await?;

    assert!(world.store.find_api_key("key-acme").await?.is_none());
    assert!(world.store.find_invitation(&token).await?.is_none());
    let mut tx = world.store.tenant(organization).await?;
    let page = Page::first(10, Order::Ascending);
    let shown = tx
        .organizations()
        .show(organization)
        .await?
        .context("its row stays")?;
    assert_eq!(shown.status(), TenantStatus::Deleted);
    let models = tx
        .models()
        .list(organization, tenant.project, &Page::first(10, Order::Ascending))
        .await?;
    assert_eq!(models.items, []);
    let keys = tx
        .api_keys()
        .list(organization, tenant.project, &Page::first(10, Order::Ascending))
        .await?;
    assert!(keys.items.iter().all(|key| key.revoked_at.is_some()));
    drop(tx);
    let mut tx = world.store.person(tenant.owner).await?;
    assert_eq!(tx.organizations().list_mine(tenant.owner, &page).await?.items, []);
    drop(tx);
    let mut tx = world.store.system().await?;
    assert_eq!(tx.placements().wanted().await?.versions, []);
    assert_eq!(tx.organizations().list(&page).await?.items, []);
    assert!(tx.organizations().show(organization).await?.is_some());
    // Nothing refers to its files any more, so the sweep gets them.
    assert_eq!(tx.blobs().claim_unreferenced(world.later(1), 10).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn deleted_project_leaves_the_others_alone() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.furnished_tenant("acme").await?;
    let organization = tenant.organization;
    let second = crate::world::Tenant {
        project: world.project(organization, "second").await?,
        ..tenant
    };
    world.key(second, None, "key-second").await?;
    let kept = world
        .ready(second, "kept", berth_store::models::Reach::Organization)
        .await?;
    // Projects may deploy each other's shared models; such a deployment goes with either.
    world.deploy(tenant, "borrowed", kept).await?;
    let stays = world.deploy(second, "kept", kept).await?;
    let mut tx = world.store.tenant(organization).await?;
    assert!(
        tx.projects()
            .delete(organization, tenant.project, world.now())
            .await?
    );
    tx.commit().await?;
    assert!(world.store.find_api_key("key-acme").await?.is_none());
    assert!(world.store.find_api_key("key-second").await?.is_some());
    let mut tx = world.store.system().await?;
    let wanted = tx.placements().wanted().await?.versions;
    let wishes: Vec<_> = wanted
        .iter()
        .flat_map(|entry| &entry.wanted_by)
        .map(|wish| wish.deployment)
        .collect();
    assert_eq!(wishes, [stays]);
    Ok(())
}
