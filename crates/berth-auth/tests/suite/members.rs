//! Members and roles: nobody hands out more than they have, and the last owner cannot go.

use berth_auth::authenticator;
use berth_auth::members::Error;
use berth_auth::roles;
use berth_auth::roles::RoleWish;
use berth_domain::access::can;
use berth_domain::permission::{BuiltinRole, Permission};
use berth_store::idempotency_keys::Keep;
use berth_store::roles::{GivenRole, RoleChange};

use crate::house::{ADDRESS, House, first, key_wish, person};

const OWNER: GivenRole = GivenRole::Builtin(BuiltinRole::Owner);
const ADMIN: GivenRole = GivenRole::Builtin(BuiltinRole::Admin);
const VIEWER: GivenRole = GivenRole::Builtin(BuiltinRole::Viewer);

async fn owners(house: &House, tenant: &crate::house::Tenant) -> usize {
    let mut tx = house.store.tenant(tenant.organization).await.expect("begins");
    tx.memberships()
        .lock_owners(tenant.organization)
        .await
        .expect("reads")
        .len()
}

#[tokio::test]
async fn last_owner_can_neither_leave_nor_be_removed_nor_step_down() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let access = house
        .access::<can::MembersManage>(&acme.owner, acme.organization)
        .await;
    let read = house
        .access::<can::MembersRead>(&acme.owner, acme.organization)
        .await;
    let members = house.auth.list_members(&read, &first()).await.expect("lists");
    let [owner] = &members.items[..] else {
        panic!("one member")
    };
    let owner = owner.membership.id;
    for refused in [
        house.auth.remove_member(&access, owner).await,
        house
            .auth
            .leave(&person(&acme.owner), acme.organization, owner)
            .await,
        house.auth.give_role(&access, owner, ADMIN).await.map(drop),
    ] {
        assert!(matches!(refused, Err(Error::LastOwner)), "{refused:?}");
    }
    house
        .auth
        .give_role(&access, owner, OWNER)
        .await
        .expect("staying an owner is no change");
    house
        .member(&acme, None, "second@acme.example", BuiltinRole::Owner)
        .await;
    house
        .auth
        .leave(&person(&acme.owner), acme.organization, owner)
        .await
        .expect("another owner is left");
    assert_eq!(owners(&house, &acme).await, 1);
}

#[tokio::test]
async fn of_two_owners_who_remove_each_other_at_once_one_stays() {
    let house = House::new().await;
    for round in 0..6 {
        let acme = house.tenant(&format!("acme{round}")).await;
        let read = house
            .access::<can::MembersRead>(&acme.owner, acme.organization)
            .await;
        let first_owner = house
            .auth
            .list_members(&read, &first())
            .await
            .expect("lists")
            .items[0]
            .membership
            .id;
        let (other, other_owner) = house
            .member(
                &acme,
                None,
                &format!("other{round}@acme.example"),
                BuiltinRole::Owner,
            )
            .await;
        let mine = house
            .access::<can::MembersManage>(&acme.owner, acme.organization)
            .await;
        let theirs = house
            .access::<can::MembersManage>(&other, acme.organization)
            .await;
        let (one, two) = if round % 2 == 0 {
            tokio::join!(
                house.auth.remove_member(&mine, other_owner),
                house.auth.remove_member(&theirs, first_owner),
            )
        } else {
            let leaving = person(&other);
            tokio::join!(
                async { house.auth.give_role(&mine, first_owner, VIEWER).await.map(drop) },
                house.auth.leave(&leaving, acme.organization, other_owner),
            )
        };
        assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
        assert_eq!(owners(&house, &acme).await, 1);
    }
}

