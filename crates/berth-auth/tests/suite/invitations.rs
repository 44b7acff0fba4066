//! Inviting, accepting, taking back.

use std::sync::Arc;

use berth_auth::accounts::{NewAccount, SignUpError};
use berth_auth::invitations::{AcceptError, Error, Invited, Refused};
use berth_auth::letters::{LetterSubject, Letters};
use berth_auth::roles::RoleWish;
use berth_domain::access::can;
use berth_domain::permission::{BuiltinRole, Permission};
use berth_domain::secret::Secret;
use berth_domain::work::MailSend;
use berth_store::idempotency_keys::Keep;
use berth_store::roles::GivenRole;
use chrono::TimeDelta;

use crate::house::{ADDRESS, House, PASSWORD, Tenant, account, email, first, peppers, person};

const VIEWER: GivenRole = GivenRole::Builtin(BuiltinRole::Viewer);

async fn invite(house: &House, tenant: &Tenant, address: &str) -> Invited {
    let access = house
        .access::<can::MembersManage>(&tenant.owner, tenant.organization)
        .await;
    house
        .auth
        .invite(&access, email(address), VIEWER, &Keep::nothing())
        .await
        .expect("invites")
}

fn token(invited: &Invited) -> Secret {
    invited.token.clone().expect("no mail is sent")
}

fn refusal(answer: Result<impl std::fmt::Debug, AcceptError>) -> Refused {
    match answer {
        Err(AcceptError::Refused(refused)) => refused,
        other => unreachable!("a refusal is expected: {other:?}"),
    }
}

#[tokio::test]
async fn invited_person_becomes_a_member_once() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let invited = invite(&house, &acme, "ada@example.com").await;
    let ada = house.sign_up("ada@example.com").await;
    let ada = house.person(&ada).await;
    let accepted = house
        .auth
        .accept_invitation(&ada, &token(&invited), ADDRESS)
        .await
        .expect("accepts");
    assert_eq!(
        (accepted.organization, accepted.project),
        (acme.organization, None)
    );
    let again = house
        .auth
        .accept_invitation(&ada, &token(&invited), ADDRESS)
        .await;
    assert_eq!(refusal(again), Refused::Used);
    let mine = house
        .auth
        .list_organizations(&ada, &first())
        .await
        .expect("lists");
    assert_eq!(mine.items.len(), 1);
    let second = invite(&house, &acme, "ada@example.com").await;
    let again = house.auth.accept_invitation(&ada, &token(&second), ADDRESS).await;
    assert_eq!(refusal(again), Refused::AlreadyMember);
}

#[tokio::test]
async fn of_several_acceptances_at_once_one_succeeds() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let ada = house.sign_up("ada@example.com").await;
    let ada = house.person(&ada).await;
    let token = token(&invite(&house, &acme, "ada@example.com").await);
    let accept = || house.auth.accept_invitation(&ada, &token, ADDRESS);
    let (one, two, three) = tokio::join!(accept(), accept(), accept());
    let (won, lost): (Vec<_>, Vec<_>) = [one, two, three].into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    for answer in lost {
        assert_eq!(refusal(answer), Refused::Used);
    }
}

#[tokio::test]
async fn of_several_sign_ups_with_one_invitation_one_succeeds() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let token = token(&invite(&house, &acme, "ada@example.com").await);
    let sign_up = || {
        let invitation = Some(token.clone());
        house.auth.sign_up(
            NewAccount {
                invitation,
                ..account("ada@example.com")
            },
            ADDRESS,
        )
    };
    let (one, other) = tokio::join!(sign_up(), sign_up());
    let (won, lost) = if one.is_ok() { (one, other) } else { (other, one) };
    let person = house.person(&won.expect("one succeeds")).await;
    assert!(
        matches!(
            lost,
            Err(SignUpError::EmailTaken | SignUpError::Invitation(Refused::Used))
        ),
        "{lost:?}"
    );
    assert_eq!(
        house
            .auth
            .list_organizations(&person, &first())
            .await
            .expect("lists")
            .items
            .len(),
        1
    );
}

#[tokio::test]
async fn failed_acceptance_leaves_no_account_behind() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let invited = invite(&house, &acme, "ada@example.com").await;
    let access = house
        .access::<can::MembersManage>(&acme.owner, acme.organization)
        .await;
    house
        .auth
        .revoke_invitation(&access, invited.id)
        .await
        .expect("takes back");
    let invitation = invited.token;
    let refused = house
        .auth
        .sign_up(
            NewAccount {
                invitation,
                ..account("ada@example.com")
            },
            ADDRESS,
        )
        .await;
    assert!(
        matches!(refused, Err(SignUpError::Invitation(Refused::Revoked))),
        "{refused:?}"
    );
    assert!(
        house
            .store
            .find_user_by_email(&email("ada@example.com"))
            .await
            .expect("asks")
            .is_none()
    );
}

