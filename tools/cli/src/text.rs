//! Text that a terminal may have.
//!
//! Names in journals, keys in files, paths and arguments are whatever somebody has written. They are
//! shown, and act on nothing: all that becomes a [`Text`] is taken for theirs, and only [`paint`] adds
//! codes, only joined lines break. Text cannot be written into a string again, so that nothing of it is
//! taken for theirs twice.

use std::fmt::{self, Write as _};
use std::ops::{Add, AddAssign};

use anstyle::Style;

/// Text in which everything that is not ours is spelled out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text(String);

impl Text {
    /// What goes to the terminal.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// `piece` in a style.
pub(crate) fn paint(style: Style, piece: impl fmt::Display) -> Text {
    Text(format!("{style}{}{style:#}", Text::from(piece).0))
}

impl<T: fmt::Display> From<T> for Text {
    fn from(piece: T) -> Self {
        let mut spelled = Spelled(String::new());
        // A string takes whatever is written.
        let _ = write!(spelled, "{piece}");
        Self(spelled.0)
    }
}

impl<T: Into<Text>> Add<T> for Text {
    type Output = Self;

    fn add(mut self, piece: T) -> Self {
        self += piece;
        self
    }
}

impl<T: Into<Text>> AddAssign<T> for Text {
    fn add_assign(&mut self, piece: T) {
        self.0.push_str(&piece.into().0);
    }
}

/// Lines, each below the other.
impl FromIterator<Text> for Text {
    fn from_iter<I: IntoIterator<Item = Text>>(lines: I) -> Self {
        let lines: Vec<String> = lines.into_iter().map(|line| line.0).collect();
        Self(lines.join("\n"))
    }
}

/// Takes what is written with everything spelled out that a terminal would not show.
struct Spelled(String);

impl fmt::Write for Spelled {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        for character in piece.chars() {
            if acts(character) {
                self.0.extend(character.escape_unicode());
            } else {
                self.0.push(character);
            }
        }
        Ok(())
    }
}

/// A document in JSON, or of JSON lines, with everything spelled as JSON spells it that a terminal would
/// not show. It says the same.
pub(crate) fn document(text: &str) -> String {
    let mut spelled = String::with_capacity(text.len());
    for character in text.chars() {
        if acts(character) && character != '\n' {
            for unit in character.encode_utf16(&mut [0; 2]) {
                spelled.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            spelled.push(character);
        }
    }
    spelled
}

/// Whether a terminal may do anything with a character but show it: controls, formats, separators other
/// than the space, private and unassigned characters, by the tables of the standard library.
fn acts(character: char) -> bool {
    if character.is_ascii() {
        return character.is_ascii_control();
    }
    // After a letter, where marks that combine are shown.
    let pair = String::from_iter(['x', character]);
    pair.escape_debug().nth(2).is_some()
}

#[cfg(test)]
mod tests {
    use anstyle::AnsiColor;

    use super::*;

    #[test]
    fn what_would_act_is_spelled_out() {
        for (piece, shown) in [
            ("morning.tfj", "morning.tfj"),
            ("a \\ \"b\" 'c'", "a \\ \"b\" 'c'"),
            ("Åland, 東京, e\u{301}, 🙂", "Åland, 東京, e\u{301}, 🙂"),
            ("\u{1b}[31m", "\\u{1b}[31m"),
            ("a\nb\r\tc\0", "a\\u{a}b\\u{d}\\u{9}c\\u{0}"),
            ("\u{7f}\u{80}\u{9b}1m\u{9f}", "\\u{7f}\\u{80}\\u{9b}1m\\u{9f}"),
            // Bidirectional marks, overrides and isolates.
            ("\u{61c}\u{200e}\u{202e}\u{2066}", "\\u{61c}\\u{200e}\\u{202e}\\u{2066}"),
            // Nothing to be seen: soft hyphen, zero width, joiners, tags.
            ("\u{ad}\u{200b}\u{200d}\u{2060}", "\\u{ad}\\u{200b}\\u{200d}\\u{2060}"),
            ("\u{feff}\u{fff9}\u{e0041}", "\\u{feff}\\u{fff9}\\u{e0041}"),
            // Separators of lines, and spaces that are none.
            ("\u{2028}\u{2029}\u{a0}", "\\u{2028}\\u{2029}\\u{a0}"),
            ("\u{e000}\u{10ffff}\u{fdd0}", "\\u{e000}\\u{10ffff}\\u{fdd0}"),
        ] {
            assert_eq!(Text::from(piece).as_str(), shown, "{piece:?}");
        }
    }

    #[test]
    fn only_what_is_painted_has_codes_and_only_lines_break() {
        let style = AnsiColor::Red.on_default();
        let line = paint(style, "a\u{1b}") + " b\n" + paint(style, 3) + '!';
        assert_eq!(line.as_str(), "\u{1b}[31ma\\u{1b}\u{1b}[0m b\\u{a}\u{1b}[31m3\u{1b}[0m!");
        let lines: Text = [Text::from("a\nb"), Text::from("c")].into_iter().collect();
        assert_eq!(lines.as_str(), "a\\u{a}b\nc");
    }

    #[test]
    fn documents_say_the_same() {
        let said = serde_json::json!({
            "a\u{202e}": ["\u{1b}\n\u{7f}\u{9b}", "\u{e0041}\u{2028}", "Åland 🙂"],
        });
        let text = document(&serde_json::to_string_pretty(&said).unwrap_or_default());
        assert!(
            text.contains("\"a\\u202e\"") && text.contains("\"\\udb40\\udc41\\u2028\""),
            "{text}"
        );
        assert!(!text.chars().any(|c| acts(c) && c != '\n'), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).ok(), Some(said));
    }
}
