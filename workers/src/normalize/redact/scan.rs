//! Scanning text: what a word is, and how far it goes.

/// Whether a name, flag or number can hold the character.
pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || "_-.".contains(c)
}

/// The bytes at the start of `text` whose characters all `fit`.
pub fn length(text: &str, fit: impl Fn(char) -> bool) -> usize {
    text.find(|c| !fit(c)).unwrap_or(text.len())
}
