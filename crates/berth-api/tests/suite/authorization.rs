//! Every operation of the OpenAPI document, called by those who may and by those who may not.

use std::collections::BTreeSet;

use berth_auth::api_keys::SCOPES;
use berth_domain::permission::{BuiltinRole, Permission, PermissionSet};
use serde_json::json;

use crate::answer::Answer;
use crate::furniture::Furnished;
use crate::house::{House, Place, Tenant, text};
use crate::operations::{Known, Needs, Sent, table};

/// What callers are told of an organization or project that they may not know of.
const OUT_OF_SIGHT: &str = "There is no such organization or project, or the caller is not a member of it.";

/// Operations that end what the others need, in an order in which all can succeed.
const ENDINGS: [&str; 6] = [
    "projects_suspend",
    "projects_resume",
    "projects_delete",
    "organizations_suspend",
    "organizations_resume",
    "organizations_delete",
];

fn is_held_back(answer: &Answer) -> bool {
    let problem = answer.json();
    let is_refused = matches!(
        answer.code().as_deref(),
        Some(
            "credentials_missing"
                | "permission_denied"
                | "person_required"
                | "operator_required"
                | "api_key_required"
        )
    );
    is_refused || problem["detail"] == OUT_OF_SIGHT
}

#[track_caller]
fn is(answer: &Answer, known: &Known, who: &str, status: u16) {
    assert_eq!(
        answer.status.as_u16(),
        status,
        "{who} at `{}`: {}",
        known.id,
        String::from_utf8_lossy(&answer.body)
    );
}

/// Calls with ids that lead nowhere and a body that nothing can come of. Who may call is told so.
async fn check_admitted(house: &House, known: &Known, tenant: &Tenant, credential: &str, who: &str) {
    let answer = known
        .call(house, &tenant.parts(), Some(credential), Sent::Malformed)
        .await;
    assert!(!is_held_back(&answer), "{who} at `{}`: {answer:?}", known.id);
}

/// Reads what is there.
async fn check_read(house: &House, known: &Known, place: &Furnished, credential: &str, who: &str) {
    let parts = place.parts(&known.id);
    let answer = known
        .call(house, &parts, Some(credential), Sent::WellFormed)
        .await;
    is(&answer, known, who, 200);
}

/// Calls for real, and is refused.
async fn check_refused(
    house: &House,
    known: &Known,
    place: &Furnished,
    credential: &str,
    who: &str,
    status: u16,
) {
    let parts = place.parts(&known.id);
    let answer = known
        .call(house, &parts, Some(credential), Sent::WellFormed)
        .await;
    is(&answer, known, who, status);
}

#[test]
fn permissions_of_the_table_are_all_in_use() {
    let used: BTreeSet<Permission> = table()
        .into_iter()
        .filter_map(|known| match known.needs {
            Needs::Organization(permission) | Needs::Project(permission) | Needs::OwnProject(permission) => {
                Some(permission)
            }
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
    let acme = Furnished::new(&house, "acme").await;
    let before = house.rows().await;
    for known in table() {
        if known.needs == Needs::Nothing {
            let parts = acme.parts(&known.id);
            let answer = known.call(&house, &parts, None, Sent::Malformed).await;
            assert_ne!(answer.status.as_u16(), 403, "{}", known.id);
            continue;
        }
        let parts = acme.parts(&known.id);
        let answer = known.call(&house, &parts, None, Sent::WellFormed).await;
        is(&answer, &known, "nobody", 401);
        assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"berth\""));
    }
    house.check_unchanged(&before).await;
}

#[tokio::test]
async fn another_organization_finds_nothing() {
    let house = House::new().await;
    let acme = Furnished::new(&house, "acme").await;
    let other = Furnished::new(&house, "other").await;
    let before = house.rows().await;
    for known in table() {
        let (owner, key) = (&other.tenant.token, &other.key);
        match known.needs {
            Needs::Organization(_) | Needs::Project(_) => {
                check_refused(
                    &house,
                    &known,
                    &acme,
                    owner,
                    "the owner of another organization",
                    404,
                )
                .await;
                check_refused(&house, &known, &acme, key, "a key of another organization", 404).await;
            }
            Needs::Operator => {
                check_refused(&house, &known, &acme, owner, "an owner", 403).await;
                check_refused(&house, &known, &acme, key, "a key", 403).await;
            }
            Needs::Calling if known.id == "models_list_callable" => {
                let list = house.get(&known.path, key).await.succeeded(200);
                let names: Vec<_> = list["data"].as_array().expect("a list").iter().collect();
                assert_eq!(names.len(), 1, "{list}");
                assert_eq!(names[0]["id"], other.deployment.as_str());
            }
            Needs::Calling if known.id == "oip_statistics" || known.id == "oip_repository_index" => {
                let answer = known
                    .call(&house, &acme.parts(&known.id), Some(key), Sent::WellFormed)
                    .await;
                let told = answer.succeeded(200).to_string();
                assert!(!told.contains(&acme.deployment), "{told}");
                assert!(told.contains(&other.deployment), "{told}");
                check_refused(&house, &known, &acme, owner, "a person", 403).await;
            }
            Needs::Calling | Needs::OwnProject(_) => {
                check_refused(&house, &known, &acme, key, "a key of another organization", 404).await;
                check_refused(&house, &known, &acme, owner, "a person", 403).await;
            }
            Needs::Nothing | Needs::Caller | Needs::Person => {}
        }
    }
    house.check_unchanged(&before).await;
}

