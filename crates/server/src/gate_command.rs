//! `lazaret gate`: what images must be to be pulled, and what is let through all the same.

use std::process::ExitCode;

use assessment::{Gate, GateExemption, Ruling};
use clap::{Args, Subcommand};
use metastore::Metastore;
use oci::Digest;
use serde_json::{Value, json};

use crate::cli::{Format, PlaceArgs};
use crate::output::say;
use crate::policy_args::{ImagePolicyArgs, threshold_word, word};
use crate::table::{table, time};
use crate::target::Target;
use crate::{Failure, now_ms};

#[derive(Debug, Subcommand)]
pub(crate) enum GateCommand {
    /// Make or replace a gate: images must pass every gate that guards their repository. A running server
    /// follows within a second.
    Set {
        /// The gate's name.
        name: String,
        /// The repositories that it guards; `*` stands for any characters.
        #[arg(long, value_name = "PATTERN", default_value = "*", value_parser = crate::target::repository_pattern)]
        repositories: String,
        #[command(flatten)]
        policy: ImagePolicyArgs,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Show the gates and the exemptions.
    Show {
        #[command(flatten)]
        place: PlaceArgs,
        /// How the answer is printed.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Remove a gate.
    Remove {
        /// The gate's name.
        name: String,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Let something through every gate: every condition that is given must hold.
    Exempt {
        /// The exemption's name.
        name: String,
        #[command(flatten)]
        exemption: ExemptArgs,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Take an exemption back.
    Unexempt {
        /// The exemption's name.
        name: String,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Say what the gates say of an image now. Exits with 3 if it is blocked.
    Check {
        /// `REPOSITORY:TAG` or `REPOSITORY@DIGEST`.
        target: Target,
        #[command(flatten)]
        place: PlaceArgs,
    },
}

/// What is exempt.
#[derive(Clone, Debug, Args)]
pub(crate) struct ExemptArgs {
    /// Why, for whoever asks later.
    #[arg(long)]
    reason: String,
    /// In these repositories; `*` stands for any characters.
    #[arg(long, value_name = "PATTERN", default_value = "*", value_parser = crate::target::repository_pattern)]
    repositories: String,
    /// Images with a tag of this pattern.
    #[arg(long, value_name = "PATTERN")]
    tags: Option<String>,
    /// The image, or all images of the index, of this digest.
    #[arg(long)]
    digest: Option<Digest>,
    /// This finding alone, by its id or an alias: `CVE-2024-5535`.
    #[arg(long, value_name = "ID")]
    advisory: Option<String>,
    /// For so long; without it until it is taken back.
    #[arg(long)]
    days: Option<u32>,
}

pub(crate) async fn run(command: GateCommand) -> Result<ExitCode, Failure> {
    let (GateCommand::Set { place, .. }
    | GateCommand::Show { place, .. }
    | GateCommand::Remove { place, .. }
    | GateCommand::Exempt { place, .. }
    | GateCommand::Unexempt { place, .. }
    | GateCommand::Check { place, .. }) = &command;
    let (metastore, registry) = place.open().await?;
    let registry = registry.id;
    match command {
        GateCommand::Set { name, repositories, policy, .. } => {
            check(&[&name, &repositories])?;
            let gate = Gate { name: name.clone(), repositories, policy: policy.settle() };
            metastore.put_gate(registry, gate).await?;
            say!("gate {name} is set; `lazaret gate check IMAGE` says what it says of an image");
        }
        GateCommand::Show { format, .. } => show(&metastore, registry, format).await?,
        GateCommand::Remove { name, .. } => {
            if !metastore.delete_gate(registry, &name).await? {
                return Err(format!("there is no gate {name}: `lazaret gate show` shows them").into());
            }
            say!("gate {name} is removed");
        }
        GateCommand::Exempt { name, exemption, .. } => {
            let exemption = settled(name, exemption)?;
            say!("exemption {} holds from now on", exemption.name);
            metastore.put_exemption(registry, exemption).await?;
        }
        GateCommand::Unexempt { name, .. } => {
            if !metastore.delete_exemption(registry, &name).await? {
                return Err(format!("there is no exemption {name}: `lazaret gate show` shows them").into());
            }
            say!("exemption {name} is taken back");
        }
        GateCommand::Check { target, .. } => {
            let Target { repository, reference } = target;
            let reference = reference.ok_or("name an image: REPOSITORY:TAG or REPOSITORY@DIGEST")?;
            let found = metastore.pulled(registry, &repository, &reference).await?;
            let found = found.ok_or_else(|| format!("there is no {reference} in {repository}"))?;
            if found.is_quarantined {
                say!("blocked: it is in quarantine");
                return Ok(ExitCode::from(BLOCKED));
            }
            match found.rule(&repository, now_ms()) {
                Ruling::Block(sentence) => {
                    say!("blocked: {sentence}");
                    return Ok(ExitCode::from(BLOCKED));
                }
                Ruling::Pass(Some(sentence)) => say!("passes: {sentence}"),
                Ruling::Pass(None) => say!("passes"),
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn settled(name: String, arguments: ExemptArgs) -> Result<GateExemption, Failure> {
    let ExemptArgs { reason, repositories, tags, digest, advisory, days } = arguments;
    check(&[&name, &repositories, &reason])?;
    check(&tags.iter().chain(&advisory).collect::<Vec<_>>())?;
    if tags.is_none() && digest.is_none() && advisory.is_none() && repositories == "*" {
        return Err(
            "this would let everything through: name --repositories, --tags, --digest or --advisory, or \
                    remove the gate"
                .into(),
        );
    }
    let expires_ms = days.map(|days| now_ms().saturating_add(i64::from(days).saturating_mul(DAY_MS)));
    Ok(GateExemption { name, repositories, tags, digest, advisory, reason, expires_ms })
}

async fn show(metastore: &Metastore, registry: metastore::RegistryId, format: Format) -> Result<(), Failure> {
    let gates = metastore.gates(registry).await?;
    if format == Format::Json {
        let policies: Vec<Value> = gates
            .gates
            .iter()
            .map(
                |gate| json!({ "name": gate.name, "repositories": gate.repositories, "policy": gate.policy }),
            )
            .collect();
        let exemptions: Vec<Value> = gates.exemptions.iter().map(document).collect();
        say!("{}", serde_json::to_string_pretty(&json!({ "gates": policies, "exemptions": exemptions }))?);
        return Ok(());
    }
    let mut rows = table(&["GATE", "REPOSITORIES", "REFUSES", "UNVERIFIED", "PENDING"]);
    for gate in &gates.gates {
        let policy = &gate.policy;
        let (unverified, pending) =
            (word(policy.unverified), word(policy.pending.unwrap_or(policy.unverified)));
        rows.add_row([&gate.name, &gate.repositories, &threshold_word(policy), unverified, pending]);
    }
    if gates.gates.is_empty() {
        say!("there is no gate: every image may be pulled, with a warning that says what it has");
    } else {
        say!("{rows}");
    }
    let mut rows = table(&["EXEMPTION", "REPOSITORIES", "TAGS", "DIGEST", "FINDING", "UNTIL", "REASON"]);
    for exemption in &gates.exemptions {
        let shown = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let until = exemption
            .expires_ms
            .map(|end_ms| if end_ms > now_ms() { time(end_ms) } else { format!("{} (over)", time(end_ms)) });
        rows.add_row([
            exemption.name.clone(),
            exemption.repositories.clone(),
            shown(exemption.tags.clone()),
            shown(exemption.digest.as_ref().map(crate::table::short)),
            shown(exemption.advisory.clone()),
            shown(until),
            exemption.reason.clone(),
        ]);
    }
    if !gates.exemptions.is_empty() {
        say!("{rows}");
    }
    Ok(())
}

fn document(exemption: &GateExemption) -> Value {
    json!({
        "name": exemption.name,
        "repositories": exemption.repositories,
        "tags": exemption.tags,
        "digest": exemption.digest,
        "advisory": exemption.advisory,
        "reason": exemption.reason,
        "expires": exemption.expires_ms.map(time),
    })
}

fn check(texts: &[&String]) -> Result<(), Failure> {
    if texts.iter().any(|text| text.is_empty() || text.len() > TEXT_MAX) {
        return Err(format!("names, patterns and reasons have 1 to {TEXT_MAX} bytes").into());
    }
    Ok(())
}

/// As `lazaret scan --fail-on` has it.
const BLOCKED: u8 = 3;

const TEXT_MAX: usize = 255;

const DAY_MS: i64 = 86_400_000;
