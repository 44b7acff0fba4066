//! Ids of objects that are there, but not where the path says. Nothing is found by them, and nothing comes of them.

use berth_auth::api_keys::SCOPES;
use reqwest::Method;
use serde_json::{Value, json};

use crate::furniture::Furnished;
use crate::house::{House, Tenant, fill};
use crate::operations::{Known, Needs, Sent, table};

/// Operations on an object of an organization, project or person. An upload names a model that need not be there.
fn on_objects() -> Vec<Known> {
    let known: Vec<Known> = table()
        .into_iter()
        .filter(|known| {
            let is_guarded = matches!(
                known.needs,
                Needs::Organization(_) | Needs::Project(_) | Needs::Person
            );
            is_guarded && known.names_an_object() && known.id != "versions_upload"
        })
        .collect();
    assert!(known.len() >= 29, "there are {} of them", known.len());
    known
}

/// Calls `known` for the objects of `theirs` in the organization and project of `place`.
async fn check_absent(
    house: &House,
    known: &Known,
    place: &Tenant,
    theirs: &Furnished,
    (credential, status): (&str, u16),
) {
    let mut parts = theirs.parts(&known.id);
    parts.insert("organization_id", place.organization.clone());
    parts.insert("project_id", place.project.clone());
    let answer = known
        .call(house, &parts, Some(credential), Sent::WellFormed)
        .await;
    assert_eq!(answer.status.as_u16(), status, "`{}`: {answer:?}", known.id);
    if !known.path.contains("{name}") {
        let nowhere = known
            .call(house, &place.parts(), Some(credential), Sent::WellFormed)
            .await;
        assert_eq!(
            (nowhere.status, nowhere.json()["detail"].clone()),
            (answer.status, answer.json()["detail"].clone()),
            "`{}` tells what is elsewhere from what is nowhere",
            known.id
        );
    }
}

#[tokio::test]
async fn objects_of_another_organization_are_not_found_in_ones_own() {
    let house = House::new().await;
    let (acme, other) = (
        Furnished::new(&house, "acme").await,
        Furnished::new(&house, "other").await,
    );
    let before = house.rows().await;
    for known in on_objects() {
        check_absent(&house, &known, &other.tenant, &acme, (&other.tenant.token, 404)).await;
        // A key acts in its project alone, and there as far as its scopes go.
        let for_keys = match known.needs {
            Needs::Project(permission) if SCOPES.contains(&permission) => 404,
            _ => 403,
        };
        check_absent(&house, &known, &other.tenant, &acme, (&other.key, for_keys)).await;
    }
    house.check_unchanged(&before).await;
}

#[tokio::test]
async fn project_and_organization_of_a_path_belong_together() {
    let house = House::new().await;
    let (acme, other) = (
        Furnished::new(&house, "acme").await,
        Furnished::new(&house, "other").await,
    );
    let before = house.rows().await;
    let crossed = |organization: &Tenant, project: &Tenant| Tenant {
        project: project.project.clone(),
        ..organization.clone()
    };
    for place in [
        crossed(&other.tenant, &acme.tenant),
        crossed(&acme.tenant, &other.tenant),
    ] {
        for known in table() {
            let Needs::Project(_) = known.needs else { continue };
            for objects in [&acme, &other] {
                let mut parts = objects.parts(&known.id);
                parts.insert("organization_id", place.organization.clone());
                parts.insert("project_id", place.project.clone());
                for credential in [&other.tenant.token, &other.key] {
                    let answer = known
                        .call(&house, &parts, Some(credential), Sent::WellFormed)
                        .await;
                    assert_eq!(answer.status.as_u16(), 404, "`{}`: {answer:?}", known.id);
                }
            }
        }
    }
    house.check_unchanged(&before).await;
}

#[tokio::test]
async fn objects_of_another_project_are_not_found_in_this_one() {
    let house = House::new().await;
    let acme = Furnished::new(&house, "acme").await;
    let before = house.rows().await;
    for known in on_objects() {
        if let Needs::Project(_) = known.needs {
            check_absent(&house, &known, &acme.side, &acme, (&acme.tenant.token, 404)).await;
            check_absent(&house, &known, &acme.side, &acme, (&acme.key, 404)).await;
        }
    }
    house.check_unchanged(&before).await;
}

