//! Every operation of the OpenAPI document: who may call it, and what a well-formed request is.

use std::collections::BTreeMap;

use berth_api::openapi::{self, Operation};
use berth_domain::permission::Permission;
use reqwest::Method;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::house::{House, fill};

/// Who may call an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Nobody is asked.
    Nothing,
    /// Any key or signed-in person.
    Caller,
    /// A signed-in person.
    Person,
    /// An operator of the platform.
    Operator,
    /// A person with the permission in the whole organization.
    Organization(Permission),
    /// A person with the permission in the project, or a key of it with the scope.
    Project(Permission),
    /// A key with the scope to call models.
    Calling,
    /// A key with the scope, in its own project.
    OwnProject(Permission),
}

/// Every operation, by its id. One that is missing fails the test that comes upon it.
fn needs(id: &str) -> Option<Needs> {
    use Needs::{Caller, Calling, Nothing, Operator, Organization, OwnProject, Person, Project};
    use Permission as P;
    Some(match id {
        "health_live"
        | "health_ready"
        | "metrics_show"
        | "documents_jwks"
        | "documents_openapi"
        | "documents_pages"
        | "documents_entrance"
        | "error_codes_list"
        | "error_codes_show"
        | "oip_server_metadata"
        | "oip_server_live"
        | "oip_server_ready"
        | "auth_sign_up"
        | "auth_sign_in"
        | "auth_token"
        | "auth_refresh"
        | "auth_request_password_reset"
        | "auth_confirm_password_reset" => Nothing,
        "auth_me" | "organizations_create" => Caller,
        "auth_sign_out"
        | "auth_change_password"
        | "auth_list_sessions"
        | "auth_end_session"
        | "auth_accept_invitation"
        | "organizations_list"
        | "members_leave" => Person,
        "organizations_show" | "projects_list" => Organization(P::OrganizationRead),
        "organizations_update"
        | "organizations_suspend"
        | "organizations_resume"
        | "organizations_delete" => Organization(P::OrganizationManage),
        "members_list" | "members_show" | "invitations_list" | "roles_list" | "roles_show" => {
            Organization(P::MembersRead)
        }
        "members_update" | "members_remove" | "invitations_create" | "invitations_revoke"
        | "roles_create" | "roles_update" | "roles_remove" => Organization(P::MembersManage),
        "projects_create" => Organization(P::ProjectsManage),
        "projects_show" => Project(P::ProjectsRead),
        "projects_update" | "projects_suspend" | "projects_resume" | "projects_delete" => {
            Project(P::ProjectsManage)
        }
        "project_members_list" | "project_members_show" | "project_invitations_list" => {
            Project(P::MembersRead)
        }
        "project_members_update"
        | "project_members_remove"
        | "project_invitations_create"
        | "project_invitations_revoke" => Project(P::MembersManage),
        "service_accounts_list" | "service_accounts_show" | "api_keys_list" | "api_keys_show" => {
            Project(P::KeysRead)
        }
        "service_accounts_create"
        | "service_accounts_disable"
        | "service_accounts_enable"
        | "service_accounts_delete"
        | "api_keys_create"
        | "api_keys_rotate"
        | "api_keys_revoke" => Project(P::KeysManage),
        "models_list" | "models_show" | "versions_list" | "versions_show" => Project(P::ModelsRead),
        "models_create" | "models_update" | "models_delete" | "versions_upload" | "versions_delete" => {
            Project(P::ModelsWrite)
        }
        "deployments_list" | "deployments_ready" | "deployments_show" | "requests_show" => {
            Project(P::DeploymentsRead)
        }
        "deployments_create" | "deployments_update" | "deployments_release" | "deployments_delete" => {
            Project(P::DeploymentsWrite)
        }
        "embeddings_create"
        | "models_list_callable"
        | "models_show_callable"
        | "oip_model_metadata"
        | "oip_model_version_metadata"
        | "oip_model_ready"
        | "oip_model_version_ready"
        | "oip_model_config"
        | "oip_model_version_config"
        | "oip_statistics"
        | "oip_model_statistics"
        | "oip_model_version_statistics"
        | "oip_repository_index"
        | "oip_infer"
        | "oip_infer_version" => Calling,
        "oip_repository_load" | "oip_repository_unload" => OwnProject(P::DeploymentsWrite),
        "platform_list_organizations"
        | "platform_create_organization"
        | "platform_show_organization"
        | "platform_suspend_organization"
        | "platform_resume_organization"
        | "platform_delete_organization"
        | "placements_show"
        | "workers_list"
        | "platform_list_users"
        | "platform_create_user"
        | "platform_show_user"
        | "platform_update_user"
        | "platform_disable_user"
        | "platform_enable_user"
        | "platform_create_password_link"
        | "platform_publish_model"
        | "platform_unpublish_model" => Operator,
        _ => return None,
    })
}

