//! What operators do about people.

use berth_auth::people::Error;
use berth_auth::sessions::TokenError;
use berth_domain::access::{Caller, Operator};
use berth_domain::secret::Secret;

use crate::house::{ADDRESS, House, PASSWORD, email, first, user};

async fn operator(house: &House) -> (Caller, Operator) {
    let caller = house.operator().await;
    let operator = house.auth.authorize_operator(&caller).expect("an operator");
    (caller, operator)
}

#[tokio::test]
async fn account_made_by_an_operator_gets_its_password_by_link() {
    let house = House::new().await;
    let (_, operator) = operator(&house).await;
    let name = "Ada".parse().ok();
    let (made, link) = house
        .auth
        .create_user(&operator, email("ada@example.com"), name)
        .await
        .expect("makes");
    assert!(!made.operator);
    let password = Secret::new(PASSWORD);
    let early = house
        .auth
        .sign_in(&email("ada@example.com"), &password, None, ADDRESS)
        .await;
    assert!(early.is_err(), "there is no password yet");
    let token = link.token.expect("no mail is sent");
    let set = house
        .auth
        .reset_password(&token, &password, ADDRESS)
        .await
        .expect("sets");
    assert_eq!(set, made.id);
    house
        .auth
        .sign_in(&email("ada@example.com"), &password, None, ADDRESS)
        .await
        .expect("signs in");
    let taken = house
        .auth
        .create_user(&operator, email("ada@example.com"), None)
        .await;
    assert!(matches!(taken, Err(Error::EmailTaken)), "{taken:?}");
    let listed = house.auth.list_users(&operator, &first()).await.expect("lists");
    assert_eq!(listed.items.len(), 2);
    assert_eq!(
        house
            .auth
            .show_user(&operator, made.id)
            .await
            .expect("shows")
            .email
            .as_str(),
        "ada@example.com"
    );
}

#[tokio::test]
async fn disabled_person_is_out_and_gets_no_link() {
    let house = House::new().await;
    let (_, operator) = operator(&house).await;
    let ada = house.sign_up("ada@example.com").await;
    house.person(&ada).await;
    house
        .auth
        .disable_user(&operator, ada.user)
        .await
        .expect("disables");
    let refused = house.auth.authenticate_token(ada.access.text.expose()).await;
    assert!(
        matches!(refused, Err(TokenError::Disabled | TokenError::SessionEnded)),
        "{refused:?}"
    );
    let refused = house.auth.create_password_link(&operator, ada.user).await;
    assert!(matches!(refused, Err(Error::Disabled)), "{refused:?}");
    let nobody = house.auth.recover_account(&email("nobody@example.com")).await;
    assert!(matches!(nobody, Err(Error::NotFound)), "{nobody:?}");
}

#[tokio::test]
async fn last_operator_cannot_go() {
    let house = House::new().await;
    let (caller, operator) = operator(&house).await;
    for refused in [
        house.auth.disable_user(&operator, user(&caller)).await,
        house.auth.set_operator(&operator, user(&caller), false).await,
    ] {
        assert!(matches!(refused, Err(Error::LastOperator)), "{refused:?}");
    }
    let ada = house.sign_up("ada@example.com").await;
    house
        .auth
        .set_operator(&operator, ada.user, true)
        .await
        .expect("makes another");
    assert!(house.person(&ada).await.operator);
    let (one, other) = tokio::join!(
        house.auth.set_operator(&operator, user(&caller), false),
        house.auth.disable_user(&operator, ada.user),
    );
    assert!(one.is_ok() != other.is_ok(), "one stays: {one:?} {other:?}");
}
