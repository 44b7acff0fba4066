//! Names of files: a module is named after its subject, never after its kind.

use super::{Problem, SourceFile};

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["utils", "util", "helpers", "helper", "common", "misc"];

/// A source file or folder of it with an empty name, and `mod.rs`.
pub(super) fn check(file: &SourceFile) -> Vec<Problem> {
    let is_source = ["rs", "py", "ts", "tsx", "sql"].contains(&file.extension());
    if !is_source {
        return Vec::new();
    }
    let name = file.path.rsplit('/').next().unwrap_or(&file.path);
    let mut problems = Vec::new();
    if name == "mod.rs" {
        problems.push(Problem::new(
            &file.path,
            "belongs beside its folder, named like it",
        ));
    }
    let is_empty = |part: &str| EMPTY_NAMES.contains(&part.split('.').next().unwrap_or(part));
    if file.path.split('/').any(is_empty) {
        problems.push(Problem::new(
            &file.path,
            "is named by kind; name it by its subject",
        ));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(path: &str) -> usize {
        check(&SourceFile {
            path: path.to_owned(),
            text: String::new(),
        })
        .len()
    }

    #[test]
    fn names_by_kind_are_found_as_file_and_as_folder() {
        for path in [
            "a/src/utils.rs",
            "a/src/helpers/x.rs",
            "tests/common.rs",
            "a/misc.py",
            "a/src/x/mod.rs",
        ] {
            assert_eq!(problems(path), 1, "{path}");
        }
    }

    #[test]
    fn names_by_subject_are_fine() {
        for path in ["a/src/api_keys.rs", "a/src/common_names.rs", "docs/common.md"] {
            assert_eq!(problems(path), 0, "{path}");
        }
    }
}
