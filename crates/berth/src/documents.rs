//! The commands that documents and comments show are commands of this program.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use clap::error::ErrorKind;

use crate::Cli;

/// A command as it is written somewhere.
struct Written {
    place: String,
    words: Vec<String>,
    /// It stands in a block that people copy; else it is a mention, which may leave out what has to be given.
    whole: bool,
}

impl Written {
    /// What is wrong with it, if anything is.
    fn fault(&self) -> Option<String> {
        let error = Cli::try_parse_from(&self.words).err()?;
        let mentioned = matches!(
            error.kind(),
            ErrorKind::MissingRequiredArgument
                | ErrorKind::MissingSubcommand
                | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        );
        let shown = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
        if shown || mentioned && !self.whole {
            return None;
        }
        Some(format!("{}: `{}`: {error}", self.place, self.words.join(" ")))
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The files below `folder` with this ending.
fn files(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, ending, found);
        } else if path.extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
    }
}

/// The words of a shell line up to a comment, a pipe, a redirection or the next command.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for character in line.chars() {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, '|' | '>' | '<' | '&' | ';') => break,
            (None, _) if character.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    words
}

/// The command that begins a line, behind variables that are set for it.
fn command(line: &str) -> Option<Vec<String>> {
    let words: Vec<_> = words(line.trim_start().trim_start_matches("$ "))
        .into_iter()
        .skip_while(|word| word.contains('=') && !word.starts_with('-'))
        .collect();
    (words.first()? == "berth").then_some(words)
}

/// Commands in the code blocks of a document, and beside them.
fn in_document(place: &str, text: &str) -> Vec<Written> {
    let mut found = Vec::new();
    let mut prose = String::new();
    let mut block = None;
    for line in text.lines() {
        if let Some(fence) = line.trim_start().strip_prefix("```") {
            block = match block {
                Some(_) => None,
                None => Some(matches!(fence, "" | "sh" | "bash" | "console")),
            };
            continue;
        }
        match block {
            None => prose.extend([line, "\n"]),
            Some(false) => {}
            Some(true) => found.extend(command(line).map(|words| Written {
                place: place.to_owned(),
                words,
                whole: true,
            })),
        }
    }
    found.extend(mentions(place, &prose));
    found
}

/// Commands between backticks.
fn mentions(place: &str, text: &str) -> Vec<Written> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter(|code| code.starts_with("berth ") && !code.contains(['{', '…']))
        .map(|code| Written {
            place: place.to_owned(),
            words: words(code),
            whole: false,
        })
        .collect()
}

#[test]
fn written_commands_can_be_run() {
    let mut documents = vec![root().join("README.md")];
    files(&root().join("docs"), "md", &mut documents);
    let mut sources = Vec::new();
    for folder in ["crates", "tests", "xtask"] {
        files(&root().join(folder), "rs", &mut sources);
        files(&root().join(folder), "md", &mut documents);
    }
    let mut written = Vec::new();
    for path in documents {
        let text = fs::read_to_string(&path).expect("the document can be read");
        written.extend(in_document(&path.display().to_string(), &text));
    }
    for path in sources {
        let text = fs::read_to_string(&path).expect("the source can be read");
        for (number, line) in text.lines().enumerate() {
            written.extend(mentions(&format!("{}:{}", path.display(), number + 1), line));
        }
    }
    assert!(
        written.iter().filter(|one| one.whole).count() >= 8 && written.len() >= 50,
        "they are found: {}",
        written.len()
    );
    let faults: Vec<_> = written.iter().filter_map(Written::fault).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn commands_are_found_where_they_stand() {
    let text = "Use `berth login`.\n```sh\n# berth nothing\nA=1 berth api --config x.toml > log  # serve\n  curl x\n```\n```json\nberth x\n```\n";
    let found = in_document("x", text);
    let words: Vec<_> = found.iter().map(|one| (one.words.join(" "), one.whole)).collect();
    assert_eq!(
        words,
        [
            ("berth api --config x.toml".to_owned(), true),
            ("berth login".to_owned(), false)
        ]
    );
    assert!(found.iter().all(|one| one.fault().is_none()));
}

#[test]
fn wrong_commands_are_told() {
    let fault = |text: &str, whole| {
        let written = Written {
            place: "x".to_owned(),
            words: words(text),
            whole,
        };
        written.fault().is_some()
    };
    assert!(fault("berth models push my-model model.onnx", true));
    assert!(fault("berth modles", false));
    assert!(fault("berth models push", true));
    assert!(!fault("berth models push", false));
    assert!(!fault("berth embed 'two words' --model x", true));
}
