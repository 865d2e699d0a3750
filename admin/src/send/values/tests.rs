//! Inputs in every shape, whole and damaged, in chunks of any size.

use proptest::prelude::*;

use super::*;

/// The pieces of an input that comes in chunks of `size` bytes: `line text`, and `line! reason` of bad ones.
fn pieces(input: &[u8], size: usize) -> Vec<String> {
    let mut splitter = Splitter::default();
    let mut pieces = Vec::new();
    for chunk in input.chunks(size.max(1)) {
        splitter.feed(chunk);
        pieces.extend(splitter.by_ref());
    }
    splitter.end();
    pieces.extend(splitter);
    let shown = |piece: Piece| match piece {
        Piece::Value { line, text } => format!("{line} {}", String::from_utf8_lossy(&text)),
        Piece::Bad { line, reason } => format!("{line}! {reason}"),
    };
    pieces.into_iter().map(shown).collect()
}

/// The same, each reason shortened to its first two words.
fn short(input: &str) -> Vec<String> {
    let shorten = |piece: String| match piece.split_once("! ") {
        Some((line, reason)) => {
            let words: Vec<&str> = reason.split(' ').take(2).collect();
            format!("{line}! {}", words.join(" "))
        }
        None => piece,
    };
    pieces(input.as_bytes(), 1 << 20)
        .into_iter()
        .map(shorten)
        .collect()
}

#[test]
fn values_are_found_however_they_are_laid_out() {
    for (input, expected) in [
        ("", &[][..]),
        ("\r\n \n\0\0", &[]),
        ("{\"a\":1}\r\n{\"b\":2}", &["1 {\"a\":1}", "2 {\"b\":2}"]),
        ("{}{}\n{},\n", &["1 {}", "1 {}", "2 {}"]),
        (
            "\u{feff}{}\u{feff}{}\n\u{feff}{}",
            &["1 {}", "1 {}", "2 {}"],
        ),
        ("\0\0{}\0\0\n\0\0{}\0", &["1 {}", "2 {}"]),
        ("{\n\"a\":\n{}\n}\n{}", &["1 {\n\"a\":\n{}\n}", "5 {}"]),
        ("[{},{}]", &["1 {}", "1 {}"]),
        ("[\n  {\n  },\n  {}\n]\n{}", &["2 {\n  }", "4 {}", "6 {}"]),
        ("[[{}],\n[]]", &["1 {}"]),
        ("[1, \"a,]\", {}]", &["1 1", "1 \"a,]\"", "1 {}"]),
    ] {
        assert_eq!(short(input), expected, "{input:?}");
    }
}

#[test]
fn a_bad_line_is_named_once_and_its_neighbours_are_kept() {
    for (input, expected) in [
        (
            "{}\nhello {}\n{}",
            &["1 {}", "2! holds something", "3 {}"][..],
        ),
        ("{} rest {\n{}", &["1 {}", "1! holds something", "2 {}"]),
        // Half a line, cut anywhere.
        ("{\"a\":\"x\n{}", &["1! ends before", "2 {}"]),
        ("{\"a\":\n{}\n{}", &["1! ends before", "2 {}", "3 {}"]),
        (
            "{\"a\":{\"b\":1}\n{}\n{}",
            &["1! ends before", "2 {}", "3 {}"],
        ),
        ("{\"a\":1,\n{}", &["1! ends before", "2 {}"]),
        ("{}\n{\"a\":[1", &["1 {}", "2! ends before"]),
        (
            "{}\n{\"a\":\n1,",
            &["1 {}", "2! ends before", "3! holds something"],
        ),
        // What a power cut leaves.
        (
            "{\"a\":\"x\0\0\0{\"b\":1}\n{}",
            &["1! holds NUL", "1 {\"b\":1}", "2 {}"],
        ),
        ("{\"a\":\"x\0y\"}\n{}", &["1! holds NUL", "2 {}"]),
        ("{\"a\" 1}\n{}", &["1! is no", "2 {}"]),
        (
            "[{},\n{\"a\":\n{}",
            &["1 {}", "2! ends before", "3 {}", "3! ends within"],
        ),
    ] {
        assert_eq!(short(input), expected, "{input:?}");
    }
}

#[test]
fn a_value_that_is_too_long_is_one_bad_line_and_not_kept() {
    let mut splitter = Splitter::default();
    let mut found = Vec::new();
    splitter.feed(b"{}\n{\"a\": [\n");
    for _ in 0..100 {
        splitter.feed("\"x\",\n".repeat(64 * 1024).as_bytes());
        found.extend(splitter.by_ref());
        assert!(splitter.input.len() <= MAX_VALUE + 512 * 1024);
    }
    splitter.feed(b"1]}\n{\"b\":\n2}");
    splitter.end();
    found.extend(splitter);
    let [
        _,
        Piece::Bad { line: 2, reason },
        Piece::Value { line, text },
    ] = &found[..]
    else {
        panic!("{found:?}")
    };
    assert!(reason.contains("longer than 8 MiB"), "{reason}");
    assert_eq!(
        (*line, &text[..]),
        (3 + 100 * 64 * 1024 + 1, &b"{\"b\":\n2}"[..])
    );
}

proptest! {
    /// Whatever comes: a live pipe gives it in other parts than a file.
    #[test]
    fn chunks_change_nothing(
        input in "[{}\\[\\],:\"\\\\a1\n\0\u{feff} ]{0,60}", size in 1_usize..7
    ) {
        prop_assert_eq!(pieces(input.as_bytes(), size), pieces(input.as_bytes(), 1000));
    }

    #[test]
    fn a_torn_line_costs_nothing_but_itself(
        count in 2_usize..8, torn in 0_usize..8, cut in 1_usize..40, pretty in any::<bool>()
    ) {
        let event = |id: usize| {
            let event = serde_json::json!({"id": id, "type": "t", "data": {"path": "p", "list": [1, 2]}});
            if pretty { format!("{event:#}") } else { event.to_string() }
        };
        let torn = torn % count;
        let input: String = (0..count)
            .map(|id| match id == torn {
                true => format!("{}\n", &event(id)[..cut.min(event(id).len() - 1)]),
                false => format!("{}\n", event(id)),
            })
            .collect();
        let found = pieces(input.as_bytes(), 1000);
        for id in (0..count).filter(|id| *id != torn) {
            let whole = event(id);
            prop_assert!(found.iter().any(|piece| piece.ends_with(&whole)), "{} of {:?}", id, found);
        }
        prop_assert!(found.iter().any(|piece| piece.contains("! ")), "{:?}", found);
    }
}
