//! Every operation of the OpenAPI document, called by those who may and by those who may not.

use std::collections::BTreeSet;

use berth_api::openapi::{Operation, operations};
use berth_domain::permission::{BuiltinRole, Permission};
use reqwest::Method;
use serde_json::json;

use crate::answer::Answer;
use crate::house::{House, Tenant, fill};

/// Who may call an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
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
}

/// Every operation, by its id. One that is missing fails the test.
fn needs(id: &str) -> Option<Needs> {
    use Needs::{Caller, Calling, Nothing, Operator, Organization, Person, Project};
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
        "deployments_list" | "deployments_show" => Project(P::DeploymentsRead),
        "deployments_create" | "deployments_update" | "deployments_delete" => Project(P::DeploymentsWrite),
        "embeddings_create"
        | "models_list_callable"
        | "models_show_callable"
        | "oip_model_metadata"
        | "oip_model_version_metadata"
        | "oip_model_ready"
        | "oip_model_version_ready"
        | "oip_infer"
        | "oip_infer_version" => Calling,
        _ if id.starts_with("platform_") => Operator,
        _ => return None,
    })
}

fn table() -> Vec<(Operation, Needs)> {
    operations(&berth_api::openapi::document(None))
        .into_iter()
        .map(|operation| {
            let id = operation.described.operation_id.clone().expect("an id");
            let needs = needs(&id).unwrap_or_else(|| panic!("`{id}` is missing from this table"));
            (operation, needs)
        })
        .collect()
}

fn method(operation: &Operation) -> Method {
    operation.method.as_str().parse().expect("a method")
}

/// Sends a request that is well formed as far as its head goes.
async fn call(house: &House, tenant: &Tenant, operation: &Operation, credential: Option<&str>) -> Answer {
    let path = fill(&operation.path, &tenant.parts());
    let request = house.request(method(operation), &path, credential);
    let request = match operation.described.request_body {
        Some(_) if operation.path.ends_with("/versions") => {
            request.header("content-type", "application/octet-stream")
        }
        Some(_) if operation.path.ends_with("/auth/token") => request
            .header("content-type", "application/x-www-form-urlencoded")
            .body("grant_type=none"),
        Some(_) => request.json(&json!({"no_such_field": 1})),
        None => request,
    };
    let answer = house.send(request).await;
    answer.check(&method(operation), &operation.path);
    answer
}

fn is_held_back(answer: &Answer) -> bool {
    let code = answer
        .json()
        .get("code")
        .and_then(|code| code.as_str().map(str::to_owned));
    let code = code.or_else(|| answer.code());
    matches!(
        code.as_deref(),
        Some(
            "credentials_missing"
                | "permission_denied"
                | "person_required"
                | "operator_required"
                | "api_key_required"
        )
    )
}

#[track_caller]
fn is(answer: &Answer, operation: &Operation, who: &str, status: u16) {
    assert_eq!(
        answer.status.as_u16(),
        status,
        "{who} at {} {}: {}",
        operation.method,
        operation.path,
        String::from_utf8_lossy(&answer.body)
    );
}

#[test]
fn permissions_of_the_table_are_all_in_use() {
    let used: BTreeSet<Permission> = table()
        .into_iter()
        .filter_map(|(_, needs)| match needs {
            Needs::Organization(permission) | Needs::Project(permission) => Some(permission),
            Needs::Calling => Some(Permission::InferenceRun),
            _ => None,
        })
        .collect();
    let money = [Permission::BillingRead, Permission::BillingManage];
    for permission in Permission::ALL
        .iter()
        .filter(|permission| !money.contains(permission))
    {
        assert!(used.contains(permission), "nothing needs {}", permission.as_str());
    }
}

#[tokio::test]
async fn nobody_is_asked_who_they_are() {
    let house = House::new().await;
    let tenant = house.tenant("acme").await;
    for (operation, needs) in table() {
        let answer = call(&house, &tenant, &operation, None).await;
        if needs == Needs::Nothing {
            assert_ne!(answer.status.as_u16(), 403, "{}", operation.path);
            continue;
        }
        is(&answer, &operation, "nobody", 401);
        assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"berth\""));
    }
}

#[tokio::test]
async fn another_organization_finds_nothing() {
    let house = House::new().await;
    let tenant = house.tenant("acme").await;
    let stranger = house.tenant("other").await;
    let scopes: Vec<&str> = berth_auth::api_keys::SCOPES
        .iter()
        .map(|scope| scope.as_str())
        .collect();
    let key = house.key(&stranger, &scopes).await;
    for (operation, needs) in table() {
        match needs {
            Needs::Organization(_) | Needs::Project(_) => {
                let answer = call(&house, &tenant, &operation, Some(&stranger.token)).await;
                is(&answer, &operation, "the owner of another organization", 404);
                let answer = call(&house, &tenant, &operation, Some(&key)).await;
                is(&answer, &operation, "a key of another organization", 404);
            }
            Needs::Operator => {
                let answer = call(&house, &tenant, &operation, Some(&stranger.token)).await;
                is(&answer, &operation, "an owner", 403);
            }
            _ => {}
        }
    }
}

