//! The document: complete, and in step with its copy among the docs.

use std::collections::BTreeSet;

use super::*;
use crate::routes::document;

fn value() -> Value {
    serde_json::from_str(document()).unwrap()
}

fn docs(name: &str) -> String {
    let path = format!("{}/../docs/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn the_copy_among_the_docs_is_fresh() {
    assert!(
        docs("openapi.json") == document(),
        "docs/openapi.json is not what the code describes; renew it:\n  cargo run -p devtrail-collector -- \
            --print-openapi > docs/openapi.json"
    );
}

#[test]
fn the_example_of_a_batch_is_the_contracts() {
    let contract = docs("contract.md");
    let (_, rest) = contract.split_once("## POST /v1/events").unwrap();
    let (_, rest) = rest.split_once("```json\n").unwrap();
    let written: Value = serde_json::from_str(rest.split_once("```").unwrap().0).unwrap();
    assert_eq!(
        value()["components"]["schemas"]["Envelope"]["examples"][0],
        written
    );
}

#[test]
fn each_code_is_a_routes_or_has_no_route_to_be_at() {
    let text = document();
    let mut missing: BTreeSet<&str> = BTreeSet::new();
    for code in ErrorCode::ALL {
        let at_routes = format!("`{}`: {}.", code.as_str(), code.title());
        if !text.contains(&at_routes) {
            missing.insert(code.as_str());
        }
    }
    // It answers a method that a path does not describe.
    assert_eq!(missing, BTreeSet::from(["method_not_allowed"]));
}

/// Every reference of a value, such as `#/components/schemas/Problem`.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            found.extend(
                members
                    .get("$ref")
                    .and_then(Value::as_str)
                    .map(str::to_owned),
            );
            members
                .values()
                .for_each(|member| references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn references_resolve_and_each_route_names_its_problems() {
    let document = value();
    assert_eq!(document["openapi"], "3.1.0");
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 25, "{found:?}");
    for reference in &found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            assert!(
                operation["operationId"].is_string() && operation["summary"].is_string(),
                "{method} {path}"
            );
            for status in ["400", "408", "431", "500"] {
                let content = &operation["responses"][status]["content"];
                assert!(
                    content["application/problem+json"].is_object(),
                    "{method} {path} {status}"
                );
            }
            let needs_key = operation.get("security").is_some();
            assert_eq!(
                needs_key,
                operation["responses"].get("401").is_some(),
                "{method} {path}"
            );
        }
    }
}

/// Method and path of each route that the contract speaks of as there.
fn contracts_routes() -> BTreeSet<(String, String)> {
    let contract = docs("contract.md");
    let contract = contract.split("\n## Planned\n").next().unwrap_or_default();
    let mut found = BTreeSet::new();
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
        for (at, _) in contract.match_indices(&format!("{method} /")) {
            let rest = &contract[at + method.len() + 1..];
            let end = rest
                .find(['`', '?', ' ', '\n', ',', ')'])
                .unwrap_or(rest.len());
            // The page shows what clients write.
            let path = rest[..end].replace("/users/current", "/users/{user}");
            found.insert((method.to_lowercase(), path));
        }
    }
    found
}

#[test]
fn the_contract_speaks_of_every_route_and_of_no_other() {
    let document = value();
    let paths = document["paths"].as_object().unwrap().iter();
    let described: BTreeSet<(String, String)> = paths
        .flat_map(|(path, operations)| {
            operations
                .as_object()
                .unwrap()
                .keys()
                .map(|m| (m.clone(), path.clone()))
        })
        .collect();
    assert_eq!(described, contracts_routes());
}
