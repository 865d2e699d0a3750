//! The real input of `tests/data/`.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use serde_json::Value;

/// One developer's events, in the order of the files (commits newest first).
pub type Person = (String, Vec<Value>);

/// The events of a compressed file of `{"developer", "event"}` lines, by developer. `None` if
/// the file is not there.
///
/// # Panics
/// If a file is damaged.
#[must_use]
pub fn real_input(paths: &[&Path]) -> Option<Vec<Person>> {
    let mut people: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for path in paths {
        let file = std::fs::File::open(path).ok()?;
        let mut text = String::new();
        GzDecoder::new(file)
            .read_to_string(&mut text)
            .expect("the file is whole");
        for line in text.lines() {
            let mut line: Value = serde_json::from_str(line).expect("a line is JSON");
            let developer = line["developer"].as_str().expect("a developer").to_owned();
            people
                .entry(developer)
                .or_default()
                .push(line["event"].take());
        }
    }
    Some(people.into_iter().collect())
}
