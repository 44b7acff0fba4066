//! Paths of entries: what may become a file.

use super::{Error, UnpackLimits};

/// A path that is safe to use under a folder: relative, plain, with `/` between its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EntryPath {
    parts: Vec<String>,
}

/// Longest name of one file or folder, as file systems have it.
const PART_BYTES: usize = 255;

/// Names that are devices on some systems, where a file of that name cannot be kept.
const DEVICES: &[&str] = &[
    "aux", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8", "com9", "con", "lpt1", "lpt2",
    "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9", "nul", "prn",
];

impl EntryPath {
    /// Checks `path`; `None` when it names the archive's own top.
    pub(super) fn parse(path: &str, limits: &UnpackLimits) -> Result<Option<Self>, Error> {
        let invalid = |what| Error::PathInvalid {
            path: shown(path),
            what,
        };
        if path.starts_with('/') || path.contains('\\') || path.split('/').any(|part| part == "..") {
            return Err(Error::PathEscapes(shown(path)));
        }
        if path.len() > limits.path_bytes {
            return Err(invalid("it is too long"));
        }
        if path.chars().any(char::is_control) {
            return Err(invalid("it has control characters"));
        }
        let parts: Vec<_> = path
            .split('/')
            .filter(|part| !part.is_empty() && *part != ".")
            .map(str::to_owned)
            .collect();
        if parts.len() > limits.depth + 1 {
            return Err(invalid("it lies too deep in folders"));
        }
        for part in &parts {
            if part.len() > PART_BYTES {
                return Err(invalid("a part of it is too long"));
            }
            if part.contains(':') {
                return Err(invalid("a name may not contain `:`"));
            }
            let stem = part.split('.').next().unwrap_or_default().to_ascii_lowercase();
            if DEVICES.contains(&stem.as_str()) {
                return Err(invalid("systems reserve that name"));
            }
        }
        Ok((!parts.is_empty()).then_some(Self { parts }))
    }

    /// Whether this is something that systems and tools leave in archives, and nobody means.
    pub(super) fn is_debris(&self) -> bool {
        self.parts.iter().any(|part| {
            matches!(part.as_str(), "__MACOSX" | ".DS_Store" | ".git" | "Thumbs.db") || part.starts_with("._")
        })
    }

    /// The folders above, from the top down.
    pub(super) fn folders(&self) -> impl Iterator<Item = String> {
        (1..self.parts.len()).map(|length| self.parts[..length].join("/"))
    }

    /// The path as text.
    pub(super) fn text(&self) -> String {
        self.parts.join("/")
    }
}

/// A path out of an archive, fit for a message: escaped, and cut when it is long.
pub(super) fn shown(path: &str) -> String {
    const LONGEST: usize = 200;
    let mut text: String = path
        .chars()
        .take(LONGEST)
        .flat_map(|letter| {
            let escaped = letter.is_control().then(|| letter.escape_default());
            let plain = escaped.is_none().then_some(letter);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect();
    if path.chars().count() > LONGEST {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(path: &str) -> Result<Option<String>, &'static str> {
        EntryPath::parse(path, &UnpackLimits::default())
            .map(|path| path.map(|path| path.text()))
            .map_err(|error| error.code().expect("a refusal"))
    }

    #[test]
    fn plain_paths_are_kept_and_tidied() {
        assert_eq!(parse("onnx/model.onnx"), Ok(Some("onnx/model.onnx".to_owned())));
        assert_eq!(parse("./a//b/./c/"), Ok(Some("a/b/c".to_owned())));
        assert_eq!(parse("Größe/模型.onnx"), Ok(Some("Größe/模型.onnx".to_owned())));
        assert_eq!(parse("..."), Ok(Some("...".to_owned())));
        assert_eq!(parse("./"), Ok(None));
        assert_eq!(parse(""), Ok(None));
    }

    #[test]
    fn paths_that_lead_outside_are_refused() {
        for path in [
            "/etc/passwd",
            "..",
            "../x",
            "a/../../x",
            "a/..",
            "..\\x",
            "C:\\x",
            "a\\b",
        ] {
            assert_eq!(parse(path), Err("archive_path_escapes"), "{path}");
        }
    }

    #[test]
    fn unfit_names_are_refused() {
        let deep = "d/".repeat(40) + "f";
        let long = "x".repeat(256);
        let very_long = "y/".repeat(600);
        for path in [
            "a\nb",
            "a\0b",
            "c:x",
            "NUL",
            "sub/con.txt",
            "aux.onnx",
            &deep,
            &long,
            &very_long,
        ] {
            assert_eq!(parse(path), Err("archive_path_invalid"), "{path:?}");
        }
    }

    #[test]
    fn shown_paths_are_short_and_clean() {
        assert_eq!(shown("a\u{1b}[31m"), "a\\u{1b}[31m");
        assert!(shown(&"x".repeat(5000)).len() < 300);
    }
}
