//! `berth embed`: texts into vectors.

use anyhow::{Context as _, bail};
use berth_wire::openai::{EmbeddingInput, EmbeddingsRequest, EncodingFormat, Vector};
use clap::Args;

use super::caller::Caller;
use crate::client::{Client, inference};
use crate::output::{self, Table};

/// How many numbers of a vector the table shows.
const SHOWN_NUMBERS: usize = 5;

/// Turn texts into vectors.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The texts.
    #[arg(required = true, value_name = "TEXT")]
    texts: Vec<String>,
    /// The deployment to call; not needed when the key can call only one.
    #[arg(long, short)]
    model: Option<String>,
    #[command(flatten)]
    caller: Caller,
}

/// Runs the command.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let client = arguments.caller.with_key()?;
    let model = match arguments.model {
        Some(model) => model,
        None => only_model(&client).await?,
    };
    let request = EmbeddingsRequest {
        model,
        input: EmbeddingInput::Texts(arguments.texts.clone()),
        encoding_format: Some(EncodingFormat::Float),
        dimensions: None,
        user: None,
    };
    let reply = inference::embed(&client, &request).await?;
    output::show(arguments.caller.output, &reply.json, || {
        let mut table = Table::new(&["text", "dimensions", "vector"]);
        for (text, embedding) in arguments.texts.iter().zip(&reply.body.data) {
            if let Vector::Float(numbers) = &embedding.embedding {
                table.push(&[&shortened(text), &numbers.len(), &beginning(numbers)]);
            }
        }
        table
    })?;
    Ok(())
}

async fn only_model(client: &Client) -> anyhow::Result<String> {
    let models = inference::models(client)
        .await
        .context("looking for a model to call")?;
    match models.as_slice() {
        [only] => Ok(only.id.clone()),
        [] => bail!("this key can call no model: deploy one with `berth deployments create`"),
        several => {
            let names: Vec<_> = several.iter().map(|model| model.id.as_str()).collect();
            bail!(
                "this key can call several models: choose one with --model: {}",
                names.join(", ")
            )
        }
    }
}

fn shortened(text: &str) -> String {
    const LENGTH: usize = 40;
    if text.chars().count() <= LENGTH {
        return text.to_owned();
    }
    text.chars().take(LENGTH - 1).chain(['…']).collect()
}

fn beginning(numbers: &[f32]) -> String {
    let shown: Vec<_> = numbers
        .iter()
        .take(SHOWN_NUMBERS)
        .map(|number| format!("{number:.5}"))
        .collect();
    let more = if numbers.len() > SHOWN_NUMBERS {
        ", …"
    } else {
        ""
    };
    format!("[{}{more}]", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vector_is_shown_by_its_beginning() {
        assert_eq!(beginning(&[0.5, -1.0]), "[0.50000, -1.00000]");
        assert_eq!(
            beginning(&[0.0; 384]),
            "[0.00000, 0.00000, 0.00000, 0.00000, 0.00000, …]"
        );
    }

    #[test]
    fn long_text_is_shortened_between_characters() {
        assert_eq!(shortened("größe"), "größe");
        assert_eq!(shortened(&"ö".repeat(41)).chars().count(), 40);
    }
}
