//! `WWW-Authenticate` (RFC 9110, section 11.6.1), as registries send it.

/// What a registry wants before it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

/// The challenge that we can meet, a token before a password.
pub(crate) fn best<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Challenge> {
    let all: Vec<_> = headers.take(HEADERS_MAX).flat_map(challenges).collect();
    let bearer = all.iter().find(|challenge| matches!(challenge, Challenge::Bearer { .. }));
    bearer.or(all.first()).cloned()
}

/// The challenges of one header that are of a kind we know.
fn challenges(header: &str) -> Vec<Challenge> {
    if header.len() > HEADER_BYTES_MAX {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut rest = header;
    while !rest.is_empty() {
        // What is left of a token68 (RFC 9110, section 11.2) tells us nothing.
        let (scheme, after) = word(rest.trim_start_matches([',', ' ', '\t', '=', '"']));
        if scheme.is_empty() {
            break;
        }
        let mut parameters = Vec::new();
        rest = after;
        while let Some((name, value, after)) = parameter(rest) {
            parameters.push((name, value));
            rest = after;
        }
        let take = |wanted: &str| {
            let found = parameters.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            found.map(|(_, value)| value.clone())
        };
        if scheme.eq_ignore_ascii_case("basic") {
            found.push(Challenge::Basic);
        } else if scheme.eq_ignore_ascii_case("bearer")
            && let Some(realm) = take("realm")
        {
            found.push(Challenge::Bearer { realm, service: take("service"), scope: take("scope") });
        }
    }
    found
}

/// `NAME=VALUE`, the value quoted or not, after blanks and commas; `None`: what follows is no parameter.
fn parameter(text: &str) -> Option<(&str, String, &str)> {
    let (name, rest) = word(text.trim_start_matches([',', ' ', '\t']));
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    if name.is_empty() {
        return None;
    }
    let Some(quoted) = rest.strip_prefix('"') else {
        let (value, rest) = word(rest);
        return Some((name, value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((name, value, &quoted[at + 1..])),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    // Never closed: all of it was the value.
    Some((name, value, ""))
}

fn word(text: &str) -> (&str, &str) {
    let end = text.find([' ', '\t', ',', '=', '"']).unwrap_or(text.len());
    text.split_at(end)
}

const HEADERS_MAX: usize = 8;
const HEADER_BYTES_MAX: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Option<Challenge> {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Some(Challenge::Bearer { realm: realm.to_owned(), service: owned(service), scope: owned(scope) })
    }

    #[test]
    fn challenges_as_registries_send_them() {
        for (headers, wanted) in [
            (
                &["Bearer realm=\"https://a/t\",service=\"s\",scope=\"repository:a/b:pull,push\""][..],
                bearer("https://a/t", Some("s"), Some("repository:a/b:pull,push")),
            ),
            (&["bearer realm=https://a/t, service=s"], bearer("https://a/t", Some("s"), None)),
            (&["Basic realm=\"r\", Bearer realm=\"t\""], bearer("t", None, None)),
            (&["Basic realm=\"r\"", "Negotiate"], Some(Challenge::Basic)),
            (&["Negotiate abc==, Basic"], Some(Challenge::Basic)),
            (&["Bearer realm=\"a\\\"b\""], bearer("a\"b", None, None)),
            (&["Bearer realm=\"never closed"], bearer("never closed", None, None)),
            (&["Bearer service=\"no realm\""], None),
            (&["", ",,,", "==", "\"", "Bearer", "Bearer ="], None),
        ] {
            assert_eq!(best(headers.iter().copied()), wanted, "{headers:?}");
        }
        let endless = "Bearer ".repeat(100_000);
        assert_eq!(best([endless.as_str()].into_iter()), None);
    }
}
