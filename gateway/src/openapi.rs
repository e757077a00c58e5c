//! The OpenAPI document, kept by hand and held against the table of routes by a test.

/// The document, OpenAPI 3.1.
pub(crate) const DOCUMENT: &str = include_str!("openapi.json");

#[cfg(test)]
mod tests {
    use super::DOCUMENT;
    use crate::routes::{Listener, ROUTES};
    use serde_json::Value;
    use std::collections::BTreeSet;

    fn document() -> Value {
        serde_json::from_str(DOCUMENT).expect("valid JSON")
    }

    #[test]
    fn every_route_is_in_the_document_and_the_other_way_round() {
        let mut served = BTreeSet::new();
        for route in ROUTES {
            let listener = match route.listener {
                Listener::Buyers => "buyers",
                Listener::Operators => "operators",
            };
            for method in route.methods.split(", ").filter(|method| *method != "HEAD") {
                served.insert(format!("{listener} {method} {}", route.path));
            }
        }
        let mut written = BTreeSet::new();
        for (path, operations) in document()["paths"].as_object().expect("paths") {
            for (method, operation) in operations.as_object().expect("operations") {
                let listener = operation["x-listener"].as_str().expect("a listener");
                written.insert(format!("{listener} {} {path}", method.to_uppercase()));
                let protected = operation["security"] != serde_json::json!([]);
                assert_eq!(operation["responses"].get("401").is_some(), protected, "{path}");
            }
        }
        assert_eq!(served, written);
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn follow(document: &Value, value: &Value) {
            if let Some(path) = value.get("$ref").and_then(Value::as_str) {
                let pointer = path.strip_prefix('#').expect("a reference into the document");
                assert!(document.pointer(pointer).is_some(), "{path}");
            }
            match value {
                Value::Object(fields) => fields.values().for_each(|value| follow(document, value)),
                Value::Array(values) => values.iter().for_each(|value| follow(document, value)),
                _ => {}
            }
        }
        let document = document();
        follow(&document, &document);
    }
}