/// The lists of one tenant show nothing of the other, wherever one asks them to begin.
#[tokio::test]
async fn lists_show_nothing_of_another_organization() {
    let house = House::new().await;
    let (acme, other) = (
        Furnished::new(&house, "acme").await,
        Furnished::new(&house, "other").await,
    );
    let token = &other.tenant.token;
    for known in table() {
        let lists = known.id.ends_with("_list") || known.id == "auth_list_sessions";
        if !lists || matches!(known.needs, Needs::Nothing | Needs::Operator) {
            continue;
        }
        let parts = other.parts(&known.id);
        let path = fill(&known.path, &parts);
        let page = house.get(&path, token).await.succeeded(200);
        let shown = page.to_string();
        assert_ne!(page["data"], json!([]), "`{}` has something to show", known.id);
        for (name, id) in acme.parts(&known.id) {
            // Two persons have versions of the same number, and so on.
            if id.contains("_01") || id.contains("acme") {
                assert!(
                    !shown.contains(&id),
                    "`{}` shows the {name} {id}: {shown}",
                    known.id
                );
            }
        }
        let foreign = fill(&known.path, &acme.parts(&known.id));
        let foreign = house.get(&foreign, &acme.tenant.token).await;
        let Some(id) = foreign.succeeded(200)["first_id"].as_str().map(str::to_owned) else {
            continue;
        };
        for way in ["after", "before"] {
            let answer = house.get(&format!("{path}?{way}={id}"), token).await;
            if answer.status.as_u16() == 400 {
                continue;
            }
            let page: Value = answer.succeeded(200);
            assert!(!page.to_string().contains(&id), "`{}`: {page}", known.id);
        }
    }
}

#[tokio::test]
async fn bodies_name_nothing_of_another_organization() {
    let house = House::new().await;
    let (acme, other) = (
        Furnished::new(&house, "acme").await,
        Furnished::new(&house, "other").await,
    );
    let (theirs, own) = (acme.parts(""), &other.tenant);
    let (root, project) = (own.root(), own.project_root());
    let role = json!({"role": theirs["role_id"]});
    let invited = json!({"email": "x@x.example", "role": theirs["role_id"]});
    let robot = |id: &str| json!({"title": "k", "scopes": ["models.read"], "service_account_id": id});
    let model = json!({"name": "fresh", "model": acme.model});
    let before = house.rows().await;
    for (method, path, body, pointer) in [
        (
            Method::PATCH,
            format!("{root}/members/{}", other.viewer.membership),
            role.clone(),
            "/role",
        ),
        (
            Method::PATCH,
            format!("{project}/members/{}", other.developer.membership),
            role,
            "/role",
        ),
        (
            Method::POST,
            format!("{root}/invitations"),
            invited.clone(),
            "/role",
        ),
        (Method::POST, format!("{project}/invitations"), invited, "/role"),
        (
            Method::POST,
            format!("{project}/api-keys"),
            robot(&theirs["service_account_id"]),
            "/service_account_id",
        ),
        (Method::POST, format!("{project}/deployments"), model, "/model"),
        // Nor of another project of the same organization.
        (
            Method::POST,
            format!("{}/api-keys", other.side.project_root()),
            robot(&other.parts("")["service_account_id"]),
            "/service_account_id",
        ),
        (
            Method::POST,
            format!("{}/deployments", other.side.project_root()),
            json!({"name": "fresh", "model": other.model}),
            "/model",
        ),
    ] {
        let request = house.request(method, &path, Some(&own.token)).json(&body);
        let answer = house.send(request).await.refused(400, "invalid_value");
        assert_eq!(
            answer.json()["errors"][0]["pointer"],
            pointer,
            "{path} {body}: {answer:?}"
        );
    }
    house.check_unchanged(&before).await;
}