/// A body that the operation takes, by its id, where the caller may and the objects in `parts` are there.
fn body(id: &str, parts: &BTreeMap<&'static str, String>) -> Option<Value> {
    Some(match id {
        "auth_sign_up" | "auth_sign_in" => json!({"email": "x@x.example", "password": "a stroll by the sea"}),
        "auth_refresh" => json!({"refresh_token": "no such token"}),
        "auth_request_password_reset" => json!({"email": "x@x.example"}),
        "auth_confirm_password_reset" => json!({"token": "x", "new_password": "a stroll by the sea"}),
        "auth_change_password" => json!({"current_password": "x", "new_password": "a stroll by the sea"}),
        "auth_accept_invitation" => json!({"token": "no such token"}),
        "organizations_create" | "projects_create" | "service_accounts_create" => {
            json!({"name": "fresh", "title": "Fresh"})
        }
        "organizations_update" | "projects_update" | "roles_update" | "models_update" => {
            json!({"title": "Other"})
        }
        "members_update" | "project_members_update" => json!({"role": "billing"}),
        "invitations_create" | "project_invitations_create" => {
            json!({"email": "fresh@fresh.example", "role": "viewer"})
        }
        "roles_create" => json!({"name": "fresh", "title": "Fresh", "permissions": ["models.read"]}),
        "api_keys_create" => json!({"title": "Fresh", "scopes": ["models.read"]}),
        "api_keys_rotate" => json!({"grace_seconds": 60}),
        "models_create" => json!({"name": "fresh"}),
        "deployments_create" => json!({"name": "fresh", "model": "no-such-model"}),
        "deployments_update" => json!({"stopped": true}),
        "platform_create_organization" => {
            json!({"name": "fresh", "title": "Fresh", "owner_email": "fresh@fresh.example"})
        }
        "platform_create_user" => json!({"email": "fresh@fresh.example"}),
        "platform_update_user" => json!({"operator": true}),
        "embeddings_create" => json!({"model": parts["model"], "input": "a"}),
        "oip_repository_index" | "oip_repository_load" | "oip_repository_unload" => json!({}),
        "oip_infer" | "oip_infer_version" => {
            json!({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]})
        }
        _ => return None,
    })
}

/// What stands in the body of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// What the operation takes.
    WellFormed,
    /// A field that nobody knows, so that nothing can come of it.
    Malformed,
}

/// An operation with what is known of it.
pub(crate) struct Known {
    pub(crate) id: String,
    pub(crate) path: String,
    pub(crate) method: Method,
    pub(crate) needs: Needs,
    has_body: bool,
}

/// Every operation.
pub(crate) fn table() -> Vec<Known> {
    let document = openapi::document(None);
    openapi::operations(&document)
        .into_iter()
        .map(Known::new)
        .collect()
}

impl Known {
    fn new(operation: Operation) -> Self {
        let id = operation.described.operation_id.expect("an id");
        Self {
            needs: needs(&id).unwrap_or_else(|| panic!("`{id}` is missing from this table")),
            method: operation.method.as_str().parse().expect("a method"),
            has_body: operation.described.request_body.is_some(),
            path: operation.path,
            id,
        }
    }

    /// Whether it changes nothing.
    pub(crate) fn reads(&self) -> bool {
        self.method == Method::GET
    }

    /// Whether its path names an object inside the organization or project, or one of the caller's own.
    pub(crate) fn names_an_object(&self) -> bool {
        let names = self.path.matches('{').count();
        let outer = ["{organization_id}", "{project_id}"];
        let outer = outer.iter().filter(|name| self.path.contains(*name)).count();
        names > outer
    }

    /// Calls it, with `parts` for the names in its path. Checks what every answer has.
    pub(crate) async fn call(
        &self,
        house: &House,
        parts: &BTreeMap<&'static str, String>,
        credential: Option<&str>,
        sent: Sent,
    ) -> Answer {
        let path = fill(&self.path, parts);
        let path = match self.id.as_str() {
            "versions_upload" => format!("{path}?filename=model.onnx"),
            _ => path,
        };
        let request = house.request(self.method.clone(), &path, credential);
        let request = match (self.id.as_str(), sent) {
            (_, _) if !self.has_body => request,
            ("versions_upload", sent) => {
                let bytes = if sent == Sent::WellFormed { "bytes" } else { "" };
                request
                    .header("content-type", "application/octet-stream")
                    .body(bytes)
            }
            ("auth_token", _) => request
                .header("content-type", "application/x-www-form-urlencoded")
                .body("grant_type=none"),
            (_, Sent::Malformed) => request.json(&json!({"no_such_field": 1})),
            (id, Sent::WellFormed) => {
                let body = body(id, parts).unwrap_or_else(|| panic!("`{id}` takes a body"));
                request.json(&body)
            }
        };
        let answer = house.send(request).await;
        answer.check(&self.method, &self.path);
        answer
    }
}
