//! The built-in roles that Lazaret knows, with Azure's GUIDs and actions (Microsoft Learn,
//! "Azure built-in roles": privileged, general, security, containers). Actions of services that
//! Lazaret does not have are left out.

use uuid::Uuid;

use crate::Action;

/// Everything.
pub const OWNER: Uuid = Uuid::from_u128(0x8e3a_f657_a8ff_443c_a75c_2fe8_c4bc_b635);
/// Everything but giving roles away.
pub const CONTRIBUTOR: Uuid = Uuid::from_u128(0xb249_88ac_6180_42a0_ab88_20f7_382d_d24c);
/// Gives roles away, and reads everything.
pub const USER_ACCESS_ADMINISTRATOR: Uuid = Uuid::from_u128(0x18d7_d88d_d35e_4fb5_a5c3_7773_c20a_72d9);
/// Reads everything, images included.
pub const READER: Uuid = Uuid::from_u128(0xacdd_72a7_3385_48ef_bd42_f606_fba8_1ae7);
/// Reads what concerns security.
pub const SECURITY_READER: Uuid = Uuid::from_u128(0x39bc_4728_0917_49c7_9d2c_d954_23bc_2eb4);
/// Reads and changes what concerns security.
pub const SECURITY_ADMIN: Uuid = Uuid::from_u128(0xfb1c_8493_542b_48eb_b624_b4c8_fea6_2acd);
/// Pulls.
pub const ACR_PULL: Uuid = Uuid::from_u128(0x7f95_1dda_4ed3_4680_a7ca_43fe_172d_538d);
/// Pulls and pushes.
pub const ACR_PUSH: Uuid = Uuid::from_u128(0x8311_e382_0749_4cb8_b61a_304f_252e_45ec);
/// Deletes.
pub const ACR_DELETE: Uuid = Uuid::from_u128(0xc2f4_ef07_c644_48eb_af81_4b1b_4947_fb11);

/// Pulls what is in quarantine, and what a gate blocks.
pub const ACR_QUARANTINE_READER: Uuid = Uuid::from_u128(0xcdda_3590_29a3_44f6_95f2_9f98_0659_eb04);
/// Pulls what is in quarantine, and lets it out.
pub const ACR_QUARANTINE_WRITER: Uuid = Uuid::from_u128(0xc8d4_ff99_41c3_41a8_9f60_21df_dad5_9608);

/// A built-in role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Role {
    /// Azure's GUID.
    pub id: Uuid,
    /// Azure's name.
    pub name: &'static str,
    /// What it allows; `*` stands for anything.
    pub actions: &'static [&'static str],
    /// What it allows nevertheless not.
    pub not_actions: &'static [&'static str],
}

/// The role of that name or GUID, whatever its case.
#[must_use]
pub fn find(name_or_id: &str) -> Option<&'static Role> {
    let is = |role: &&Role| {
        role.name.eq_ignore_ascii_case(name_or_id)
            || role.name.replace(' ', "").eq_ignore_ascii_case(name_or_id)
            || role.id.to_string().eq_ignore_ascii_case(name_or_id)
    };
    ROLES.iter().find(is)
}

/// Every built-in role.
pub const ROLES: [Role; 11] = [
    Role { id: OWNER, name: "Owner", actions: &["*"], not_actions: &[] },
    Role {
        id: CONTRIBUTOR,
        name: "Contributor",
        actions: &["*"],
        not_actions: &[
            "Microsoft.Authorization/*/Delete",
            "Microsoft.Authorization/*/Write",
            "Microsoft.Authorization/elevateAccess/Action",
        ],
    },
    Role { id: READER, name: "Reader", actions: &["*/read"], not_actions: &[] },
    Role {
        id: SECURITY_READER,
        name: "Security Reader",
        actions: &[
            "Microsoft.Authorization/*/read",
            "Microsoft.Resources/subscriptions/resourceGroups/read",
            "Microsoft.Security/*/read",
        ],
        not_actions: &[],
    },
    Role {
        id: SECURITY_ADMIN,
        name: "Security Admin",
        actions: &[
            "Microsoft.Authorization/*/read",
            "Microsoft.Resources/subscriptions/resourceGroups/read",
            "Microsoft.Security/*",
        ],
        not_actions: &[],
    },
    Role {
        id: ACR_PULL,
        name: "AcrPull",
        actions: &["Microsoft.ContainerRegistry/registries/pull/read"],
        not_actions: &[],
    },
    Role {
        id: ACR_PUSH,
        name: "AcrPush",
        actions: &[
            "Microsoft.ContainerRegistry/registries/pull/read",
            "Microsoft.ContainerRegistry/registries/push/write",
        ],
        not_actions: &[],
    },
    Role {
        id: USER_ACCESS_ADMINISTRATOR,
        name: "User Access Administrator",
        actions: &["*/read", "Microsoft.Authorization/*"],
        not_actions: &[],
    },
    Role {
        id: ACR_DELETE,
        name: "AcrDelete",
        actions: &["Microsoft.ContainerRegistry/registries/artifacts/delete"],
        not_actions: &[],
    },
    Role {
        id: ACR_QUARANTINE_READER,
        name: "AcrQuarantineReader",
        actions: &[
            "Microsoft.ContainerRegistry/registries/quarantine/read",
            "Microsoft.ContainerRegistry/registries/quarantinedArtifacts/read",
        ],
        not_actions: &[],
    },
    Role {
        id: ACR_QUARANTINE_WRITER,
        name: "AcrQuarantineWriter",
        actions: &[
            "Microsoft.ContainerRegistry/registries/quarantine/read",
            "Microsoft.ContainerRegistry/registries/quarantine/write",
            "Microsoft.ContainerRegistry/registries/quarantinedArtifacts/read",
            "Microsoft.ContainerRegistry/registries/quarantinedArtifacts/write",
        ],
        not_actions: &[],
    },
];

/// True if the role allows the action. An unknown role allows nothing.
pub(crate) fn allows(role: Uuid, action: Action) -> bool {
    // Azure's wildcards of actions do not reach its data actions; to do everything does.
    let is_for = |pattern: &str| pattern == "*" || !action.is_on_data() || !pattern.contains('*');
    let matches = |patterns: &[&str]| {
        patterns.iter().any(|pattern| is_for(pattern) && is_match(pattern, action.name()))
    };
    ROLES.iter().any(|known| known.id == role && matches(known.actions) && !matches(known.not_actions))
}

/// `*` stands for anything, slashes included; case does not matter.
fn is_match(pattern: &str, action: &str) -> bool {
    let (pattern, action) = (pattern.to_ascii_lowercase(), action.to_ascii_lowercase());
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = action.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::is_match;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, action, wanted) in [
            ("*", "a/b/c", true),
            ("*/read", "a/b/READ", true),
            ("*/read", "a/b/reads", false),
            ("a/*/read", "a/b/c/read", true),
            ("a/*/read", "a/read", false),
            ("a/b", "a/b", true),
            ("a/b", "a/b/c", false),
            ("a/*/b/*/c", "a/x/b/y/c", true),
        ] {
            assert_eq!(is_match(pattern, action), wanted, "{pattern} {action}");
        }
    }
}