#[tokio::test]
async fn owner_of_a_project_is_no_owner_of_the_organization() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    house
        .member(&acme, Some(acme.project), "lead@acme.example", BuiltinRole::Owner)
        .await;
    let read = house
        .access::<can::MembersRead>(&acme.owner, acme.organization)
        .await;
    let members = house.auth.list_members(&read, &first()).await.expect("lists");
    let owner = members
        .items
        .iter()
        .find(|member| member.membership.project.is_none())
        .expect("the owner");
    let access = house
        .access::<can::MembersManage>(&acme.owner, acme.organization)
        .await;
    let refused = house.auth.remove_member(&access, owner.membership.id).await;
    assert!(matches!(refused, Err(Error::LastOwner)), "{refused:?}");
}

#[tokio::test]
async fn admin_neither_makes_nor_unmakes_owners() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let (admin, own) = house
        .member(&acme, None, "admin@acme.example", BuiltinRole::Admin)
        .await;
    let (_, viewer) = house
        .member(&acme, None, "viewer@acme.example", BuiltinRole::Viewer)
        .await;
    let (_, owner) = house
        .member(&acme, None, "second@acme.example", BuiltinRole::Owner)
        .await;
    let access = house
        .access::<can::MembersManage>(&admin, acme.organization)
        .await;
    for refused in [
        house.auth.give_role(&access, viewer, OWNER).await.map(drop),
        house.auth.give_role(&access, own, OWNER).await.map(drop),
        house.auth.give_role(&access, owner, VIEWER).await.map(drop),
        house.auth.remove_member(&access, owner).await,
    ] {
        assert!(matches!(refused, Err(Error::Beyond(_))), "{refused:?}");
    }
    house
        .auth
        .give_role(&access, viewer, ADMIN)
        .await
        .expect("what an admin has");
    house.auth.remove_member(&access, viewer).await.expect("removes");
    let gone = house.auth.remove_member(&access, viewer).await;
    assert!(matches!(gone, Err(Error::NotFound)), "{gone:?}");
}

#[tokio::test]
async fn who_manages_a_project_manages_its_members_alone() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let (lead, _) = house
        .member(&acme, Some(acme.project), "lead@acme.example", BuiltinRole::Admin)
        .await;
    let (_, inside) = house
        .member(
            &acme,
            Some(acme.project),
            "dev@acme.example",
            BuiltinRole::Developer,
        )
        .await;
    let (_, outside) = house
        .member(&acme, None, "viewer@acme.example", BuiltinRole::Viewer)
        .await;
    let access = house
        .project_access::<can::MembersManage>(&lead, acme.organization, acme.project)
        .await;
    let read = house
        .project_access::<can::MembersRead>(&lead, acme.organization, acme.project)
        .await;
    let seen = house.auth.list_members(&read, &first()).await.expect("lists");
    assert!(
        seen.items
            .iter()
            .all(|member| member.membership.project == Some(acme.project))
    );
    assert_eq!(seen.items.len(), 2);
    let refused = house.auth.remove_member(&access, outside).await;
    assert!(matches!(refused, Err(Error::NotFound)), "{refused:?}");
    house.auth.remove_member(&access, inside).await.expect("removes");
}

#[tokio::test]
async fn member_of_another_organization_is_out_of_reach() {
    let house = House::new().await;
    let (acme, other) = (house.tenant("acme").await, house.tenant("other").await);
    let (_, theirs) = house
        .member(&other, None, "viewer@other.example", BuiltinRole::Viewer)
        .await;
    let access = house
        .access::<can::MembersManage>(&acme.owner, acme.organization)
        .await;
    let refused = house.auth.remove_member(&access, theirs).await;
    assert!(matches!(refused, Err(Error::NotFound)), "{refused:?}");
    let left = house
        .auth
        .leave(&person(&acme.owner), other.organization, theirs)
        .await;
    assert!(matches!(left, Err(Error::NotFound)), "{left:?}");
}

