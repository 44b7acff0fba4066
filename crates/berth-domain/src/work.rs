//! Queued work: what a change asks to be done later. It is written into the outbox with the change, relayed to the
//! queue, and done at least once; so a kind carries ids, never rows, and doing it twice equals doing it once.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::id::{InvitationId, PasswordResetId, VersionId};

/// A kind of queued work, and the form of its payload.
pub trait Work: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The name of the kind, which is also the name of its queue.
    const KIND: &'static str;
    /// The version of the payload's form. A new one is needed when an old reader would misread it; old forms must
    /// still be read.
    const VERSION: u16;
}

/// Prove an uploaded model version on a runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelCheck {
    /// The version, in the state `checking`.
    pub version: VersionId,
}

impl Work for ModelCheck {
    const KIND: &'static str = "model.check";
    const VERSION: u16 = 1;
}

/// Send a letter. What it says is looked up when it is sent; a letter whose cause is gone is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailSend {
    /// An invitation, to the invited address.
    Invitation(InvitationId),
    /// A link to set a new password, to the address of the account.
    PasswordReset(PasswordResetId),
}

impl Work for MailSend {
    const KIND: &'static str = "mail.send";
    const VERSION: u16 = 1;
}

/// Every kind of work.
pub const KINDS: [&str; 2] = [ModelCheck::KIND, MailSend::KIND];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letter_says_in_one_field_what_it_is_about() {
        let letter = MailSend::Invitation(InvitationId::from_uuid(uuid::Uuid::nil()));
        let json = serde_json::to_value(letter).expect("serializes");
        assert_eq!(
            json,
            serde_json::json!({ "invitation": "inv_00000000000000000000000000" })
        );
        assert_eq!(serde_json::from_value::<MailSend>(json).expect("parses"), letter);
    }
}
