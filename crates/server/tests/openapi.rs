//! `docs/openapi.json` describes the routes there are: no more, no fewer.

use std::collections::BTreeSet;

use serde_json::Value;

#[test]
fn every_target_of_azures_door_is_in_its_list_of_routes() {
    let targets =
        include_str!("../../azure-api/src/arm.rs").split_once("enum Target {").expect("the targets").1;
    let targets = targets.split_once("\n}").expect("their end").0;
    let names = targets
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with(|first: char| first.is_ascii_uppercase()));
    let names: Vec<&str> = names.filter_map(|line| line.split(['(', ',']).next()).collect();
    assert!(names.len() > 20, "{names:?}");
    let routes = include_str!("../../azure-api/src/routes.rs");
    let is_missing = |name: &&&str| {
        !routes.contains(&format!("Target::{name} ")) && !routes.contains(&format!("Target::{name}("))
    };
    let missing: Vec<_> = names.iter().filter(is_missing).collect();
    assert!(
        missing.is_empty(),
        "these need their paths in routes.rs, openapi.json and matrix.txt: {missing:?}"
    );
}

#[test]
fn the_document_and_the_routes_are_the_same() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
    let text = std::fs::read_to_string(path).expect("the document");
    let document: Value = serde_json::from_str(&text).expect("parses");
    let paths = document["paths"].as_object().expect("paths");
    let described: BTreeSet<String> = paths
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods").keys();
            methods.map(move |method| format!("{} {path}", method.to_ascii_uppercase()))
        })
        .collect();
    let served: BTreeSet<String> = azure_api::routes()
        .into_iter()
        .chain(query_api::ROUTES)
        .map(|(method, path)| format!("{method} {path}"))
        .chain(cluster_api::ROUTES.map(|(method, path)| format!("{method} {path}")))
        .chain(health_paths().into_iter().flat_map(|path| [format!("GET {path}"), format!("HEAD {path}")]))
        .collect();
    let only = |one: &BTreeSet<String>, other| one.difference(other).cloned().collect::<Vec<_>>();
    assert_eq!(only(&served, &described), Vec::<String>::new(), "served, and not described");
    assert_eq!(only(&described, &served), Vec::<String>::new(), "described, and not served");
    // Every parameter in a path is declared, and every reference leads somewhere.
    for (path, methods) in paths {
        for operation in methods.as_object().expect("methods").values() {
            let declared = operation["parameters"].as_array().into_iter().flatten();
            let declared: BTreeSet<_> = declared
                .filter(|parameter| parameter["in"] == "path")
                .filter_map(|parameter| parameter["name"].as_str())
                .collect();
            let named = path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
            assert_eq!(declared, named.collect(), "{path}");
        }
    }
    for reference in text.split("\"$ref\": \"#").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(document.pointer(reference).is_some(), "{reference} leads nowhere");
    }
}

/// The paths of the server's own routes, which no door has.
fn health_paths() -> Vec<&'static str> {
    let routes = include_str!("../src/health.rs").split(".route(\"").skip(1);
    let paths: Vec<_> = routes.filter_map(|rest| rest.split_once('"').map(|(path, _)| path)).collect();
    assert!(paths.len() >= 4, "{paths:?}");
    paths
}