#[tokio::test]
async fn keys_of_who_leaves_end_and_those_of_service_accounts_stay() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let (dev, membership) = house
        .member(&acme, None, "dev@acme.example", BuiltinRole::Developer)
        .await;
    let access = house
        .project_access::<can::KeysManage>(&dev, acme.organization, acme.project)
        .await;
    let own = house
        .auth
        .create_key(&access, key_wish(), &Keep::nothing())
        .await
        .expect("a key");
    let account = berth_auth::service_accounts::ServiceAccountWish {
        name: "ci".parse().expect("a handle"),
        title: "CI".parse().expect("a title"),
    };
    let account = house
        .auth
        .create_service_account(&access, account, &Keep::nothing())
        .await
        .expect("a service account");
    let mut wish = key_wish();
    wish.service_account = Some(account.id);
    let held = house
        .auth
        .create_key(&access, wish, &Keep::nothing())
        .await
        .expect("a key");
    let manage = house
        .access::<can::MembersManage>(&acme.owner, acme.organization)
        .await;
    house
        .auth
        .remove_member(&manage, membership)
        .await
        .expect("removes");
    let (authenticator, _service) = house.authenticator();
    let ended = authenticator.authenticate_key(own.text.expose(), ADDRESS).await;
    assert!(matches!(ended, Err(authenticator::Error::Revoked)), "{ended:?}");
    authenticator
        .authenticate_key(held.text.expose(), ADDRESS)
        .await
        .expect("holds");
}

#[tokio::test]
async fn role_gives_no_more_than_its_maker_has_and_goes_when_nobody_has_it() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let (_, _, access) = house.admin(&acme).await;
    let wish = |name: &str, permissions: &[Permission]| RoleWish {
        name: name.parse().expect("a handle"),
        title: name.parse().expect("a title"),
        permissions: permissions.iter().copied().collect(),
    };
    let beyond = house
        .auth
        .create_role(
            &access,
            wish("payer", &[Permission::BillingManage]),
            &Keep::nothing(),
        )
        .await;
    assert!(matches!(beyond, Err(roles::Error::Beyond(_))), "{beyond:?}");
    let role = house
        .auth
        .create_role(
            &access,
            wish("reader", &[Permission::ModelsRead]),
            &Keep::nothing(),
        )
        .await
        .expect("makes");
    let taken = house
        .auth
        .create_role(
            &access,
            wish("reader", &[Permission::ModelsRead]),
            &Keep::nothing(),
        )
        .await;
    assert!(matches!(taken, Err(roles::Error::NameTaken)), "{taken:?}");
    let builtin = house
        .auth
        .create_role(
            &access,
            wish("owner", &[Permission::ModelsRead]),
            &Keep::nothing(),
        )
        .await;
    assert!(matches!(builtin, Err(roles::Error::NameTaken)), "{builtin:?}");
    let change = RoleChange {
        permissions: Some([Permission::OrganizationManage].into_iter().collect()),
        ..RoleChange::default()
    };
    let beyond = house.auth.update_role(&access, role.id, &change).await;
    assert!(matches!(beyond, Err(roles::Error::Beyond(_))), "{beyond:?}");

    let (_, membership) = house
        .member(&acme, None, "ada@acme.example", GivenRole::Custom(role.id))
        .await;
    let held = house.auth.remove_role(&access, role.id).await;
    assert!(matches!(held, Err(roles::Error::Held)), "{held:?}");
    house
        .auth
        .give_role(&access, membership, VIEWER)
        .await
        .expect("gives another");
    house.auth.remove_role(&access, role.id).await.expect("removes");
    let gone = house
        .auth
        .give_role(&access, membership, GivenRole::Custom(role.id))
        .await;
    assert!(matches!(gone, Err(Error::NoSuchRole)), "{gone:?}");
    let read = house
        .access::<can::MembersRead>(&acme.owner, acme.organization)
        .await;
    assert!(
        house
            .auth
            .list_roles(&read, &first())
            .await
            .expect("lists")
            .items
            .is_empty()
    );
}
