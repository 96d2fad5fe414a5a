//! Rust sources as words and marks: without comments, literals and what is compiled for tests alone.

/// A piece of a source that means something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Word(&'a str),
    /// `::`
    Step,
    Mark(char),
}

const TESTS_ALONE: [Token<'static>; 7] = [
    Token::Mark('#'),
    Token::Mark('['),
    Token::Word("cfg"),
    Token::Mark('('),
    Token::Word("test"),
    Token::Mark(')'),
    Token::Mark(']'),
];

/// The tokens of a source, items under `#[cfg(test)]` left out.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let all = every(text);
    let mut kept = Vec::with_capacity(all.len());
    let mut rest = all.as_slice();
    while let Some((first, behind)) = rest.split_first() {
        match rest.strip_prefix(&TESTS_ALONE) {
            Some(item) => rest = behind_item(item),
            None => {
                kept.push(*first);
                rest = behind;
            }
        }
    }
    kept
}

/// What follows the item at the front, further attributes of it included.
fn behind_item<'t, 's>(tokens: &'t [Token<'s>]) -> &'t [Token<'s>] {
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Mark('(' | '[' | '{') => depth += 1,
            Token::Mark(')' | ']') => depth = depth.saturating_sub(1),
            Token::Mark('}') => {
                depth = depth.saturating_sub(1);
                // A brace that nobody opened ends what the item stands in.
                if depth == 0 {
                    return &tokens[at + 1..];
                }
            }
            Token::Mark(';') if depth == 0 => return &tokens[at + 1..],
            _ => {}
        }
    }
    &[]
}

fn every(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(behind) = behind_silence(rest) {
            rest = behind;
            continue;
        }
        if first.is_alphanumeric() || first == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let (word, behind) = rest.split_at(end);
            let opens = behind.starts_with('"') || raw_hashes(behind).is_some();
            rest = match word {
                "r" | "br" | "cr" if opens => behind_raw(behind),
                "b" | "c" if behind.starts_with('"') => behind,
                // A raw identifier is the word behind its mark.
                "r" if behind.starts_with('#') => &behind[1..],
                _ => {
                    found.push(Token::Word(word));
                    behind
                }
            };
        } else if let Some(behind) = rest.strip_prefix("::") {
            found.push(Token::Step);
            rest = behind;
        } else {
            found.push(Token::Mark(first));
            rest = &rest[first.len_utf8()..];
        }
    }
    found
}

/// What follows the space, comment, string, character or lifetime at the front, if there is one.
fn behind_silence(text: &str) -> Option<&str> {
    let space = text.len() - text.trim_start().len();
    if space > 0 {
        return Some(&text[space..]);
    }
    if text.starts_with("//") {
        return Some(text.find('\n').map_or("", |end| &text[end..]));
    }
    if text.starts_with("/*") {
        return Some(behind_comment(text));
    }
    if text.starts_with('"') {
        return Some(behind_quoted(text, '"'));
    }
    let quoted = text.strip_prefix('\'')?;
    let mut inner = quoted.chars();
    match (inner.next(), inner.next()) {
        (Some('\\'), _) | (Some(_), Some('\'')) => Some(behind_quoted(text, '\'')),
        _ => Some(quoted.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_')),
    }
}

/// Comments of this kind stand inside of each other.
fn behind_comment(text: &str) -> &str {
    let mut depth = 0usize;
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(behind) = rest.strip_prefix("/*") {
            depth += 1;
            rest = behind;
        } else if let Some(behind) = rest.strip_prefix("*/") {
            depth -= 1;
            rest = behind;
            if depth == 0 {
                break;
            }
        } else {
            let mut chars = rest.chars();
            chars.next();
            rest = chars.as_str();
        }
    }
    rest
}

fn behind_quoted(text: &str, quote: char) -> &str {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if c == quote && !escaped {
            return &text[at + 1..];
        }
        escaped = c == '\\' && !escaped;
    }
    ""
}

/// How many marks a raw string begins with, where one begins.
fn raw_hashes(text: &str) -> Option<usize> {
    let behind = text.trim_start_matches('#');
    behind.starts_with('"').then(|| text.len() - behind.len())
}

fn behind_raw(text: &str) -> &str {
    let hashes = raw_hashes(text).unwrap_or(0);
    let end = format!("\"{}", "#".repeat(hashes));
    let inner = &text[hashes + 1..];
    inner.find(&end).map_or("", |at| &inner[at + end.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let words = tokens(text).into_iter().map(|token| match token {
            Token::Word(word) => word.to_owned(),
            Token::Step => "::".to_owned(),
            Token::Mark(mark) => mark.to_string(),
        });
        assert_eq!(words.collect::<Vec<_>>().join(" "), expected, "{text}");
    }

    #[test]
    fn words_and_marks_are_left() {
        check("use crate::a; // use crate::b;", "use crate :: a ;");
        check("/* a /* b */ c */ d", "d");
        check(r#"a("crate::b \" c", b"d", 'e', '\'', '"')"#, "a ( , , , , )");
        check(r##"a(r"b\", r#"c " d"#, br"e") r#type"##, "a ( , , ) type");
        check("fn a<'b>(c: &'b str, d: &'static e)", "fn a < > ( c : & str , d : & e )");
    }

    #[test]
    fn what_is_for_tests_alone_is_passed_over() {
        check("a #[cfg(test)] mod tests { use super::*; fn b() { { } } } c", "a c");
        check("a #[cfg(test)] use crate::b; c", "a c");
        check("a #[cfg(test)] const B: [u8; 2] = [1; 2]; c", "a c");
        check("a #[cfg(test)] #[derive(B)] struct C { d: u8 } e", "a e");
        check("a #[cfg(not(test))] b", "a # [ cfg ( not ( test ) ) ] b");
    }
}
