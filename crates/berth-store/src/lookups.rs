//! Look-ups before it is known who calls, across organizations: by key, address, token or origin. Each is one call of a
//! function that runs as the owner of the tables and answers nothing but what was asked for.

use berth_domain::address::AddressList;
use berth_domain::clock::Timestamp;
use berth_domain::id::{ApiKeyId, OrganizationId, ProjectId, ServiceAccountId, SessionId, UserId};
use berth_domain::name::{Email, Handle, Title};
use berth_domain::permission::PermissionSet;
use uuid::Uuid;

use crate::api_keys::address_list;
use crate::changes::Topic;
use crate::error::Error;
use crate::invitations::{Invitation, InvitationRow};
use crate::row::{Row, permissions};
use crate::store::Store;

/// Everything that decides whether a key holds, and for what.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// The key.
    pub key: ApiKeyId,
    /// What found it.
    pub public_id: String,
    /// The keyed hash of the secret.
    pub secret_hash: [u8; 32],
    /// Which pepper keyed it.
    pub pepper_id: String,
    /// When the secret stops to open the key.
    pub secret_expires_at: Option<Timestamp>,
    /// The organization.
    pub organization: OrganizationId,
    /// The project that it works in.
    pub project: ProjectId,
    /// The service account that holds it.
    pub service_account: Option<ServiceAccountId>,
    /// What it may do.
    pub scopes: PermissionSet,
    /// The names that it may call; `None` admits every name.
    pub models: Option<Vec<Handle>>,
    /// Where it may be used from.
    pub addresses: AddressList,
    /// Origins whose pages may call with it.
    pub cors_origins: Vec<String>,
    /// When the key stops to hold by itself.
    pub expires_at: Option<Timestamp>,
    /// When the key was revoked.
    pub revoked_at: Option<Timestamp>,
    /// What bars it for now; of several, the widest.
    pub bar: Option<Bar>,
}

/// What bars a key that would hold otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bar {
    /// Its organization is suspended.
    OrganizationSuspended,
    /// Its project is suspended.
    ProjectSuspended,
    /// The service account that holds it is disabled.
    ServiceAccountDisabled,
    /// It is a person's own, and they may not sign in.
    UserDisabled,
}

/// What it takes to sign in.
#[derive(Clone, PartialEq, Eq)]
pub struct UserCredentials {
    /// The person.
    pub user: UserId,
    /// Their address.
    pub email: Email,
    /// The slow hash of their password, if they ever set one.
    pub password_hash: Option<String>,
    /// Whether they operate the platform.
    pub operator: bool,
    /// Since when they may not sign in.
    pub disabled_at: Option<Timestamp>,
}

/// Whether a session holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionState {
    /// Whose it is.
    pub user: UserId,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// When it was ended.
    pub ended_at: Option<Timestamp>,
    /// Whether the person operates the platform.
    pub operator: bool,
    /// Since when the person may not sign in.
    pub user_disabled_at: Option<Timestamp>,
}

/// A refresh token and its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefreshToken {
    /// The session that it continues.
    pub session: SessionId,
    /// Whose session that is.
    pub user: UserId,
    /// When it was given out.
    pub created_at: Timestamp,
    /// Until when it can be used.
    pub expires_at: Timestamp,
    /// When it was used.
    pub used_at: Option<Timestamp>,
    /// When the session ends by itself.
    pub session_expires_at: Timestamp,
    /// When the session was ended.
    pub session_ended_at: Option<Timestamp>,
    /// Since when the person may not sign in.
    pub user_disabled_at: Option<Timestamp>,
}

/// An invitation, and to what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundInvitation {
    /// The invitation.
    pub invitation: Invitation,
    /// What the organization is called.
    pub organization_title: Title,
    /// Whether it is suspended.
    pub organization_suspended: bool,
}

/// A request for a new password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundPasswordReset {
    /// The address that asked.
    pub email: Email,
    /// When.
    pub created_at: Timestamp,
    /// Until when it can be used.
    pub expires_at: Timestamp,
    /// When it was used.
    pub used_at: Option<Timestamp>,
}

