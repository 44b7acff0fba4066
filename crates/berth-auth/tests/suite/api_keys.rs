//! Making, rotating and revoking keys; service accounts.

use berth_auth::api_keys::Error;
use berth_auth::authenticator;
use berth_auth::key_text::KeyText;
use berth_auth::service_accounts::{self, ServiceAccountWish};
use berth_domain::access::can;
use berth_domain::permission::{BuiltinRole, Permission};
use berth_store::idempotency_keys::Keep;
use chrono::TimeDelta;

use crate::house::{ADDRESS, House, Tenant, first, key_wish};

async fn judge(house: &House, text: &str) -> Result<(), authenticator::Error> {
    // No service runs, so every request asks the database.
    let (authenticator, _service) = house.authenticator();
    authenticator.authenticate_key(text, ADDRESS).await.map(drop)
}

async fn manage(house: &House, tenant: &Tenant) -> berth_domain::access::ProjectAccess<can::KeysManage> {
    house
        .project_access(&tenant.owner, tenant.organization, tenant.project)
        .await
}

#[tokio::test]
async fn text_of_a_key_is_shown_once_and_not_stored() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let shown = house.key(&acme).await;
    let text = shown.text.expose();
    let parsed = KeyText::parse(text).expect("a key");
    assert_eq!(parsed.environment(), "test");
    let read = house
        .project_access::<can::KeysRead>(&acme.owner, acme.organization, acme.project)
        .await;
    let listed = house.auth.list_keys(&read, &first()).await.expect("lists");
    assert_eq!(listed.items, std::slice::from_ref(&shown.view));
    let secrets = &shown.view.secrets;
    assert_eq!(
        (secrets.len(), &secrets[0].public_id),
        (1, &parsed.public_id().to_string())
    );
    assert_eq!(
        house
            .auth
            .show_key(&read, shown.view.key.id)
            .await
            .expect("shows"),
        shown.view
    );
    judge(&house, text).await.expect("holds");
}

#[tokio::test]
async fn rotated_key_keeps_its_id_and_its_old_secret_for_the_grace_period() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let first = house.key(&acme).await;
    let access = manage(&house, &acme).await;
    let id = first.view.key.id;
    let second = house
        .auth
        .rotate_key(&access, id, TimeDelta::hours(1), &Keep::nothing())
        .await
        .expect("rotates");
    assert_eq!(second.view.key.id, id);
    judge(&house, first.text.expose()).await.expect("goes on");
    judge(&house, second.text.expose()).await.expect("holds");
    house.clock.advance(TimeDelta::minutes(30));
    let third = house
        .auth
        .rotate_key(&access, id, TimeDelta::days(1), &Keep::nothing())
        .await
        .expect("rotates again");
    house.clock.advance(TimeDelta::minutes(30));
    let over = judge(&house, first.text.expose()).await;
    assert!(
        matches!(over, Err(authenticator::Error::Revoked)),
        "not prolonged by the second rotation: {over:?}"
    );
    judge(&house, second.text.expose()).await.expect("goes on");
    house
        .auth
        .rotate_key(&access, id, TimeDelta::zero(), &Keep::nothing())
        .await
        .expect("rotates at once");
    for text in [&second.text, &third.text] {
        let over = judge(&house, text.expose()).await;
        assert!(matches!(over, Err(authenticator::Error::Revoked)), "{over:?}");
    }
}

#[tokio::test]
async fn key_that_is_over_or_longer_than_allowed_is_not_rotated() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let access = manage(&house, &acme).await;
    let expires_at = Some(house.clock_now() + TimeDelta::days(1));
    let shown = house.key_with(&acme, |wish| wish.expires_at = expires_at).await;
    for grace in [TimeDelta::seconds(-1), TimeDelta::days(31)] {
        let refused = house
            .auth
            .rotate_key(&access, shown.view.key.id, grace, &Keep::nothing())
            .await;
        assert!(matches!(refused, Err(Error::Grace { .. })), "{refused:?}");
    }
    house.clock.advance(TimeDelta::days(1));
    let over = judge(&house, shown.text.expose()).await;
    assert!(matches!(over, Err(authenticator::Error::Expired)), "{over:?}");
    let refused = house
        .auth
        .rotate_key(&access, shown.view.key.id, TimeDelta::zero(), &Keep::nothing())
        .await;
    assert!(matches!(refused, Err(Error::Over)), "{refused:?}");
}

#[tokio::test]
async fn revoked_key_is_refused_and_stays_in_the_list() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let access = manage(&house, &acme).await;
    let shown = house.key(&acme).await;
    for _ in 0..2 {
        let revoked = house
            .auth
            .revoke_key(&access, shown.view.key.id)
            .await
            .expect("revokes, twice too");
        assert!(revoked.key.revoked_at.is_some());
    }
    let refused = judge(&house, shown.text.expose()).await;
    assert!(
        matches!(refused, Err(authenticator::Error::Revoked)),
        "{refused:?}"
    );
    let refused = house
        .auth
        .rotate_key(&access, shown.view.key.id, TimeDelta::zero(), &Keep::nothing())
        .await;
    assert!(matches!(refused, Err(Error::Over)), "{refused:?}");
    let read = house
        .project_access::<can::KeysRead>(&acme.owner, acme.organization, acme.project)
        .await;
    assert_eq!(
        house
            .auth
            .list_keys(&read, &first())
            .await
            .expect("lists")
            .items
            .len(),
        1
    );
}

