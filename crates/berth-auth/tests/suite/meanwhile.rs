//! What happens between a check and the change that it allows.

use std::time::Duration;

use berth_auth::accounts::{ChangePasswordError, ResetPasswordError};
use berth_auth::api_keys;
use berth_auth::organizations::OrganizationWish;
use berth_auth::roles::{self, RoleWish};
use berth_auth::service_accounts::{self, ServiceAccountWish};
use berth_auth::sessions::{RefreshError, SignInError, TokenError};
use berth_auth::{access, authenticator, invitations, members, organizations, people};
use berth_domain::access::{Person, can};
use berth_domain::permission::{BuiltinRole, Permission};
use berth_domain::secret::Secret;
use berth_store::idempotency_keys::Keep;
use berth_store::roles::GivenRole;
use berth_test_support::wait_until;
use chrono::TimeDelta;

use crate::house::{ADDRESS, House, PASSWORD, account, email, first, key_wish, node, person, user};

const LIMIT: Duration = Duration::from_secs(20);
const VIEWER: GivenRole = GivenRole::Builtin(BuiltinRole::Viewer);

/// Waits until something in the house waits for a lock.
async fn somebody_waits(house: &House) {
    wait_until(LIMIT, async || {
        house.database.somebody_waits().await.expect("an answer")
    })
    .await
    .expect("somebody waits");
}

async fn link(house: &House, address: &str) -> Secret {
    let link = house.auth.recover_account(&email(address)).await.expect("a link");
    link.token.expect("no mail is sent")
}

#[tokio::test]
async fn removed_member_hands_nothing_out_by_an_earlier_proof() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let (organization, project) = (acme.organization, acme.project);
    let (_, other) = house
        .member(&acme, None, "bob@example.com", BuiltinRole::Viewer)
        .await;
    let (ada, membership) = house
        .member(&acme, None, "ada@example.com", BuiltinRole::Admin)
        .await;
    let managing = house.access::<can::MembersManage>(&ada, organization).await;
    let keys = house
        .project_access::<can::KeysManage>(&ada, organization, project)
        .await;
    let key = house.key(&acme).await.view.key.id;

    let owner = house
        .access::<can::MembersManage>(&acme.owner, organization)
        .await;
    house
        .auth
        .remove_member(&owner, membership)
        .await
        .expect("removes");
    let before = house.database.rows().await.expect("the rows");

    let gone = |error: &access::Error| matches!(error, access::Error::NotFound);
    let address = email("eve@example.com");
    let invited = house
        .auth
        .invite(&managing, address, VIEWER, &Keep::nothing())
        .await;
    assert!(matches!(&invited, Err(invitations::Error::Access(error)) if gone(error)));
    let wish = RoleWish {
        name: "helper".parse().expect("a handle"),
        title: "Helper".parse().expect("a title"),
        permissions: [Permission::ModelsRead].into_iter().collect(),
    };
    let role = house.auth.create_role(&managing, wish, &Keep::nothing()).await;
    assert!(matches!(&role, Err(roles::Error::Access(error)) if gone(error)));
    let given = house.auth.give_role(&managing, other, VIEWER).await;
    assert!(matches!(&given, Err(members::Error::Access(error)) if gone(error)));
    let removed = house.auth.remove_member(&managing, other).await;
    assert!(matches!(&removed, Err(members::Error::Access(error)) if gone(error)));
    let made = house.auth.create_key(&keys, key_wish(), &Keep::nothing()).await;
    assert!(matches!(&made, Err(api_keys::Error::Access(error)) if gone(error)));
    let grace = TimeDelta::zero();
    let rotated = house.auth.rotate_key(&keys, key, grace, &Keep::nothing()).await;
    assert!(matches!(&rotated, Err(api_keys::Error::Access(error)) if gone(error)));
    let revoked = house.auth.revoke_key(&keys, key).await;
    assert!(matches!(&revoked, Err(api_keys::Error::Access(error)) if gone(error)));
    let wish = ServiceAccountWish {
        name: "robot".parse().expect("a handle"),
        title: "Robot".parse().expect("a title"),
    };
    let made = house
        .auth
        .create_service_account(&keys, wish, &Keep::nothing())
        .await;
    assert!(matches!(&made, Err(service_accounts::Error::Access(error)) if gone(error)));

    assert_eq!(house.database.rows().await.expect("the rows"), before);
}

