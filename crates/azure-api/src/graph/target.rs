//! The directory's paths, what can be done at each, and what that is called in the audit log.

use axum::http::Method;
use percent_encoding::percent_decode_str;

use super::GraphError;

/// As which of its two objects a program is spoken of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Face {
    Application,
    ServicePrincipal,
}

impl Face {
    pub(crate) fn collection(self) -> &'static str {
        match self {
            Self::Application => "applications",
            Self::ServicePrincipal => "servicePrincipals",
        }
    }

    pub(crate) fn type_name(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::ServicePrincipal => "servicePrincipal",
        }
    }
}

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Me,
    OwnedObjects,
    Users,
    User(String),
    Groups,
    ByIds,
    Object(String),
    Programs(Face),
    Program(Face, String),
    Owners(Face, String),
    AddPassword(Face, String),
    RemovePassword(Face, String),
}

/// True if the path is the directory's.
pub(crate) fn is_path(path: &str) -> bool {
    path.trim_start_matches('/').split('/').next() == Some(VERSION)
}

/// What can be done at a path; nothing if there is none.
pub(crate) fn methods_at(path: &str) -> Vec<Method> {
    Target::parse(path).map(|target| target.methods().to_vec()).unwrap_or_default()
}

impl Target {
    /// # Errors
    /// 400, in Graph's words, for what there is not.
    pub(crate) fn parse(path: &str) -> Result<Self, GraphError> {
        let decode = |segment: &str| percent_decode_str(segment).decode_utf8().map(String::from).ok();
        let segments: Option<Vec<String>> =
            path.split('/').filter(|segment| !segment.is_empty()).skip(1).map(decode).collect();
        let found = segments.and_then(|segments| {
            let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
            Self::of(&segments)
        });
        found.ok_or_else(|| {
            let message = "Resource not found for this segment: Lazaret has of Microsoft Graph me, users, groups, \
                           directoryObjects, applications and servicePrincipals.";
            GraphError::new(axum::http::StatusCode::NOT_FOUND, "BadRequest", message)
        })
    }

