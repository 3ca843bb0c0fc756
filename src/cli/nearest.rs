//! What a mistyped word was meant to be. In: the word and those that exist. Out: the nearest one.

/// The candidate with the fewest edits, when they are few enough to be a slip: a third of its length.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (edits(word, candidate), candidate))
        .min()
        .filter(|(edits, candidate)| *edits <= candidate.chars().count() / 3)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions and replacements between two words (Levenshtein), one row at a time.
fn edits(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, c) in one.chars().enumerate() {
        let mut next = vec![line + 1];
        for ((d, above), diagonal) in other.iter().zip(row.iter().skip(1)).zip(&row) {
            let left = next.last().copied().unwrap_or_default();
            next.push(
                (diagonal + usize::from(c != *d))
                    .min(above + 1)
                    .min(left + 1),
            );
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_understood_and_other_words_are_not() {
        let codes = ["connect-refused", "connect-timeout", "bad-header"];
        assert_eq!(nearest("conect-refsed", codes), Some("connect-refused"));
        assert_eq!(nearest("bad_header", codes), Some("bad-header"));
        assert_eq!(nearest("weather", codes), None);
        assert_eq!(nearest("", codes), None);
        assert_eq!(
            (
                edits("kitten", "sitting"),
                edits("", "ab"),
                edits("ab", "ab")
            ),
            (3, 2, 0)
        );
    }
}
