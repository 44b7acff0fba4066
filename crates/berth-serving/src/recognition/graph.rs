//! Which graph of the folder is the model, and whether it may be handed to the runtime.

use berth_onnx::{GraphSummary, Limits};

use super::{Error, Folder};
use crate::gate::Refusal;

/// Where the graph stands in folders as people publish them.
const USUAL_PLACES: [&str; 2] = ["model.onnx", "onnx/model.onnx"];

/// Most names in a message.
const NAMES_SHOWN: usize = 8;

/// Finds the graph: the stated one, else the one at a usual place, else the newest version of a Triton repository, else
/// the only one.
pub(super) fn find(folder: &Folder<'_>, stated: Option<&str>) -> Result<String, Error> {
    if let Some(path) = stated {
        return if folder.has(path) {
            Ok(path.to_owned())
        } else {
            let what = format!("berth.yaml: `graph` names `{path}`, which is not in the folder");
            Err(Refusal::of_file("manifest_invalid", "berth.yaml", what).into())
        };
    }
    let graphs: Vec<_> = folder.paths().filter(|path| is_graph(path)).collect();
    let usual: Vec<_> = USUAL_PLACES.into_iter().filter(|path| folder.has(path)).collect();
    let same = |paths: &[&str]| {
        let digests: Vec<_> = paths
            .iter()
            .filter_map(|path| folder.file(path))
            .map(|file| file.digest)
            .collect();
        digests.windows(2).all(|pair| pair[0] == pair[1])
    };
    match (usual.as_slice(), graphs.as_slice()) {
        ([first, ..], _) if same(&usual) => Ok((*first).to_owned()),
        ([], []) => Err(Refusal::new("model_no_graph", no_graph(folder)).into()),
        ([], [only]) => Ok((*only).to_owned()),
        ([], several) => match newest_of_one_model(several) {
            Some(path) => Ok(path.to_owned()),
            None => Err(ambiguous(several)),
        },
        (several, _) => Err(ambiguous(several)),
    }
}

fn is_graph(path: &str) -> bool {
    path.rsplit_once('.')
        .is_some_and(|(_, ending)| ending.eq_ignore_ascii_case("onnx"))
}

/// The graph of the newest version, when all graphs are versions of one model of a Triton repository:
/// `[name/]N/model.onnx`.
fn newest_of_one_model<'a>(graphs: &[&'a str]) -> Option<&'a str> {
    let versions: Vec<_> = graphs
        .iter()
        .map(|path| {
            let (above, file) = path.rsplit_once('/')?;
            let (model, version) = above.rsplit_once('/').unwrap_or(("", above));
            Some((model, version.parse::<u64>().ok()?, file, *path))
        })
        .collect::<Option<_>>()?;
    let (model, _, file, _) = versions.first()?;
    let alike = versions
        .iter()
        .all(|version| version.0 == *model && version.2 == *file);
    let newest = versions.iter().max_by_key(|version| version.1)?;
    alike.then_some(newest.3)
}

fn ambiguous(graphs: &[&str]) -> Error {
    let mut names: Vec<_> = graphs
        .iter()
        .take(NAMES_SHOWN)
        .map(|path| format!("`{path}`"))
        .collect();
    if graphs.len() > NAMES_SHOWN {
        names.push(format!("{} more", graphs.len() - NAMES_SHOWN));
    }
    let what = format!(
        "the folder has several graphs ({}): leave one, or say which is meant by a `berth.yaml` with `graph: <path>`",
        names.join(", ")
    );
    Refusal::new("model_ambiguous_graph", what).into()
}

fn no_graph(folder: &Folder<'_>) -> String {
    let other = [
        "safetensors",
        "bin",
        "pt",
        "pth",
        "gguf",
        "h5",
        "pb",
        "tflite",
        "ckpt",
    ];
    let weights = folder.paths().find(|path| {
        path.rsplit_once('.')
            .is_some_and(|(_, ending)| other.contains(&ending))
    });
    match weights {
        Some(path) => format!(
            "the folder has no `.onnx` file: `{path}` holds weights for another runtime; export the model to ONNX"
        ),
        None => "the folder has no `.onnx` file".to_owned(),
    }
}

/// Skims the graph at `path`.
pub(super) fn inspect(folder: &Folder<'_>, path: &str, limits: &Limits) -> Result<GraphSummary, Error> {
    folder.refuse_pointer(path)?;
    let file = folder.open(path)?;
    berth_onnx::inspect::skim(file, folder.root(), path, limits).map_err(|error| {
        match (error.code(), error) {
            (Some(code), error) => Refusal::of_file(code, path, error.to_string()).into(),
            (None, berth_onnx::Error::Io(source)) => Error::Io {
                path: path.to_owned(),
                source,
            },
            // `code` is missing for `Io` alone.
            (None, error) => Refusal::of_file("model_malformed", path, error.to_string()).into(),
        }
    })
}

/// What is odd about the graph, in words.
pub(super) fn warnings(graph: &GraphSummary) -> Vec<String> {
    let mut warnings = Vec::new();
    if !graph.other_outputs.is_empty() {
        warnings.push(format!(
            "these outputs are not tensors that an answer can carry, so they cannot be asked for: {}",
            names(&graph.other_outputs)
        ));
    }
    if !graph.unshaped_outputs.is_empty() {
        warnings.push(format!(
            "the graph does not state the shape of these outputs: {}",
            names(&graph.unshaped_outputs)
        ));
    }
    if graph.rows_depend_on_neighbors {
        warnings.push(format!(
            "requests are not joined to batches, because rows may depend on each other here: {}; if they do not, say so \
             in berth.yaml by `batching.rows_depend_on_neighbors: false`",
            names(&graph.mixing_operators)
        ));
    }
    warnings
}

fn names(names: &[String]) -> String {
    let mut shown: Vec<_> = names
        .iter()
        .take(NAMES_SHOWN)
        .map(|name| name.chars().take(80).collect::<String>())
        .collect();
    if names.len() > NAMES_SHOWN {
        shown.push(format!("{} more", names.len() - NAMES_SHOWN));
    }
    shown.join(", ")
}