/// A deployment of the caller's own is there for the same calls, so that what others do not find is not simply absent.
#[tokio::test]
async fn own_key_finds_the_deployment() {
    let house = House::new().await;
    let acme = Furnished::new(&house, "acme").await;
    for known in table() {
        if known.needs != Needs::Calling {
            continue;
        }
        let parts = acme.parts(&known.id);
        let answer = known
            .call(&house, &parts, Some(&acme.key), Sent::WellFormed)
            .await;
        // No worker holds it.
        let waits =
            known.id.contains("infer") || known.id.ends_with("_ready") || known.id == "embeddings_create";
        is(
            &answer,
            &known,
            "a key of the project",
            if waits { 503 } else { 200 },
        );
    }
}

/// What a member with `held` may do in `place`.
fn may(needs: Needs, held: &PermissionSet, place: Place) -> bool {
    match needs {
        Needs::Nothing | Needs::Caller | Needs::Person => true,
        Needs::Operator | Needs::Calling | Needs::OwnProject(_) => false,
        Needs::Project(permission) => held.contains(permission),
        Needs::Organization(permission) => {
            let seen = place == Place::Organization || permission == Permission::OrganizationRead;
            seen && held.contains(permission)
        }
    }
}

/// A role may do what the table says and no more: it reads what is there, is let through to what it may change, and is refused
/// what it may not, which then stays as it was.
async fn check_role(role: BuiltinRole, place: Place) {
    let (house, who) = (House::new().await, format!("{role:?} in {place:?}"));
    let acme = Furnished::new(&house, "acme").await;
    let member = house
        .join(&acme.tenant, place, "somebody@acme.example", role.as_str())
        .await
        .token;
    let held = role.permissions();
    let (admitted, refused): (Vec<_>, Vec<_>) = table()
        .into_iter()
        .filter(|known| known.needs != Needs::Nothing)
        .partition(|known| may(known.needs, &held, place));

    let before = house.rows().await;
    for known in &refused {
        check_refused(&house, known, &acme, &member, &who, 403).await;
    }
    if place == Place::Project {
        for known in table() {
            if let Needs::Project(_) = known.needs {
                let answer = known
                    .call(&house, &acme.side.parts(), Some(&member), Sent::WellFormed)
                    .await;
                is(&answer, &known, "a member of another project", 404);
            }
        }
    }
    house.check_unchanged(&before).await;
    for known in &admitted {
        match known.needs {
            Needs::Organization(_) | Needs::Project(_) if known.reads() => {
                check_read(&house, known, &acme, &member, &who).await;
            }
            // Either would end the session that this test goes on with, or is tried last.
            _ if known.id == "auth_sign_out" || ENDINGS.contains(&known.id.as_str()) => {}
            _ => check_admitted(&house, known, &acme.tenant, &member, &who).await,
        }
    }
    for id in ENDINGS {
        if let Some(known) = admitted.iter().find(|known| known.id == id) {
            let parts = acme.parts(id);
            let answer = known.call(&house, &parts, Some(&member), Sent::WellFormed).await;
            is(
                &answer,
                known,
                &who,
                if id.ends_with("delete") { 204 } else { 200 },
            );
        }
    }
}

#[tokio::test]
async fn owner_may_what_the_table_says_and_no_more() {
    check_role(BuiltinRole::Owner, Place::Organization).await;
}

#[tokio::test]
async fn admin_may_what_the_table_says_and_no_more() {
    check_role(BuiltinRole::Admin, Place::Organization).await;
}

#[tokio::test]
async fn developer_may_what_the_table_says_and_no_more() {
    check_role(BuiltinRole::Developer, Place::Organization).await;
}