impl Store {
    /// The key whose text carries this public id; not if the key, its service account, its project or its organization was
    /// deleted.
    pub async fn find_api_key(&self, public_id: &str) -> Result<Option<KeyRecord>, Error> {
        let found = sqlx::query!(
            r#"SELECT
                api_key_id AS "api_key_id!",
                organization_id AS "organization_id!",
                project_id AS "project_id!",
                service_account_id,
                secret_hash AS "secret_hash!",
                pepper_id AS "pepper_id!",
                secret_expires_at,
                scopes AS "scopes!",
                models,
                addresses AS "addresses!",
                cors_origins AS "cors_origins!",
                expires_at,
                revoked_at,
                organization_suspended AS "organization_suspended!",
                project_suspended AS "project_suspended!",
                service_account_disabled AS "service_account_disabled!",
                user_disabled AS "user_disabled!"
            FROM find_api_key($1)"#,
            public_id,
        )
        .fetch_optional(&self.app)
        .await?;
        let Some(stored) = found else {
            return Ok(None);
        };
        let row = Row::new("api_keys", stored.api_key_id);
        Ok(Some(KeyRecord {
            key: ApiKeyId::from_uuid(stored.api_key_id),
            public_id: public_id.to_owned(),
            secret_hash: row.bytes32("secret_hash", &stored.secret_hash)?,
            pepper_id: stored.pepper_id,
            secret_expires_at: stored.secret_expires_at,
            organization: OrganizationId::from_uuid(stored.organization_id),
            project: ProjectId::from_uuid(stored.project_id),
            service_account: stored.service_account_id.map(ServiceAccountId::from_uuid),
            scopes: permissions(&stored.scopes),
            models: stored
                .models
                .map(|models| row.parse_all("models", &models))
                .transpose()?,
            addresses: address_list(&row, &stored.addresses)?,
            cors_origins: stored.cors_origins,
            expires_at: stored.expires_at,
            revoked_at: stored.revoked_at,
            bar: [
                (stored.organization_suspended, Bar::OrganizationSuspended),
                (stored.project_suspended, Bar::ProjectSuspended),
                (stored.service_account_disabled, Bar::ServiceAccountDisabled),
                (stored.user_disabled, Bar::UserDisabled),
            ]
            .into_iter()
            .find_map(|(barred, bar)| barred.then_some(bar)),
        }))
    }

    /// What it takes to sign in under this address.
    pub async fn find_user_by_email(&self, email: &Email) -> Result<Option<UserCredentials>, Error> {
        let found = sqlx::query!(
            r#"SELECT
                user_id AS "user_id!",
                email AS "email!",
                password_hash,
                operator AS "operator!",
                disabled_at
            FROM find_user_by_email($1)"#,
            email.as_str(),
        )
        .fetch_optional(&self.app)
        .await?;
        let Some(stored) = found else {
            return Ok(None);
        };
        Ok(Some(UserCredentials {
            user: UserId::from_uuid(stored.user_id),
            email: Row::new("users", stored.user_id).parse("email", &stored.email)?,
            password_hash: stored.password_hash,
            operator: stored.operator,
            disabled_at: stored.disabled_at,
        }))
    }

    /// Whether a session holds.
    pub async fn find_session(&self, session: SessionId) -> Result<Option<SessionState>, Error> {
        let found = sqlx::query!(
            r#"SELECT
                user_id AS "user_id!",
                expires_at AS "expires_at!",
                ended_at,
                operator AS "operator!",
                user_disabled_at
            FROM find_session($1)"#,
            session.as_uuid(),
        )
        .fetch_optional(&self.app)
        .await?;
        Ok(found.map(|stored| SessionState {
            user: UserId::from_uuid(stored.user_id),
            expires_at: stored.expires_at,
            ended_at: stored.ended_at,
            operator: stored.operator,
            user_disabled_at: stored.user_disabled_at,
        }))
    }

    /// The refresh token with this SHA-256, a used one too.
    pub async fn find_refresh_token(&self, token_hash: &[u8; 32]) -> Result<Option<RefreshToken>, Error> {
        let found = sqlx::query!(
            r#"SELECT
                session_id AS "session_id!",
                user_id AS "user_id!",
                created_at AS "created_at!",
                expires_at AS "expires_at!",
                used_at,
                session_expires_at AS "session_expires_at!",
                session_ended_at,
                user_disabled_at
            FROM find_refresh_token($1)"#,
            token_hash,
        )
        .fetch_optional(&self.app)
        .await?;
        Ok(found.map(|stored| RefreshToken {
            session: SessionId::from_uuid(stored.session_id),
            user: UserId::from_uuid(stored.user_id),
            created_at: stored.created_at,
            expires_at: stored.expires_at,
            used_at: stored.used_at,
            session_expires_at: stored.session_expires_at,
            session_ended_at: stored.session_ended_at,
            user_disabled_at: stored.user_disabled_at,
        }))
    }

