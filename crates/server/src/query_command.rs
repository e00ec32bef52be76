//! `lazaret query`: Resource Graph's language over the database, without HTTP.

use std::io::Read as _;

use metastore::{Metastore, SavedQuery};
use query_api::{Hosts, Tables, Viewer};
use serde_json::{Map, Value};

use crate::cli::{QueryArgs, QueryFormat};
use crate::data::DataFolder;
use crate::output::say;
use crate::table::{table, time};
use crate::{Failure, now_ms};

pub(crate) async fn run(arguments: QueryArgs) -> Result<(), Failure> {
    let metastore = DataFolder::existing(&arguments.data.path)?.current_rows().await?;
    if arguments.list {
        return list(&metastore).await;
    }
    let text = match (&arguments.text, &arguments.saved) {
        (Some(text), _) if text == "-" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            text
        }
        (Some(text), _) => text.clone(),
        (None, name) => saved(&metastore, name.as_deref().unwrap_or_default()).await?,
    };
    if let Some(name) = &arguments.save {
        kql::parse(&text)?;
        save(&metastore, name, &text).await?;
    }
    let tenant = metastore.tenant().await?.ok_or("the server was never started: there is nothing to ask")?;
    let names = arguments.display_names.into();
    let hosts = Hosts { login_server: arguments.login_server.clone(), domain: arguments.domain.clone() };
    let tables = Tables::new(metastore, tenant, hosts, names);
    let view = tables.view(Viewer::Administrator, None).await?;
    let answer = query_api::run(&text, &view, now_ms())?;
    let shown = match arguments.format {
        QueryFormat::Csv => query_api::csv(&answer),
        QueryFormat::Json => {
            let rows: Vec<Value> = (0..answer.rows).map(|row| object(&answer, row)).collect();
            serde_json::to_string_pretty(&rows)? + "\n"
        }
        QueryFormat::Table => {
            let header: Vec<String> =
                answer.columns.iter().map(|column| column.name.to_uppercase()).collect();
            let header: Vec<&str> = header.iter().map(String::as_str).collect();
            let mut rows = table(&header);
            for row in 0..answer.rows {
                rows.add_row(answer.row(row).iter().map(kql::Value::to_text));
            }
            format!("{rows}\n{} rows\n", answer.rows)
        }
    };
    match &arguments.output {
        Some(path) => std::fs::write(path, shown)
            .map_err(|error| format!("{} cannot be written: {error}", path.display()))?,
        None => say!("{}", shown.trim_end_matches('\n')),
    }
    Ok(())
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
