//! Rules about source files: their length, `unsafe`, proofs of access, spelling.

use super::rust_text::{code_only, tests_begin};
use super::{Problem, SourceFile};

/// A file that is longer has more than one subject.
const LONGEST_LINES: usize = 700;

/// The crates that may have unsafe code.
const UNSAFE_CRATES: &[&str] = &["crates/berth-inference/", "crates/berth-sandbox/"];

/// The crate that may make proofs of access.
const PROVING_CRATE: &str = "crates/berth-auth/";

/// Where the proofs are defined.
const PROOFS: &str = "crates/berth-domain/src/access";

/// Identifiers are spelled the American way, so that nobody has to guess; pairs of a part of a word and its
/// replacement.
const SPELLINGS: &[(&str, &str)] = &[
    ("organisation", "organization"),
    ("authoris", "authoriz"),
    ("normalis", "normaliz"),
    ("serialis", "serializ"),
    ("initialis", "initializ"),
    ("recognis", "recogniz"),
    ("tokenis", "tokeniz"),
    ("quantis", "quantiz"),
    ("behaviour", "behavior"),
    ("colour", "color"),
    ("licence", "license"),
];

/// What is wrong in one file.
pub(super) fn check(file: &SourceFile) -> Vec<Problem> {
    let is_generated = file.path.contains("/generated/");
    if is_generated {
        return Vec::new();
    }
    let mut problems = Vec::new();
    let is_source = ["rs", "py", "sql", "proto", "sh"].contains(&file.extension());
    let lines = file.text.lines().count();
    if is_source && lines > LONGEST_LINES {
        problems.push(Problem::new(
            &file.path,
            format!("has {lines} lines; split it by subject (at most {LONGEST_LINES})"),
        ));
    }
    if file.extension() == "rs" {
        problems.extend(check_rust(file));
    }
    problems
}

fn check_rust(file: &SourceFile) -> Vec<Problem> {
    let code = code_only(&file.text);
    let mut problems = Vec::new();
    let may_be_unsafe = UNSAFE_CRATES.iter().any(|folder| file.path.starts_with(folder));
    let may_prove =
        file.path.starts_with(PROVING_CRATE) || file.path.starts_with(PROOFS) || is_test(&file.path);
    let tests_begin = tests_begin(&code);
    let mut offset = 0;
    for (line, number) in code.split_inclusive('\n').zip(1..) {
        if !may_be_unsafe && identifiers(line).any(|word| word == "unsafe" || word == "unsafe_code") {
            problems.push(Problem::at(
                &file.path,
                number,
                "unsafe code belongs into berth-inference or berth-sandbox",
            ));
        }
        if !may_prove && offset < tests_begin && line.contains("::vouch(") {
            problems.push(Problem::at(
                &file.path,
                number,
                "only berth-auth vouches for an access; take the proof as an argument",
            ));
        }
        for (british, american) in SPELLINGS {
            if identifiers(line).any(|word| word.to_ascii_lowercase().contains(british)) {
                problems.push(Problem::at(
                    &file.path,
                    number,
                    format!("write `{american}`, not `{british}`"),
                ));
            }
        }
        offset += line.len();
    }
    problems
}

fn is_test(path: &str) -> bool {
    path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("/tests.rs")
}

fn identifiers(line: &str) -> impl Iterator<Item = &str> {
    line.split(|character: char| !character.is_alphanumeric() && character != '_')
        .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(path: &str, text: &str) -> Vec<String> {
        let file = SourceFile {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        check(&file)
            .into_iter()
            .map(|problem| format!("{} {}", problem.place, problem.message))
            .collect()
    }

    #[test]
    fn a_file_that_is_too_long_is_found() {
        assert!(problems("a/src/x.rs", &"//\n".repeat(LONGEST_LINES)).is_empty());
        assert_eq!(problems("a/src/x.rs", &"//\n".repeat(LONGEST_LINES + 1)).len(), 1);
        assert!(problems("a/src/generated/x.rs", &"//\n".repeat(LONGEST_LINES + 1)).is_empty());
        assert!(problems("a/data.json", &"1\n".repeat(LONGEST_LINES + 1)).is_empty());
    }

    #[test]
    fn unsafe_code_is_found_outside_its_crates() {
        let text = "fn a() {\n    unsafe { b() }\n}\n";
        let found = problems("crates/berth-api/src/x.rs", text);
        assert!(found[0].starts_with("crates/berth-api/src/x.rs:2 "), "{found:?}");
        assert!(problems("crates/berth-sandbox/src/x.rs", text).is_empty());
        assert_eq!(
            problems("crates/berth-api/src/x.rs", "#![allow(unsafe_code)]\n").len(),
            1
        );
        assert!(problems("crates/berth-api/src/x.rs", "// unsafe {\nlet a = \"unsafe\";\n").is_empty());
    }

    #[test]
    fn a_proof_of_access_is_made_by_auth_and_tests_only() {
        let text = "fn a() {\n    Access::vouch(b)\n}\n";
        assert_eq!(problems("crates/berth-api/src/x.rs", text).len(), 1);
        assert!(problems("crates/berth-auth/src/x.rs", text).is_empty());
        assert!(problems("crates/berth-api/src/x/tests.rs", text).is_empty());
        let in_tests = format!("fn b() {{}}\n#[cfg(test)]\nmod tests {{\n{text}}}\n");
        assert!(problems("crates/berth-api/src/x.rs", &in_tests).is_empty());
    }

    #[test]
    fn british_identifiers_are_found_but_prose_is_free() {
        let found = problems("a/src/x.rs", "struct OrganisationId;\n");
        assert_eq!(found, ["a/src/x.rs:1 write `organization`, not `organisation`"]);
        assert!(problems("a/src/x.rs", "// behaviour of the organisation\n").is_empty());
    }
}
