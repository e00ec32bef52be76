//! What the log says of commands.

use std::collections::BTreeSet;

use reqwest::Method;

use crate::house::{House, LAZARET, made};

/// Commands that change no row that people made, and why.
const UNTOLD_COMMANDS: [(&str, &str); 8] = [
    ("webhook-ping", "sends, and changes nothing"),
    ("completion", "prints"),
    ("man", "writes pages, not to the data folder"),
    ("serve", "the server itself"),
    ("fsck", "mends what the disk broke"),
    ("feeds-update", "asks the internet"),
    ("gate-check", "looks"),
    ("registry-credentials", "tried by requests, too"),
];
const LOOKING: [&str; 7] = ["list", "show", "scan", "usage", "audit", "events", "backup"];

#[tokio::test(flavor = "multi_thread")]
async fn every_changing_command_is_told_with_its_target_and_its_values() {
    let mut house = House::new().await;
    let path = |name: &str| house.folder.path().join(name).to_str().expect("text").to_owned();
    let (tracker, layout, man, password) =
        (path("tracker.json"), path("layout"), path("man"), path("password"));
    let records = r#"{"zlib":{"CVE-1":{"releases":{"bookworm":{"status":"resolved","fixed_version":"2.0","urgency":"high"}}}}}"#;
    std::fs::write(&tracker, records).expect("writes");
    std::fs::write(&password, "hush-upstream").expect("writes");
    made("second").save_layout(layout.as_ref(), "2");
    house.secrets.extend(["hush-upstream", "hush-header", "hush-path"].map(str::to_owned));
    let app = format!("app@{}", made("first").digest());
    let own = house.subscription.clone();
    let steps: Vec<(&str, &[&str])> = vec![
        ("feeds import TRACKER", &["made feed ", "records: nothing -> 1"]),
        ("import LAYOUT --to copied:2", &["made tag copied:2 lazaret", "made manifest copied@sha256:"]),
        (
            "principal create ann --role AcrPull",
            &["made principal ann (", "made role assignment ann (", "role: nothing -> AcrPull (7f951dda"],
        ),
        ("principal rotate ann", &["secret of a principal", "ann"]),
        (
            "principal secret add ann --name spare",
            &[
                "lazaret principal secret add ann",
                "made secret of a principal spare (",
                "secret: nothing -> (hidden)",
            ],
        ),
        (
            "principal secret remove ann KEY",
            &["removed secret of a principal spare (", "secret: (hidden) -> nothing"],
        ),
        (
            "role assign ann AcrPush --repository team",
            &["made role assignment ann (", "role: nothing -> AcrPush (", "/repositories/team"],
        ),
        (
            "role remove ann AcrPush --repository team",
            &["removed role assignment ann (", "role: AcrPush (", "/repositories/team -> nothing"],
        ),
        ("principal set ann --kind person", &["changed principal ann (", "kind: program -> person"]),
        (
            "principal delete ann",
            &["removed principal ann (", "removed role assignment ann (", "role: AcrPull ("],
        ),
        ("subscription create second", &["made subscription second (", "made plan "]),
        ("subscription rename second other", &["changed subscription", "displayName: second -> other"]),
        ("subscription disable other", &["changed subscription other (", "isDisabled: false -> true"]),
        ("subscription enable other", &["changed subscription other (", "isDisabled: true -> false"]),
        ("subscription create third", &["made subscription third ("]),
        ("subscription delete third", &["removed subscription third (", "removed plan "]),
        ("group create red --subscription other", &["made resource group red", "location: nothing -> local"]),
        ("group delete red --subscription other", &["removed resource group red"]),
        ("plan off --subscription other", &["changed plan ", "tier: Standard -> Free"]),
        ("plan on --subscription other", &["changed plan ", "tier: Free -> Standard"]),
        ("registry create another --subscription OWN", &["made registry another"]),
        (
            "registry set another --anonymous-pull true",
            &["changed registry another", "anonymousPull: false -> true"],
        ),
        ("registry delete another", &["changed registry another", "isDeleted: false -> true"]),
        ("registry restore another", &["changed registry another", "isDeleted: true -> false"]),
        ("registry delete another", &["isDeleted: false -> true"]),
        ("registry purge another", &["removed registry another"]),
        (
            "registry set lazaret --quota-bytes 5000000000",
            &["changed registry lazaret", "quotaBytes: nothing -> 5000000000"],
        ),
        (
            "lock set copied:2 --write-enabled false",
            &["changed tag copied:2 lazaret", "locks: nothing -> write"],
        ),
        ("lock set copied:2 --write-enabled true", &["locks: write -> nothing"]),
        (
            "lock immutable set releases --tags v*",
            &["made immutable tags releases lazaret", "tags: nothing -> v*"],
        ),
        (
            "lock immutable set releases --tags w*",
            &["changed immutable tags releases lazaret", "tags: v* -> w*"],
        ),
        ("lock immutable remove releases", &["removed immutable tags releases lazaret"]),
        ("gate set strict --severity high", &["made gate strict lazaret", "policy: nothing -> "]),
        ("gate set strict --severity low", &["changed gate strict lazaret", "policy: "]),
        (
            "gate exempt later --reason old --tags x*",
            &["made exemption from gates later lazaret", "reason: nothing -> old"],
        ),
        (
            "gate exempt later --reason new --tags x*",
            &["changed exemption from gates later lazaret", "reason: old -> new"],
        ),
        ("gate unexempt later", &["removed exemption from gates later lazaret"]),
        ("gate remove strict", &["removed gate strict lazaret"]),
        (
            "rule create accepted --advisory CVE-9 --reason because",
            &["made rule accepted", "reason: nothing -> because", "CVE-9"],
        ),
        ("rule delete accepted", &["removed rule accepted", "reason: because -> nothing"]),
        (
            "scope-map set team-map --action repositories/app/content/read",
            &["made scope map team-map lazaret", "repositories/app/content/read"],
        ),
        (
            "token create robot --scope-map team-map",
            &["made token robot lazaret", "scopeMap: nothing -> team-map", "password: nothing -> (hidden)"],
        ),
        ("token set robot --enabled false", &["changed token robot lazaret", "isEnabled: true -> false"]),
        (
            "token rotate robot",
            &["changed password of a token password1 robot", "password: (hidden) -> (hidden)"],
        ),
        ("token delete robot", &["removed token robot lazaret"]),
        ("scope-map delete team-map", &["removed scope map team-map lazaret"]),
        (
            "webhook create hooked --url https://192.0.2.1/hush-path --header X-Key=hush-header",
            &[
                "made webhook hooked lazaret",
                "serviceUri: nothing -> https://192.0.2.1/…",
                "customHeaders: nothing -> (hidden)",
                "secret: nothing -> (hidden)",
            ],
        ),
        (
            "webhook set hooked --rotate-secret --enabled false",
            &["changed webhook hooked lazaret", "secret: (hidden) -> (hidden)", "isEnabled: true -> false"],
        ),
        ("webhook set hooked --enabled true", &["isEnabled: false -> true"]),
        ("webhook delete hooked", &["removed webhook hooked lazaret"]),
        (
            "cache credential set hub --host docker.io --username who --password-file PASSWORD",
            &[
                "made credential set hub lazaret",
                "host: nothing -> ",
                "username: nothing -> who",
                "secret: nothing -> (hidden)",
            ],
        ),
        (
            "cache create hub-rule --upstream docker.io/library --repository hub/* --credential hub",
            &["made cache rule hub-rule lazaret", "credential: nothing -> hub"],
        ),
        ("cache delete hub-rule", &["removed cache rule hub-rule lazaret"]),
        (
            "cache credential delete hub",
            &["removed credential set hub lazaret", "secret: (hidden) -> nothing"],
        ),
        (
            "cluster create prod --url https://reg.example --subscription OWN",
            &["made cluster prod {subscription}", "token: nothing -> (hidden)"],
        ),
        ("cluster set prod --severity low", &["changed cluster prod", "policy: "]),
        (
            "cluster rotate prod --url https://reg.example",
            &["changed cluster prod", "token: (hidden) -> (hidden)"],
        ),
        ("cluster delete prod", &["removed cluster prod"]),
        ("query --save mine resources", &["made saved query mine", "query: nothing -> resources"]),
        (
            "retention set old --tags x* --older-than-days 1",
            &["made retention rule old lazaret", "olderThanDays: nothing -> 1"],
        ),
        (
            "retention set old --tags x* --older-than-days 2",
            &["changed retention rule old lazaret", "olderThanDays: 1 -> 2"],
        ),
        ("purge", &["lazaret purge"]),
        ("retention remove old", &["removed retention rule old lazaret"]),
        ("upload cancel --all", &["lazaret upload cancel", "removed upload "]),
        ("registry set lazaret --soft-delete true", &["softDelete: false -> true"]),
    ];
    let begun = house.admin.request(Method::POST, "/v2/app/blobs/uploads/").send().await.expect("answers");
    assert_eq!(begun.status(), 202);
    let (mut done, mut key) = (BTreeSet::from(["deleted-restore".to_owned()]), String::new());
    for (command, wanted) in &steps {
        let word = |word: &'static str| match word {
            "TRACKER" => &tracker,
            "LAYOUT" => &layout,
            "PASSWORD" => &password,
            "KEY" => &key,
            "OWN" => &own,
            word => word,
        };
        let words: Vec<&str> = command.split(' ').map(word).collect();
        let shown = house.does(&words, wanted);
        if command.starts_with("principal secret add") {
            let line = shown.lines().find(|line| line.starts_with("key ")).expect("a key");
            key = line.split_whitespace().nth(1).expect("a key").to_owned();
        }
        done.insert(command.split(' ').collect::<Vec<_>>().join("-"));
    }
    let path = app.replacen("app@", "/v2/app/manifests/", 1);
    assert_eq!(house.admin.request(Method::DELETE, &path).send().await.expect("answers").status(), 202);
    house.does(
        &["deleted", "restore", &app],
        &["made manifest app@sha256:", "made tag app:1 lazaret", "removed deleted manifest"],
    );
    // One that fails before it changed anything is not told.
    let refused = house.server.command(&["role", "assign", "nobody", "AcrPull"]);
    assert!(!refused.status.success() && house.newest().starts_with("lazaret deleted restore"));

    let written = std::process::Command::new(LAZARET).args(["man", &man]).output().expect("starts");
    assert!(written.status.success());
    let pages = std::fs::read_dir(&man).expect("reads").map(|page| page.expect("a page").file_name());
    let pages: Vec<String> = pages.map(|name| name.to_string_lossy().into_owned()).collect();
    let commands: Vec<&str> = pages
        .iter()
        .filter_map(|page| page.strip_prefix("lazaret-").and_then(|page| page.strip_suffix(".1")))
        .collect();
    assert!(commands.len() > 60, "{commands:?}");
    let is_group = |name: &str| commands.iter().any(|other| other.starts_with(&format!("{name}-")));
    let missing: Vec<&&str> = commands
        .iter()
        .filter(|name| !is_group(name) && !done.iter().any(|done| done.starts_with(**name)))
        .filter(|name| !UNTOLD_COMMANDS.iter().any(|(known, _)| known == *name))
        .filter(|name| !LOOKING.contains(&name.rsplit('-').next().unwrap_or_default()))
        .collect();
    assert!(missing.is_empty(), "commands that nothing tries here: {missing:?}");
    house.keeps_quiet();
}
