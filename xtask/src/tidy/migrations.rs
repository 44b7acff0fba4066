//! The migrations: `NNNN_name.sql`, numbered without gaps.

use super::{Problem, SourceFile};

const FOLDER: &str = "migrations/";

/// Wrong names, gaps and double numbers.
pub(super) fn check(files: &[SourceFile]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut numbered: Vec<(u32, &str)> = Vec::new();
    for file in files.iter().filter(|file| file.path.starts_with(FOLDER)) {
        match number(&file.path) {
            Some(number) => numbered.push((number, &file.path)),
            None if file.path.ends_with("README.md") => {}
            None => problems.push(Problem::new(
                &file.path,
                "is not named like `0001_what_it_does.sql`",
            )),
        }
    }
    numbered.sort_unstable();
    for ((number, path), wanted) in numbered.into_iter().zip(1..) {
        if number != wanted {
            problems.push(Problem::new(
                path,
                format!("is out of order: {wanted:04} is expected here"),
            ));
            // Everything behind a gap would be reported as well.
            break;
        }
    }
    problems
}

fn number(path: &str) -> Option<u32> {
    let stem = path.strip_prefix(FOLDER)?.strip_suffix(".sql")?;
    let (digits, name) = stem.split_once('_')?;
    let is_name = !name.is_empty()
        && name.chars().all(|character| {
            character.is_ascii_lowercase() || character.is_ascii_digit() || character == '_'
        });
    (digits.len() == 4 && is_name).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(paths: &[&str]) -> Vec<String> {
        let files: Vec<SourceFile> = paths
            .iter()
            .map(|path| SourceFile {
                path: (*path).to_owned(),
                text: String::new(),
            })
            .collect();
        check(&files).into_iter().map(|problem| problem.place).collect()
    }

    #[test]
    fn numbers_without_gaps_are_fine() {
        assert!(
            problems(&[
                "migrations/0002_b.sql",
                "migrations/0001_a.sql",
                "docs/0009_x.sql"
            ])
            .is_empty()
        );
    }

    #[test]
    fn a_gap_and_a_double_number_are_found() {
        assert_eq!(
            problems(&["migrations/0001_a.sql", "migrations/0003_c.sql"]),
            ["migrations/0003_c.sql"]
        );
        assert_eq!(
            problems(&["migrations/0001_a.sql", "migrations/0001_b.sql"]),
            ["migrations/0001_b.sql"]
        );
    }

    #[test]
    fn a_wrong_name_is_found() {
        for path in [
            "migrations/1_a.sql",
            "migrations/0001-a.sql",
            "migrations/0001_A.sql",
            "migrations/0001_a.txt",
        ] {
            assert_eq!(problems(&[path]), [path]);
        }
    }
}
