//! Paths of Microsoft.Security: where something is asked for, and what.

use crate::arm::{Scope, Target, scope};

/// Where results and rules are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// In the management group of that name; there is the tenant's root, which holds everything.
    Everywhere(String),
    /// In a subscription, a group or a registry.
    Within(Scope),
    /// Of the image of that name in a registry.
    Image(Scope, String),
}

impl Reach {
    /// As an ARM id, in the case it was asked for.
    pub(crate) fn id(&self) -> String {
        match self {
            Self::Everywhere(group) => format!("/providers/Microsoft.Management/managementGroups/{group}"),
            Self::Within(scope) => scope.id(),
            Self::Image(scope, image) => format!("{}/{image}", scope.id()),
        }
    }

    /// True if the registry is in it.
    pub(crate) fn holds(&self, registry: &metastore::Registry) -> bool {
        match self {
            Self::Everywhere(_) => true,
            Self::Within(scope) | Self::Image(scope, _) => scope.holds(registry),
        }
    }
}

/// What a path of Microsoft.Security names.
pub(crate) fn security(segments: &[&str], folded: &[&str]) -> Option<Target> {
    match folded {
        ["providers", "microsoft.security", "assessmentmetadata"] => {
            return Some(Target::AssessmentsMetadata(None));
        }
        ["providers", "microsoft.security", "assessmentmetadata", key] => {
            return Some(Target::AssessmentMetadata(None, (*key).to_owned()));
        }
        _ => {}
    }
    let (reach, length) = reach(segments, folded)?;
    let (folded, named) = (folded.get(length..)?, segments.get(length..)?);
    let ["providers", "microsoft.security", rest @ ..] = folded else { return None };
    let name = |at: usize| named.get(2 + at).map(|name| (*name).to_owned());
    Some(match (rest, reach) {
        (["assessments"], reach) => Target::Assessments(reach),
        (["assessments", key], reach) => Target::Assessment(reach, (*key).to_owned()),
        (["assessments", key, "subassessments"], reach) => {
            Target::SubAssessments(reach, Some((*key).to_owned()))
        }
        (["assessments", key, "subassessments", _], reach) => {
            Target::SubAssessment(reach, (*key).to_owned(), name(3)?)
        }
        (["subassessments"], reach) => Target::SubAssessments(reach, None),
        (["findingrules"], reach @ (Reach::Everywhere(_) | Reach::Within(_))) => Target::FindingRules(reach),
        (["findingrules", _], reach @ (Reach::Everywhere(_) | Reach::Within(_))) => {
            Target::FindingRule(reach, name(1)?)
        }
        (["assessmentmetadata"], Reach::Within(scope)) if scope.group.is_none() => {
            Target::AssessmentsMetadata(Some(scope.subscription))
        }
        (["assessmentmetadata", key], Reach::Within(scope)) if scope.group.is_none() => {
            Target::AssessmentMetadata(Some(scope.subscription), (*key).to_owned())
        }
        (["pricings"], Reach::Within(scope)) if has_pricings(&scope) => Target::Pricings(scope),
        (["pricings", _], Reach::Within(scope)) if has_pricings(&scope) => Target::Pricing(scope, name(1)?),
        _ => return None,
    })
}

/// Plans are a subscription's, and a resource's; a group has none.
fn has_pricings(scope: &Scope) -> bool {
    scope.group.is_none() || scope.registry.is_some()
}

/// The reach that a path begins with, and of how many segments it is.
fn reach(segments: &[&str], folded: &[&str]) -> Option<(Reach, usize)> {
    if let ["providers", "microsoft.management", "managementgroups", _, ..] = folded {
        return Some((Reach::Everywhere((*segments.get(3)?).to_owned()), 4));
    }
    let (scope, length) = scope(segments, folded)?;
    match folded.get(length) {
        Some(image) if scope.registry.is_some() && image.starts_with("repositories-") => {
            Some((Reach::Image(scope, (*segments.get(length)?).to_owned()), length + 1))
        }
        _ => Some((Reach::Within(scope), length)),
    }
}
