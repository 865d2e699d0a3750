//! Texts without control characters, and of bounded length.

/// Marks where a text was cut.
const CUT: char = '…';

/// `text` with each control character as a space: a text column may take no NUL, and a terminal
/// should not be steered by what a client sent.
pub fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// At most `max` bytes (at least 3) of `text` from its start, with an ellipsis if it was longer.
pub fn head(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(max - CUT.len_utf8());
    format!("{}{CUT}", &text[..end])
}

/// At most `max` bytes (at least 3) of `text` from its end, with an ellipsis if it was longer.
pub fn tail(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let start = text.ceil_char_boundary(text.len() - (max - CUT.len_utf8()));
    format!("{CUT}{}", &text[start..])
}
