//! Web pages of other origins, as browsers keep them apart.

use berth_test_support::wait_until;
use reqwest::{Method, Response};
use serde_json::json;

use crate::installation::{LIMIT, OneApi};
use crate::tenant::{Key, Tenant, http};

const CONSOLE: &str = "https://console.example";
const OURS: &str = "https://app.ours.example";
const THEIRS: &str = "https://app.theirs.example:8443";
const NOBODYS: &str = "https://evil.example";

/// Origins that look like one that is listed.
const ALIKE: [&str; 6] = [
    "null",
    "http://app.ours.example",
    "https://app.ours.example:444",
    "https://app.ours.example.evil.example",
    "https://evil-app.ours.example",
    "https://APP.ours.example",
];

fn header<'a>(answer: &'a Response, name: &str) -> Option<&'a str> {
    answer.headers().get(name).and_then(|value| value.to_str().ok())
}

/// The origin that may read the answer; with what holds for every answer.
fn admitted(answer: &Response) -> Option<String> {
    let admitted = header(answer, "access-control-allow-origin").map(str::to_owned);
    assert_ne!(admitted.as_deref(), Some("*"), "one origin is named, or none");
    assert_eq!(
        header(answer, "access-control-allow-credentials"),
        None,
        "cookies are never used"
    );
    admitted
}

async fn preflight(address: &str, path: &str, origin: &str) -> Response {
    let request = http()
        .request(Method::OPTIONS, format!("{address}{path}"))
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization, content-type");
    request.send().await.expect("the server answers")
}

async fn read(address: &str, path: &str, credential: Option<&str>, origin: Option<&str>) -> Response {
    let mut request = http().get(format!("{address}{path}"));
    if let Some(credential) = credential {
        request = request.bearer_auth(credential);
    }
    if let Some(origin) = origin {
        request = request.header("origin", origin);
    }
    request.send().await.expect("the server answers")
}

async fn tenant_with(address: &str, name: &str, origins: &[&str]) -> (Tenant, Key) {
    let tenant = Tenant::sign_up(address, name).await.expect("signs up");
    let changed = tenant
        .patch(&tenant.path(""), &json!({ "origins": origins }))
        .await
        .expect("the server answers");
    changed.accepted().expect("is changed");
    let key = tenant.make_key().await.expect("makes a key");
    (tenant, key)
}

