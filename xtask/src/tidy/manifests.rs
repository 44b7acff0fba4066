//! Manifests of the crates.

use super::{Problem, SourceFile};

/// Crates that do not take over the lints of the workspace.
pub(super) fn check(files: &[SourceFile]) -> Vec<Problem> {
    files
        .iter()
        .filter(|file| file.path.ends_with("/Cargo.toml"))
        .filter(|file| !inherits_lints(&file.text))
        .map(|file| Problem::new(&file.path, "needs `[lints]` with `workspace = true`"))
        .collect()
}

fn inherits_lints(manifest: &str) -> bool {
    manifest
        .lines()
        .map(str::trim)
        .skip_while(|line| *line != "[lints]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .any(|line| line.replace(' ', "") == "workspace=true")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(path: &str, text: &str) -> usize {
        check(&[SourceFile {
            path: path.to_owned(),
            text: text.to_owned(),
        }])
        .len()
    }

    #[test]
    fn a_crate_without_the_lints_of_the_workspace_is_found() {
        assert_eq!(problems("crates/x/Cargo.toml", "[package]\nname = \"x\"\n"), 1);
        assert_eq!(
            problems(
                "crates/x/Cargo.toml",
                "[lints]\n[dependencies]\nworkspace = true\n"
            ),
            1
        );
        assert_eq!(
            problems("crates/x/Cargo.toml", "[package]\n\n[lints]\nworkspace = true\n"),
            0
        );
    }

    #[test]
    fn the_manifest_of_the_workspace_is_no_crate() {
        assert_eq!(problems("Cargo.toml", "[workspace]\n"), 0);
    }
}
