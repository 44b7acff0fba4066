//! Words that do not belong into this repository.

use super::{Problem, SourceFile};

/// What is looked for, and what is wrong with it.
const WORDS: &[(&str, &str)] = &[
    ("/root/", "a path of somebody's machine"),
    ("/home/", "a path of somebody's machine"),
    ("/work/", "a path of somebody's machine"),
    ("/tmp/brief", "a path of somebody's machine"),
    ("../shared", "a path that leaves the repository"),
    (
        "DESIGN.md",
        "a document that is not in the repository: see `docs/architecture.md`",
    ),
    (
        "STYLE.md",
        "a document that is not in the repository: see `docs/development.md`",
    ),
    ("pypi.org", "a package registry; name the package"),
    ("pythonhosted.org", "a package registry; name the package"),
    ("registry.npmjs.org", "a package registry; name the package"),
    ("index.crates.io", "a package registry; name the package"),
    ("deb.debian.org", "a package registry; name the package"),
    (
        "TODO",
        "work that is left; do it, or describe it where work is planned",
    ),
    (
        "FIXME",
        "work that is left; do it, or describe it where work is planned",
    ),
    ("todo!(", "a function without a body"),
    ("unimplemented!(", "a function without a body"),
];

/// This list has to name what it looks for; the others are written by programs.
const EXEMPT: &[&str] = &["xtask/src/tidy/words.rs", "Cargo.lock"];

/// Forbidden words in one file, by line.
pub(super) fn check(file: &SourceFile) -> Vec<Problem> {
    if EXEMPT.contains(&file.path.as_str()) {
        return Vec::new();
    }
    let mut problems = Vec::new();
    for (line, number) in file.text.lines().zip(1..) {
        for (word, reason) in WORDS {
            if line.contains(word) {
                problems.push(Problem::at(&file.path, number, format!("`{word}`: {reason}")));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(path: &str, text: &str) -> Vec<String> {
        let file = SourceFile {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        check(&file).into_iter().map(|problem| problem.place).collect()
    }

    #[test]
    fn every_forbidden_word_is_found_with_its_line() {
        for (word, _) in WORDS {
            assert_eq!(
                problems("docs/x.md", &format!("fine\nnot {word} fine\n")),
                ["docs/x.md:2"],
                "{word}"
            );
        }
    }

    #[test]
    fn ordinary_text_is_fine() {
        assert!(
            problems(
                "docs/x.md",
                "Sessions, prompts and user agents are words of the product.\n"
            )
            .is_empty()
        );
    }
}
