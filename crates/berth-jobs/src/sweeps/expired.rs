//! Rows that are over.

use super::{Error, Sweeps, Swept};

impl Sweeps {
    /// Removes one batch of each kind. Tells whether there may be more.
    pub(super) async fn remove_expired(&self, swept: &mut Swept) -> Result<bool, Error> {
        let batch = self.options.batch;
        let ended = self.before(self.options.keep_ended);
        let expired = self.before(self.options.keep_expired);
        let now = self.parts.clock.now();
        let mut most = 0;
        // Each in a transaction of its own, so that a row that is in use holds up only its own kind.
        macro_rules! remove {
            ($($remove:ident, $before:expr;)*) => {$(
                let mut tx = self.parts.store.system().await?;
                let removed = tx.expired().$remove($before, batch).await?;
                tx.commit().await?;
                swept.expired += removed;
                most = most.max(removed);
            )*};
        }
        remove! {
            remove_sessions, ended;
            remove_api_key_secrets, ended;
            remove_invitations, expired;
            remove_password_resets, expired;
            remove_idempotency_keys, now;
        }
        Ok(most >= u64::from(batch))
    }
}