    fn of(segments: &[&str]) -> Option<Self> {
        let (first, rest) = segments.split_first()?;
        let is = |name: &str| first.eq_ignore_ascii_case(name);
        let face = [Face::Application, Face::ServicePrincipal].into_iter().find(|face| is(face.collection()));
        match (rest, face) {
            ([], None) if is("me") => Some(Self::Me),
            ([owned], None) if is("me") && owned.eq_ignore_ascii_case("ownedObjects") => {
                Some(Self::OwnedObjects)
            }
            ([], None) if is("users") => Some(Self::Users),
            ([id], None) if is("users") => Some(Self::User((*id).to_owned())),
            ([], None) if is("groups") => Some(Self::Groups),
            ([verb], None) if is("directoryObjects") && verb.eq_ignore_ascii_case("getByIds") => {
                Some(Self::ByIds)
            }
            ([id], None) if is("directoryObjects") => Some(Self::Object((*id).to_owned())),
            ([], Some(face)) => Some(Self::Programs(face)),
            ([id], Some(face)) => Some(Self::Program(face, (*id).to_owned())),
            ([id, word], Some(face)) => {
                let id = (*id).to_owned();
                match word.to_ascii_lowercase().as_str() {
                    "owners" => Some(Self::Owners(face, id)),
                    "addpassword" => Some(Self::AddPassword(face, id)),
                    "removepassword" => Some(Self::RemovePassword(face, id)),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// What can be done with it.
    pub(crate) fn methods(&self) -> &'static [Method] {
        match self {
            Self::Me
            | Self::OwnedObjects
            | Self::Users
            | Self::User(_)
            | Self::Groups
            | Self::Object(_)
            | Self::Owners(..) => &[Method::GET],
            Self::ByIds | Self::AddPassword(..) | Self::RemovePassword(..) => &[Method::POST],
            Self::Programs(_) => &[Method::GET, Method::POST],
            Self::Program(..) => &[Method::GET, Method::PATCH, Method::DELETE],
        }
    }

    /// True if the method changes something of it, or shows a secret. A service principal is there with its
    /// application: to make one changes nothing.
    pub(crate) fn is_change(&self, method: &Method) -> bool {
        *method != Method::GET && !matches!(self, Self::ByIds | Self::Programs(Face::ServicePrincipal))
    }

    /// What the method does to it, by the names that Microsoft Entra has for permissions, and to what.
    pub(crate) fn operation(&self, method: &Method) -> (&'static str, String) {
        let is_application = |face: &Face, of_one: &'static str, of_other| {
            if *face == Face::Application { of_one } else { of_other }
        };
        let at = |face: &Face, id: &str| format!("/{}/{id}", face.collection());
        match self {
            Self::Me => ("microsoft.directory/users/standard/read", "/me".to_owned()),
            Self::OwnedObjects => ("microsoft.directory/users/ownedObjects/read", "/me".to_owned()),
            Self::Users => ("microsoft.directory/users/standard/read", "/users".to_owned()),
            Self::User(id) => ("microsoft.directory/users/standard/read", format!("/users/{id}")),
            Self::Groups => ("microsoft.directory/groups/standard/read", "/groups".to_owned()),
            Self::ByIds => {
                ("microsoft.directory/directoryObjects/standard/read", "/directoryObjects".to_owned())
            }
            Self::Object(id) => {
                ("microsoft.directory/directoryObjects/standard/read", format!("/directoryObjects/{id}"))
            }
            Self::Programs(face) => {
                let action = if method == Method::POST {
                    is_application(
                        face,
                        "microsoft.directory/applications/create",
                        "microsoft.directory/servicePrincipals/create",
                    )
                } else {
                    is_application(face, APPLICATION_READ, SERVICE_PRINCIPAL_READ)
                };
                (action, format!("/{}", face.collection()))
            }
            Self::Program(face, id) => {
                let action = match *method {
                    Method::PATCH => is_application(
                        face,
                        "microsoft.directory/applications/basic/update",
                        "microsoft.directory/servicePrincipals/basic/update",
                    ),
                    Method::DELETE => is_application(
                        face,
                        "microsoft.directory/applications/delete",
                        "microsoft.directory/servicePrincipals/delete",
                    ),
                    _ => is_application(face, APPLICATION_READ, SERVICE_PRINCIPAL_READ),
                };
                (action, at(face, id))
            }
            Self::Owners(face, id) => {
                let action = is_application(
                    face,
                    "microsoft.directory/applications/owners/read",
                    "microsoft.directory/servicePrincipals/owners/read",
                );
                (action, at(face, id))
            }
            Self::AddPassword(face, id) | Self::RemovePassword(face, id) => {
                let action = is_application(
                    face,
                    "microsoft.directory/applications/credentials/update",
                    "microsoft.directory/servicePrincipals/credentials/update",
                );
                (action, at(face, id))
            }
        }
    }
}

/// Every path, as others may list them.
pub(crate) const PATHS: [&str; 17] = [
    "/v1.0/me",
    "/v1.0/me/ownedObjects",
    "/v1.0/users",
    "/v1.0/users/{userId}",
    "/v1.0/groups",
    "/v1.0/directoryObjects/getByIds",
    "/v1.0/directoryObjects/{directoryObjectId}",
    "/v1.0/applications",
    "/v1.0/applications/{applicationId}",
    "/v1.0/applications/{applicationId}/owners",
    "/v1.0/applications/{applicationId}/addPassword",
    "/v1.0/applications/{applicationId}/removePassword",
    "/v1.0/servicePrincipals",
    "/v1.0/servicePrincipals/{servicePrincipalId}",
    "/v1.0/servicePrincipals/{servicePrincipalId}/owners",
    "/v1.0/servicePrincipals/{servicePrincipalId}/addPassword",
    "/v1.0/servicePrincipals/{servicePrincipalId}/removePassword",
];

const VERSION: &str = "v1.0";
const APPLICATION_READ: &str = "microsoft.directory/applications/standard/read";
const SERVICE_PRINCIPAL_READ: &str = "microsoft.directory/servicePrincipals/standard/read";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_that_is_listed_is_one_and_others_are_none() {
        for path in PATHS {
            assert!(is_path(path) && !methods_at(path).is_empty(), "{path}");
        }
        for path in
            ["/v1.0", "/v1.0/me/messages", "/v1.0/applications/x/y", "/v1.0/groups/x", "/v1.0/users/%ff"]
        {
            assert!(is_path(path) && Target::parse(path).is_err(), "{path}");
        }
        assert!(!is_path("/v1.00/me") && !is_path("/subscriptions/v1.0"));
        let decoded = Target::parse("/v1.0/USERS/ann%40example.org").expect("a user");
        assert_eq!(decoded, Target::User("ann@example.org".to_owned()));
    }
}
