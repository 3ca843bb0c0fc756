//! Lines for a terminal. In: pieces of text. Out: one string, escaped, wrapped, coloured when asked.
//!
//! The rule: nothing enters a page unescaped; only the page itself writes line ends and colours.

use std::borrow::Cow;

use anstyle::{AnsiColor, Style};

use crate::report::escape;

/// Columns of prose; commands, filters and log lines are never wrapped, so that they can be copied.
pub const WIDTH_MAX: usize = 100;

/// Headings.
pub const HEADING: Style = Style::new().bold();
/// What failed.
pub const FAILURE: Style = AnsiColor::Red.on_default().bold();
/// What to be careful about.
pub const CAUTION: Style = AnsiColor::Yellow.on_default().bold();
/// What is well.
pub const HEALTHY: Style = AnsiColor::Green.on_default();
/// What matters less.
pub const FAINT: Style = Style::new().dimmed();
/// No style.
pub const PLAIN: Style = Style::new();

/// A text under construction.
#[derive(Debug)]
pub struct Page {
    text: String,
    color: bool,
}

impl Page {
    /// An empty page.
    #[must_use]
    pub const fn new(color: bool) -> Self {
        Self {
            text: String::new(),
            color,
        }
    }

    /// The text.
    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }

    /// Adds a piece to the line.
    pub fn put(&mut self, style: Style, piece: &str) -> &mut Self {
        self.put_escaped(style, &escape::for_terminal(piece));
        self
    }

    /// Ends the line.
    pub fn end(&mut self) {
        self.text.push('\n');
    }

    /// One whole line that is not wrapped.
    pub fn line(&mut self, style: Style, text: &str) {
        self.put(style, text).end();
    }

    /// An empty line.
    pub fn blank(&mut self) {
        self.end();
    }

    /// Prose, wrapped; every line but the first begins under the text that follows `label`.
    pub fn prose(&mut self, label: &str, text: &str) {
        let escaped = escape::for_terminal(text);
        let indent = label.chars().count();
        self.put(PLAIN, label);
        for (number, line) in wrapped(&escaped, WIDTH_MAX.saturating_sub(indent))
            .iter()
            .enumerate()
        {
            if number > 0 {
                self.text.extend(std::iter::repeat_n(' ', indent));
            }
            self.put_escaped(PLAIN, line);
            self.end();
        }
    }

    fn put_escaped(&mut self, style: Style, piece: &str) {
        if self.color && style != PLAIN {
            self.text.push_str(&format!("{style}{piece}{style:#}"));
        } else {
            self.text.push_str(piece);
        }
    }
}

/// Lines of at most `width` characters, broken between words; at least one. What stands between backticks
/// is a command and counts as one word.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in words(text) {
        let len = word.chars().count();
        if used > 0 && used + 1 + len > width {
            lines.push(String::new());
            used = 0;
        }
        if let Some(line) = lines.last_mut() {
            if used > 0 {
                line.push(' ');
                used += 1;
            }
            line.push_str(word);
            used += len;
        }
    }
    lines
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut in_command = false;
    text.split(move |c: char| {
        in_command ^= c == '`';
        c == ' ' && !in_command
    })
    .filter(|word| !word.is_empty())
}

/// At most `max` characters of a text, and a mark where it was cut.
#[must_use]
pub fn shortened(text: &str, max: usize) -> Cow<'_, str> {
    match text.char_indices().nth(max) {
        Some((end, _)) => Cow::Owned(format!("{}...", text.get(..end).unwrap_or_default())),
        None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_is_wrapped_and_commands_are_not() {
        let mut page = Page::new(false);
        page.prose(
            "  - ",
            &format!("{} `ss -ltn 'sport = :80'` end", "word ".repeat(17).trim()),
        );
        assert_eq!(
            page.into_text(),
            format!(
                "  - {}\n    `ss -ltn 'sport = :80'` end\n",
                "word ".repeat(17).trim()
            )
        );
    }

    #[test]
    fn colours_only_when_asked() {
        let line = |color| {
            let mut page = Page::new(color);
            page.line(FAILURE, "x\x1b[0m");
            page.into_text()
        };
        assert_eq!(line(false), "x\\x1b[0m\n");
        assert!(line(true).starts_with("\x1b["));
        assert!(line(true).contains("x\\x1b[0m"));
    }

    #[test]
    fn an_odd_backtick_and_an_empty_text_are_harmless() {
        assert_eq!(wrapped("a ` b c", 3).len(), 2);
        assert_eq!(wrapped("", 10), vec![String::new()]);
        assert_eq!(shortened("äöü", 2), "äö...");
    }
}
