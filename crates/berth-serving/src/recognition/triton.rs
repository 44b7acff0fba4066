//! Folders of Triton model repositories: `[name/]config.pbtxt` beside `[name/]N/model.onnx`.

use super::{Error, Folder};
use crate::gate::Refusal;

/// Platforms and backends that run ONNX graphs.
const ONNX: [&str; 3] = ["onnxruntime_onnx", "onnxruntime", "onnx_onnxv1"];

/// Judges the configuration that belongs to the graph at `path`, if there is one: it must be meant for ONNX.
pub(super) fn check(folder: &Folder<'_>, path: &str) -> Result<(), Error> {
    let Some(model) = path.rsplit_once('/').and_then(|(above, _)| {
        let (model, version) = above.rsplit_once('/').unwrap_or(("", above));
        version.parse::<u64>().ok().map(|_| model)
    }) else {
        return Ok(());
    };
    let config = if model.is_empty() {
        "config.pbtxt".to_owned()
    } else {
        format!("{model}/config.pbtxt")
    };
    let Some(text) = folder.text(&config)? else {
        return Ok(());
    };
    for field in ["platform", "backend"] {
        let value = value_of(&text, field).unwrap_or_default();
        if !value.is_empty() && !ONNX.contains(&value) {
            let what = format!("`{config}` says {field} `{value}`; only ONNX graphs can be served");
            return Err(Refusal::of_file("model_platform_unsupported", &config, what).into());
        }
    }
    Ok(())
}

/// The text value of a field at the top of a protobuf in text form.
fn value_of<'a>(text: &'a str, field: &str) -> Option<&'a str> {
    let mut depth = 0_usize;
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if depth == 0
            && let Some(rest) = line.strip_prefix(field)
            && let Some(value) = rest.trim_start().strip_prefix(':')
        {
            let value = value.trim();
            let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
            return value[1..].split(quote).next();
        }
        depth += line.matches(['{', '[']).count();
        depth = depth.saturating_sub(line.matches(['}', ']']).count());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_at_the_top_are_found() {
        let text = "name: \"m\"\n# platform: \"no\"\ninput [\n  { name: \"x\" platform: \"inner\" }\n]\nplatform : 'tensorrt_plan'";
        assert_eq!(value_of(text, "platform"), Some("tensorrt_plan"));
        assert_eq!(value_of(text, "backend"), None);
        assert_eq!(value_of("backend: onnxruntime", "backend"), None);
    }
}
