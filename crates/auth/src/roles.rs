//! The built-in roles that Lazaret knows, with Azure's GUIDs and actions (Microsoft Learn,
//! "Azure built-in roles": privileged, general, security, containers). Actions of services that
//! Lazaret does not have are left out.
//!
//! Rights to what a registry holds go by two sets of names: actions of the registry (`AcrPull` and its
//! like, and whoever may do everything), and data actions of its repositories, which conditions can narrow.

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
/// Makes and changes role assignments, and reads everything.
pub const RBAC_ADMINISTRATOR: Uuid = Uuid::from_u128(0xf583_10d9_a9f6_439a_9e8d_f62e_7b41_a168);
/// Writes assessments.
pub const SECURITY_ASSESSMENT_CONTRIBUTOR: Uuid = Uuid::from_u128(0x612c_2aa1_cb24_443b_ac28_3ab7_272d_e6f5);
/// Signs.
pub const ACR_IMAGE_SIGNER: Uuid = Uuid::from_u128(0x6cef_56e8_d556_48e5_a04f_b8e6_4114_680f);
/// Pulls, where a condition says.
pub const REPOSITORY_READER: Uuid = Uuid::from_u128(0xb93a_a761_3e63_49ed_ac28_beff_a264_f7ac);
/// Pulls and pushes, where a condition says.
pub const REPOSITORY_WRITER: Uuid = Uuid::from_u128(0x2a1e_307c_b015_4ebd_883e_5b76_98a0_7328);
/// Pulls, pushes and deletes, where a condition says.
pub const REPOSITORY_CONTRIBUTOR: Uuid = Uuid::from_u128(0x2efd_daa5_3f1f_4df3_97df_af3f_1381_8f4c);
/// Lists the names of all repositories.
pub const CATALOG_LISTER: Uuid = Uuid::from_u128(0xbfdb_9389_c9a5_478a_bb2f_ba9c_a092_c3c7);

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
    /// What it is for.
    pub description: &'static str,
    /// What it allows; `*` stands for anything.
    pub actions: &'static [&'static str],
    /// What it allows nevertheless not.
    pub not_actions: &'static [&'static str],
    /// What it allows with what a registry holds, by the names of its repositories.
    pub data_actions: &'static [&'static str],
}

impl Role {
    fn allows(&self, action: Action) -> bool {
        let matches = |patterns: &[&str], name| patterns.iter().any(|pattern| is_match(pattern, name));
        // Azure's wildcards of actions do not reach its data actions; to do everything does.
        let is_reached = !action.is_on_data() || self.actions.contains(&"*");
        let is_action =
            is_reached && matches(self.actions, action.name()) && !matches(self.not_actions, action.name());
        is_action || action.data_name().is_some_and(|name| matches(self.data_actions, name))
    }

