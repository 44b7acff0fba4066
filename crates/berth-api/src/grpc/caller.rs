//! Who calls: the same keys as over HTTP, checked before the body is read and once more when it is there.

use std::sync::Arc;

use berth_auth::access::authorize_key;
use berth_domain::access::{Caller, Grant, KeyIdentity, ProjectAccess};

use super::call::Call;
use crate::errors::{Code, Failure};
use crate::extract::caller::identify;
use crate::services::Services;
use crate::state::State;

/// An API key that holds the permission `P` in its project, and the services behind that check.
pub(super) struct Allowed<'s, P> {
    pub(super) services: &'s Services,
    pub(super) key: Arc<KeyIdentity>,
    pub(super) access: ProjectAccess<P>,
}

impl<'s, P: Grant> Allowed<'s, P> {
    /// The key that came with `call`.
    pub(super) async fn check(state: &'s State, call: &Call) -> Result<Self, Failure> {
        let services = state.services();
        let caller = identify(services, call.credential()?, call.address).await?;
        call.called_by(&caller);
        let Caller::Key(key) = caller else {
            return Err(Failure::of(Code::ApiKeyRequired));
        };
        let access = authorize_key(&key)?;
        Ok(Self {
            services,
            key,
            access,
        })
    }
}
