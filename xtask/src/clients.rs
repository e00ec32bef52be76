//! The server's clients in Python and JavaScript, each set in an environment of its own: they exclude each other.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::run;

/// Makes the environments beneath `target/clients/`; one that has what is asked for stays as it is.
pub(crate) fn set_up() -> Result<(), String> {
    for (name, packages) in ENVIRONMENTS {
        make(name, packages, |folder| {
            run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder))?;
            run(Command::new(folder.join("bin/python"))
                .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
                .args(packages.iter()))
        })?;
    }
    if Command::new("npm").arg("--version").output().is_err() {
        println!(
            "left out: clients in JavaScript: npm is not installed (https://nodejs.org, version 20 or later)"
        );
        return Ok(());
    }
    let (name, packages) = JAVASCRIPT;
    make(name, packages, |folder| {
        run(Command::new("npm")
            .args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"])
            .arg(folder)
            .args(packages))
    })
}

fn make(name: &str, packages: &[&str], install: impl Fn(&Path) -> Result<(), String>) -> Result<(), String> {
    let folder = Path::new("target/clients").join(name);
    let (stamp, wanted) = (folder.join("packages.txt"), packages.join("\n"));
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    install(&folder)?;
    // Last: what was cut off is made anew.
    fs::write(&stamp, wanted).map_err(|error| format!("{}: {error}", stamp.display()))
}

/// What `testkit::clients` finds by this name.
const JAVASCRIPT: (&str, &[&str]) =
    ("azure-js", &["@azure/arm-containerregistry@12.0.0", "@azure/identity@4.13.1"]);

/// What `testkit::python` finds by these names.
const ENVIRONMENTS: [(&str, &[&str]); 9] = [
    (
        "azure",
        &[
            "aiohttp==3.14.5",
            "azure-containerregistry==1.2.0",
            "azure-identity==1.27.0",
            "azure-mgmt-authorization==4.0.0",
            "azure-mgmt-consumption==11.0.0",
            "azure-mgmt-containerregistry==15.0.0",
            "azure-mgmt-resource==26.0.0",
            "azure-mgmt-resource-subscriptions==1.0.0",
            "azure-mgmt-resourcegraph==8.0.1",
            "azure-mgmt-security==7.0.0",
            "requests==2.34.2",
        ],
    ),
    ("acr-preview", &["aiohttp==3.14.5", "azure-identity==1.27.0", "azure-mgmt-containerregistry==15.1.0b3"]),
    (
        "graph-7",
        // It needs six, and does not say so.
        &[
            "aiohttp==3.14.5",
            "azure-identity==1.27.0",
            "azure-mgmt-resourcegraph==7.0.0",
            "requests==2.34.2",
            "six==1.17.0",
        ],
    ),
    (
        "graph-8b",
        &[
            "aiohttp==3.14.5",
            "azure-identity==1.27.0",
            "azure-mgmt-resourcegraph==8.1.0b4",
            "requests==2.34.2",
        ],
    ),
    (
        "security-1",
        // The last two it needs without saying so.
        &[
            "aiohttp==3.14.5",
            "azure-identity==1.27.0",
            "azure-mgmt-security==1.0.0",
            "requests==2.34.2",
            "msrest==0.7.1",
            "six==1.17.0",
        ],
    ),
    (
        "security-8",
        &["aiohttp==3.14.5", "azure-identity==1.27.0", "azure-mgmt-security==8.0.0b2", "requests==2.34.2"],
    ),
    ("az", &["azure-cli==2.91.0"]),
    ("schemathesis", &["schemathesis==4.32.5"]),
    ("oras", &["oras==0.2.43"]),
];
