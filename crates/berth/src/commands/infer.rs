//! `berth infer`: tensors in, tensors out.

use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use serde_json::{Value, json};

use super::caller::Caller;
use crate::client::inference::{self, Inferred};
use crate::output::{self, Table};

/// How many characters of a tensor the table shows.
const SHOWN_CHARACTERS: usize = 60;

/// Call a model with tensors, by the Open Inference Protocol.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The deployment to call, or `name@version`.
    model: String,
    /// One input tensor as nested JSON lists: `--input x='[[1, 2], [3, 4]]'`. Its shape is that of the lists, its type
    /// the one that the model wants. Can be given several times.
    #[arg(
        long,
        value_name = "NAME=JSON",
        required_unless_present = "file",
        conflicts_with = "file"
    )]
    input: Vec<String>,
    /// A file with a whole request body; `-` reads the standard input.
    #[arg(long)]
    file: Option<PathBuf>,
    #[command(flatten)]
    caller: Caller,
}

/// Runs the command.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let client = arguments.caller.with_key()?;
    let request = if let Some(file) = &arguments.file {
        read_body(file)?
    } else {
        let metadata = inference::describe(&client, &arguments.model).await?;
        let datatype = |name: &str| {
            let spec = metadata.inputs.iter().find(|spec| spec.name == name);
            spec.map(|spec| json!(spec.datatype))
        };
        let inputs = arguments
            .input
            .iter()
            .map(|text| tensor(text, datatype))
            .collect::<Result<Vec<_>, _>>()?;
        json!({ "inputs": inputs })
    };
    let reply = inference::infer(&client, &arguments.model, &request).await?;
    output::show(arguments.caller.output, &reply.json, || table(&reply.body))?;
    Ok(())
}

fn read_body(file: &Path) -> anyhow::Result<Value> {
    let reading = || format!("reading `{}`", file.display());
    let text = if file.as_os_str() == "-" {
        io::read_to_string(io::stdin().lock()).with_context(reading)?
    } else {
        fs::read_to_string(file).with_context(reading)?
    };
    serde_json::from_str(&text).with_context(|| format!("`{}` is not JSON", file.display()))
}

fn tensor(text: &str, datatype: impl Fn(&str) -> Option<Value>) -> anyhow::Result<Value> {
    let (name, json) = text
        .split_once('=')
        .with_context(|| format!("`{text}` is not of the form NAME=JSON"))?;
    let data: Value =
        serde_json::from_str(json).with_context(|| format!("the value of `{name}` is not JSON"))?;
    let datatype = datatype(name).with_context(|| format!("the model has no input `{name}`"))?;
    let shape = shape_of(&data).with_context(|| format!("the value of `{name}`"))?;
    Ok(json!({ "name": name, "shape": shape, "datatype": datatype, "data": data }))
}

/// The shape of nested lists. Fails when lists beside each other have different lengths.
fn shape_of(data: &Value) -> anyhow::Result<Vec<usize>> {
    let Value::Array(items) = data else {
        ensure!(
            !data.is_object() && !data.is_null(),
            "a tensor is made of numbers, truth values or texts"
        );
        return Ok(Vec::new());
    };
    let mut shapes = items.iter().map(shape_of);
    let inner = shapes.next().transpose()?.unwrap_or_default();
    for shape in shapes {
        if shape? != inner {
            bail!("lists beside each other have different lengths, which makes no tensor");
        }
    }
    Ok([vec![items.len()], inner].concat())
}

fn table(inferred: &Inferred) -> Table {
    let mut table = Table::new(&["output", "datatype", "shape", "data"]);
    for output in &inferred.outputs {
        let data = output.data.to_string();
        let shown: String = data.chars().take(SHOWN_CHARACTERS).collect();
        let more = if shown.len() < data.len() { "…" } else { "" };
        let shape: Vec<_> = output.shape.iter().map(i64::to_string).collect();
        table.push(&[
            &output.name,
            &output.datatype,
            &shape.join(" × "),
            &format_args!("{shown}{more}"),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(text: &str) -> anyhow::Result<Vec<usize>> {
        shape_of(&serde_json::from_str(text).expect("is JSON"))
    }

    #[test]
    fn shape_is_that_of_the_lists() {
        assert_eq!(shape("[[1, 2, 3], [4, 5, 6]]").expect("is a tensor"), [2, 3]);
        assert_eq!(shape("7").expect("is a tensor"), Vec::<usize>::new());
        assert_eq!(shape("[]").expect("is a tensor"), [0]);
        assert_eq!(shape("[\"a\"]").expect("is a tensor"), [1]);
    }

    #[test]
    fn ragged_lists_are_no_tensor() {
        assert!(shape("[[1, 2], [3]]").is_err());
        assert!(shape("[1, [2]]").is_err());
        assert!(shape("[{}]").is_err());
        assert!(shape("null").is_err());
    }

    #[test]
    fn input_takes_the_type_that_the_model_wants() {
        let fp32 = |name: &str| (name == "x").then(|| json!("FP32"));
        let input = tensor("x=[[1.5]]", fp32).expect("is a tensor");
        assert_eq!(
            input,
            json!({ "name": "x", "shape": [1, 1], "datatype": "FP32", "data": [[1.5]] })
        );
        assert!(tensor("y=[1]", fp32).is_err());
        assert!(tensor("x", fp32).is_err());
        assert!(tensor("x=[1", fp32).is_err());
    }
}