/// Another's project under one's own organization must not open.
#[tokio::test]
async fn own_organization_does_not_open_another_ones_project() {
    let house = House::new().await;
    let tenant = house.tenant("acme").await;
    let stranger = house.tenant("other").await;
    let crossed = Tenant {
        token: stranger.token.clone(),
        organization: stranger.organization.clone(),
        project: tenant.project.clone(),
    };
    for (operation, needs) in table() {
        if let Needs::Project(_) = needs {
            let answer = call(&house, &crossed, &operation, Some(&stranger.token)).await;
            is(&answer, &operation, "the owner of another organization", 404);
        }
    }
}

#[tokio::test]
async fn weakest_role_may_what_it_says_and_no_more() {
    let house = House::new().await;
    let tenant = house.tenant("acme").await;
    let viewer = house.member(&tenant, "viewer@acme.example", "viewer").await;
    let held = BuiltinRole::Viewer.permissions();
    for (operation, needs) in table() {
        let answer = match needs {
            Needs::Nothing => continue,
            // It would end the session that this test goes on with.
            Needs::Person if operation.path.ends_with("/sign-out") => continue,
            _ => call(&house, &tenant, &operation, Some(&viewer)).await,
        };
        match needs {
            Needs::Organization(permission) | Needs::Project(permission) if held.contains(permission) => {
                assert!(!is_held_back(&answer), "{}: {answer:?}", operation.path);
            }
            Needs::Organization(_) | Needs::Project(_) | Needs::Operator | Needs::Calling => {
                is(&answer, &operation, "a viewer", 403);
            }
            Needs::Person | Needs::Caller | Needs::Nothing => {
                assert!(!is_held_back(&answer), "{}: {answer:?}", operation.path);
            }
        }
    }
}

#[tokio::test]
async fn key_may_what_its_scopes_say_and_no_more() {
    let house = House::new().await;
    let tenant = house.tenant("acme").await;
    let reader = house.key(&tenant, &["models.read"]).await;
    for (operation, needs) in table() {
        if needs == Needs::Nothing {
            continue;
        }
        let answer = call(&house, &tenant, &operation, Some(&reader)).await;
        match needs {
            Needs::Project(Permission::ModelsRead) | Needs::Caller => {
                let tenants_only = operation.path.ends_with("/organizations");
                assert!(
                    tenants_only || !is_held_back(&answer),
                    "{}: {answer:?}",
                    operation.path
                );
            }
            _ => is(&answer, &operation, "a key that reads models", 403),
        }
    }
}

#[tokio::test]
async fn owner_is_never_held_back() {
    let house = House::new().await;
    let tenant = house.tenant("acme").await;
    let ends_the_tenant = |operation: &Operation| {
        let last = operation.path.rsplit('/').next().unwrap_or_default();
        operation.method.as_str() == "DELETE" && last.ends_with("_id}") && {
            matches!(last, "{organization_id}" | "{project_id}")
        } || matches!(last, "suspend" | "sign-out")
    };
    for (operation, needs) in table() {
        if matches!(needs, Needs::Organization(_) | Needs::Project(_) | Needs::Person)
            && !ends_the_tenant(&operation)
        {
            let answer = call(&house, &tenant, &operation, Some(&tenant.token)).await;
            assert!(
                !is_held_back(&answer),
                "{} {}: {answer:?}",
                operation.method,
                operation.path
            );
        }
    }
}

#[tokio::test]
async fn operator_reaches_the_platform_and_no_tenant() {
    let house = House::new().await;
    let tenant = house.tenant("acme").await;
    let operator = house.operator().await;
    for (operation, needs) in table() {
        match needs {
            Needs::Operator => {
                let unknown = Tenant {
                    organization: "org_01jd0000000000000000000000".to_owned(),
                    ..tenant.clone()
                };
                let answer = call(&house, &unknown, &operation, Some(&operator)).await;
                assert!(!is_held_back(&answer), "{}: {answer:?}", operation.path);
            }
            Needs::Organization(_) | Needs::Project(_) => {
                let answer = call(&house, &tenant, &operation, Some(&operator)).await;
                is(&answer, &operation, "an operator", 404);
            }
            _ => {}
        }
    }
}
