//! `docs/openapi.json` describes the routes there are: no more, no fewer.

use std::collections::BTreeSet;

use serde_json::Value;

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
