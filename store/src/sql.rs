//! Statements that are the same for both engines.

/// One statement, in the syntax of each engine.
///
/// It is written with `$1`, as Postgres numbers parameters. SQLite would read `$1` as a name and number it by its
/// first appearance, so its text has `?1` instead.
#[derive(Debug, Clone, Copy)]
pub struct Sql {
    pub postgres: &'static str,
    pub sqlite: &'static str,
}

/// Declares statements for both engines: `shared_sql! { NAME = "SELECT … WHERE src = $1"; }`.
macro_rules! shared_sql {
    ($($(#[$doc:meta])* $name:ident = $text:expr;)+) => {$(
        $(#[$doc])*
        pub const $name: crate::sql::Sql = {
            const TEXT: &str = $text;
            const NUMBERED: [u8; TEXT.len()] = crate::sql::with_question_marks(TEXT);
            crate::sql::Sql {
                postgres: TEXT,
                sqlite: match std::str::from_utf8(&NUMBERED) {
                    Ok(text) => text,
                    Err(_) => panic!("replacing one ASCII character keeps UTF-8"),
                },
            }
        };
    )+};
}
pub(crate) use shared_sql;

/// The text with `?` for each `$` before a digit, at compile time. `N` is the text's length.
pub const fn with_question_marks<const N: usize>(text: &str) -> [u8; N] {
    let from = text.as_bytes();
    let mut to = [0; N];
    let mut at = 0;
    while at < N {
        let is_parameter = from[at] == b'$' && at + 1 < N && from[at + 1].is_ascii_digit();
        to[at] = if is_parameter { b'?' } else { from[at] };
        at += 1;
    }
    to
}

#[cfg(test)]
mod tests {
    shared_sql! {
        EXAMPLE = "SELECT $2, '$.path', $10, 'ä$' WHERE x = $1";
    }

    #[test]
    fn sqlite_gets_numbered_parameters_and_nothing_else_changes() {
        assert_eq!(
            EXAMPLE.sqlite,
            "SELECT ?2, '$.path', ?10, 'ä$' WHERE x = ?1"
        );
        assert!(EXAMPLE.postgres.contains("$2") && EXAMPLE.postgres.ends_with("$1"));
    }
}
