//! The files that folders for Hugging Face and sentence-transformers carry beside the graph.

use berth_domain::manifest::Pooling;
use serde_json::Value;

use super::{Error, Folder};

/// Longest name of a licence.
const LICENSE_CHARACTERS: usize = 200;

/// The path of the file `name` that belongs to the graph at `graph`: beside it, a folder above, or at the top.
pub(super) fn beside(folder: &Folder<'_>, graph: &str, name: &str) -> Option<String> {
    let above = graph.rsplit_once('/').map_or("", |(above, _)| above);
    let further = above.rsplit_once('/').map_or("", |(above, _)| above);
    [above, further, ""]
        .into_iter()
        .map(|place| {
            if place.is_empty() {
                name.to_owned()
            } else {
                format!("{place}/{name}")
            }
        })
        .find(|path| folder.has(path))
}

/// What the JSON file `name` that belongs to the graph says; `null` when there is none.
fn read(folder: &Folder<'_>, graph: &str, name: &str) -> Result<Value, Error> {
    match beside(folder, graph, name) {
        Some(path) => Ok(folder.json(&path)?.unwrap_or(Value::Null)),
        None => Ok(Value::Null),
    }
}

/// What the steps of a sentence-transformers pipeline (`modules.json`) ask for.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Pipeline {
    /// Whether the folder says it at all.
    pub(super) is_stated: bool,
    /// How token vectors become one; an error names what is not supported.
    pub(super) pooling: Option<Result<Pooling, String>>,
    /// Whether vectors are scaled to length 1.
    pub(super) normalizes: bool,
    /// A step that is none of the usual ones.
    pub(super) other_step: Option<String>,
}

/// The pipeline that the folder states.
pub(super) fn pipeline(folder: &Folder<'_>, graph: &str) -> Result<Pipeline, Error> {
    let modules = read(folder, graph, "modules.json")?;
    let mut pipeline = Pipeline::default();
    let mut pooling_folder = "1_Pooling".to_owned();
    for module in modules.as_array().into_iter().flatten() {
        pipeline.is_stated = true;
        let kind = module["type"].as_str().unwrap_or_default();
        match kind.rsplit('.').next().unwrap_or_default() {
            "Transformer" => {}
            "Pooling" => {
                if let Some(path) = module["path"].as_str() {
                    path.clone_into(&mut pooling_folder);
                }
            }
            "Normalize" => pipeline.normalizes = true,
            _ => pipeline.other_step = Some(kind.chars().take(80).collect()),
        }
    }
    let config = read(folder, graph, &format!("{pooling_folder}/config.json"))?;
    pipeline.pooling = pooling(&config);
    Ok(pipeline)
}

/// What a pooling configuration says: newer ones name the mode, older ones have a flag for each.
fn pooling(config: &Value) -> Option<Result<Pooling, String>> {
    let named = |mode: &str| match mode {
        "mean" | "mean_tokens" => Ok(Pooling::Mean),
        "cls" | "cls_token" => Ok(Pooling::Cls),
        "lasttoken" => Ok(Pooling::LastToken),
        other => Err(other.chars().take(80).collect()),
    };
    if let Some(mode) = config["pooling_mode"].as_str() {
        return Some(named(mode));
    }
    let flags = config.as_object()?.iter();
    let mut set = flags
        .filter(|(_, value)| value.as_bool() == Some(true))
        .filter_map(|(key, _)| key.strip_prefix("pooling_mode_"));
    match (set.next(), set.next()) {
        (Some(mode), None) => Some(named(mode)),
        (Some(_), Some(_)) => Some(Err("several at once".to_owned())),
        (None, _) => None,
    }
}

/// How many tokens the model takes, as far as the folder says.
pub(super) fn max_tokens(folder: &Folder<'_>, graph: &str) -> Result<Option<u32>, Error> {
    let number = |value: &Value| {
        // Some write 1e30 for "no limit".
        value
            .as_u64()
            .and_then(|number| u32::try_from(number).ok())
            .filter(|number| (1..=1_000_000).contains(number))
    };
    let config = read(folder, graph, "config.json")?;
    let positions = number(&config["max_position_embeddings"]).map(|positions| {
        // These count from behind the padding token.
        let offset = ["roberta", "xlm-roberta", "camembert", "mpnet"];
        let shifted = config["model_type"]
            .as_str()
            .is_some_and(|kind| offset.contains(&kind));
        if shifted {
            positions.saturating_sub(2).max(1)
        } else {
            positions
        }
    });
    let sentence = number(&read(folder, graph, "sentence_bert_config.json")?["max_seq_length"]);
    let tokenizer = number(&read(folder, graph, "tokenizer_config.json")?["model_max_length"]);
    let wanted = sentence.or(tokenizer);
    Ok(match (wanted, positions) {
        (Some(wanted), Some(positions)) => Some(wanted.min(positions)),
        (wanted, positions) => wanted.or(positions),
    })
}

/// The length of the model's vectors, as far as the folder says.
pub(super) fn hidden_size(folder: &Folder<'_>, graph: &str) -> Result<Option<u32>, Error> {
    let config = read(folder, graph, "config.json")?;
    Ok(config["hidden_size"]
        .as_u64()
        .and_then(|size| u32::try_from(size).ok()))
}

/// The licence that the model card (`README.md`) states in its front matter.
pub(super) fn license(folder: &Folder<'_>) -> Result<Option<String>, Error> {
    const HEAD_BYTES: u64 = 16 << 10;
    if !folder.has("README.md") {
        return Ok(None);
    }
    let head = folder.head("README.md", HEAD_BYTES)?;
    let head = String::from_utf8_lossy(&head);
    let mut lines = head.lines();
    if lines.next().map(str::trim_end) != Some("---") {
        return Ok(None);
    }
    let license = lines
        .take_while(|line| line.trim_end() != "---")
        .find_map(|line| line.strip_prefix("license:"))
        .map(|license| license.trim().trim_matches(['"', '\'']))
        .filter(|license| (1..=LICENSE_CHARACTERS).contains(&license.chars().count()))
        // A card is prose for people; one that is damaged says nothing.
        .filter(|license| !license.contains(char::is_control));
    Ok(license.map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pooling_is_read_from_flags_and_from_names() {
        let flags = json!({
            "word_embedding_dimension": 384,
            "pooling_mode_cls_token": false,
            "pooling_mode_mean_tokens": true,
            "include_prompt": true
        });
        assert_eq!(pooling(&flags), Some(Ok(Pooling::Mean)));
        assert_eq!(pooling(&json!({ "pooling_mode": "cls" })), Some(Ok(Pooling::Cls)));
        assert_eq!(
            pooling(&json!({ "pooling_mode_lasttoken": true })),
            Some(Ok(Pooling::LastToken))
        );
        assert_eq!(
            pooling(&json!({ "pooling_mode_max_tokens": true })),
            Some(Err("max_tokens".to_owned()))
        );
        let both = json!({ "pooling_mode_max_tokens": true, "pooling_mode_mean_tokens": true });
        assert!(matches!(pooling(&both), Some(Err(_))));
        assert_eq!(pooling(&Value::Null), None);
        assert_eq!(pooling(&json!({})), None);
    }
}
