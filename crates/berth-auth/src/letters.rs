//! What letters say. They are written when they are sent: the order to send one carries an id alone.

use std::fmt;
use std::sync::Arc;

use berth_domain::clock::{Clock, Timestamp};
use berth_domain::id::{InvitationId, PasswordResetId};
use berth_domain::name::{Email, Title};
use berth_domain::secret::Secret;
use berth_store::Store;

use crate::links::{self, Subject};
use crate::pepper::Peppers;

/// A letter that is to be sent.
#[derive(Debug, Clone)]
pub struct Letter {
    /// To whom.
    pub to: Email,
    /// What about.
    pub subject: LetterSubject,
    /// The token of the link in it.
    pub token: Secret,
    /// Until when the link works.
    pub expires_at: Timestamp,
}

/// What a letter is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LetterSubject {
    /// An invitation.
    Invitation {
        /// The organization's title.
        organization: Title,
        /// The project's title, if it is not the whole organization.
        project: Option<Title>,
        /// What whoever invited calls themselves, or their address.
        invited_by: Option<String>,
    },
    /// A forgotten password.
    ForgottenPassword,
    /// The first password of an account that an operator made.
    FirstPassword,
}

/// Why a letter cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The pepper that made the link is no longer configured: the operator can act; trying again does not help.
    #[error("the link cannot be made again, because its pepper is not configured")]
    Pepper,
    /// The database cannot be asked at the moment: try again.
    #[error("could not read what the letter is about")]
    Store(#[from] berth_store::Error),
}

/// Writes letters.
#[derive(Clone)]
pub struct Letters {
    store: Store,
    peppers: Peppers,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Letters {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Letters").finish_non_exhaustive()
    }
}

impl Letters {
    /// Writes letters with links under these peppers.
    pub fn new(store: Store, peppers: Peppers, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            peppers,
            clock,
        }
    }

    /// The letter of an invitation. `None` when it need not be sent any more: accepted, taken back, expired, or its
    /// organization is gone.
    pub async fn invitation(&self, id: InvitationId) -> Result<Option<Letter>, Error> {
        let Some(found) = self.store.system().await?.invitations().letter(id).await? else {
            return Ok(None);
        };
        if !found.invitation.is_open(self.clock.now()) {
            return Ok(None);
        }
        let token =
            links::recover(&self.peppers, Subject::Invitation(id), &found.token_hash).ok_or(Error::Pepper)?;
        Ok(Some(Letter {
            to: found.invitation.email,
            subject: LetterSubject::Invitation {
                organization: found.organization_title,
                project: found.project_title,
                invited_by: found.invited_by,
            },
            token,
            expires_at: found.invitation.expires_at,
        }))
    }

    /// The letter with a link to set a password. `None` when it need not be sent: used, expired, or the address has no
    /// account that may sign in.
    pub async fn password_reset(&self, id: PasswordResetId) -> Result<Option<Letter>, Error> {
        let Some(found) = self.store.system().await?.password_resets().letter(id).await? else {
            return Ok(None);
        };
        if found.used_at.is_some() || found.expires_at <= self.clock.now() {
            return Ok(None);
        }
        let token = links::recover(&self.peppers, Subject::PasswordReset(id), &found.token_hash)
            .ok_or(Error::Pepper)?;
        let subject = if found.has_password {
            LetterSubject::ForgottenPassword
        } else {
            LetterSubject::FirstPassword
        };
        Ok(Some(Letter {
            to: found.email,
            subject,
            token,
            expires_at: found.expires_at,
        }))
    }
}
