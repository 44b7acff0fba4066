//! Which crate may use which: an arrow only goes down, and each outside system has one crate that names its library.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata};

use super::Problem;

/// What each crate may use of the workspace, dev-dependencies included, from the ground up. Open to all and not
/// repeated: [`OPEN`].
const FLOORS: &[(&str, &[&str])] = &[
    // ground
    ("berth-domain", &[]),
    ("berth-wire", &[]),
    ("berth-protocol", &[]),
    ("berth-onnx", &[]),
    ("berth-config", &[]),
    ("berth-telemetry", &[]),
    // adapt
    ("berth-store", &[]),
    ("berth-coordination", &[]),
    ("berth-queue", &[]),
    ("berth-artifacts", &[]),
    ("berth-inference", &["berth-onnx"]),
    ("berth-sandbox", &[]),
    ("berth-transport", &["berth-protocol"]),
    ("berth-local-servers", &[]),
    // logic
    ("berth-auth", &["berth-store", "berth-coordination"]),
    (
        "berth-serving",
        &[
            "berth-store",
            "berth-coordination",
            "berth-artifacts",
            "berth-onnx",
            "berth-protocol",
            "berth-transport",
        ],
    ),
    (
        "berth-runtime",
        &["berth-inference", "berth-wire", "berth-protocol"],
    ),
    // deliver
    (
        "berth-api",
        &[
            "berth-auth",
            "berth-serving",
            "berth-store",
            "berth-coordination",
            "berth-wire",
        ],
    ),
    (
        "berth-jobs",
        &[
            "berth-auth",
            "berth-serving",
            "berth-store",
            "berth-coordination",
            "berth-queue",
            "berth-artifacts",
            "berth-onnx",
            "berth-wire",
        ],
    ),
    // bin: the control plane has neither `berth-runtime` nor `berth-inference`
    (
        "berth",
        &[
            "berth-api",
            "berth-jobs",
            "berth-auth",
            "berth-serving",
            "berth-store",
            "berth-coordination",
            "berth-queue",
            "berth-artifacts",
            "berth-onnx",
            "berth-wire",
            "berth-protocol",
            "berth-config",
            "berth-sandbox",
            "berth-local-servers",
        ],
    ),
    (
        "berth-worker",
        &[
            "berth-runtime",
            "berth-inference",
            "berth-sandbox",
            "berth-artifacts",
            "berth-coordination",
            "berth-onnx",
            "berth-protocol",
            "berth-transport",
            "berth-config",
        ],
    ),
];

/// Open to every crate.
const OPEN: &[&str] = &["berth-domain", "berth-telemetry"];

/// The crate that every other may use as a dev-dependency, and only so.
const TEST_SUPPORT: &str = "berth-test-support";

/// Beside the floors: they may use what they need, and nobody uses them.
const BESIDE: &[&str] = &[TEST_SUPPORT, "berth-tests", "berth-bench", "xtask"];

/// Libraries that only the named crates may use.
const LIBRARIES: &[(&str, &[&str])] = &[
    ("sqlx", &["berth-store"]),
    ("redis", &["berth-coordination"]),
    ("lapin", &["berth-queue"]),
    ("object_store", &["berth-artifacts"]),
    ("ort", &["berth-inference"]),
    ("libloading", &["berth-inference"]),
    ("tokenizers", &["berth-runtime"]),
    ("landlock", &["berth-sandbox"]),
    ("seccompiler", &["berth-sandbox"]),
    ("argon2", &["berth-auth"]),
    ("jsonwebtoken", &["berth-auth"]),
    ("lettre", &["berth-jobs"]),
    ("actix-web", &["berth-api"]),
    ("actix-cors", &["berth-api"]),
    ("utoipa-actix-web", &["berth-api"]),
    ("utoipa-swagger-ui", &["berth-api"]),
    (
        "tonic",
        &[
            "berth-protocol",
            "berth-serving",
            "berth-runtime",
            "berth-api",
            "berth-worker",
        ],
    ),
    ("schemars", &["berth-config", "berth-domain"]),
    ("metrics-exporter-prometheus", &["berth-telemetry"]),
    ("tracing-subscriber", &["berth-telemetry"]),
    ("clap", &["berth", "berth-worker"]),
    ("indicatif", &["berth"]),
    ("rpassword", &["berth"]),
];

/// Not in the build at all, however deep: a second TLS library or a second asynchronous runtime.
const BANNED: &[&str] = &[
    "aws-lc-rs",
    "aws-lc-sys",
    "openssl",
    "openssl-sys",
    "native-tls",
    "async-std",
    "smol",
];

/// A crate of the workspace and what its manifest names.
#[derive(Debug, Default)]
pub(super) struct Crate {
    pub(super) name: String,
    /// Crates of the workspace, and whether each is only a dev-dependency.
    pub(super) inner: BTreeMap<String, bool>,
    /// Everything else.
    pub(super) outer: BTreeSet<String>,
}

/// The crates of the workspace.
pub(super) fn crates(metadata: &Metadata) -> Vec<Crate> {
    let packages = metadata.workspace_packages();
    let members: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    packages
        .iter()
        .map(|package| {
            let mut result = Crate {
                name: package.name.to_string(),
                ..Crate::default()
            };
            for dependency in &package.dependencies {
                if members.contains(dependency.name.as_str()) {
                    let for_tests = dependency.kind == DependencyKind::Development;
                    let known = result.inner.entry(dependency.name.clone()).or_insert(true);
                    *known &= for_tests;
                } else {
                    result.outer.insert(dependency.name.clone());
                }
            }
            result
        })
        .collect()
}

