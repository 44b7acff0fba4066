//! `cargo xtask openapi`: the description of the API, as `berth openapi` prints it, committed so that a change of the API
//! shows in a review, and judged by a program that is not ours.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{build, command, downloads, generated, repository};

/// Where the description is committed.
const DOCUMENT: &str = "docs/openapi.json";

/// The most characters of a line that the judge says which are shown.
const LONGEST_LINE: usize = 400;

/// Writes the description, or checks that it is fresh, and judges it.
pub(crate) fn run(arguments: &generated::Arguments) -> Result<()> {
    let berth = build::programs_for_tests()?.berth;
    let fresh = command::output(Command::new(&berth).arg("openapi"))?;
    if !arguments.bring(DOCUMENT, &fresh)? {
        bail!("{DOCUMENT} is not fresh: run `cargo xtask openapi`");
    }
    judge()
}

/// Asks `openapi-spec-validator` whether the description is one: it knows the schema of OpenAPI 3.1, follows references,
/// and looks at default values and at names that should be different.
fn judge() -> Result<()> {
    let python = downloads::openapi_judge()?;
    let judged = Command::new(python)
        .args(["-m", "openapi_spec_validator", "--validation-errors", "all"])
        .arg(DOCUMENT)
        .current_dir(repository::root())
        .output()
        .context("starting openapi-spec-validator")?;
    for said in [&judged.stdout, &judged.stderr] {
        // It likes to show the whole description in one line.
        for line in String::from_utf8_lossy(said).lines() {
            println!("{line:.LONGEST_LINE$}");
        }
    }
    if !judged.status.success() {
        bail!("{DOCUMENT} is no valid description");
    }
    Ok(())
}