#[tokio::test]
async fn demoted_member_gives_no_more_than_what_is_left() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let (ada, membership) = house
        .member(&acme, None, "ada@example.com", BuiltinRole::Owner)
        .await;
    let managing = house.access::<can::MembersManage>(&ada, acme.organization).await;
    let owner = house
        .access::<can::MembersManage>(&acme.owner, acme.organization)
        .await;
    let admin = GivenRole::Builtin(BuiltinRole::Admin);
    house
        .auth
        .give_role(&owner, membership, admin)
        .await
        .expect("demotes");
    let role = GivenRole::Builtin(BuiltinRole::Owner);
    let invited = house
        .auth
        .invite(&managing, email("eve@example.com"), role, &Keep::nothing())
        .await;
    assert!(
        matches!(invited, Err(invitations::Error::Beyond(_))),
        "{invited:?}"
    );
}

#[tokio::test]
async fn demoted_operator_does_nothing_by_an_earlier_proof() {
    let house = House::new().await;
    let first_one = house.operator().await;
    let operator = house.auth.authorize_operator(&first_one).expect("an operator");
    let ada = house.sign_up("ada@example.com").await;
    house
        .auth
        .set_operator(&operator, ada.user, true)
        .await
        .expect("makes an operator");
    let ada_calls = house.caller(&ada).await;
    let second = house.auth.authorize_operator(&ada_calls).expect("an operator");
    house
        .auth
        .set_operator(&second, user(&first_one), false)
        .await
        .expect("demotes");
    let before = house.database.rows().await.expect("the rows");

    let no_more = |error: &access::Error| matches!(error, access::Error::NotOperator);
    let again = house.auth.set_operator(&operator, user(&first_one), true).await;
    assert!(matches!(&again, Err(people::Error::Access(error)) if no_more(error)));
    let disabled = house.auth.disable_user(&operator, ada.user).await;
    assert!(matches!(&disabled, Err(people::Error::Access(error)) if no_more(error)));
    let made = house
        .auth
        .create_user(&operator, email("eve@example.com"), None)
        .await;
    assert!(matches!(&made, Err(people::Error::Access(error)) if no_more(error)));
    let link = house.auth.create_password_link(&operator, ada.user).await;
    assert!(matches!(&link, Err(people::Error::Access(error)) if no_more(error)));
    let wish = OrganizationWish {
        name: "acme".parse().expect("a handle"),
        title: "Acme".parse().expect("a title"),
    };
    let made = house
        .auth
        .create_organization_for(&operator, wish, &email("ada@example.com"), &Keep::nothing())
        .await;
    assert!(
        matches!(made, Err(organizations::Error::OperatorsOnly)),
        "{made:?}"
    );
    assert_eq!(house.database.rows().await.expect("the rows"), before);
}

#[tokio::test]
async fn invitations_of_who_is_removed_or_disabled_are_taken_back() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let owner = house
        .access::<can::MembersManage>(&acme.owner, acme.organization)
        .await;
    let mut tokens = Vec::new();
    let mut memberships = Vec::new();
    let mut people = Vec::new();
    for name in ["ada", "bob"] {
        let address = format!("{name}@example.com");
        let (caller, membership) = house.member(&acme, None, &address, BuiltinRole::Admin).await;
        let access = house
            .access::<can::MembersManage>(&caller, acme.organization)
            .await;
        let friend = email(&format!("friend-of-{name}@example.com"));
        let invited = house.auth.invite(&access, friend, VIEWER, &Keep::nothing()).await;
        tokens.push(invited.expect("invites").token.expect("no mail is sent"));
        memberships.push(membership);
        people.push(user(&caller));
    }
    house
        .auth
        .remove_member(&owner, memberships[0])
        .await
        .expect("removes");
    let operator = house.operator().await;
    let operator = house.auth.authorize_operator(&operator).expect("an operator");
    house
        .auth
        .disable_user(&operator, people[1])
        .await
        .expect("disables");
    for (name, token) in ["ada", "bob"].iter().zip(&tokens) {
        let friend = house.sign_up(&format!("friend-of-{name}@example.com")).await;
        let friend = house.person(&friend).await;
        let accepted = house.auth.accept_invitation(&friend, token, ADDRESS).await;
        assert!(
            matches!(
                accepted,
                Err(invitations::AcceptError::Refused(invitations::Refused::Revoked))
            ),
            "{name}: {accepted:?}"
        );
    }
}