#[tokio::test]
async fn billing_may_what_the_table_says_and_no_more() {
    check_role(BuiltinRole::Billing, Place::Organization).await;
}

#[tokio::test]
async fn weakest_role_may_what_the_table_says_and_no_more() {
    check_role(BuiltinRole::Viewer, Place::Organization).await;
}

#[tokio::test]
async fn owner_of_a_project_may_what_the_table_says_and_nothing_outside() {
    check_role(BuiltinRole::Owner, Place::Project).await;
}

#[tokio::test]
async fn developer_of_a_project_may_what_the_table_says_and_nothing_outside() {
    check_role(BuiltinRole::Developer, Place::Project).await;
}

#[tokio::test]
async fn weakest_role_of_a_project_may_what_the_table_says_and_nothing_outside() {
    check_role(BuiltinRole::Viewer, Place::Project).await;
}

/// Each permission opens the operations that need it, and no other.
#[tokio::test]
async fn custom_role_of_one_permission_may_that_alone() {
    let house = House::new().await;
    let acme = Furnished::new(&house, "acme").await;
    let roles = format!("{}/roles", acme.tenant.root());
    let body = json!({"name": "single", "title": "Single", "permissions": ["organization.read"]});
    let role = text(&house.post(&roles, &acme.tenant.token, &body).await.succeeded(201)["role_id"]);
    let member = house
        .join(&acme.tenant, Place::Organization, "somebody@acme.example", &role)
        .await
        .token;
    for &permission in Permission::ALL {
        let body = json!({"permissions": [permission.as_str()]});
        house
            .patch(&format!("{roles}/{role}"), &acme.tenant.token, &body)
            .await
            .succeeded(200);
        let (held, who) = ([permission].into_iter().collect(), permission.as_str());
        for known in table() {
            match known.needs {
                Needs::Organization(_) | Needs::Project(_) if ENDINGS.contains(&known.id.as_str()) => {}
                Needs::Organization(_) | Needs::Project(_) => {
                    if !may(known.needs, &held, Place::Organization) {
                        check_refused(&house, &known, &acme, &member, who, 403).await;
                    } else if known.reads() {
                        check_read(&house, &known, &acme, &member, who).await;
                    } else {
                        check_admitted(&house, &known, &acme.tenant, &member, who).await;
                    }
                }
                _ => {}
            }
        }
    }
}

/// Each scope opens the operations of the key's project that need it, and no other.
#[tokio::test]
async fn key_may_what_its_scopes_say_and_no_more() {
    let house = House::new().await;
    let acme = Furnished::new(&house, "acme").await;
    for scope in SCOPES {
        let (key, who) = (house.key(&acme.tenant, &[scope.as_str()]).await, scope.as_str());
        let before = house.rows().await;
        for known in table() {
            match known.needs {
                Needs::Nothing => {}
                Needs::Caller if known.reads() => check_read(&house, &known, &acme, &key, who).await,
                Needs::Project(permission) if permission == scope => {
                    if known.reads() {
                        check_read(&house, &known, &acme, &key, who).await;
                    } else {
                        check_admitted(&house, &known, &acme.tenant, &key, who).await;
                    }
                    let answer = known
                        .call(&house, &acme.side.parts(), Some(&key), Sent::WellFormed)
                        .await;
                    is(&answer, &known, "a key of another project", 404);
                }
                Needs::Calling if scope == Permission::InferenceRun => {
                    check_admitted(&house, &known, &acme.tenant, &key, who).await;
                }
                Needs::OwnProject(permission) if permission == scope => {
                    check_admitted(&house, &known, &acme.tenant, &key, who).await;
                }
                _ => check_refused(&house, &known, &acme, &key, who, 403).await,
            }
        }
        house.check_unchanged(&before).await;
    }
}

#[tokio::test]
async fn operator_reaches_the_platform_and_no_tenant() {
    let house = House::new().await;
    let acme = Furnished::new(&house, "acme").await;
    let operator = house.operator().await;
    let nowhere = Tenant {
        organization: "org_01jd0000000000000000000000".to_owned(),
        ..acme.tenant.clone()
    };
    let before = house.rows().await;
    for known in table() {
        match known.needs {
            Needs::Operator if known.reads() => {
                check_read(&house, &known, &acme, &operator, "an operator").await;
            }
            Needs::Operator => check_admitted(&house, &known, &nowhere, &operator, "an operator").await,
            Needs::Organization(_) | Needs::Project(_) => {
                check_refused(&house, &known, &acme, &operator, "an operator", 404).await;
            }
            _ => {}
        }
    }
    house.check_unchanged(&before).await;
}