    /// True if it names repositories' data actions and nothing else: what a condition can narrow.
    #[must_use]
    pub fn is_conditional(&self) -> bool {
        let is_one = |name: &&str| name.starts_with(REPOSITORIES);
        self.actions.is_empty() && !self.data_actions.is_empty() && self.data_actions.iter().all(is_one)
    }
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

const NOTHING: Role =
    Role { id: Uuid::nil(), name: "", description: "", actions: &[], not_actions: &[], data_actions: &[] };

/// Every built-in role.
pub const ROLES: [Role; ROLE_COUNT] = [
    Role {
        id: OWNER,
        name: "Owner",
        description: "Everything, giving roles included.",
        actions: &["*"],
        ..NOTHING
    },
    Role {
        id: CONTRIBUTOR,
        name: "Contributor",
        description: "Everything but giving roles.",
        actions: &["*"],
        not_actions: &[
            "Microsoft.Authorization/*/Delete",
            "Microsoft.Authorization/*/Write",
            "Microsoft.Authorization/elevateAccess/Action",
        ],
        ..NOTHING
    },
    Role {
        id: READER,
        name: "Reader",
        description: "Reads everything, images included.",
        actions: &["*/read"],
        ..NOTHING
    },
    Role {
        id: USER_ACCESS_ADMINISTRATOR,
        name: "User Access Administrator",
        description: "Gives roles, and reads everything.",
        actions: &["*/read", "Microsoft.Authorization/*"],
        ..NOTHING
    },
    Role {
        id: RBAC_ADMINISTRATOR,
        name: "Role Based Access Control Administrator",
        description: "Gives roles, and reads everything.",
        actions: &[
            "*/read",
            "Microsoft.Authorization/roleAssignments/write",
            "Microsoft.Authorization/roleAssignments/delete",
        ],
        ..NOTHING
    },
    Role {
        id: SECURITY_READER,
        name: "Security Reader",
        description: "Reads what concerns security.",
        actions: &[
            "Microsoft.Authorization/*/read",
            "Microsoft.Resources/subscriptions/resourceGroups/read",
            "Microsoft.Security/*/read",
        ],
        ..NOTHING
    },
    Role {
        id: SECURITY_ADMIN,
        name: "Security Admin",
        description: "Reads and changes what concerns security.",
        actions: &[
            "Microsoft.Authorization/*/read",
            "Microsoft.Resources/subscriptions/resourceGroups/read",
            "Microsoft.Security/*",
        ],
        ..NOTHING
    },
    Role {
        id: SECURITY_ASSESSMENT_CONTRIBUTOR,
        name: "Security Assessment Contributor",
        description: "Writes assessments.",
        actions: &["Microsoft.Security/assessments/write"],
        ..NOTHING
    },
    Role {
        id: ACR_PULL,
        name: "AcrPull",
        description: "Pulls from a registry.",
        actions: &["Microsoft.ContainerRegistry/registries/pull/read"],
        ..NOTHING
    },
    Role {
        id: ACR_PUSH,
        name: "AcrPush",
        description: "Pulls from a registry and pushes to it.",
        actions: &[
            "Microsoft.ContainerRegistry/registries/pull/read",
            "Microsoft.ContainerRegistry/registries/push/write",
        ],
        ..NOTHING
    },
    Role {
        id: ACR_DELETE,
        name: "AcrDelete",
        description: "Deletes repositories, tags and manifests.",
        actions: &["Microsoft.ContainerRegistry/registries/artifacts/delete"],
        ..NOTHING
    },
    Role {
        id: ACR_IMAGE_SIGNER,
        name: "AcrImageSigner",
        description: "Signs for content trust.",
        actions: &["Microsoft.ContainerRegistry/registries/sign/write"],
        data_actions: &["Microsoft.ContainerRegistry/registries/trustedCollections/write"],
        ..NOTHING
    },
    Role {
        id: REPOSITORY_READER,
        name: "Container Registry Repository Reader",
        description: "Pulls from repositories; does not list them.",
        data_actions: &[
            "Microsoft.ContainerRegistry/registries/repositories/metadata/read",
            "Microsoft.ContainerRegistry/registries/repositories/content/read",
        ],
        ..NOTHING
    },
    Role {
        id: REPOSITORY_WRITER,
        name: "Container Registry Repository Writer",
        description: "Pulls from repositories and pushes to them; does not list them.",
        data_actions: &[
            "Microsoft.ContainerRegistry/registries/repositories/metadata/read",
            "Microsoft.ContainerRegistry/registries/repositories/content/read",
            "Microsoft.ContainerRegistry/registries/repositories/metadata/write",
            "Microsoft.ContainerRegistry/registries/repositories/content/write",
        ],
        ..NOTHING
    },
    Role {
        id: REPOSITORY_CONTRIBUTOR,
        name: "Container Registry Repository Contributor",
        description: "Pulls, pushes and deletes in repositories; does not list them.",
        data_actions: &[
            "Microsoft.ContainerRegistry/registries/repositories/metadata/read",
            "Microsoft.ContainerRegistry/registries/repositories/content/read",
            "Microsoft.ContainerRegistry/registries/repositories/metadata/write",
            "Microsoft.ContainerRegistry/registries/repositories/content/write",
            "Microsoft.ContainerRegistry/registries/repositories/metadata/delete",
            "Microsoft.ContainerRegistry/registries/repositories/content/delete",
        ],
        ..NOTHING
    },
    Role {
        id: CATALOG_LISTER,
        name: "Container Registry Repository Catalog Lister",
        description: "Lists the names of all repositories.",
        data_actions: &["Microsoft.ContainerRegistry/registries/catalog/read"],
        ..NOTHING
    },
    Role {
        id: ACR_QUARANTINE_READER,
        name: "AcrQuarantineReader",
        description: "Pulls what is in quarantine, and what a gate blocks.",
        actions: &["Microsoft.ContainerRegistry/registries/quarantine/read"],
        data_actions: &["Microsoft.ContainerRegistry/registries/quarantinedArtifacts/read"],
        ..NOTHING
    },
    Role {
        id: ACR_QUARANTINE_WRITER,
        name: "AcrQuarantineWriter",
        description: "Pulls what is in quarantine, and lets it out.",
        actions: &[
            "Microsoft.ContainerRegistry/registries/quarantine/read",
            "Microsoft.ContainerRegistry/registries/quarantine/write",
        ],
        data_actions: &[
            "Microsoft.ContainerRegistry/registries/quarantinedArtifacts/read",
            "Microsoft.ContainerRegistry/registries/quarantinedArtifacts/write",
        ],
        ..NOTHING
    },
];

/// True if the role allows the action. An unknown role allows nothing.
pub(crate) fn allows(role: Uuid, action: Action) -> bool {
    ROLES.iter().any(|known| known.id == role && known.allows(action))
}

/// `*` stands for anything, slashes included; case does not matter.
pub(crate) fn is_match(pattern: &str, action: &str) -> bool {
    let (pattern, action) = (pattern.as_bytes(), action.as_bytes());
    let (mut at, mut star, mut here) = (0, None, 0);
    while here < action.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, here));
                at += 1;
            }
            Some(byte) if byte.eq_ignore_ascii_case(&action[here]) => {
                at += 1;
                here += 1;
            }
            // The last star takes one more.
            _ => match star {
                Some((star_at, taken)) => {
                    star = Some((star_at, taken + 1));
                    (at, here) = (star_at + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// What the data actions of repositories begin with.
const REPOSITORIES: &str = "Microsoft.ContainerRegistry/registries/repositories/";

const ROLE_COUNT: usize = 18;

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
