//! `lazaret query`: Resource Graph's language, answered by the server that runs, or from the database.

use std::io::Read as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use metastore::{Metastore, SavedQuery};
use query_api::{Hosts, Tables, Viewer};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::cli::DataArgs;
use crate::data::DataFolder;
use crate::local::{self, Question};
use crate::output::say;
use crate::settings::{DisplayNames, Told};
use crate::table::{counted, table, time};
use crate::{Failure, now_ms};

#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    /// The query; `-` reads it from the standard input.
    #[arg(required_unless_present_any = ["saved", "list"])]
    pub(crate) text: Option<String>,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// How the answer is printed.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: QueryFormat,
    /// Write the answer to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Run the saved query of that name.
    #[arg(long, value_name = "NAME", conflicts_with = "text")]
    pub(crate) saved: Option<String>,
    /// Save the query under that name, in the default resource group, and run it.
    #[arg(long, value_name = "NAME", requires = "text")]
    pub(crate) save: Option<String>,
    /// List the saved queries.
    #[arg(long, conflicts_with_all = ["text", "saved", "save"])]
    pub(crate) list: bool,
    /// What assessments are called, if not as the server was told. The server is not asked then.
    #[arg(long, value_name = "WHICH")]
    pub(crate) display_names: Option<DisplayNames>,
}

/// How an answer is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum QueryFormat {
    #[default]
    Table,
    Json,
    Csv,
}

pub(crate) async fn run(arguments: QueryArgs) -> Result<(), Failure> {
    let data = DataFolder::existing(&arguments.data.path)?;
    if arguments.list {
        return list(&data.metastore()?).await;
    }
    let text = match (&arguments.text, &arguments.saved) {
        (Some(text), _) if text == "-" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            text
        }
        (Some(text), _) => text.clone(),
        (None, name) => saved(&data.metastore()?, name.as_deref().unwrap_or_default()).await?,
    };
    if let Some(name) = &arguments.save {
        kql::parse(&text)?;
        save(&data.metastore()?, name, &text).await?;
    }
    let format = arguments.format;
    // A server that runs has the tables at hand; without one they are made for this one query.
    let asked = match arguments.display_names {
        None => local::ask(&data, &Question::Query { text: text.clone(), format }).await?,
        Some(_) => None,
    };
    let shown = match asked {
        Some(shown) => shown,
        None => Shown::new(&answer(&data, &text, arguments.display_names).await?, format)?,
    };
    match &arguments.output {
        Some(path) => std::fs::write(path, shown.into_text())
            .map_err(|error| format!("{} cannot be written: {error}", path.display()))?,
        None => say!("{}", shown.into_text().trim_end_matches('\n')),
    }
    Ok(())
}

/// The answer that a server on the folder would give.
async fn answer(data: &DataFolder, text: &str, names: Option<DisplayNames>) -> Result<kql::Answer, Failure> {
    let metastore = data.current_rows().await?;
    let tenant = metastore.tenant().await?.ok_or("the server was never started: there is nothing to ask")?;
    let told = Told::read(&metastore).await?;
    let hosts = Hosts { login_server: told.login_server.clone(), is_told: true, domain: told.domain.clone() };
    let tables = Tables::new(metastore, tenant, hosts, names.unwrap_or(told.display_names).into());
    let view = tables.view(Viewer::Administrator, None, None).await?;
    Ok(query_api::run(text, &view, now_ms())?)
}

/// An answer as it is shown. A table's lines are broken where it is printed: there the terminal is known.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Shown {
    Table { columns: Vec<String>, rows: Vec<Vec<String>> },
    Text(String),
}

impl Shown {
    pub(crate) fn new(answer: &kql::Answer, format: QueryFormat) -> Result<Self, serde_json::Error> {
        Ok(match format {
            QueryFormat::Csv => Self::Text(query_api::csv(answer)),
            QueryFormat::Json => {
                let rows: Vec<Value> = (0..answer.rows).map(|row| object(answer, row)).collect();
                Self::Text(serde_json::to_string_pretty(&rows)? + "\n")
            }
            QueryFormat::Table => Self::Table {
                columns: answer.columns.iter().map(|column| column.name.to_uppercase()).collect(),
                rows: (0..answer.rows)
                    .map(|row| {
                        answer.row(row).iter().map(|value| kql::Value::to_text(value).to_string()).collect()
                    })
                    .collect(),
            },
        })
    }

    pub(crate) fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Table { columns, rows } => {
                let header: Vec<&str> = columns.iter().map(String::as_str).collect();
                let (mut shown, count) = (table(&header), counted(rows.len(), "row", "rows"));
                shown.add_rows(rows);
                format!("{shown}\n{count}\n")
            }
        }
    }
}

fn object(answer: &kql::Answer, row: usize) -> Value {
    let names = answer.columns.iter().map(|column| column.name.to_string());
    let members: Map<String, Value> = names.zip(answer.row(row).iter().map(kql::Value::to_json)).collect();
    members.into()
}

async fn list(metastore: &Metastore) -> Result<(), Failure> {
    let mut rows = table(&["NAME", "GROUP", "CHANGED", "QUERY"]);
    for saved in metastore.saved_queries(None).await? {
        rows.add_row([saved.name, saved.resource_group, time(saved.changed_ms), saved.query]);
    }
    say!("{rows}");
    Ok(())
}

async fn saved(metastore: &Metastore, name: &str) -> Result<String, Failure> {
    let all = metastore.saved_queries(None).await?;
    let found = all.into_iter().find(|saved| saved.name.eq_ignore_ascii_case(name));
    found
        .map(|saved| saved.query)
        .ok_or_else(|| format!("there is no saved query {name:?}: `lazaret query --list` shows them").into())
}

async fn save(metastore: &Metastore, name: &str, text: &str) -> Result<(), Failure> {
    let registry = metastore.registries().await?.into_iter().next().ok_or("the database has no registry")?;
    let saved = SavedQuery {
        subscription: registry.subscription,
        resource_group: registry.resource_group,
        name: name.to_owned(),
        description: String::new(),
        query: text.to_owned(),
        changed_ms: now_ms(),
    };
    metastore.put_saved_query(saved).await?;
    Ok(())
}
