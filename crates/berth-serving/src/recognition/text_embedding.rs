//! Models that turn texts into vectors.

use berth_domain::manifest::{Pooling, TextEmbedding};
use berth_domain::tensor::{Datatype, TensorSpec};
use berth_onnx::GraphSummary;

use super::statement::{Statement, invalid};
use super::{Error, Folder, hugging_face};

/// The inputs of text models that a runner knows how to fill.
const INPUTS: [&str; 4] = ["input_ids", "attention_mask", "token_type_ids", "position_ids"];

/// What the output is called, from the one that is ready to be used to those that have to be pooled.
const OUTPUTS: [&str; 3] = ["sentence_embedding", "last_hidden_state", "token_embeddings"];

/// What texts are cut at when the folder does not say; long enough for paragraphs, and no model has fewer positions.
const MAX_TOKENS: u32 = 256;

/// The largest that a statement may ask for.
const MOST_TOKENS: u32 = 1_000_000;

/// The longest vector.
const MOST_DIMENSIONS: u32 = 1 << 20;

/// What the folder looks like.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Guess {
    /// Like a model that embeds texts.
    Fits(Fields),
    /// Not like one; words say why when it nearly is.
    Unfit(Option<String>),
}

/// What was found of the fields.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Fields {
    tokenizer: Option<String>,
    output: Option<String>,
    pipeline: hugging_face::Pipeline,
}

/// Looks whether the folder is a model that embeds texts.
pub(super) fn guess(folder: &Folder<'_>, graph: &GraphSummary) -> Result<Guess, Error> {
    let reads_tokens = graph.inputs.iter().any(|input| input.name == "input_ids");
    let knows_all = graph.inputs.iter().all(|input| {
        INPUTS.contains(&input.name.as_str())
            && matches!(input.datatype, Datatype::Int64 | Datatype::Int32)
            && input.shape.len() == 2
    });
    if !reads_tokens {
        return Ok(Guess::Unfit(None));
    }
    let unfit = |why: &str| {
        Ok(Guess::Unfit(Some(format!(
            "the graph reads token ids, but it was not recognized as a text embedding model: {why}; it can be called with \
             tensors"
        ))))
    };
    if !knows_all {
        return unfit("it has other inputs, too");
    }
    let Some(tokenizer) = hugging_face::beside(folder, &graph.path, "tokenizer.json") else {
        return unfit("there is no `tokenizer.json` in the folder");
    };
    let Some(output) = find_output(graph) else {
        return unfit("none of its outputs is a vector per token or per text");
    };
    let pipeline = hugging_face::pipeline(folder, &graph.path)?;
    if output.shape.len() == 3 {
        if let Some(step) = &pipeline.other_step {
            return unfit(&format!(
                "`modules.json` has the step `{step}`, which is not supported"
            ));
        }
        if let Some(Err(mode)) = &pipeline.pooling {
            return unfit(&format!("its pooling mode `{mode}` is not supported"));
        }
    }
    Ok(Guess::Fits(Fields {
        tokenizer: Some(tokenizer),
        output: Some(output.name.clone()),
        pipeline,
    }))
}

fn find_output(graph: &GraphSummary) -> Option<&TensorSpec> {
    let fits = |output: &TensorSpec| {
        is_float(output.datatype) && matches!(output.shape.len(), 2 | 3) && output.name != "logits"
    };
    let named = OUTPUTS.iter().find_map(|name| {
        let found = graph.outputs.iter().find(|output| output.name == *name);
        found.filter(|output| fits(output))
    });
    named.or_else(|| match graph.outputs.as_slice() {
        // A vector per token whatever it is called; a vector per text could as well be classes.
        [only] if fits(only) && (only.shape.len() == 3 || only.name.contains("embed")) => Some(only),
        _ => None,
    })
}

fn is_float(datatype: Datatype) -> bool {
    matches!(
        datatype,
        Datatype::Fp32 | Datatype::Fp16 | Datatype::Bf16 | Datatype::Fp64
    )
}

/// The fields of a model that embeds texts: stated, found, or guessed; the last are added to `guessed`.
pub(super) fn settle(
    folder: &Folder<'_>,
    graph: &GraphSummary,
    statement: &Statement,
    guess: Guess,
    guessed: &mut Vec<String>,
) -> Result<TextEmbedding, Error> {
    let stated = statement.text_embedding.clone().unwrap_or_default();
    let found = match guess {
        Guess::Fits(found) => found,
        Guess::Unfit(_) => Fields {
            tokenizer: hugging_face::beside(folder, &graph.path, "tokenizer.json"),
            output: find_output(graph).map(|output| output.name.clone()),
            pipeline: hugging_face::pipeline(folder, &graph.path)?,
        },
    };
    check_inputs(graph)?;
    let mut guess = |field: &str| guessed.push(format!("text_embedding.{field}"));

    let tokenizer = match stated.tokenizer {
        Some(path) if folder.has(&path) => path,
        Some(path) => return Err(invalid(format!("`text_embedding.tokenizer` names `{path}`, which is not there"))),
        None => found.tokenizer.ok_or_else(|| {
            invalid("a text embedding model needs a `tokenizer.json`: put it into the folder, or name it by `text_embedding.tokenizer`")
        })?,
    };
    folder.refuse_pointer(&tokenizer)?;
    let output = output(graph, stated.output, found.output, &mut guess)?;
    let pooling = pooling(output, stated.pooling, &found.pipeline, &mut guess)?;
    let normalize = stated.normalize.unwrap_or_else(|| {
        if !found.pipeline.is_stated {
            guess("normalize");
        }
        !found.pipeline.is_stated || found.pipeline.normalizes
    });
    let max_tokens = match (stated.max_tokens, hugging_face::max_tokens(folder, &graph.path)?) {
        (Some(stated), _) if !(1..=MOST_TOKENS).contains(&stated) => {
            return Err(invalid(format!(
                "`text_embedding.max_tokens` is 1 to {MOST_TOKENS}"
            )));
        }
        (Some(stated), _) => stated,
        (None, Some(found)) => found,
        (None, None) => {
            guess("max_tokens");
            MAX_TOKENS
        }
    };
    let dimensions = dimensions(folder, graph, output, stated.dimensions)?;
    Ok(TextEmbedding {
        tokenizer,
        output: output.name.clone(),
        pooling,
        normalize,
        max_tokens,
        dimensions,
    })
}

