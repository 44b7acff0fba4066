//! A body that fits, for each operation of the control plane that takes JSON; the fields that must be there come first.

use serde_json::{Value, json};

use crate::tenant::PASSWORD;

/// The body for the operation of this id.
pub(super) fn body(operation: &str) -> Option<Value> {
    Some(match operation {
        "auth_sign_up" => json!({ "email": "ada@example.com", "password": PASSWORD, "name": "Ada" }),
        "auth_sign_in" => json!({ "email": "nobody@example.com", "password": PASSWORD }),
        "auth_refresh" => json!({ "refresh_token": "bthr_x" }),
        "auth_change_password" => json!({ "current_password": "a", "new_password": "b" }),
        "auth_request_password_reset" => json!({ "email": "nobody@example.com" }),
        "auth_confirm_password_reset" => json!({ "token": "bthp_x", "new_password": PASSWORD }),
        "auth_accept_invitation" => json!({ "token": "bthi_x" }),
        "organizations_create" => json!({ "name": "second", "title": "Second" }),
        "organizations_update" => json!({ "title": "Acme" }),
        "members_update" | "project_members_update" => json!({ "role": "viewer" }),
        "invitations_create" | "project_invitations_create" => {
            json!({ "email": "bob@example.com", "role": "viewer" })
        }
        "roles_create" => json!({ "name": "writer", "title": "Writer", "permissions": ["models.read"] }),
        "roles_update" => json!({ "title": "Reader" }),
        "projects_create" => json!({ "name": "second", "title": "Second", "origins": [] }),
        "projects_update" => json!({ "origins": ["https://app.example"] }),
        "service_accounts_create" => json!({ "name": "second", "title": "CI" }),
        "api_keys_create" => json!({ "title": "k", "scopes": ["inference.run"], "addresses": [] }),
        "api_keys_rotate" => json!({ "grace_seconds": 5 }),
        "models_create" => json!({ "name": "second", "description": "" }),
        "models_update" => json!({ "visibility": "project" }),
        "deployments_create" => json!({ "name": "d", "model": "m", "versions": [{ "number": 1 }] }),
        "deployments_update" => json!({ "stopped": true }),
        "platform_create_organization" => {
            json!({ "name": "third", "title": "Third", "owner_email": "ada@example.com" })
        }
        "platform_create_user" => json!({ "email": "carol@example.com" }),
        "platform_update_user" => json!({ "operator": false }),
        _ => return None,
    })
}
