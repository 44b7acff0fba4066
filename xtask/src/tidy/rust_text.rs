//! Tells code from comments and literals in Rust text.

/// The text with everything in comments, strings and characters replaced by spaces; lines stay where they are.
pub(super) fn code_only(text: &str) -> String {
    let mut rest = text;
    let mut code = String::with_capacity(text.len());
    while let Some(first) = rest.chars().next() {
        let length = literal_or_comment(rest, code.chars().last());
        if length == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            code.extend(
                rest[..length]
                    .chars()
                    .map(|character| if character == '\n' { '\n' } else { ' ' }),
            );
            rest = &rest[length..];
        }
    }
    code
}

/// Where tests inside the file begin, as an offset into it: they stand at its end.
pub(super) fn tests_begin(code: &str) -> usize {
    code.find("#[cfg(test)]").unwrap_or(code.len())
}

/// The length of the comment or literal that the text begins with, or zero.
fn literal_or_comment(text: &str, before: Option<char>) -> usize {
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return block_comment(text);
    }
    if text.starts_with('"') {
        return quoted(text, '"');
    }
    let inside_a_word = before.is_some_and(|character| character.is_alphanumeric() || character == '_');
    if !inside_a_word && (text.starts_with('r') || text.starts_with("br")) {
        return raw_string(text);
    }
    if text.starts_with('\'') {
        return character(text);
    }
    0
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0_u32;
    let mut position = 0;
    while position < text.len() {
        let rest = &text[position..];
        if rest.starts_with("/*") {
            depth += 1;
            position += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            position += 2;
            if depth == 0 {
                return position;
            }
        } else {
            position += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

fn quoted(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (position, character) in text.char_indices().skip(1) {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if character == quote => return position + character.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// `r"…"`, `r#"…"#`, `br"…"` and so on; zero for a raw identifier or any other word.
fn raw_string(text: &str) -> usize {
    let after_letters = text.trim_start_matches('b').trim_start_matches('r');
    let hashes = after_letters.len() - after_letters.trim_start_matches('#').len();
    let Some(content) = after_letters[hashes..].strip_prefix('"') else {
        return 0;
    };
    let end = format!("\"{}", "#".repeat(hashes));
    let start = text.len() - content.len();
    content
        .find(&end)
        .map_or(text.len(), |position| start + position + end.len())
}

/// A character literal; zero for a lifetime.
fn character(text: &str) -> usize {
    let mut characters = text.char_indices().skip(1);
    match characters.next() {
        Some((_, '\\')) => quoted(text, '\''),
        Some(_) => match characters.next() {
            Some((position, '\'')) => position + 1,
            _ => 0,
        },
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        code_only(text).split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        assert_eq!(words("a // b\nc /* d /* e */ f */ g"), ["a", "c", "g"]);
        assert_eq!(words(r#"a "b \" c" d"#), ["a", "d"]);
        assert_eq!(words(r##"a r#"b " c"# d br"e" f"##), ["a", "d", "f"]);
        assert_eq!(words(r"a '\'' b '\n' c 'x' d '/' e"), ["a", "b", "c", "d", "e"]);
    }

    #[test]
    fn lifetimes_and_raw_names_are_code() {
        assert_eq!(
            words("fn a<'b>(c: &'b str) r#type"),
            ["fn", "a<'b>(c:", "&'b", "str)", "r#type"]
        );
        assert_eq!(words("four \"x\" bar"), ["four", "bar"]);
    }

    #[test]
    fn lines_stay_where_they_are() {
        let text = "a\n/* b\nc */\n\"d\ne\"\nf";
        assert_eq!(code_only(text).lines().count(), text.lines().count());
        assert_eq!(code_only(text).lines().last(), Some("f"));
    }
}