#[tokio::test]
async fn invitation_is_worth_nothing_while_its_inviter_is_being_demoted() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let (_, membership, access) = house.admin(&acme).await;
    let address = email("ada@example.com");
    let invited = house
        .auth
        .invite(&access, address, VIEWER, &Keep::nothing())
        .await;
    let token = invited.expect("invites").token.expect("no mail is sent");
    let ada = house.sign_up("ada@example.com").await;
    let ada = house.person(&ada).await;
    let mut demotion = house.store.tenant(acme.organization).await.expect("begins");
    demotion
        .memberships()
        .give_role(acme.organization, membership, VIEWER)
        .await
        .expect("demotes");
    let accepting = house.auth.accept_invitation(&ada, &token, ADDRESS);
    let (accepted, ()) = tokio::join!(accepting, async {
        somebody_waits(&house).await;
        demotion.commit().await.expect("commits");
    });
    assert!(
        matches!(
            accepted,
            Err(invitations::AcceptError::Refused(
                invitations::Refused::InviterLacks
            ))
        ),
        "{accepted:?}"
    );
}

#[tokio::test]
async fn invitations_are_limited_by_organization_and_by_recipient() {
    let house = House::with(|options| {
        options.throttle.invitations_by_organization.attempts = 3;
        options.throttle.invitations_by_recipient.attempts = 2;
    })
    .await;
    let (acme, globex) = (house.tenant("acme").await, house.tenant("globex").await);
    let invite = async |tenant: &crate::house::Tenant, address: &str| {
        let access = house
            .access::<can::MembersManage>(&tenant.owner, tenant.organization)
            .await;
        house
            .auth
            .invite(&access, email(address), VIEWER, &Keep::nothing())
            .await
    };
    invite(&acme, "ada@example.com").await.expect("the first letter");
    invite(&globex, "ada@example.com")
        .await
        .expect("the second letter");
    let third = invite(&globex, "ada@example.com").await;
    assert!(
        matches!(third, Err(invitations::Error::Throttled(_))),
        "{third:?}"
    );
    invite(&acme, "bob@example.com")
        .await
        .expect("the second of acme");
    invite(&acme, "eve@example.com").await.expect("the third of acme");
    let fourth = invite(&acme, "joe@example.com").await;
    assert!(
        matches!(fourth, Err(invitations::Error::Throttled(_))),
        "{fourth:?}"
    );
    let access = house
        .access::<can::MembersRead>(&acme.owner, acme.organization)
        .await;
    let open = house
        .auth
        .list_invitations(&access, &first())
        .await
        .expect("lists");
    assert_eq!(open.items.len(), 3);
}

#[tokio::test]
async fn organization_for_somebody_waits_for_its_invitation_even_when_there_is_an_account() {
    let house = House::new().await;
    let squatter = house.sign_up("ceo@corp.example").await;
    let squatter = house.person(&squatter).await;
    let caller = house.operator().await;
    let operator = house.auth.authorize_operator(&caller).expect("an operator");
    let wish = |name: &str| OrganizationWish {
        name: name.parse().expect("a handle"),
        title: name.parse().expect("a title"),
    };
    let owner = email("ceo@corp.example");
    let (_, invited) = house
        .auth
        .create_organization_for(&operator, wish("corp"), &owner, &Keep::nothing())
        .await
        .expect("makes");
    assert!(invited.is_some());
    let theirs = house
        .auth
        .list_organizations(&squatter, &first())
        .await
        .expect("lists");
    assert!(theirs.items.is_empty(), "the address was never proved");

    let own = email("operator@example.com");
    let (_, invited) = house
        .auth
        .create_organization_for(&operator, wish("own"), &own, &Keep::nothing())
        .await
        .expect("makes");
    assert!(invited.is_none());
    let mine = house
        .auth
        .list_organizations(&person(&caller), &first())
        .await
        .expect("lists");
    assert_eq!(mine.items.len(), 1);
}

#[tokio::test]
async fn link_to_set_a_password_dies_with_the_next_password() {
    let house = House::new().await;
    house.sign_up("ada@example.com").await;
    let (second, third) = (
        Secret::new("the pier is gone now"),
        Secret::new("the sea is back now"),
    );

    let (one, other) = (
        link(&house, "ada@example.com").await,
        link(&house, "ada@example.com").await,
    );
    house
        .auth
        .reset_password(&one, &second, ADDRESS)
        .await
        .expect("sets");
    let again = house.auth.reset_password(&other, &third, ADDRESS).await;
    assert!(matches!(again, Err(ResetPasswordError::Link)), "{again:?}");

    let signed_in = house
        .auth
        .sign_in(&email("ada@example.com"), &second, None, ADDRESS)
        .await
        .expect("signs in");
    let ada = house.person(&signed_in).await;
    let old = link(&house, "ada@example.com").await;
    house.clock.advance(TimeDelta::seconds(1));
    house
        .auth
        .change_password(&ada, &second, &third)
        .await
        .expect("changes");
    let late = house.auth.reset_password(&old, &second, ADDRESS).await;
    assert!(matches!(late, Err(ResetPasswordError::Link)), "{late:?}");
    house
        .auth
        .sign_in(&email("ada@example.com"), &third, None, ADDRESS)
        .await
        .expect("the change stands");
}

