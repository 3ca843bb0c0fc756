//! Keeps the wire away from the reader's terminal. In: any text. Out: text without a character that acts.
//!
//! The rule: a character that moves the cursor, changes colours, reverses the reading order or is not seen
//! at all is shown as its number. It leaves backslashes as they are: what is shown is for eyes, not for
//! a parser; machines read JSON, where the escape is exact.

use std::borrow::Cow;
use std::fmt::Write;
use std::io;

/// Whether a character acts on a terminal or hides in a text.
#[must_use]
pub const fn acts(c: char) -> bool {
    matches!(c,
        '\0'..='\x1f' | '\x7f'..='\u{9f}'               // C0, DEL and C1 controls (ECMA-48)
        | '\u{ad}' | '\u{34f}' | '\u{61c}'              // soft hyphen, joiner, Arabic letter mark
        | '\u{115f}' | '\u{1160}' | '\u{3164}'          // Hangul fillers: letters that show nothing
        | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'                       // zero width, left-to-right and right-to-left marks
        | '\u{2028}'..='\u{202e}'                       // line separators, bidi embeddings and overrides
        | '\u{2060}'..='\u{206f}'                       // invisible operators, bidi isolates
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'          // variation selectors, byte order mark
        | '\u{fff9}'..='\u{fffb}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// The text for a terminal: `ESC` becomes `\x1b`, U+202E becomes `\u{202e}`, a line end `\n`.
#[must_use]
pub fn for_terminal(text: &str) -> Cow<'_, str> {
    if !text.chars().any(acts) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            c if !acts(c) => shown.push(c),
            // Writing to a String cannot fail.
            c if u32::from(c) < 0x100 => {
                let _ = write!(shown, "\\x{:02x}", u32::from(c));
            }
            c => {
                let _ = write!(shown, "\\u{{{:x}}}", u32::from(c));
            }
        }
    }
    Cow::Owned(shown)
}

/// Serialised JSON with the same characters as `\u` escapes (RFC 8259, section 7): the value is unchanged,
/// and the file can be shown on a terminal. A serialiser has escaped C0 within strings; outside of strings
/// JSON is ASCII, so that only what stands in strings is touched.
#[must_use]
pub fn for_json(serialised: &str) -> Cow<'_, str> {
    let acts_in_json = |c: char| c > '\x7e' && acts(c);
    // Most text is plain, and bytes are quicker to look at than characters.
    let plain = serialised.bytes().all(|byte| byte < 0x7f);
    if plain || !serialised.chars().any(acts_in_json) {
        return Cow::Borrowed(serialised);
    }
    let mut escaped = String::with_capacity(serialised.len() + 16);
    for c in serialised.chars() {
        if acts_in_json(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

/// How much of a document is escaped at a time, bytes: a report of an outage is too large to be held as one text.
const PIECE_BYTES: usize = 64 * 1024;

/// A document on its way to `out`, escaped by [`for_json`] piece by piece.
pub struct ForJson<'a> {
    piece: Vec<u8>,
    out: &'a mut dyn io::Write,
}

impl<'a> ForJson<'a> {
    /// Before the first byte.
    pub fn new(out: &'a mut dyn io::Write) -> Self {
        let piece = Vec::with_capacity(PIECE_BYTES);
        Self { piece, out }
    }

    /// Writes what is left, and gives back where it went.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn finish(mut self) -> io::Result<&'a mut dyn io::Write> {
        self.pass_on()?;
        Ok(self.out)
    }

    /// Escapes all whole characters; the bytes of one that is cut wait for the rest of it.
    fn pass_on(&mut self) -> io::Result<()> {
        let whole = match std::str::from_utf8(&self.piece) {
            Ok(text) => text,
            Err(cut) => {
                let whole = self.piece.get(..cut.valid_up_to()).unwrap_or_default();
                std::str::from_utf8(whole).map_err(io::Error::other)?
            }
        };
        self.out.write_all(for_json(whole).as_bytes())?;
        let done = whole.len();
        self.piece.drain(..done);
        Ok(())
    }
}

impl io::Write for ForJson<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE_BYTES {
            self.pass_on()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pass_on()?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_is_shown_as_its_number() {
        assert_eq!(for_terminal("a\x1b[31mb"), "a\\x1b[31mb");
        assert_eq!(for_terminal("\u{9b}2J\x7f\0"), "\\x9b2J\\x7f\\x00");
        assert_eq!(for_terminal("a\u{202e}b\u{200b}c"), "a\\u{202e}b\\u{200b}c");
        assert_eq!(for_terminal("a\r\n\tb"), "a\\r\\n\\tb");
        assert_eq!(for_terminal("\u{e0041}"), "\\u{e0041}");
    }

    #[test]
    fn plain_text_is_not_copied() {
        assert!(matches!(for_terminal("/über?q=日本 %20"), Cow::Borrowed(_)));
        assert!(matches!(for_json("{\n  \"é\": 1\n}"), Cow::Borrowed(_)));
    }

    #[test]
    fn json_keeps_its_value() {
        let hostile = "x\x1b]0;t\x07\u{85}\u{202e}\u{feff}\u{e0041}\"\\";
        let serialised = serde_json::to_string(hostile).unwrap();
        let escaped = for_json(&serialised);
        assert!(!escaped.chars().any(acts), "{escaped}");
        assert!(escaped.contains("\\udb40\\udc41"), "{escaped}");
        let back: String = serde_json::from_str(&escaped).unwrap();
        assert_eq!(back, hostile);
    }

    #[test]
    fn a_document_is_escaped_piece_by_piece_as_it_is_in_one() {
        let document = format!("\"{}\"", "\u{202e}ä€ plain \u{85}".repeat(PIECE_BYTES / 16));
        for step in [1, 2, 3, 7, 4_096, document.len()] {
            let mut written = Vec::new();
            let mut escaping = ForJson::new(&mut written);
            for piece in document.as_bytes().chunks(step) {
                io::Write::write_all(&mut escaping, piece).unwrap();
            }
            escaping.finish().unwrap();
            assert!(written == for_json(&document).as_bytes(), "{step}");
        }
    }
}
