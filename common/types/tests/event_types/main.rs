//! `docs/event-types.md` is made from the schema files, and says what they say now.
//!
//! To renew it after a change of `common/schemas/`:
//! `DEVTRAIL_WRITE_DOCS=1 cargo test -p devtrail-types --test event_types`

mod page;

use std::path::Path;
use std::{env, fs};

use page::Document;
use types::schema::Schemas;

/// The command that renews the page; named on the page, and by the test if the page is out of date.
const HOW: &str = "DEVTRAIL_WRITE_DOCS=1 cargo test -p devtrail-types --test event_types";

#[test]
fn the_page_of_event_types_says_what_the_schemas_say() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/event-types.md");
    let page = page::render(&Schemas::builtin(), HOW);
    if env::var_os("DEVTRAIL_WRITE_DOCS").is_some() {
        fs::write(&file, &page).expect("docs/event-types.md can be written");
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        written == page,
        "docs/event-types.md is out of date: renew it with `{HOW}`"
    );
}

#[test]
fn every_example_of_a_schema_fits_it() {
    for (kind, schemas) in Schemas::builtin().types() {
        for schema in schemas {
            let document = Document::of(schema);
            assert!(
                !document.examples.is_empty(),
                "{kind} {} has no example",
                schema.version
            );
            for example in document.examples {
                let event: serde_json::Value = serde_json::from_str(example.get()).expect("JSON");
                assert_eq!(
                    schema.check(&(&event).into()),
                    Ok(()),
                    "{kind} {}: {event}",
                    schema.version
                );
                assert_eq!(event["type"], kind);
                assert_eq!(event["schema_version"], schema.version.to_string());
            }
        }
    }
}