fn check_inputs(graph: &GraphSummary) -> Result<(), Error> {
    for input in &graph.inputs {
        if !INPUTS.contains(&input.name.as_str()) {
            return Err(invalid(format!(
                "the task is text embedding, and the graph's input `{}` is none of {}: say `task: tensors`",
                input.name,
                INPUTS.join(", ")
            )));
        }
        if !matches!(input.datatype, Datatype::Int64 | Datatype::Int32) {
            return Err(invalid(format!(
                "the task is text embedding, and the graph's input `{}` is {}, not INT64 or INT32",
                input.name,
                input.datatype.as_str()
            )));
        }
    }
    if graph.inputs.iter().any(|input| input.name == "input_ids") {
        Ok(())
    } else {
        Err(invalid(
            "the task is text embedding, and the graph has no input `input_ids`",
        ))
    }
}

fn output<'a>(
    graph: &'a GraphSummary,
    stated: Option<String>,
    found: Option<String>,
    guess: &mut impl FnMut(&str),
) -> Result<&'a TensorSpec, Error> {
    let is_stated = stated.is_some();
    let name = stated.or(found).ok_or_else(|| {
        invalid("which output holds the vectors is not clear: name it by `text_embedding.output`")
    })?;
    let output = graph.outputs.iter().find(|output| output.name == name);
    let output = output.ok_or_else(|| {
        invalid(format!(
            "`text_embedding.output` names `{name}`, which the graph has not"
        ))
    })?;
    if !is_float(output.datatype) || !matches!(output.shape.len(), 2 | 3) {
        return Err(invalid(format!(
            "`text_embedding.output`: `{name}` is neither a vector of floats per token nor one per text"
        )));
    }
    if !is_stated && !OUTPUTS.contains(&name.as_str()) {
        guess("output");
    }
    Ok(output)
}

fn pooling(
    output: &TensorSpec,
    stated: Option<Pooling>,
    pipeline: &hugging_face::Pipeline,
    guess: &mut impl FnMut(&str),
) -> Result<Pooling, Error> {
    let is_pooled = output.shape.len() == 2;
    match (stated, &pipeline.pooling) {
        (Some(stated), _) if (stated == Pooling::None) == is_pooled => Ok(stated),
        (Some(_), _) if is_pooled => Err(invalid(format!(
            "`text_embedding.pooling` is `none` for `{}`, which is one vector per text already",
            output.name
        ))),
        (Some(_), _) => Err(invalid(format!(
            "`text_embedding.pooling` is `mean`, `cls` or `last_token` for `{}`, which is a vector per token",
            output.name
        ))),
        (None, _) if is_pooled => Ok(Pooling::None),
        (None, Some(Ok(found))) => Ok(*found),
        (None, Some(Err(mode))) => Err(invalid(format!(
            "the folder's pooling mode `{mode}` is not supported: say another by `text_embedding.pooling`"
        ))),
        (None, None) => {
            guess("pooling");
            Ok(Pooling::Mean)
        }
    }
}

fn dimensions(
    folder: &Folder<'_>,
    graph: &GraphSummary,
    output: &TensorSpec,
    stated: Option<u32>,
) -> Result<u32, Error> {
    let fixed = output
        .shape
        .last()
        .and_then(|dimension| u32::try_from(dimension.extent()?).ok());
    let dimensions = match (fixed, stated) {
        (Some(fixed), Some(stated)) if fixed != stated => {
            return Err(invalid(format!(
                "`text_embedding.dimensions` is {fixed} in the graph, not {stated}"
            )));
        }
        (Some(fixed), _) => Some(fixed),
        (None, Some(stated)) => Some(stated),
        (None, None) => hugging_face::hidden_size(folder, &graph.path)?,
    };
    let dimensions = dimensions.ok_or_else(|| {
        invalid("the graph does not say how long its vectors are: say it by `text_embedding.dimensions`")
    })?;
    if (1..=MOST_DIMENSIONS).contains(&dimensions) {
        Ok(dimensions)
    } else {
        Err(invalid(format!(
            "`text_embedding.dimensions` is 1 to {MOST_DIMENSIONS}"
        )))
    }
}
