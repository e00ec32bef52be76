//! What a request is called in the audit log: Azure's name of the operation, and the resource.
//!
//! Both follow from the method and the path, as they do in Azure, so that no handler has to say them.

use axum::http::Method;
use percent_encoding::percent_decode_str;

use crate::routes::PATHS;

/// The name of what `method` does at a path, and the id of the resource that it does it to.
pub(crate) fn operation(method: &Method, path: &str) -> (String, String) {
    let path = canonical(path);
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let is_provider = |at: &usize| segments[*at].eq_ignore_ascii_case("providers") && at + 1 < segments.len();
    let provider = (0..segments.len()).rev().find(is_provider);
    // Types and names take turns: after a provider's namespace, or from the start.
    let (namespace, types_at) = match provider {
        Some(at) => (segments.get(at + 1).copied().unwrap_or_default(), at + 2),
        None => ("Microsoft.Resources", 0),
    };
    let rest = segments.get(types_at..).unwrap_or_default();
    let types: Vec<&str> = rest.iter().step_by(2).copied().collect();
    let name = format!("{namespace}/{}", types.join("/"));
    let is_verb = method == Method::POST && rest.len() % 2 == 1;
    let resource = if is_verb { &segments[..segments.len() - 1] } else { &segments[..] };
    let ending = match *method {
        Method::PUT | Method::PATCH => "/write",
        Method::DELETE => "/delete",
        Method::POST => "/action",
        _ => "/read",
    };
    (format!("{name}{ending}"), format!("/{}", resource.join("/")))
}

/// The path in the case in which we write it ourselves.
fn canonical(path: &str) -> String {
    let path = percent_decode_str(path).decode_utf8_lossy();
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let is_parameter = |written: &str| written.starts_with('{');
    let is_it = |template: &&&str| {
        let written: Vec<&str> = template.split('/').skip(1).collect();
        let is_same =
            |(written, sent): (&&str, &&str)| is_parameter(written) || written.eq_ignore_ascii_case(sent);
        written.len() == segments.len() && written.iter().zip(&segments).all(is_same)
    };
    // More of it is written where fewer are parameters: `{namespace}` stands for anything.
    let found = PATHS.iter().filter(is_it).min_by_key(|template| template.matches('{').count());
    let Some(template) = found else { return format!("/{}", segments.join("/")) };
    let written = template.split('/').skip(1).zip(&segments);
    let written = written.map(|(written, sent)| if is_parameter(written) { sent } else { written });
    format!("/{}", written.collect::<Vec<_>>().join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_called_as_azure_calls_them() {
        const SUB: &str = "/subscriptions/00000000-0000-0000-0000-000000000002";
        let registry = format!("{SUB}/resourceGroups/g/providers/Microsoft.ContainerRegistry/registries/r");
        for (method, path, name, resource) in [
            (
                Method::PUT,
                registry.to_lowercase(),
                "Microsoft.ContainerRegistry/registries/write",
                registry.clone(),
            ),
            (
                Method::POST,
                format!("{registry}/webhooks/W/PING"),
                "Microsoft.ContainerRegistry/registries/webhooks/ping/action",
                format!("{registry}/webhooks/W"),
            ),
            (
                Method::POST,
                format!("{registry}/listCredentials"),
                "Microsoft.ContainerRegistry/registries/listCredentials/action",
                registry.clone(),
            ),
            (
                Method::DELETE,
                format!("/{registry}/providers/microsoft.authorization/roleassignments/x"),
                "Microsoft.Authorization/roleAssignments/delete",
                format!("{registry}/providers/Microsoft.Authorization/roleAssignments/x"),
            ),
            (
                Method::PUT,
                format!("{SUB}/providers/Microsoft.Security/pricings/Containers"),
                "Microsoft.Security/pricings/write",
                format!("{SUB}/providers/Microsoft.Security/pricings/Containers"),
            ),
            (
                Method::PUT,
                format!("{SUB}/resourcegroups/g"),
                "Microsoft.Resources/subscriptions/resourceGroups/write",
                format!("{SUB}/resourceGroups/g"),
            ),
            (Method::GET, SUB.to_owned(), "Microsoft.Resources/subscriptions/read", SUB.to_owned()),
            (Method::GET, "/x/providers".to_owned(), "Microsoft.Resources/x/read", "/x/providers".to_owned()),
        ] {
            assert_eq!(operation(&method, &path), (name.to_owned(), resource), "{path}");
        }
    }
}
