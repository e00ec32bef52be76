//! Sentences for people.

use advisory::Namespace;
use assessment::FixState;
use inventory::InstalledPackage;

/// Why a statement applies: namespace, source package, versions.
pub(crate) fn reason(namespace: &Namespace, found: &InstalledPackage, fixed_version: Option<&str>) -> String {
    let source = &found.package.source;
    let mut reason = match fixed_version {
        Some(fixed) => format!("{namespace} {} {} < {fixed}", source.name, source.version),
        None => {
            format!("{namespace} {} {}: no version of this release is fixed", source.name, source.version)
        }
    };
    if is_kernel_headers(found) {
        reason.push_str(" (these are the kernel's headers only: the kernel that runs is the host's)");
    }
    reason
}

/// What a person should do.
pub(crate) fn remediation(
    namespace: &Namespace,
    found: &InstalledPackage,
    fixed_version: Option<&str>,
    fix_state: FixState,
    layer_command: Option<&str>,
) -> String {
    let package = &found.package;
    let named = if package.name == package.source.name {
        package.name.clone()
    } else {
        format!("{} (source {})", package.name, package.source.name)
    };
    let release = namespace.title();
    let name = &package.name;
    match (fix_state, fixed_version) {
        (_, Some(fixed)) => {
            format!(
                "Upgrade {named} to {fixed} or later: rebuild the image on an updated base ({}).",
                layer(found, layer_command)
            )
        }
        (FixState::Fixed | FixState::NoneYet, None) => format!(
            "No fixed version exists yet in {release}; remove {named} if the image does not need it, \
             or watch the references."
        ),
        (FixState::Deferred, None) => format!(
            "No fixed version exists yet in {release}: its security team leaves the fix to a later update. \
             Remove {named} if the image does not need it, or upgrade once there is one."
        ),
        (FixState::WontFix, None) => format!(
            "{release} will not fix this: move to a newer release, or remove {named} if the image does not \
             need it."
        ),
        (FixState::EndOfLife, None) => format!(
            "{named} is no longer supported in {release}: move to a supported release, or remove {name}."
        ),
    }
}

fn layer(found: &InstalledPackage, command: Option<&str>) -> String {
    let short: String = found.layer.hex().chars().take(DIGEST_CHARS).collect();
    let digest = format!("layer {}:{short}…", found.layer.algorithm().name());
    match command.map(shown).filter(|command| !command.is_empty()) {
        Some(command) => format!("{digest}, made by `{command}`"),
        None => digest,
    }
}

fn is_kernel_headers(found: &InstalledPackage) -> bool {
    let package = &found.package;
    let holds_headers = package.name == "linux-libc-dev" || package.name.starts_with("linux-headers-");
    package.source.name.starts_with("linux") && holds_headers
}

/// A stranger's text in one short line.
pub(crate) fn shown(text: &str) -> String {
    let words =
        text.split(|char: char| char.is_whitespace() || char.is_control()).filter(|word| !word.is_empty());
    let mut line = String::new();
    for word in words {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        if line.len() > SHOWN_CHARS_MAX * char::MAX.len_utf8() {
            break;
        }
    }
    match line.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// As many as docker shows.
const DIGEST_CHARS: usize = 12;

/// One line of a terminal or a table cell.
const SHOWN_CHARS_MAX: usize = 160;
