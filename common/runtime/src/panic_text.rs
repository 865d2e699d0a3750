//! The message of a panic.

use std::any::Any;

/// The text that a caught panic carries; `without a message` if it carries something else.
#[must_use]
pub fn panic_text(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (None, Some(text)) => text,
        (None, None) => "without a message",
    }
}

#[cfg(test)]
mod tests {
    use super::panic_text;

    #[test]
    fn both_kinds_of_text_are_read() {
        let caught = |run: fn()| std::panic::catch_unwind(run).unwrap_err();
        assert_eq!(panic_text(&*caught(|| panic!("plain"))), "plain");
        assert_eq!(panic_text(&*caught(|| panic!("with {}", 1 + 1))), "with 2");
        assert_eq!(
            panic_text(&*caught(|| std::panic::panic_any(7))),
            "without a message"
        );
    }
}
