//! Organizations and projects.

use berth_auth::accounts::NewAccount;
use berth_auth::auth::SignUpPolicy;
use berth_auth::organizations::{Error, OrganizationWish};
use berth_auth::projects::{self, ProjectWish};
use berth_domain::access::{Caller, can};
use berth_store::idempotency_keys::Keep;
use berth_store::projects::ProjectChange;

use crate::house::{ADDRESS, House, account, email, first, person};

fn wish(name: &str) -> OrganizationWish {
    OrganizationWish {
        name: name.parse().expect("a handle"),
        title: name.parse().expect("a title"),
    }
}

#[tokio::test]
async fn organizations_are_made_by_operators_unless_everyone_may_sign_up() {
    let house = House::new().await;
    let operator = house.operator().await;
    let ada = house.sign_up("ada@example.com").await;
    let ada = house.caller(&ada).await;
    for policy in [SignUpPolicy::Closed, SignUpPolicy::Invite] {
        let closed = house.other(|options| options.sign_up = policy);
        let refused = closed
            .create_organization(&ada, wish("ada"), &Keep::nothing())
            .await;
        assert!(matches!(refused, Err(Error::OperatorsOnly)), "{refused:?}");
        let name = format!("made-when-{policy:?}").to_lowercase();
        closed
            .create_organization(&operator, wish(&name), &Keep::nothing())
            .await
            .expect("operators may");
    }
    house
        .auth
        .create_organization(&ada, wish("ada"), &Keep::nothing())
        .await
        .expect("everyone may");
}

#[tokio::test]
async fn name_belongs_to_one_organization_until_it_is_deleted() {
    let house = House::new().await;
    let (acme, other) = (house.tenant("acme").await, house.tenant("other").await);
    let taken = house
        .auth
        .create_organization(&other.owner, wish("acme"), &Keep::nothing())
        .await;
    assert!(matches!(taken, Err(Error::NameTaken)), "{taken:?}");
    let access = house
        .access::<can::OrganizationManage>(&other.owner, other.organization)
        .await;
    let name = "acme".parse().expect("a handle");
    let taken = house.auth.rename_organization(&access, Some(&name), None).await;
    assert!(matches!(taken, Err(Error::NameTaken)), "{taken:?}");
    let manage = house
        .access::<can::OrganizationManage>(&acme.owner, acme.organization)
        .await;
    house.auth.delete_organization(&manage).await.expect("deletes");
    let renamed = house
        .auth
        .rename_organization(&access, Some(&name), None)
        .await
        .expect("the name is free");
    assert_eq!((renamed.name, renamed.title.as_str()), (name, "other"));
    let mine = house
        .auth
        .list_organizations(&person(&acme.owner), &first())
        .await
        .expect("lists");
    assert!(mine.items.is_empty());
}

#[tokio::test]
async fn owner_cannot_lift_what_the_operator_imposed() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let operator = house.operator().await;
    let operator = house.auth.authorize_operator(&operator).expect("an operator");
    let organization = acme.organization;
    let manage = house
        .access::<can::OrganizationManage>(&acme.owner, organization)
        .await;
    house
        .auth
        .suspend_organization_as_operator(&operator, organization)
        .await
        .expect("suspends");
    house
        .auth
        .suspend_organization(&manage)
        .await
        .expect("changes nothing");
    let refused = house.auth.resume_organization(&manage).await;
    assert!(matches!(refused, Err(Error::SuspendedByOperator)), "{refused:?}");
    house
        .auth
        .resume_organization_as_operator(&operator, organization)
        .await
        .expect("resumes");
    house.auth.suspend_organization(&manage).await.expect("suspends");
    house
        .auth
        .resume_organization(&manage)
        .await
        .expect("an owner lifts an owner's");
    house
        .auth
        .resume_organization(&manage)
        .await
        .expect("done again, it changes nothing");
}

