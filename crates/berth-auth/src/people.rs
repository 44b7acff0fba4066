//! What operators do about people: accounts without sign-up, links to set a password, disabling, other operators.

use berth_domain::access::Operator;
use berth_domain::clock::Timestamp;
use berth_domain::id::{MessageId, UserId};
use berth_domain::name::{Email, Title};
use berth_domain::secret::Secret;
use berth_domain::work::MailSend;
use berth_store::page::{List, Page};
use berth_store::users::{self, User};
use berth_store::{SystemTx, changes};

use crate::access::{self, hold_operator};
use crate::announcement::Keys;
use crate::auth::Auth;

/// Why an operator could not do something about a person.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such person.
    #[error("there is no such person")]
    NotFound,
    /// The address has an account.
    #[error("the e-mail address has an account already")]
    EmailTaken,
    /// The installation would be left without an operator: make someone else one first.
    #[error("the last operator cannot go")]
    LastOperator,
    /// The caller is no operator any more.
    #[error("the caller is no operator any more")]
    Access(#[from] access::Error),
    /// The account is disabled: enable it first.
    #[error("the account is disabled")]
    Disabled,
    /// The database cannot be asked at the moment: try again.
    #[error("could not read or write accounts")]
    Store(#[source] berth_store::Error),
}

impl From<berth_store::Error> for Error {
    fn from(error: berth_store::Error) -> Self {
        match error.constraint() {
            Some(users::EMAIL_TAKEN) => Self::EmailTaken,
            _ => Self::Store(error),
        }
    }
}

/// A link to set a password that was just made.
#[derive(Debug, Clone)]
pub struct PasswordLink {
    /// Until when it works.
    pub expires_at: Timestamp,
    /// Its token, if no mail can be sent: to be handed on by the operator. Shown once.
    pub token: Option<Secret>,
}

impl Auth {
    /// Makes an account without a password, and a link to set the first one.
    pub async fn create_user(
        &self,
        operator: &Operator,
        email: Email,
        name: Option<Title>,
    ) -> Result<(User, PasswordLink), Error> {
        let user = self.new_user(email.clone(), name);
        let mut tx = self.store().system().await?;
        hold_operator(&mut tx, operator).await?;
        tx.users().insert(&user, false).await?;
        let expires_at = self.now() + self.options().first_password_lifetime;
        let link = self.insert_password_link(&mut tx, email, expires_at).await?;
        let made = tx.users().show(user.id).await?.ok_or(Error::NotFound)?;
        tx.commit().await?;
        Ok((made, link))
    }

    /// Makes a link to set the password of an account, for who forgot it: the way out where no mail can be sent.
    pub async fn create_password_link(
        &self,
        operator: &Operator,
        user: UserId,
    ) -> Result<PasswordLink, Error> {
        let mut tx = self.store().system().await?;
        hold_operator(&mut tx, operator).await?;
        self.password_link(tx, user).await
    }

    /// The same for the account of `email`, for whoever holds the installation itself: `berth admin`.
    pub async fn recover_account(&self, email: &Email) -> Result<PasswordLink, Error> {
        let user = self
            .store()
            .find_user_by_email(email)
            .await?
            .ok_or(Error::NotFound)?;
        let tx = self.store().system().await?;
        self.password_link(tx, user.user).await
    }

    async fn password_link(&self, mut tx: SystemTx, user: UserId) -> Result<PasswordLink, Error> {
        let found = tx.users().show(user).await?.ok_or(Error::NotFound)?;
        if found.disabled_at.is_some() {
            return Err(Error::Disabled);
        }
        let expires_at = self.now() + self.options().password_reset_lifetime;
        let link = self
            .insert_password_link(&mut tx, found.email, expires_at)
            .await?;
        tx.commit().await?;
        Ok(link)
    }

    async fn insert_password_link(
        &self,
        tx: &mut SystemTx,
        email: Email,
        expires_at: Timestamp,
    ) -> Result<PasswordLink, berth_store::Error> {
        let now = self.now();
        let (reset, token) = self.new_password_reset(email, now, expires_at);
        tx.password_resets().insert(&reset).await?;
        let token = if self.options().mail {
            let message = MessageId::new(self.clock(), self.random());
            tx.outbox()
                .add(message, None, &MailSend::PasswordReset(reset.id), None, now)
                .await?;
            None
        } else {
            Some(token)
        };
        Ok(PasswordLink { expires_at, token })
    }

    /// The people of the installation.
    pub async fn list_users(&self, _operator: &Operator, page: &Page<UserId>) -> Result<List<User>, Error> {
        Ok(self.store().system().await?.users().list(page).await?)
    }

    /// One person.
    pub async fn show_user(&self, _operator: &Operator, user: UserId) -> Result<User, Error> {
        self.store()
            .system()
            .await?
            .users()
            .show(user)
            .await?
            .ok_or(Error::NotFound)
    }

    /// Disables an account: its sessions end on every node within [`crate::sessions::CACHE_LIFETIME`], the keys that are
    /// the person's own within a second, and invitations by them that are open are taken back. Done again, it changes
    /// nothing. The last operator cannot go.
    pub async fn disable_user(&self, operator: &Operator, user: UserId) -> Result<User, Error> {
        let mut tx = self.store().system().await?;
        check_others(&hold_operator(&mut tx, operator).await?, user)?;
        tx.users().disable(user, self.now()).await?;
        tx.invitations().revoke_of_inviter(user, self.now()).await?;
        self.finish(tx, user).await
    }

    /// Enables an account. The person has to sign in again; done again, it changes nothing.
    pub async fn enable_user(&self, operator: &Operator, user: UserId) -> Result<User, Error> {
        let mut tx = self.store().system().await?;
        hold_operator(&mut tx, operator).await?;
        tx.users().enable(user).await?;
        self.finish(tx, user).await
    }

    /// Makes a person an operator, or one no longer. The last operator cannot go.
    pub async fn set_operator(
        &self,
        operator: &Operator,
        user: UserId,
        operates: bool,
    ) -> Result<User, Error> {
        let mut tx = self.store().system().await?;
        let operators = hold_operator(&mut tx, operator).await?;
        if !operates {
            check_others(&operators, user)?;
        }
        tx.users().make_operator(user, operates).await?;
        self.finish(tx, user).await
    }

    async fn finish(&self, mut tx: SystemTx, user: UserId) -> Result<User, Error> {
        let found = tx.users().show(user).await?.ok_or(Error::NotFound)?;
        let value = tx.changes().bump(changes::Topic::Keys).await?;
        tx.commit().await?;
        self.session_cache().forget_all();
        self.announce(value, Keys::All).await;
        Ok(found)
    }
}

/// Checks that `user` is not the last of the operators.
fn check_others(operators: &[UserId], user: UserId) -> Result<(), Error> {
    if operators == [user] {
        return Err(Error::LastOperator);
    }
    Ok(())
}