#[tokio::test]
async fn invitation_is_for_one_address_for_some_time() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let token = token(&invite(&house, &acme, "ada@example.com").await);
    let (ada, eve) = (
        house.sign_up("ada@example.com").await,
        house.sign_up("eve@example.com").await,
    );
    let (ada, eve) = (house.person(&ada).await, house.person(&eve).await);
    let stolen = house.auth.accept_invitation(&eve, &token, ADDRESS).await;
    assert_eq!(refusal(stolen), Refused::OtherAddress);
    for text in [
        "",
        "bthi_",
        "bthp_rubbish",
        &token.expose()[..token.expose().len() - 1],
    ] {
        let rubbish = house
            .auth
            .accept_invitation(&ada, &Secret::new(text), ADDRESS)
            .await;
        assert_eq!(refusal(rubbish), Refused::Unknown, "{text:?}");
    }
    house.clock.advance(TimeDelta::days(7));
    let late = house.auth.accept_invitation(&ada, &token, ADDRESS).await;
    assert_eq!(refusal(late), Refused::Expired);
}

#[tokio::test]
async fn suspended_or_deleted_organization_takes_nobody_in() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let token = token(&invite(&house, &acme, "ada@example.com").await);
    let ada = house.sign_up("ada@example.com").await;
    let ada = house.person(&ada).await;
    let manage = house
        .access::<can::OrganizationManage>(&acme.owner, acme.organization)
        .await;
    house.auth.suspend_organization(&manage).await.expect("suspends");
    assert_eq!(
        refusal(house.auth.accept_invitation(&ada, &token, ADDRESS).await),
        Refused::Suspended
    );
    house.auth.delete_organization(&manage).await.expect("deletes");
    assert_eq!(
        refusal(house.auth.accept_invitation(&ada, &token, ADDRESS).await),
        Refused::Unknown
    );
}

#[tokio::test]
async fn nobody_invites_to_more_than_they_have() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let (_, _, access) = house.admin(&acme).await;
    let owner = GivenRole::Builtin(BuiltinRole::Owner);
    let refused = house
        .auth
        .invite(&access, email("eve@example.com"), owner, &Keep::nothing())
        .await;
    assert!(matches!(refused, Err(Error::Beyond(_))), "{refused:?}");
    let above = house
        .access::<can::MembersManage>(&acme.owner, acme.organization)
        .await;
    let invited = house
        .auth
        .invite(&above, email("eve@example.com"), owner, &Keep::nothing())
        .await
        .expect("an owner may");
    let refused = house.auth.revoke_invitation(&access, invited.id).await;
    assert!(matches!(refused, Err(Error::Beyond(_))), "{refused:?}");
}

#[tokio::test]
async fn invitation_gives_no_more_than_its_inviter_may_give_by_then() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let owner = house
        .access::<can::MembersManage>(&acme.owner, acme.organization)
        .await;
    let (admin, membership, access) = house.admin(&acme).await;
    let in_project = house
        .project_access::<can::MembersManage>(&admin, acme.organization, acme.project)
        .await;
    let role = house
        .auth
        .create_role(
            &owner,
            RoleWish {
                name: "greeter".parse().expect("a handle"),
                title: "Greeter".parse().expect("a title"),
                permissions: BuiltinRole::Viewer
                    .permissions()
                    .union(&[Permission::MembersManage].into_iter().collect()),
            },
            &Keep::nothing(),
        )
        .await
        .expect("a role");
    let developer = GivenRole::Builtin(BuiltinRole::Developer);
    let mut tokens = Vec::new();
    for (name, given) in [("ada", developer), ("bob", VIEWER), ("joe", VIEWER)] {
        let address = email(&format!("{name}@example.com"));
        let invited = house.auth.invite(&access, address, given, &Keep::nothing()).await;
        tokens.push(token(&invited.expect("invites")));
    }
    let inner = house
        .auth
        .invite(&in_project, email("eve@example.com"), developer, &Keep::nothing())
        .await;
    tokens.push(token(&inner.expect("invites")));
    let accept = async |name: &str, token: &Secret| {
        let person = house.sign_up(&format!("{name}@example.com")).await;
        let person = house.person(&person).await;
        house.auth.accept_invitation(&person, token, ADDRESS).await
    };

    // Who invited is still a member, and may still invite, but to less.
    let greeter = GivenRole::Custom(role.id);
    house
        .auth
        .give_role(&owner, membership, greeter)
        .await
        .expect("demotes");
    assert_eq!(refusal(accept("ada", &tokens[0]).await), Refused::InviterLacks);
    assert_eq!(refusal(accept("eve", &tokens[3]).await), Refused::InviterLacks);
    accept("bob", &tokens[1]).await.expect("a viewer they may invite");

    // Who may not manage members lets nobody in.
    house
        .auth
        .give_role(&owner, membership, VIEWER)
        .await
        .expect("demotes");
    let joe = NewAccount {
        invitation: Some(tokens[2].clone()),
        ..account("joe@example.com")
    };
    let refused = house.auth.sign_up(joe, ADDRESS).await;
    assert!(
        matches!(refused, Err(SignUpError::Invitation(Refused::InviterLacks))),
        "{refused:?}"
    );

    // The invitation stays open, and is good again once its inviter may give so much again.
    let admin_again = GivenRole::Builtin(BuiltinRole::Admin);
    house
        .auth
        .give_role(&owner, membership, admin_again)
        .await
        .expect("promotes");
    let signed_in = house
        .auth
        .sign_in(&email("ada@example.com"), &Secret::new(PASSWORD), None, ADDRESS)
        .await
        .expect("signs in");
    let person = house.person(&signed_in).await;
    house
        .auth
        .accept_invitation(&person, &tokens[0], ADDRESS)
        .await
        .expect("accepts");
}