#[tokio::test]
async fn operator_lists_and_deletes_organizations_and_makes_them_for_others() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let operator = house.operator().await;
    let operator = house.auth.authorize_operator(&operator).expect("an operator");
    let owner = email("owner@acme.example");
    let (second, invited) = house
        .auth
        .create_organization_for(&operator, wish("second"), &owner, &Keep::nothing())
        .await
        .expect("makes");
    let token = invited
        .and_then(|invited| invited.token)
        .expect("no mail is sent");
    house
        .auth
        .accept_invitation(&person(&acme.owner), &token, ADDRESS)
        .await
        .expect("accepts");
    house
        .access::<can::OrganizationManage>(&acme.owner, second.id)
        .await;

    let address = email("new@example.com");
    let (third, invited) = house
        .auth
        .create_organization_for(&operator, wish("third"), &address, &Keep::nothing())
        .await
        .expect("makes");
    let token = invited
        .and_then(|invited| invited.token)
        .expect("no mail is sent");
    let ada = house.sign_up("new@example.com").await;
    let ada = house.person(&ada).await;
    house
        .auth
        .accept_invitation(&ada, &token, ADDRESS)
        .await
        .expect("accepts");
    house
        .access::<can::OrganizationManage>(&Caller::Person(ada), third.id)
        .await;

    house
        .auth
        .delete_organization_as_operator(&operator, second.id)
        .await
        .expect("deletes");
    let again = house
        .auth
        .delete_organization_as_operator(&operator, second.id)
        .await;
    assert!(matches!(again, Err(Error::NotFound)), "{again:?}");
    let all = house
        .auth
        .list_all_organizations(&operator, &first())
        .await
        .expect("lists");
    let mut seen: Vec<_> = all.items.iter().map(|found| found.name.as_str()).collect();
    seen.sort_unstable();
    assert_eq!(seen, ["acme", "third"]);
    let deleted = house
        .auth
        .show_any_organization(&operator, second.id)
        .await
        .expect("is still there");
    assert!(deleted.deleted_at.is_some());
}

#[tokio::test]
async fn invitation_by_an_operator_opens_a_closed_house() {
    let house = House::new().await;
    let operator = house.operator().await;
    let operator = house.auth.authorize_operator(&operator).expect("an operator");
    let closed = house.other(|options| options.sign_up = SignUpPolicy::Closed);
    let address = email("ada@example.com");
    let (_, invited) = closed
        .create_organization_for(&operator, wish("acme"), &address, &Keep::nothing())
        .await
        .expect("makes");
    let invitation = invited.and_then(|invited| invited.token);
    let ada = closed
        .sign_up(
            NewAccount {
                invitation,
                ..account("ada@example.com")
            },
            ADDRESS,
        )
        .await;
    let ada = ada.expect("signs up");
    let person = closed
        .authenticate_token(ada.access.text.expose())
        .await
        .expect("holds");
    let mine = closed.list_organizations(&person, &first()).await.expect("lists");
    assert_eq!(mine.items.len(), 1);
}

#[tokio::test]
async fn project_is_changed_and_its_origins_are_checked() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let access = house
        .project_access::<can::ProjectsManage>(&acme.owner, acme.organization, acme.project)
        .await;
    let change = ProjectChange {
        cors_origins: Some(vec!["https://app.example/".to_owned()]),
        ..ProjectChange::default()
    };
    let refused = house.auth.update_project(&access, &change).await;
    assert!(matches!(refused, Err(projects::Error::Origin(_))), "{refused:?}");
    let change = ProjectChange {
        title: Some("The main one".parse().expect("a title")),
        cors_origins: Some(vec!["https://app.example".to_owned()]),
        ..ProjectChange::default()
    };
    let changed = house
        .auth
        .update_project(&access, &change)
        .await
        .expect("changes");
    assert_eq!(
        (changed.name.as_str(), changed.title.as_str()),
        ("main", "The main one")
    );
    let (authenticator, _service) = house.authenticator();
    for (origin, listed) in [("https://app.example", true), ("https://eve.example", false)] {
        assert_eq!(
            authenticator.origin_is_listed(origin).await.expect("asks"),
            listed,
            "{origin}"
        );
    }
    let shown = house.key(&acme).await;
    let identity = authenticator
        .authenticate_key(shown.text.expose(), ADDRESS)
        .await
        .expect("holds");
    assert!(identity.admits_origin("https://app.example") && !identity.admits_origin("https://eve.example"));
    let manage = house
        .access::<can::ProjectsManage>(&acme.owner, acme.organization)
        .await;
    let taken = ProjectWish {
        name: "main".parse().expect("a handle"),
        title: "Main".parse().expect("a title"),
        cors_origins: vec![],
    };
    let taken = house.auth.create_project(&manage, taken, &Keep::nothing()).await;
    assert!(matches!(taken, Err(projects::Error::NameTaken)), "{taken:?}");
}
