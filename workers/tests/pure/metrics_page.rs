//! The examples of `docs/metrics.md`: what the page says is what is counted.

use std::path::Path;

use serde_json::Value;
use store::StoredEvent;

use crate::build::{event, metrics};

/// The day of the examples, and the one after it.
const DAY: &str = "2026-03-02";
const NEXT_DAY: &str = "2026-03-03";

/// An example of the page: events, and what comes of them.
#[derive(Default)]
struct Example {
    events: Vec<StoredEvent>,
    client: Option<Value>,
    /// Pointers into the day's metrics, with their values.
    expected: Vec<(String, Value)>,
}

impl Example {
    fn read(block: &str) -> Self {
        let mut example = Self::default();
        for (number, line) in block.lines().enumerate() {
            let (first, rest) = line.split_once(' ').expect("a line has two parts");
            match first {
                "client" => example.client = Some(json(rest)),
                "=" => {
                    let (pointer, value) = rest.split_once(' ').expect("a pointer and a value");
                    example.expected.push((pointer.to_owned(), json(value)));
                }
                time => {
                    let (kind, data) = rest.split_once(' ').expect("a type and data");
                    let (time, day) = match time.strip_suffix("+1") {
                        Some(time) => (time, NEXT_DAY),
                        None => (time, DAY),
                    };
                    let id = format!("e{number:02}");
                    let at = format!("{day}T{time}+01:00");
                    let mut event = event(&id, kind, &at, None, &json(data));
                    event.client = example
                        .client
                        .as_ref()
                        .map(|client| client.to_string().into_bytes());
                    example.events.push(event);
                }
            }
        }
        example
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn each_example_of_the_page_comes_out_as_it_says() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let blocks: Vec<&str> = page
        .split("```example\n")
        .skip(1)
        .map(|rest| rest.split_once("```").expect("a block ends").0)
        .collect();
    assert!(blocks.len() > 10, "{} examples", blocks.len());
    for block in blocks {
        let example = Example::read(block);
        let days = metrics(&example.events);
        assert!(!example.expected.is_empty(), "nothing comes of\n{block}");
        for (pointer, value) in example.expected {
            let found = days[DAY].pointer(&pointer);
            assert_eq!(found, Some(&value), "{pointer} of\n{block}");
        }
    }
}
