//! Accounts of people: the first operator, making an account, passwords.

use std::net::IpAddr;

use berth_domain::access::Person;
use berth_domain::clock::Timestamp;
use berth_domain::id::{MessageId, PasswordResetId, UserId};
use berth_domain::name::{Email, Title};
use berth_domain::secret::Secret;
use berth_domain::work::MailSend;
use berth_store::Tx;
use berth_store::password_resets::NewPasswordReset;
use berth_store::users::{self, NewUser, User};

use crate::auth::{Auth, SignUpPolicy};
use crate::invitations;
use crate::links::{self, Link, Subject};
use crate::password_policy;
use crate::passwords::{self, Verdict};
use crate::sessions::{BeginError, SignedIn};
use crate::throttle::{Attempt, Exceeded};
use crate::tokens::SignError;

/// Who wants an account.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// The address to sign in with.
    pub email: Email,
    /// The password.
    pub password: Secret,
    /// What the person calls themselves.
    pub name: Option<Title>,
    /// The token of an invitation, to be accepted with the new account.
    pub invitation: Option<Secret>,
    /// What the client calls itself.
    pub client: Option<String>,
}

/// Why the first operator was not made.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The installation has an operator: nothing was changed. That operator can act.
    #[error("the installation has an operator already")]
    Exists,
    /// The address has an account that is no operator's: choose another.
    #[error("the e-mail address has an account already")]
    EmailTaken,
    /// The password is refused: choose another.
    #[error("the password is refused")]
    Policy(#[from] password_policy::Error),
    /// The password could not be hashed.
    #[error("could not hash the password")]
    Password(#[from] passwords::Error),
    /// The database cannot be asked at the moment: try again.
    #[error("could not make the account")]
    Store(#[source] berth_store::Error),
}

/// Why no account was made.
#[derive(Debug, thiserror::Error)]
pub enum SignUpError {
    /// Accounts are made by operators here: one of them can act.
    #[error("accounts are made by the operator here")]
    Closed,
    /// An account needs an invitation here: a member of an organization can act.
    #[error("an account needs an invitation here")]
    InvitationNeeded,
    /// The invitation is refused.
    #[error("the invitation is refused")]
    Invitation(#[from] invitations::Refused),
    /// The address has an account: its owner can sign in, and accept the invitation then.
    #[error("the e-mail address has an account already")]
    EmailTaken,
    /// The password is refused: choose another.
    #[error("the password is refused")]
    Policy(#[from] password_policy::Error),
    /// Too many attempts: the caller can act by waiting.
    #[error("could not make the account")]
    Throttled(#[source] Exceeded),
    /// The password could not be hashed.
    #[error("could not hash the password")]
    Password(#[from] passwords::Error),
    /// The token could not be signed: a fault of the installation.
    #[error("could not make the tokens of the session")]
    Sign(#[from] SignError),
    /// The database cannot be asked at the moment: try again.
    #[error("could not make the account")]
    Store(#[from] berth_store::Error),
}

/// Why a password was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangePasswordError {
    /// The present password is another: the caller can act.
    #[error("the present password is wrong")]
    Credentials,
    /// The new password is refused: choose another.
    #[error("the new password is refused")]
    Policy(#[from] password_policy::Error),
    /// Too many attempts: the caller can act by waiting.
    #[error("could not change the password")]
    Throttled(#[source] Exceeded),
    /// The password could not be checked or hashed.
    #[error("could not check the password")]
    Password(#[from] passwords::Error),
    /// The database cannot be asked at the moment: try again.
    #[error("could not change the password")]
    Store(#[from] berth_store::Error),
}

/// Why a forgotten password was not set.
#[derive(Debug, thiserror::Error)]
pub enum ResetPasswordError {
    /// The link is unknown, used or expired, or its account may not sign in: ask for another.
    #[error("the link is not valid any more")]
    Link,
    /// The new password is refused: choose another.
    #[error("the new password is refused")]
    Policy(#[from] password_policy::Error),
    /// Too many attempts: the caller can act by waiting.
    #[error("could not set the password")]
    Throttled(#[source] Exceeded),
    /// The password could not be hashed.
    #[error("could not hash the password")]
    Password(#[from] passwords::Error),
    /// The database cannot be asked at the moment: try again.
    #[error("could not set the password")]
    Store(#[from] berth_store::Error),
}

/// Why a forgotten password cannot be asked for.
#[derive(Debug, thiserror::Error)]
pub enum RequestResetError {
    /// Too many requests: the caller can act by waiting.
    #[error("could not ask for a new password")]
    Throttled(#[source] Exceeded),
    /// The database cannot be asked at the moment: try again.
    #[error("could not ask for a new password")]
    Store(#[from] berth_store::Error),
}

impl From<BeginError> for SignUpError {
    fn from(error: BeginError) -> Self {
        match error {
            BeginError::Sign(error) => Self::Sign(error),
            BeginError::Store(error) => Self::Store(error),
        }
    }
}

impl Auth {
    /// Makes the first operator of the installation. Done again, it changes nothing and fails with
    /// [`BootstrapError::Exists`].
    pub async fn bootstrap(
        &self,
        email: Email,
        password: &Secret,
        name: Option<Title>,
    ) -> Result<UserId, BootstrapError> {
        password_policy::check(password.expose(), &email)?;
        let hash = self.passwords().hash(password).await?;
        let user = self.new_user(email, name);
        let mut tx = self.store().system().await.map_err(BootstrapError::Store)?;
        let made =
            tx.users()
                .insert_first_operator(&user)
                .await
                .map_err(|error| match error.constraint() {
                    Some(users::EMAIL_TAKEN) => BootstrapError::EmailTaken,
                    _ => BootstrapError::Store(error),
                })?;
        if !made {
            return Err(BootstrapError::Exists);
        }
        tx.users()
            .set_password(user.id, &hash, user.created_at)
            .await
            .map_err(BootstrapError::Store)?;
        tx.commit().await.map_err(BootstrapError::Store)?;
        Ok(user.id)
    }

    /// Makes an account, as far as [`SignUpPolicy`] admits it, and signs in to it.
    pub async fn sign_up(&self, account: NewAccount, address: IpAddr) -> Result<SignedIn, SignUpError> {
        match (self.options().sign_up, &account.invitation) {
            (SignUpPolicy::Closed, None) => return Err(SignUpError::Closed),
            (SignUpPolicy::Invite, None) => return Err(SignUpError::InvitationNeeded),
            (SignUpPolicy::Closed | SignUpPolicy::Invite, Some(_)) | (SignUpPolicy::Open, _) => {}
        }
        self.throttles()
            .hit(&[Attempt::SignUpFrom(address)])
            .await
            .map_err(SignUpError::Throttled)?;
        password_policy::check(account.password.expose(), &account.email)?;
        let invitation = match &account.invitation {
            Some(token) => Some(self.find_invitation(token, &account.email).await??),
            None => None,
        };
        if let (SignUpPolicy::Closed, Some(invitation)) = (self.options().sign_up, &invitation)
            && !self.is_from_operator(invitation).await?
        {
            return Err(SignUpError::Closed);
        }
        let hash = self.passwords().hash(&account.password).await?;
        let user = self.new_user(account.email, account.name);
        let mut tx = match &invitation {
            Some(found) => {
                self.store()
                    .tenant_as(found.invitation.organization, user.id)
                    .await?
            }
            None => self.store().person(user.id).await?,
        };
        add_user(&mut tx, &user, &hash).await?;
        if let Some(invitation) = &invitation {
            self.accept(&mut tx, invitation, user.id).await??;
        }
        let signed_in = self
            .begin_session(&mut tx, user.id, account.client.as_deref())
            .await?;
        tx.commit().await?;
        Ok(signed_in)
    }

    /// The account of `person`. `None` when it was removed meanwhile.
    pub async fn account(&self, person: &Person) -> Result<Option<User>, berth_store::Error> {
        self.store()
            .person(person.user)
            .await?
            .users()
            .show(person.user)
            .await
    }

    /// Gives `person` another name, or none.
    pub async fn rename_account(
        &self,
        person: &Person,
        name: Option<&Title>,
    ) -> Result<(), berth_store::Error> {
        let mut tx = self.store().person(person.user).await?;
        tx.users().rename(person.user, name).await?;
        tx.commit().await
    }

    /// Replaces the password of `person`, who must know the present one, and ends all their other sessions.
    pub async fn change_password(
        &self,
        person: &Person,
        present: &Secret,
        new: &Secret,
    ) -> Result<(), ChangePasswordError> {
        let (email, stored) = {
            let mut tx = self.store().person(person.user).await?;
            let user = tx
                .users()
                .show(person.user)
                .await?
                .ok_or(ChangePasswordError::Credentials)?;
            (user.email, tx.passwords().show(person.user).await?)
        };
        // Whoever found an open session could guess here as well as at the door.
        self.throttles()
            .hit(&[Attempt::SignInTo(&email)])
            .await
            .map_err(ChangePasswordError::Throttled)?;
        let stored = stored.map(|password| password.hash);
        if self.passwords().verify(present, stored.as_deref()).await? == Verdict::Wrong {
            return Err(ChangePasswordError::Credentials);
        }
        password_policy::check(new.expose(), &email)?;
        let hash = self.passwords().hash(new).await?;
        let now = self.now();
        let mut tx = self.store().person(person.user).await?;
        // It may have been replaced while it was checked: whoever did that must not be undone.
        let checked = tx.passwords().lock(person.user).await?;
        if checked.map(|password| password.hash) != stored {
            return Err(ChangePasswordError::Credentials);
        }
        tx.passwords().set(person.user, &hash, now).await?;
        tx.sessions()
            .end_others(person.user, Some(person.session), "password_changed", now)
            .await?;
        tx.commit().await?;
        self.session_cache().forget_all();
        self.throttles().clear(Attempt::SignInTo(&email)).await;
        Ok(())
    }

    /// Asks for a link to set the forgotten password of `email`. The answer, and the work until it, are the same whether
    /// there is such an account or not. Without mail no link leaves the house, and an operator must make one.
    pub async fn request_password_reset(
        &self,
        email: &Email,
        address: IpAddr,
    ) -> Result<(), RequestResetError> {
        self.throttles()
            .hit(&[Attempt::ResetFrom(address), Attempt::ResetOf(email)])
            .await
            .map_err(RequestResetError::Throttled)?;
        if !self.options().mail {
            tracing::warn!(
                "a new password was asked for, but no mail is configured: an operator can make a link"
            );
            return Ok(());
        }
        let now = self.now();
        let expires_at = now + self.options().password_reset_lifetime;
        let (reset, _) = self.new_password_reset(email.clone(), now, expires_at);
        let mut tx = self.store().public().await?;
        tx.password_resets().insert(&reset).await?;
        let message = MessageId::new(self.clock(), self.random());
        tx.outbox()
            .add(message, None, &MailSend::PasswordReset(reset.id), None, now)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Sets a forgotten password, or the first one of an account, by the token of a link, and ends every session of the
    /// account.
    pub async fn reset_password(
        &self,
        token: &Secret,
        new: &Secret,
        address: IpAddr,
    ) -> Result<UserId, ResetPasswordError> {
        self.throttles()
            .hit(&[Attempt::SignUpFrom(address)])
            .await
            .map_err(ResetPasswordError::Throttled)?;
        let token = links::password_reset_hash(token).ok_or(ResetPasswordError::Link)?;
        let reset = self
            .store()
            .find_password_reset(&token)
            .await?
            .ok_or(ResetPasswordError::Link)?;
        let now = self.now();
        if reset.used_at.is_some() || reset.expires_at <= now {
            return Err(ResetPasswordError::Link);
        }
        password_policy::check(new.expose(), &reset.email)?;
        let hash = self.passwords().hash(new).await?;
        let mut tx = self.store().public().await?;
        let user = tx
            .password_resets()
            .consume(&token, &hash, now)
            .await?
            .ok_or(ResetPasswordError::Link)?;
        tx.commit().await?;
        self.session_cache().forget_all();
        // Whoever holds the link need not wait for what others tried.
        self.throttles().clear(Attempt::SignInTo(&reset.email)).await;
        Ok(user)
    }

    pub(crate) fn new_user(&self, email: Email, name: Option<Title>) -> NewUser {
        NewUser {
            id: UserId::new(self.clock(), self.random()),
            email,
            name,
            created_at: self.now(),
        }
    }

    /// A request for a new password, and its token.
    pub(crate) fn new_password_reset(
        &self,
        email: Email,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> (NewPasswordReset, Secret) {
        let id = PasswordResetId::new(self.clock(), self.random());
        let Link { token, hash } = links::derive(self.peppers(), Subject::PasswordReset(id));
        let reset = NewPasswordReset {
            id,
            email,
            token_hash: hash,
            created_at: now,
            expires_at,
        };
        (reset, token)
    }
}

async fn add_user(tx: &mut Tx, user: &NewUser, password_hash: &str) -> Result<(), SignUpError> {
    tx.users()
        .insert(user)
        .await
        .map_err(|error| match error.constraint() {
            Some(users::EMAIL_TAKEN) => SignUpError::EmailTaken,
            _ => SignUpError::Store(error),
        })?;
    tx.passwords()
        .set(user.id, password_hash, user.created_at)
        .await?;
    Ok(())
}
