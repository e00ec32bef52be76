//! The generations of Azure's results: one finding is shown in each, under the key of each.

/// A generation of sub-assessments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// `ContainerRegistryVulnerability`, of 2020.
    Of2020,
    /// `AzureContainerRegistryVulnerability`, of 2023.
    Of2023,
    /// The same under a key of 2024 whose assessments are on images.
    Of2024,
}

/// Which names assessments go by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Names {
    /// Our own: *powered by Lazaret*.
    #[default]
    Own,
    /// Azure's: the newest of each that published queries look for.
    Azure,
    /// Azure's oldest, for tools that compare with them.
    Historic,
}

impl Form {
    /// All, the older first.
    pub const ALL: [Self; 3] = [Self::Of2020, Self::Of2023, Self::Of2024];

    /// Those whose assessments are on registries.
    pub const ON_REGISTRIES: [Self; 2] = [Self::Of2020, Self::Of2023];

    /// The assessment's key.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Of2020 => "dbd0cb49-b563-45e7-9724-889e799fa648",
            Self::Of2023 => "c0b7cfc6-3172-465a-b378-53c7ff2cc0d5",
            Self::Of2024 => "33422d8f-ab1e-42be-bc9a-38685bb567b9",
        }
    }

    /// The form under that key, in any case.
    #[must_use]
    pub fn of_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.key().eq_ignore_ascii_case(key))
    }

    /// What Azure has called the assessment over the years, the newest name first. Queries look for these texts.
    #[must_use]
    pub fn azures_names(self) -> &'static [&'static str] {
        match self {
            Self::Of2020 => &[
                "Azure registry container images should have vulnerabilities resolved (powered by Qualys)",
                "Container registry images should have vulnerability findings resolved (powered by Qualys)",
                "Vulnerabilities in Azure Container Registry images should be remediated (powered by Qualys)",
            ],
            Self::Of2023 => &[
                "Azure registry container images should have vulnerabilities resolved (powered by Microsoft Defender \
                 Vulnerability Management)",
                "Azure registry container images should have vulnerabilities resolved (powered by MDVM)",
                "Container registry images should have vulnerability findings resolved (powered by Microsoft Defender \
                 Vulnerability Management)",
            ],
            Self::Of2024 => &[
                "Container images in Azure registry should have vulnerability findings resolved",
                "[Preview] Container images in Azure registry should have vulnerability findings resolved",
            ],
        }
    }

    /// What the assessment is called.
    #[must_use]
    pub fn display_name(self, names: Names) -> &'static str {
        match (self, names) {
            (Self::Of2020, Names::Own) => {
                "Container registry images should have vulnerability findings resolved (powered by Lazaret)"
            }
            (Self::Of2023, Names::Own) => {
                "Azure registry container images should have vulnerabilities resolved (powered by Lazaret)"
            }
            (Self::Of2024, Names::Own) => {
                "Container images in Azure registry should have vulnerability findings resolved (powered by Lazaret)"
            }
            (Self::Of2020, Names::Azure) => {
                "Container registry images should have vulnerability findings resolved (powered by Qualys)"
            }
            (Self::Of2023, Names::Azure) => {
                "Azure registry container images should have vulnerabilities resolved (powered by Microsoft Defender \
                 Vulnerability Management)"
            }
            (Self::Of2024, Names::Azure) => {
                "Container images in Azure registry should have vulnerability findings resolved"
            }
            (Self::Of2024, Names::Historic) => {
                "[Preview] Container images in Azure registry should have vulnerability findings resolved"
            }
            (Self::Of2020, Names::Historic) => {
                "Vulnerabilities in Azure Container Registry images should be remediated (powered by Qualys)"
            }
            (Self::Of2023, Names::Historic) => {
                "Azure registry container images should have vulnerabilities resolved (powered by Microsoft Defender \
                 Vulnerability Management)"
            }
        }
    }
}