#[tokio::test]
async fn pages_of_other_origins_read_what_their_project_lets_them() {
    let consoles = format!("[\"{CONSOLE}\"]");
    let api = OneApi::start_with(&[("BERTH_HTTP__CORS__ALLOWED_ORIGINS", &consoles)])
        .await
        .expect("starts");
    let address = api.address.as_str();
    let (tenant, ours) = tenant_with(address, "ours", &[OURS]).await;
    let (_, theirs) = tenant_with(address, "theirs", &[THEIRS]).await;
    let listed = || async { admitted(&preflight(address, "/v1/models", THEIRS).await).is_some() };
    wait_until(LIMIT, listed)
        .await
        .expect("the change has come around");

    // Before the request, when no key is known: whoever is listed anywhere.
    for path in ["/v1/embeddings", "/v2/models/m/infer", "/v1/models/no-such"] {
        for origin in [OURS, THEIRS, CONSOLE] {
            let answer = preflight(address, path, origin).await;
            assert_eq!(answer.status().as_u16(), 204, "{path}");
            assert_eq!(admitted(&answer).as_deref(), Some(origin), "{path}");
            assert_eq!(
                header(&answer, "access-control-allow-headers"),
                Some("authorization, content-type")
            );
            let methods = header(&answer, "access-control-allow-methods").unwrap_or_default();
            assert!(methods.contains("POST") && methods.contains("GET"), "{methods}");
            assert!(header(&answer, "vary").is_some_and(|vary| vary.contains("origin")));
        }
        for origin in ALIKE.into_iter().chain([NOBODYS]) {
            let answer = preflight(address, path, origin).await;
            assert_eq!(admitted(&answer), None, "{origin} at {path}");
        }
    }

    // With a key: the origins of its own project alone, whatever becomes of the request.
    let (wrong, nobody) = ("bth_live_no_key", None);
    for (path, credential, origin, reads) in [
        ("/v1/models", Some(ours.text.as_str()), OURS, true),
        ("/v1/models", Some(&ours.text), THEIRS, false),
        ("/v1/models", Some(&ours.text), NOBODYS, false),
        ("/v1/models", Some(&ours.text), CONSOLE, true),
        ("/v1/models", Some(&theirs.text), THEIRS, true),
        ("/v1/models", Some(&theirs.text), OURS, false),
        ("/v1/models/no-such", Some(&ours.text), OURS, true),
        ("/v2/models/no-such", Some(&ours.text), OURS, true),
        ("/v2/models/no-such", Some(&ours.text), THEIRS, false),
        ("/v1/models", Some(wrong), OURS, true),
        ("/v1/models", nobody, OURS, true),
        ("/v1/models", nobody, NOBODYS, false),
        ("/v1/no-such-address", Some(&ours.text), CONSOLE, true),
    ] {
        let answer = read(address, path, credential, Some(origin)).await;
        assert_eq!(
            admitted(&answer).is_some_and(|admitted| admitted == origin),
            reads,
            "{origin} at {path}: {answer:?}"
        );
        assert!(header(&answer, "vary").is_some_and(|vary| vary.contains("origin")));
        if reads {
            let exposed = header(&answer, "access-control-expose-headers").unwrap_or_default();
            assert!(exposed.contains("x-request-id") && exposed.contains("retry-after"));
        }
    }
    for origin in ALIKE {
        let answer = read(address, "/v1/models", Some(&ours.text), Some(origin)).await;
        assert_eq!(admitted(&answer), None, "{origin}");
    }

    // The control plane is for the operator's own pages.
    let me = "/api/v1/auth/me";
    for (origin, reads) in [(CONSOLE, true), (OURS, false), (NOBODYS, false)] {
        let answer = preflight(address, me, origin).await;
        assert_eq!(admitted(&answer).is_some(), reads, "{origin}");
        let answer = read(address, me, Some(&tenant.token), Some(origin)).await;
        assert_eq!(answer.status().as_u16(), 200);
        assert_eq!(admitted(&answer).is_some(), reads, "{origin}");
        let answer = read(address, me, None, Some(origin)).await;
        assert_eq!(admitted(&answer).is_some(), reads, "{origin}");
    }

    // Who is no web page is none.
    for (path, credential) in [("/v1/models", &ours.text), (me, &tenant.token)] {
        let answer = read(address, path, Some(credential), None).await;
        assert_eq!((answer.status().as_u16(), admitted(&answer)), (200, None));
    }
}

#[tokio::test]
async fn project_that_lets_every_page_in_does_so_for_its_own_keys_alone() {
    let api = OneApi::start_with(&[]).await.expect("starts");
    let address = api.address.as_str();
    let (_, open) = tenant_with(address, "open", &["*"]).await;
    let (_, closed) = tenant_with(address, "closed", &[]).await;
    let listed = || async { admitted(&preflight(address, "/v1/models", NOBODYS).await).is_some() };
    wait_until(LIMIT, listed)
        .await
        .expect("the change has come around");
    let answer = read(address, "/v1/models", Some(&open.text), Some(NOBODYS)).await;
    assert_eq!(admitted(&answer).as_deref(), Some(NOBODYS), "by its own name");
    let answer = read(address, "/v1/models", Some(&closed.text), Some(NOBODYS)).await;
    assert_eq!(admitted(&answer), None);
    let answer = preflight(address, "/api/v1/auth/me", NOBODYS).await;
    assert_eq!(admitted(&answer), None, "the control plane is closed by default");
}