/// The names of all packages in the build.
pub(super) fn resolved(metadata: &Metadata) -> BTreeSet<String> {
    metadata
        .packages
        .iter()
        .map(|package| package.name.to_string())
        .collect()
}

/// Edges that go up, libraries outside their crate, and banned packages.
pub(super) fn check(crates: &[Crate], resolved: &BTreeSet<String>) -> Vec<Problem> {
    let banned = BANNED
        .iter()
        .filter(|name| resolved.contains(**name))
        .map(|name| Problem::new("Cargo.lock", format!("`{name}` must not be in the build")));
    crates.iter().flat_map(check_crate).chain(banned).collect()
}

fn check_crate(checked: &Crate) -> Vec<Problem> {
    let name = checked.name.as_str();
    let mut problems = Vec::new();
    for (used, for_tests) in &checked.inner {
        if BESIDE.contains(&used.as_str())
            && !(used == TEST_SUPPORT && (*for_tests || BESIDE.contains(&name)))
        {
            problems.push(Problem::new(name, format!("nothing but tests may use `{used}`")));
        }
    }
    if BESIDE.contains(&name) {
        return problems;
    }
    let Some((_, allowed)) = FLOORS.iter().find(|(floor, _)| *floor == name) else {
        problems.push(Problem::new(name, "has no place in the table of floors"));
        return problems;
    };
    for used in checked.inner.keys().map(String::as_str) {
        if !allowed.contains(&used) && !OPEN.contains(&used) && !BESIDE.contains(&used) {
            problems.push(Problem::new(
                name,
                format!("may not use `{used}`: the table of floors has no such edge"),
            ));
        }
    }
    for (library, owners) in LIBRARIES {
        if checked.outer.contains(*library) && !owners.contains(&name) {
            problems.push(Problem::new(
                name,
                format!("may not use `{library}`, which belongs to {}", owners.join(", ")),
            ));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a_crate(name: &str, inner: &[(&str, bool)], outer: &[&str]) -> Crate {
        Crate {
            name: name.to_owned(),
            inner: inner
                .iter()
                .map(|(name, for_tests)| ((*name).to_owned(), *for_tests))
                .collect(),
            outer: outer.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    fn messages(checked: Crate) -> Vec<String> {
        check(&[checked], &BTreeSet::new())
            .into_iter()
            .map(|problem| problem.message)
            .collect()
    }

    #[test]
    fn an_edge_that_goes_down_is_fine() {
        assert!(
            messages(a_crate(
                "berth-auth",
                &[("berth-store", false), ("berth-domain", false)],
                &["argon2"]
            ))
            .is_empty()
        );
    }

    #[test]
    fn an_edge_that_goes_up_is_refused_even_for_tests() {
        for for_tests in [false, true] {
            let found = messages(a_crate("berth-store", &[("berth-auth", for_tests)], &[]));
            assert!(found[0].contains("may not use `berth-auth`"), "{found:?}");
        }
    }

    #[test]
    fn the_control_plane_does_not_reach_the_runtime() {
        let found = messages(a_crate("berth", &[("berth-inference", false)], &[]));
        assert!(found[0].contains("may not use `berth-inference`"), "{found:?}");
    }

    #[test]
    fn a_library_outside_its_crate_is_refused() {
        for library in ["sqlx", "redis", "lapin", "ort", "actix-web"] {
            let found = messages(a_crate("berth-serving", &[], &[library]));
            assert!(
                found[0].contains(&format!("may not use `{library}`")),
                "{found:?}"
            );
        }
    }

    #[test]
    fn test_support_is_for_tests_only() {
        assert!(messages(a_crate("berth-store", &[("berth-test-support", true)], &[])).is_empty());
        let found = messages(a_crate("berth-store", &[("berth-test-support", false)], &[]));
        assert_eq!(found, ["nothing but tests may use `berth-test-support`"]);
    }

    #[test]
    fn a_new_crate_has_to_be_given_a_place() {
        let found = messages(a_crate("berth-novel", &[], &[]));
        assert_eq!(found, ["has no place in the table of floors"]);
    }

    #[test]
    fn crates_beside_the_floors_may_use_anything_but_are_used_by_nobody() {
        assert!(
            messages(a_crate(
                "berth-bench",
                &[("berth-store", false)],
                &["sqlx", "ort"]
            ))
            .is_empty()
        );
        let found = messages(a_crate("berth", &[("berth-bench", false)], &[]));
        assert_eq!(found, ["nothing but tests may use `berth-bench`"]);
    }

    #[test]
    fn a_banned_package_is_found_however_deep() {
        let resolved = BTreeSet::from(["aws-lc-rs".to_owned()]);
        let found = check(&[], &resolved);
        assert_eq!(found[0].message, "`aws-lc-rs` must not be in the build");
    }

    #[test]
    fn every_edge_of_the_table_goes_down() {
        for (position, (name, allowed)) in FLOORS.iter().enumerate() {
            for used in *allowed {
                let below = FLOORS
                    .iter()
                    .position(|(floor, _)| floor == used)
                    .expect("is in the table");
                assert!(below < position, "{name} stands below {used}");
            }
        }
    }
}