#[tokio::test]
async fn open_invitations_are_listed_where_they_lead() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let whole = invite(&house, &acme, "ada@example.com").await;
    // Ids sort by the millisecond.
    house.clock.advance(TimeDelta::milliseconds(1));
    let access = house
        .project_access::<can::MembersManage>(&acme.owner, acme.organization, acme.project)
        .await;
    let inner = house
        .auth
        .invite(&access, email("eve@example.com"), VIEWER, &Keep::nothing())
        .await
        .expect("invites");
    let ids = |list: berth_store::List<berth_store::invitations::Invitation>| {
        list.items
            .into_iter()
            .map(|invitation| invitation.id)
            .collect::<Vec<_>>()
    };
    let everywhere = house
        .access::<can::MembersRead>(&acme.owner, acme.organization)
        .await;
    let listed = house
        .auth
        .list_invitations(&everywhere, &first())
        .await
        .expect("lists");
    assert_eq!(ids(listed), [whole.id, inner.id]);
    let here = house
        .project_access::<can::MembersRead>(&acme.owner, acme.organization, acme.project)
        .await;
    assert_eq!(
        ids(house.auth.list_invitations(&here, &first()).await.expect("lists")),
        [inner.id]
    );
    let refused = house.auth.revoke_invitation(&access, whole.id).await;
    assert!(
        matches!(refused, Err(Error::NotFound)),
        "not the project's: {refused:?}"
    );
    house
        .auth
        .revoke_invitation(&access, inner.id)
        .await
        .expect("takes back");
    let again = house.auth.revoke_invitation(&access, inner.id).await;
    assert!(matches!(again, Err(Error::NotFound)), "{again:?}");
    let listed = house
        .auth
        .list_invitations(&everywhere, &first())
        .await
        .expect("lists");
    assert_eq!(ids(listed), [whole.id]);
}

#[tokio::test]
async fn invitation_goes_by_letter_where_mail_is_sent() {
    let house = House::with(|options| options.mail = true).await;
    let acme = house.tenant("acme").await;
    let invited = invite(&house, &acme, "ada@example.com").await;
    assert!(invited.token.is_none(), "whoever invites does not see the link");
    let mut tx = house.store.system().await.expect("begins");
    let messages = tx.outbox().claim(10, &[]).await.expect("claims");
    let [message] = &messages[..] else {
        panic!("one message: {messages:?}")
    };
    let order: MailSend = serde_json::from_value(message.payload.clone()).expect("an order to send a letter");
    assert_eq!(order, MailSend::Invitation(invited.id));
    let letters = Letters::new(house.store.clone(), peppers(), Arc::new(house.clock.clone()));
    let letter = letters
        .invitation(invited.id)
        .await
        .expect("reads")
        .expect("is to be sent");
    assert_eq!(letter.to.as_str(), "ada@example.com");
    assert!(!message.payload.to_string().contains(letter.token.expose()));
    let LetterSubject::Invitation {
        organization,
        project,
        invited_by,
    } = letter.subject
    else {
        panic!("an invitation");
    };
    assert_eq!((organization.as_str(), project), ("acme", None));
    assert_eq!(invited_by.as_deref(), Some("owner@acme.example"));
    let ada = house.sign_up("ada@example.com").await;
    let ada = house.person(&ada).await;
    house
        .auth
        .accept_invitation(&ada, &letter.token, ADDRESS)
        .await
        .expect("accepts");
    assert!(
        letters.invitation(invited.id).await.expect("reads").is_none(),
        "nothing is left to send"
    );
    assert_ne!(ada.user, person(&acme.owner).user);
}