#[tokio::test]
async fn nobody_makes_or_rotates_a_key_that_may_more_than_they() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let maker = berth_auth::roles::RoleWish {
        name: "key-maker".parse().expect("a handle"),
        title: "Key maker".parse().expect("a title"),
        permissions: [Permission::KeysManage, Permission::ModelsRead]
            .into_iter()
            .collect(),
    };
    let access = house
        .access::<can::MembersManage>(&acme.owner, acme.organization)
        .await;
    let role = house
        .auth
        .create_role(&access, maker, &Keep::nothing())
        .await
        .expect("makes");
    let (ada, _) = house
        .member(
            &acme,
            None,
            "ada@acme.example",
            berth_store::roles::GivenRole::Custom(role.id),
        )
        .await;
    let access = house
        .project_access::<can::KeysManage>(&ada, acme.organization, acme.project)
        .await;
    let beyond = house.auth.create_key(&access, key_wish(), &Keep::nothing()).await;
    assert!(matches!(beyond, Err(Error::Beyond(_))), "{beyond:?}");
    let shown = house.key(&acme).await;
    let beyond = house
        .auth
        .rotate_key(&access, shown.view.key.id, TimeDelta::zero(), &Keep::nothing())
        .await;
    assert!(matches!(beyond, Err(Error::Beyond(_))), "{beyond:?}");
    house
        .auth
        .revoke_key(&access, shown.view.key.id)
        .await
        .expect("taking away is no giving");
    let mut wish = key_wish();
    wish.scopes = [Permission::ModelsRead].into_iter().collect();
    house
        .auth
        .create_key(&access, wish, &Keep::nothing())
        .await
        .expect("within what they have");
}

#[tokio::test]
async fn key_of_another_project_is_not_found() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let second = house.project(&acme.owner, acme.organization, "second").await;
    let shown = house.key(&acme).await;
    let access = house
        .project_access::<can::KeysManage>(&acme.owner, acme.organization, second)
        .await;
    for refused in [
        house.auth.revoke_key(&access, shown.view.key.id).await.map(drop),
        house
            .auth
            .rotate_key(&access, shown.view.key.id, TimeDelta::zero(), &Keep::nothing())
            .await
            .map(drop),
    ] {
        assert!(matches!(refused, Err(Error::NotFound)), "{refused:?}");
    }
    judge(&house, shown.text.expose()).await.expect("holds");
}

#[tokio::test]
async fn disabled_service_account_stops_its_keys_and_a_deleted_one_takes_them_along() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let access = manage(&house, &acme).await;
    let wish = || ServiceAccountWish {
        name: "ci".parse().expect("a handle"),
        title: "CI".parse().expect("a title"),
    };
    let account = house
        .auth
        .create_service_account(&access, wish(), &Keep::nothing())
        .await
        .expect("makes");
    let taken = house
        .auth
        .create_service_account(&access, wish(), &Keep::nothing())
        .await;
    assert!(
        matches!(taken, Err(service_accounts::Error::NameTaken)),
        "{taken:?}"
    );
    let shown = house
        .key_with(&acme, |wish| wish.service_account = Some(account.id))
        .await;
    judge(&house, shown.text.expose()).await.expect("holds");
    house
        .auth
        .disable_service_account(&access, account.id)
        .await
        .expect("disables");
    let refused = judge(&house, shown.text.expose()).await;
    assert!(
        matches!(refused, Err(authenticator::Error::ServiceAccountDisabled)),
        "{refused:?}"
    );
    let mut another = key_wish();
    another.service_account = Some(account.id);
    let refused = house.auth.create_key(&access, another, &Keep::nothing()).await;
    assert!(matches!(refused, Err(Error::NoSuchServiceAccount)), "{refused:?}");
    house
        .auth
        .enable_service_account(&access, account.id)
        .await
        .expect("enables");
    judge(&house, shown.text.expose()).await.expect("holds again");
    house
        .auth
        .delete_service_account(&access, account.id)
        .await
        .expect("deletes");
    let refused = judge(&house, shown.text.expose()).await;
    assert!(
        matches!(refused, Err(authenticator::Error::Unknown)),
        "{refused:?}"
    );
    house
        .auth
        .create_service_account(&access, wish(), &Keep::nothing())
        .await
        .expect("the name is free");
}

#[tokio::test]
async fn service_account_of_another_project_holds_no_key_here() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let second = house.project(&acme.owner, acme.organization, "second").await;
    let there = house
        .project_access::<can::KeysManage>(&acme.owner, acme.organization, second)
        .await;
    let wish = ServiceAccountWish {
        name: "ci".parse().expect("a handle"),
        title: "CI".parse().expect("a title"),
    };
    let account = house
        .auth
        .create_service_account(&there, wish, &Keep::nothing())
        .await
        .expect("makes");
    let access = manage(&house, &acme).await;
    let mut wish = key_wish();
    wish.service_account = Some(account.id);
    let refused = house.auth.create_key(&access, wish, &Keep::nothing()).await;
    assert!(matches!(refused, Err(Error::NoSuchServiceAccount)), "{refused:?}");
    let read = house
        .project_access::<can::KeysRead>(&acme.owner, acme.organization, acme.project)
        .await;
    let refused = house.auth.show_service_account(&read, account.id).await;
    assert!(
        matches!(refused, Err(service_accounts::Error::NotFound)),
        "{refused:?}"
    );
}

#[tokio::test]
async fn developer_makes_keys_and_viewer_does_not() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let (developer, _) = house
        .member(&acme, None, "dev@acme.example", BuiltinRole::Developer)
        .await;
    let access = house
        .project_access::<can::KeysManage>(&developer, acme.organization, acme.project)
        .await;
    house
        .auth
        .create_key(&access, key_wish(), &Keep::nothing())
        .await
        .expect("makes");
    let (viewer, _) = house
        .member(&acme, None, "viewer@acme.example", BuiltinRole::Viewer)
        .await;
    let refused = house
        .auth
        .authorize_project::<can::KeysManage>(&viewer, acme.organization, acme.project)
        .await;
    assert!(refused.is_err());
}
