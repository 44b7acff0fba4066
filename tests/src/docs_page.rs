//! The pages at `/docs`, in a browser.

use serde_json::Value;

use crate::clients::python;
use crate::installation::OneMachine;
use crate::tenant::http;

#[tokio::test]
async fn pages_show_every_operation_and_try_them_out() {
    let state = OneMachine::state().expect("a folder");
    let machine = OneMachine::start(state.path(), false).await.expect("starts");
    let told = |name| machine.told(name).expect("is told");
    let address = told("address");
    let answer = http()
        .get(format!("{address}/openapi.json"))
        .send()
        .await
        .expect("the server answers");
    let document: Value = answer.json().await.expect("is JSON");
    let paths = document["paths"].as_object().expect("paths");
    let operations: usize = paths
        .values()
        .filter_map(Value::as_object)
        .map(serde_json::Map::len)
        .sum();

    let seen = python(
        "docs_page.py",
        &[address, told("email"), told("password"), told("api_key")],
    );
    let seen = seen.expect("the pages can be used");
    assert_eq!(seen["operations"], operations);
    assert_eq!(
        seen["outside"],
        serde_json::json!([]),
        "everything comes from the binary"
    );
    assert_eq!(seen["anonymous"]["status"], 401);
    for (who, kind) in [("person", "\"person\""), ("key", "\"key\"")] {
        assert_eq!(seen[who]["status"], 200, "{seen}");
        assert!(
            seen[who]["body"].as_str().expect("a text").contains(kind),
            "{seen}"
        );
    }
}
