//! Limits on guessing: attempts are counted by account and by address, for all nodes together.
//!
//! The counts live in coordination. Each node also counts for itself, and when coordination cannot be reached its own
//! count decides: then an attacker has the limit once per node, but never without bound.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use berth_coordination::Coordination;
use berth_domain::clock::Clock;
use berth_domain::digest::Sha256;
use berth_domain::id::OrganizationId;
use berth_domain::name::Email;

use self::local::Local;

pub(crate) mod local;

/// How many attempts are allowed in which time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Attempts in one window.
    pub attempts: u32,
    /// How long a window lasts, from its first attempt.
    pub window: Duration,
}

/// The limits of everything that can be guessed at.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Signing in to one account; success starts a new count.
    pub sign_in_by_account: Limit,
    /// Signing in from one address (IPv4) or network of 64 bits (IPv6).
    pub sign_in_by_address: Limit,
    /// Making an account, and using links from invitations and password resets, from one address.
    pub sign_up_by_address: Limit,
    /// Asking to reset the password of one account.
    pub reset_by_account: Limit,
    /// Asking to reset passwords from one address.
    pub reset_by_address: Limit,
    /// Refresh tokens that do not exist, from one address, on one node.
    pub unknown_refresh_by_address: Limit,
    /// Inviting people into one organization and its projects. Each invitation can be a letter to a stranger.
    pub invitations_by_organization: Limit,
    /// Inviting one person, wherever to.
    pub invitations_by_recipient: Limit,
}

impl Default for Options {
    fn default() -> Self {
        let quarter = Duration::from_mins(15);
        let hour = Duration::from_hours(1);
        Self {
            sign_in_by_account: Limit {
                attempts: 10,
                window: quarter,
            },
            sign_in_by_address: Limit {
                attempts: 50,
                window: quarter,
            },
            sign_up_by_address: Limit {
                attempts: 30,
                window: hour,
            },
            reset_by_account: Limit {
                attempts: 3,
                window: hour,
            },
            reset_by_address: Limit {
                attempts: 20,
                window: hour,
            },
            unknown_refresh_by_address: Limit {
                attempts: 120,
                window: Duration::from_mins(1),
            },
            invitations_by_organization: Limit {
                attempts: 50,
                window: hour,
            },
            invitations_by_recipient: Limit {
                attempts: 10,
                window: Duration::from_hours(24),
            },
        }
    }
}

/// Too many attempts. Whoever makes them can act: wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many attempts; try again in {} s", retry_after.as_secs().max(1))]
pub struct Exceeded {
    /// How long until another attempt is counted.
    pub retry_after: Duration,
}

/// What is attempted, and by or on whom.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Attempt<'a> {
    SignInTo(&'a Email),
    SignInFrom(IpAddr),
    SignUpFrom(IpAddr),
    ResetOf(&'a Email),
    ResetFrom(IpAddr),
    UnknownRefreshFrom(IpAddr),
    InviteInto(OrganizationId),
    InviteOf(&'a Email),
}

impl Attempt<'_> {
    /// The counter's name. Accounts appear as digests: coordination holds no personal data.
    fn counter(self) -> String {
        match self {
            Self::SignInTo(email) => format!("sign-in:account:{}", Sha256::of(email.as_str().as_bytes())),
            Self::SignInFrom(address) => format!("sign-in:address:{}", network(address)),
            Self::SignUpFrom(address) => format!("sign-up:address:{}", network(address)),
            Self::ResetOf(email) => format!("reset:account:{}", Sha256::of(email.as_str().as_bytes())),
            Self::ResetFrom(address) => format!("reset:address:{}", network(address)),
            Self::UnknownRefreshFrom(address) => format!("refresh:address:{}", network(address)),
            Self::InviteInto(organization) => format!("invite:organization:{organization}"),
            Self::InviteOf(email) => format!("invite:recipient:{}", Sha256::of(email.as_str().as_bytes())),
        }
    }

    fn limit(self, options: &Options) -> Limit {
        match self {
            Self::SignInTo(_) => options.sign_in_by_account,
            Self::SignInFrom(_) => options.sign_in_by_address,
            Self::SignUpFrom(_) => options.sign_up_by_address,
            Self::ResetOf(_) => options.reset_by_account,
            Self::ResetFrom(_) => options.reset_by_address,
            Self::UnknownRefreshFrom(_) => options.unknown_refresh_by_address,
            Self::InviteInto(_) => options.invitations_by_organization,
            Self::InviteOf(_) => options.invitations_by_recipient,
        }
    }
}

/// What stands for an address: one customer of a provider has a whole network of 64 bits in IPv6.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

/// Counts attempts.
pub(crate) struct Throttles {
    coordination: Arc<dyn Coordination>,
    options: Options,
    local: Local,
}

impl fmt::Debug for Throttles {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Throttles")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Throttles {
    pub(crate) fn new(coordination: Arc<dyn Coordination>, options: Options, clock: Arc<dyn Clock>) -> Self {
        Self {
            coordination,
            options,
            local: Local::new(clock),
        }
    }

    /// Counts one attempt on each of `attempts`, in order, until one is exceeded.
    pub(crate) async fn hit(&self, attempts: &[Attempt<'_>]) -> Result<(), Exceeded> {
        for attempt in attempts {
            let (counter, limit) = (attempt.counter(), attempt.limit(&self.options));
            let here = self.local.hit(&counter, limit);
            match self
                .coordination
                .hit(&counter, limit.attempts, limit.window)
                .await
            {
                Ok(throttle) if throttle.allowed => {}
                Ok(throttle) => {
                    return Err(Exceeded {
                        retry_after: throttle.retry_after,
                    });
                }
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "attempts are counted on this node alone, because coordination did not count them"
                    );
                    here?;
                }
            }
        }
        Ok(())
    }

    /// Whether this node has counted too many of `attempt`. Counts nothing, and asks nobody.
    pub(crate) fn check_here(&self, attempt: Attempt<'_>) -> Result<(), Exceeded> {
        self.local.check(&attempt.counter(), attempt.limit(&self.options))
    }

    /// Counts one of `attempt` on this node alone.
    pub(crate) fn note_here(&self, attempt: Attempt<'_>) {
        // Beyond the limit nothing more is counted; the window ends all the same.
        let _ = self.local.hit(&attempt.counter(), attempt.limit(&self.options));
    }

    /// Forgets what was counted on `attempt`, because it succeeded.
    pub(crate) async fn clear(&self, attempt: Attempt<'_>) {
        let counter = attempt.counter();
        self.local.clear(&counter);
        if let Err(error) = self.coordination.clear(&counter).await {
            // The count ends with its window anyway.
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the attempts of an account were not forgotten after a sign-in"
            );
        }
    }
}