    /// The invitation whose token has this SHA-256; not if its organization or project was deleted.
    pub async fn find_invitation(&self, token_hash: &[u8; 32]) -> Result<Option<FoundInvitation>, Error> {
        let found = sqlx::query!(
            r#"SELECT
                invitation_id AS "invitation_id!",
                organization_id AS "organization_id!",
                project_id,
                email AS "email!",
                role,
                role_id,
                invited_by,
                created_at AS "created_at!",
                expires_at AS "expires_at!",
                accepted_at,
                revoked_at,
                organization_title AS "organization_title!",
                organization_suspended AS "organization_suspended!"
            FROM find_invitation($1)"#,
            token_hash,
        )
        .fetch_optional(&self.app)
        .await?;
        let Some(stored) = found else {
            return Ok(None);
        };
        Ok(Some(FoundInvitation {
            organization_title: Row::new("organizations", stored.organization_id)
                .parse("title", &stored.organization_title)?,
            organization_suspended: stored.organization_suspended,
            invitation: Invitation::try_from(InvitationRow {
                invitation_id: stored.invitation_id,
                organization_id: stored.organization_id,
                project_id: stored.project_id,
                email: stored.email,
                role: stored.role,
                role_id: stored.role_id,
                invited_by: stored.invited_by,
                created_at: stored.created_at,
                expires_at: stored.expires_at,
                accepted_at: stored.accepted_at,
                revoked_at: stored.revoked_at,
            })?,
        }))
    }

    /// The request for a new password whose token has this SHA-256, a used one too. It may have been made for an address
    /// that has no account.
    pub async fn find_password_reset(
        &self,
        token_hash: &[u8; 32],
    ) -> Result<Option<FoundPasswordReset>, Error> {
        let found = sqlx::query!(
            r#"SELECT
                email AS "email!",
                created_at AS "created_at!",
                expires_at AS "expires_at!",
                used_at
            FROM find_password_reset($1)"#,
            token_hash,
        )
        .fetch_optional(&self.app)
        .await?;
        let Some(stored) = found else {
            return Ok(None);
        };
        Ok(Some(FoundPasswordReset {
            email: Row::new("password_resets", stored.created_at).parse("email", &stored.email)?,
            created_at: stored.created_at,
            expires_at: stored.expires_at,
            used_at: stored.used_at,
        }))
    }

    /// Whether any project lets pages of this origin call.
    pub async fn origin_is_listed(&self, origin: &str) -> Result<bool, Error> {
        Ok(
            sqlx::query_scalar!(r#"SELECT origin_is_listed($1) AS "listed!""#, origin)
                .fetch_one(&self.app)
                .await?,
        )
    }

    /// The counter of a topic. It moves with every committed change; whoever cached something when it stood elsewhere asks
    /// again.
    pub async fn change_value(&self, topic: Topic) -> Result<i64, Error> {
        Ok(
            sqlx::query_scalar!("SELECT value FROM changes WHERE topic = $1", topic.as_str())
                .fetch_one(&self.app)
                .await?,
        )
    }

    /// Notes when keys were last used; a later time stays. Keys that are gone are passed over.
    pub async fn touch_api_keys(&self, uses: &[(ApiKeyId, Timestamp)]) -> Result<(), Error> {
        let keys: Vec<Uuid> = uses.iter().map(|(key, _)| key.as_uuid()).collect();
        let times: Vec<Timestamp> = uses.iter().map(|&(_, at)| at).collect();
        // Rows are locked in one order, so that two nodes that note the same keys do not wait for each other in a circle.
        sqlx::query!(
            "WITH used AS (
                SELECT api_key_id, max(used_at) AS used_at
                FROM UNNEST($1::uuid[], $2::timestamptz[]) AS entry (api_key_id, used_at)
                GROUP BY api_key_id
            ),
            locked AS (
                SELECT api_keys.api_key_id, used.used_at
                FROM api_keys
                JOIN used ON used.api_key_id = api_keys.api_key_id
                WHERE api_keys.last_used_at IS NULL OR api_keys.last_used_at < used.used_at
                ORDER BY api_keys.api_key_id
                FOR NO KEY UPDATE OF api_keys
            )
            UPDATE api_keys
            SET last_used_at = GREATEST(api_keys.last_used_at, locked.used_at)
            FROM locked
            WHERE api_keys.api_key_id = locked.api_key_id",
            &keys,
            &times,
        )
        .execute(&self.system)
        .await?;
        Ok(())
    }
}
