//! Paths that documents name exist.

use super::{Problem, SourceFile};

/// What a path from the root of the repository begins with.
const TOP: &[&str] = &[
    "crates/",
    "docs/",
    "migrations/",
    "tests/",
    "xtask/",
    "deploy/",
    "helm/",
    "console/",
    ".ci/",
    ".config/",
    ".cargo/",
];

/// Paths in backticks and targets of links that lead nowhere; in Rust, paths in backticks inside comments. A path in
/// backticks begins at the root or in the file's own crate.
pub(super) fn check(file: &SourceFile, exists: impl Fn(&str) -> bool) -> Vec<Problem> {
    let is_document = file.extension() == "md";
    let is_rust = file.extension() == "rs";
    if !is_document && !is_rust {
        return Vec::new();
    }
    let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut problems = Vec::new();
    let mut in_code_block = false;
    for (line, number) in file.text.lines().zip(1..) {
        if is_document && line.trim_start().starts_with("```") {
            in_code_block = !in_code_block;
        }
        if in_code_block || (is_rust && !line.trim_start().starts_with("//")) {
            continue;
        }
        let links = if is_document {
            link_targets(line)
        } else {
            Vec::new()
        };
        let own_crate = own_crate(&file.path);
        let paths = in_backticks(line)
            .filter(|text| is_path(text))
            .filter(|path| !exists(&format!("{own_crate}{path}")))
            .map(|path| path.split([':', '#']).next().unwrap_or(path).to_owned())
            .chain(links.into_iter().map(|target| from_root(folder, target)));
        for path in paths.filter(|path| !path.is_empty() && !exists(path)) {
            problems.push(Problem::at(
                &file.path,
                number,
                format!("`{path}` does not exist"),
            ));
        }
    }
    problems
}

/// `crates/<name>/` of a file in a crate.
fn own_crate(path: &str) -> &str {
    let length = path
        .match_indices('/')
        .nth(1)
        .map_or(0, |(position, _)| position + 1);
    if path.starts_with("crates/") {
        &path[..length]
    } else {
        ""
    }
}

fn in_backticks(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// Whether this is one path from the root, without a place to fill in.
fn is_path(text: &str) -> bool {
    TOP.iter().any(|top| text.starts_with(top))
        && !text.contains([' ', '*', '<', '{', '…', '$'])
        && !text.contains("NNNN")
}

/// Targets of `[text](target)` inside the repository.
fn link_targets(line: &str) -> Vec<&str> {
    line.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .map(|target| target.split('#').next().unwrap_or(target))
        .filter(|target| !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:"))
        .collect()
}

fn from_root(folder: &str, target: &str) -> String {
    if let Some(absolute) = target.strip_prefix('/') {
        return absolute.to_owned();
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "." | "" => {}
            ".." if parts.pop().is_some() => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(path: &str, text: &str) -> Vec<String> {
        let file = SourceFile {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let exists =
            |path: &str| ["docs/here.md", "crates/a/src/lib.rs", "crates/a/tests/b.rs"].contains(&path);
        check(&file, exists)
            .into_iter()
            .map(|problem| format!("{} {}", problem.place, problem.message))
            .collect()
    }

    #[test]
    fn a_path_that_leads_nowhere_is_found() {
        assert_eq!(
            problems("README.md", "a\n`docs/gone.md`\n"),
            ["README.md:2 `docs/gone.md` does not exist"]
        );
        assert_eq!(problems("a/src/x.rs", "// see `docs/gone.md`\n").len(), 1);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_found() {
        assert_eq!(
            problems(
                "docs/x.md",
                "[a](gone.md) [b](here.md) [c](../crates/a/src/lib.rs#l1)"
            )
            .len(),
            1
        );
        assert_eq!(
            problems("docs/x.md", "[a](../../outside.md)"),
            ["docs/x.md:1 `../outside.md` does not exist"]
        );
    }

    #[test]
    fn existing_paths_patterns_and_code_are_fine() {
        let text = "`docs/here.md` `crates/a/src/lib.rs:12` `crates/<name>/src` `docs/*.md`\n```\n`docs/gone.md`\n```\n\
                    [a](https://example.com/x) `some/other/path`\n";
        assert!(problems("README.md", text).is_empty());
        assert!(problems("crates/a/src/x.rs", "//! `tests/b.rs`\n").is_empty());
        assert_eq!(problems("crates/b/src/x.rs", "//! `tests/b.rs`\n").len(), 1);
        assert!(problems("a/src/x.rs", "let a = \"`docs/gone.md`\";\n").is_empty());
    }
}
