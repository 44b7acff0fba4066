//! `docs/errors.md` and the pages that the `type` of problem details points at, made from the table.

use std::fmt::Write as _;

use crate::errors::{Code, Retry};

/// The whole page of codes.
pub(crate) fn handbook() -> String {
    let mut page = String::from(
        "# Errors\n\n\
         Every refusal carries a stable code. On `/v1` it stands in `error.code` of the OpenAI body; on `/api` and wherever\n\
         the request says `Accept: application/problem+json` it stands in `code` of the problem details; the body of the\n\
         Open Inference Protocol (`/v2`) has no place for it. Every answer carries `x-request-id`.\n\n\
         *Again* says whether the same request may succeed when it is sent again unchanged: `no` comes with\n\
         `x-should-retry: false`, a wait comes with `x-should-retry: true`, `retry-after` and `retry-after-ms`.\n\n\
         This page is made from the table in `crates/berth-api/src/errors/codes.rs`; a test compares them.\n",
    );
    for (section, codes) in Code::SECTIONS {
        let _ = write!(
            page,
            "\n## {section}\n\n| code | status | what it means | what to do | again |\n|---|---|---|---|---|\n"
        );
        for code in *codes {
            let _ = writeln!(
                page,
                "| `{}` | {} | {} | {} | {} |",
                code.as_str(),
                code.status().as_u16(),
                code.title(),
                code.remedy(),
                again(*code),
            );
        }
    }
    page
}

/// What there is to say about one code.
pub(crate) fn chapter(code: Code) -> String {
    format!(
        "# {}\n\n{}\n\nWhat to do: {}\n\nHTTP status: {}\n\nWorth sending again unchanged: {}\n",
        code.as_str(),
        code.title(),
        code.remedy(),
        code.status().as_u16(),
        again(code),
    )
}

fn again(code: Code) -> String {
    match code.retry() {
        Retry::Never => "no".to_owned(),
        Retry::Perhaps => "perhaps".to_owned(),
        Retry::After(wait) => format!("after the stated wait, else {} ms", wait.as_millis()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `BERTH_WRITE_DOCS=1 cargo nextest run -p berth-api page_of_codes` writes the page anew.
    #[test]
    fn page_of_codes_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors.md");
        if std::env::var_os("BERTH_WRITE_DOCS").is_some() {
            std::fs::write(path, handbook()).expect("the page can be written");
        }
        let committed = std::fs::read_to_string(path).expect("the page exists");
        assert!(
            committed == handbook(),
            "docs/errors.md differs from the table: run this test with BERTH_WRITE_DOCS=1"
        );
    }

    #[test]
    fn table_cells_do_not_break_the_table() {
        for code in Code::all() {
            assert!(
                !code.title().contains('|') && !code.remedy().contains('|'),
                "{}",
                code.as_str()
            );
        }
    }
}
