//! `berth openapi`: the description of the API.

use anyhow::Context as _;
use clap::Args;

use crate::output;

/// Print the OpenAPI description of this release, which a running API serves at `/openapi.json`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The address at which clients reach the API, to be named in the description.
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let document = berth_api::openapi::document(arguments.public_url.as_deref());
    let text = serde_json::to_string_pretty(&document).context("writing the description as JSON")?;
    Ok(output::line(text)?)
}