#[tokio::test]
async fn one_of_two_links_used_at_the_same_time_works() {
    let house = House::new().await;
    let caller = house.operator().await;
    let operator = house.auth.authorize_operator(&caller).expect("an operator");
    for round in 0..5 {
        // An account without a password: there is no row of it to lock.
        let address = format!("ada{round}@example.com");
        let (_, made) = house
            .auth
            .create_user(&operator, email(&address), None)
            .await
            .expect("makes");
        let (one, other) = (made.token.expect("no mail is sent"), link(&house, &address).await);
        let (second, third) = (
            Secret::new("the pier is gone now"),
            Secret::new("the sea is back now"),
        );
        let (first_used, second_used) = tokio::join!(
            house.auth.reset_password(&one, &second, ADDRESS),
            house.auth.reset_password(&other, &third, ADDRESS),
        );
        assert!(
            first_used.is_ok() != second_used.is_ok(),
            "{first_used:?} {second_used:?}"
        );
    }
}

#[tokio::test]
async fn replaced_password_opens_no_session_even_when_it_was_checked_before() {
    let house = House::new().await;
    let ada = house.sign_up("ada@example.com").await;
    // Another cost, so that signing in would store the old password anew.
    let node = house.other(|options| options.passwords.memory_kib = 128);
    let hash = {
        let mut tx = house.store.person(ada.user).await.expect("begins");
        tx.passwords().show(ada.user).await.expect("reads")
    };
    let mut hash = hash.expect("a password").hash;
    hash.truncate(hash.len() - 4);
    hash.push_str("AAAA");

    let mut replacing = house.store.person(ada.user).await.expect("begins");
    replacing
        .passwords()
        .set(ada.user, &hash, house.clock_now())
        .await
        .expect("replaces");
    let address = email("ada@example.com");
    let password = Secret::new(PASSWORD);
    let signing_in = node.sign_in(&address, &password, None, ADDRESS);
    let (signed_in, ()) = tokio::join!(signing_in, async {
        somebody_waits(&house).await;
        replacing.commit().await.expect("commits");
    });
    assert!(
        matches!(signed_in, Err(SignInError::Credentials)),
        "{signed_in:?}"
    );
    let mut tx = house.store.person(ada.user).await.expect("begins");
    let stored = tx.passwords().show(ada.user).await.expect("reads");
    assert_eq!(stored.expect("a password").hash, hash, "the new one stays");

    // The same for a change of the password.
    let caller = house.person(&ada).await;
    let mut replacing = house.store.person(ada.user).await.expect("begins");
    let present = "the pier is gone now";
    let reset = link(&house, "ada@example.com").await;
    house
        .auth
        .reset_password(&reset, &Secret::new(present), ADDRESS)
        .await
        .expect("sets");
    replacing
        .passwords()
        .set(ada.user, &hash, house.clock_now())
        .await
        .expect("replaces");
    let (present, new) = (Secret::new(present), Secret::new("the sea is back now"));
    let changing = house.auth.change_password(&caller, &present, &new);
    let (changed, ()) = tokio::join!(changing, async {
        somebody_waits(&house).await;
        replacing.commit().await.expect("commits");
    });
    assert!(
        matches!(changed, Err(ChangePasswordError::Credentials)),
        "{changed:?}"
    );
}

#[tokio::test]
async fn account_disabled_while_its_password_is_checked_gets_no_session() {
    let house = House::new().await;
    let ada = house.sign_up("ada@example.com").await;
    let mut disabling = house.store.system().await.expect("begins");
    disabling
        .users()
        .disable(ada.user, house.clock_now())
        .await
        .expect("disables");
    let (address, password) = (email("ada@example.com"), Secret::new(PASSWORD));
    let signing_in = house.auth.sign_in(&address, &password, None, ADDRESS);
    let (signed_in, ()) = tokio::join!(signing_in, async {
        somebody_waits(&house).await;
        disabling.commit().await.expect("commits");
    });
    assert!(
        matches!(signed_in, Err(SignInError::Credentials)),
        "{signed_in:?}"
    );
}

