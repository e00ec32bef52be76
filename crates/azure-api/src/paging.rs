//! `nextLink` and `$skipToken`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use metastore::ResultCursor;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::Call;
use crate::error::ArmError;

/// Where the next page begins: in which registry, and where there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// The registry's row number.
    pub(crate) registry: i64,
    pub(crate) within: Option<ResultCursor>,
}

impl Cursor {
    /// The cursor that a request carries. Somebody else's reaches nothing that the caller may not
    /// read: it only says where to begin.
    ///
    /// # Errors
    /// 400 for what we have not made.
    pub(crate) fn of(call: &Call) -> Result<Option<Self>, ArmError> {
        let Some(token) = call.query.get("$skipToken") else { return Ok(None) };
        let invalid = || {
            ArmError::bad(
                "InvalidSkipToken",
                "This server did not issue this $skipToken: request the first page again.",
            )
        };
        Self::parse(token).map(Some).ok_or_else(invalid)
    }

    fn parse(token: &str) -> Option<Self> {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
        let parts: Vec<&str> = text.split(' ').collect();
        match parts.as_slice() {
            [registry] => Some(Self { registry: registry.parse().ok()?, within: None }),
            [registry, repository_id, digest, after @ ..] => {
                let digest: oci::Digest = digest.parse().ok()?;
                let after = match after {
                    [] => None,
                    [after] => Some(after.parse().ok()?),
                    _ => return None,
                };
                let (repository_id, digest) = (repository_id.parse().ok()?, digest.to_string());
                let within = ResultCursor { repository_id, digest, after };
                Some(Self { registry: registry.parse().ok()?, within: Some(within) })
            }
            _ => None,
        }
    }

    fn token(&self) -> String {
        let text = match &self.within {
            None => self.registry.to_string(),
            Some(at) => {
                let after = at.after.map(|after| format!(" {after}")).unwrap_or_default();
                format!("{} {} {}{after}", self.registry, at.repository_id, at.digest)
            }
        };
        URL_SAFE_NO_PAD.encode(text)
    }

    /// The link to the next page, at the host that the client used: it sends its token there.
    pub(crate) fn link(&self, call: &Call) -> String {
        let version = call.query.get("api-version").unwrap_or_default();
        format!("{}{}?api-version={version}&$skipToken={}", call.base, call.path, self.token())
    }
}

/// The page of a list that the request asks for, in the order of the keys, and the link to the next.
///
/// # Errors
/// 400 for a token that we have not made.
pub(crate) fn page<T>(
    mut rows: Vec<T>,
    call: &Call,
    key: impl Fn(&T) -> String,
) -> Result<(Vec<T>, Option<String>), ArmError> {
    rows.sort_by_cached_key(&key);
    let limit = match call.query.get("$top").map(str::parse) {
        None => PAGE_ROWS,
        Some(Ok(0)) | Some(Err(_)) => {
            return Err(ArmError::bad("InvalidTopInQueryString", "$top must be a number, 1 or more."));
        }
        Some(Ok(top)) => PAGE_ROWS.min(top),
    };
    if let Some(token) = call.query.get("$skipToken") {
        let after = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let after = after.ok_or_else(|| {
            ArmError::bad(
                "InvalidSkipToken",
                "This server did not issue this $skipToken: request the first page again.",
            )
        })?;
        rows.retain(|row| key(row) > after);
    }
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| has_more).map(|last| {
        let version = call.query.get("api-version").unwrap_or_default();
        let mut link = format!("{}{}?api-version={version}", call.base, call.path);
        for name in ["$filter", "$expand", "$top"] {
            if let Some(value) = call.query.get(name) {
                link.push_str(&format!("&{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)));
            }
        }
        format!("{link}&$skipToken={}", URL_SAFE_NO_PAD.encode(key(last)))
    });
    Ok((rows, next))
}

/// A page as clients read it.
pub(crate) fn listed(rows: Vec<Value>, next: Option<String>) -> Value {
    let mut document = json!({ "value": rows });
    if let Some(next) = next {
        document["nextLink"] = next.into();
    }
    document
}

const PAGE_ROWS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_as_it_was_made() {
        let digest = oci::Digest::sha256(b"x").to_string();
        let at = |after| Some(ResultCursor { repository_id: 7, digest: digest.clone(), after });
        for within in [None, at(None), at(Some(u64::MAX))] {
            let cursor = Cursor { registry: 3, within };
            assert_eq!(Cursor::parse(&cursor.token()), Some(cursor));
        }
        for bad in
            ["", "x", "====", &URL_SAFE_NO_PAD.encode("1 2 3"), &URL_SAFE_NO_PAD.encode("1 2 notadigest 4")]
        {
            assert_eq!(Cursor::parse(bad), None, "{bad}");
        }
    }
}