#[tokio::test]
async fn session_that_was_read_before_it_ended_is_not_remembered_after() {
    let house = House::new().await;
    for one_alone in [true, false] {
        let here = house.sign_up(&format!("ada{one_alone}@example.com")).await;
        let (address, password) = (
            email(&format!("ada{one_alone}@example.com")),
            Secret::new(PASSWORD),
        );
        let ended = house.auth.sign_in(&address, &password, None, ADDRESS).await;
        let ended = ended.expect("signs in");
        let ada = Person {
            user: here.user,
            session: here.session,
            operator: false,
        };
        // The read has begun, and so sees the session as it is, and waits for the table of its person.
        let locked = house.database.lock_table("users").await.expect("locks");
        let reading = house.auth.authenticate_token(ended.access.text.expose());
        let (read, ()) = tokio::join!(reading, async {
            somebody_waits(&house).await;
            if one_alone {
                let open = house.auth.end_session(&ada, ended.session).await;
                assert!(open.expect("ends"));
            } else {
                assert_eq!(house.auth.end_other_sessions(&ada).await.expect("ends"), 1);
            }
            locked.free().await.expect("frees");
        });
        read.expect("it began before the end");
        let after = house.auth.authenticate_token(ended.access.text.expose()).await;
        assert!(matches!(after, Err(TokenError::SessionEnded)), "{after:?}");
    }
}

#[tokio::test]
async fn sign_in_stores_the_same_password_anew_without_changing_it() {
    let house = House::new().await;
    let ada = house.sign_up("ada@example.com").await;
    let node = house.other(|options| options.passwords.memory_kib = 128);
    let stored = async || {
        let mut tx = house.store.person(ada.user).await.expect("begins");
        let stored = tx.passwords().show(ada.user).await.expect("reads");
        stored.expect("a password")
    };
    let before = stored().await;
    house.clock.advance(TimeDelta::seconds(1));
    let (address, password) = (email("ada@example.com"), Secret::new(PASSWORD));
    node.sign_in(&address, &password, None, ADDRESS)
        .await
        .expect("signs in");
    let after = stored().await;
    assert_ne!(after.hash, before.hash);
    assert_eq!(after.changed_at, before.changed_at);
}

#[tokio::test]
async fn guessing_refresh_tokens_is_limited() {
    let house = House::with(|options| options.throttle.unknown_refresh_by_address.attempts = 2).await;
    let ada = house.auth.sign_up(account("ada@example.com"), ADDRESS).await;
    let ada = ada.expect("signs up");
    let mut unknown = ada.refresh.expose().to_owned();
    let last = if unknown.ends_with('A') { "B" } else { "A" };
    unknown.replace_range(unknown.len() - 1.., last);
    let unknown = Secret::new(unknown);
    for _ in 0..2 {
        let refused = house.auth.refresh(&unknown, ADDRESS).await;
        assert!(matches!(refused, Err(RefreshError::Invalid)), "{refused:?}");
    }
    let refused = house.auth.refresh(&unknown, ADDRESS).await;
    assert!(matches!(refused, Err(RefreshError::Throttled(_))), "{refused:?}");
    let elsewhere = "198.51.100.1".parse().expect("an address");
    house
        .auth
        .refresh(&ada.refresh, elsewhere)
        .await
        .expect("others are not held up");
}

#[tokio::test]
async fn origins_are_looked_up_two_at_a_time() {
    let house = House::new().await;
    let options = authenticator::Options {
        // What waits for the table must not give up first.
        look_up: LIMIT,
        ..authenticator::Options::default()
    };
    let coordination = std::sync::Arc::clone(&house.coordination);
    let (authenticator, _service) = node(&house, house.store.clone(), coordination, options);
    let locked = house.database.lock_table("projects").await.expect("locks");
    let asking: Vec<_> = ["https://one.example", "https://two.example"]
        .map(|origin| {
            let authenticator = authenticator.clone();
            tokio::spawn(async move { authenticator.origin_is_listed(origin).await })
        })
        .into();
    somebody_waits(&house).await;
    let refused = wait_until(LIMIT, async || {
        let third = authenticator.origin_is_listed("https://three.example").await;
        matches!(third, Err(authenticator::LookUpError::Busy))
    });
    refused.await.expect("the third one is sent away");
    locked.free().await.expect("frees");
    for asked in asking {
        let listed = asked.await.expect("runs").expect("is answered");
        assert!(!listed);
    }
    let endless = format!("https://{}.example", "a".repeat(1000));
    let locked = house.database.lock_table("projects").await.expect("locks");
    let listed = authenticator.origin_is_listed(&endless).await;
    assert!(!listed.expect("nobody is asked"));
    locked.free().await.expect("frees");
}
