//! What layers add up to.

use inventory::{
    Distro, Ecosystem, FileContent, ImageInventory, LayerFile, LayerInventory, Package, ProblemKind, Removal,
    SourcePackage, UnjudgedSoftware, coalesce,
};
use oci::Digest;

fn package(ecosystem: Ecosystem, text: &str) -> Package {
    let (name, version) = text.split_once(' ').expect("NAME VERSION");
    let source = SourcePackage { name: name.to_owned(), version: version.to_owned() };
    let (name, version) = (name.to_owned(), version.to_owned());
    Package { ecosystem, name, version, architecture: "amd64".to_owned(), source }
}

fn deb(packages: &[&str]) -> FileContent {
    let packages = packages.iter().map(|text| package(Ecosystem::Deb, text)).collect();
    FileContent::Packages { ecosystem: Ecosystem::Deb, packages }
}

fn apk(packages: &[&str]) -> FileContent {
    let packages = packages.iter().map(|text| package(Ecosystem::Apk, text)).collect();
    FileContent::Packages { ecosystem: Ecosystem::Apk, packages }
}

fn release(id: &str) -> FileContent {
    FileContent::Distro { distro: Distro { id: id.to_owned(), ..Distro::default() } }
}

fn link(target: &str) -> FileContent {
    FileContent::Symlink { target: target.to_owned() }
}

fn layer(files: Vec<(&str, FileContent)>, removals: Vec<Removal>) -> LayerInventory {
    let files =
        files.into_iter().map(|(path, content)| LayerFile { path: path.to_owned(), content }).collect();
    LayerInventory { files, removals, ..LayerInventory::default() }
}

fn gone(path: &str) -> Removal {
    Removal::Path(path.to_owned())
}

fn digest(index: usize) -> Digest {
    Digest::sha256(index.to_string().as_bytes())
}

fn merged(layers: Vec<LayerInventory>) -> ImageInventory {
    let layers: Vec<_> =
        layers.into_iter().enumerate().map(|(index, layer)| (digest(index), layer)).collect();
    coalesce(&layers)
}

/// Each package as `NAME VERSION PATH LAYER`, then each problem.
fn shown(image: &ImageInventory) -> Vec<String> {
    let layer = |of: &Digest| (0..9).find(|index| digest(*index) == *of).expect("one of ours");
    let mut lines: Vec<String> = image
        .packages
        .iter()
        .map(|it| format!("{} {} {} {}", it.package.name, it.package.version, it.path, layer(&it.layer)))
        .collect();
    lines.extend(
        image.problems.iter().map(|it| format!("{:?} {}", it.kind, it.path.as_deref().unwrap_or_default())),
    );
    lines
}

const STATUS: &str = "var/lib/dpkg/status";
const APK: &str = "lib/apk/db/installed";

#[test]
fn the_topmost_database_wins_and_packages_keep_their_first_layer() {
    let image = merged(vec![
        layer(vec![(STATUS, deb(&["a 1", "b 1", "c 1"]))], vec![]),
        layer(vec![(STATUS, deb(&["a 1", "b 2"]))], vec![]),
        layer(vec![], vec![]),
        layer(vec![(STATUS, deb(&["a 1", "b 2", "c 1"]))], vec![]),
    ]);
    assert_eq!(
        shown(&image),
        ["a 1 var/lib/dpkg/status 0", "b 2 var/lib/dpkg/status 1", "c 1 var/lib/dpkg/status 3"]
    );
    assert_eq!(image.databases, [STATUS]);
}

#[test]
fn files_of_a_folder_database_merge_one_by_one() {
    let base = "var/lib/dpkg/status.d/base";
    let image = merged(vec![
        layer(vec![(base, deb(&["base 1"])), ("var/lib/dpkg/status.d/tz", deb(&["tz 1"]))], vec![]),
        layer(vec![(base, deb(&["base 2"])), ("var/lib/dpkg/status.d/ssl", deb(&["ssl 3"]))], vec![]),
        layer(vec![], vec![gone("var/lib/dpkg/status.d/tz")]),
    ]);
    assert_eq!(shown(&image), ["base 2 var/lib/dpkg/status.d/base 1", "ssl 3 var/lib/dpkg/status.d/ssl 1"]);
}

#[test]
fn a_whiteout_hides_the_database_below_and_says_so() {
    for removal in
        [gone(STATUS), gone("var"), Removal::Opaque("var/lib".to_owned()), Removal::Opaque(String::new())]
    {
        let image = merged(vec![layer(vec![(STATUS, deb(&["a 1"]))], vec![]), layer(vec![], vec![removal])]);
        assert_eq!(shown(&image), ["DatabaseRemoved var/lib/dpkg/status"]);
    }
}

#[test]
fn a_whiteout_spares_its_own_layer() {
    let image = merged(vec![
        layer(vec![(STATUS, deb(&["a 1"]))], vec![]),
        layer(vec![(STATUS, deb(&["b 1"]))], vec![Removal::Opaque("var/lib".to_owned())]),
    ]);
    assert_eq!(shown(&image), ["b 1 var/lib/dpkg/status 1"]);
}

#[test]
fn traces_without_a_database_are_a_removed_database() {
    for trace in ["var/lib/dpkg/status-old", "var/lib/dpkg/info/base.list"] {
        let image = merged(vec![layer(vec![(trace, FileContent::Other)], vec![])]);
        assert_eq!(shown(&image), ["DatabaseRemoved var/lib/dpkg/status"]);
    }
    let part = ("var/lib/dpkg/status.d/base", deb(&["base 1"]));
    let image = merged(vec![layer(vec![("var/lib/dpkg/info/base.list", FileContent::Other), part], vec![])]);
    assert_eq!(shown(&image), ["base 1 var/lib/dpkg/status.d/base 0"]);
}

#[test]
fn a_file_over_a_directory_hides_what_is_beneath() {
    let image = merged(vec![
        layer(vec![(APK, apk(&["musl 1"])), ("etc/os-release", release("alpine"))], vec![]),
        layer(vec![("lib", FileContent::Other), ("etc", FileContent::Directory)], vec![]),
    ]);
    assert_eq!(shown(&image), ["DatabaseRemoved lib/apk/db/installed"]);
    assert_eq!(image.distro.map(|distro| distro.id).as_deref(), Some("alpine"));
}

#[test]
fn a_directory_over_a_link_replaces_it() {
    let image = merged(vec![
        layer(vec![("lib", link("usr/lib")), ("usr/lib/apk/db/installed", apk(&["musl 1"]))], vec![]),
        layer(vec![("lib", FileContent::Directory), (APK, apk(&["musl 2"]))], vec![]),
    ]);
    assert_eq!(shown(&image), ["musl 1 usr/lib/apk/db/installed 0", "musl 2 lib/apk/db/installed 1"]);
}

#[test]
fn a_later_entry_lands_behind_a_link_below() {
    let image = merged(vec![
        layer(
            vec![("lib", link("usr/lib")), ("usr/lib/apk/db/installed", apk(&["musl 1", "zlib 1"]))],
            vec![],
        ),
        layer(vec![(APK, apk(&["musl 1", "zlib 2"]))], vec![]),
    ]);
    assert_eq!(shown(&image), ["musl 1 usr/lib/apk/db/installed 0", "zlib 2 usr/lib/apk/db/installed 1"]);
}

#[test]
fn one_database_by_two_names_counts_once_and_a_move_keeps_the_layers() {
    let image = merged(vec![
        layer(vec![(APK, apk(&["musl 1"]))], vec![]),
        layer(
            vec![("lib", link("usr/lib")), ("usr/lib/apk/db/installed", apk(&["musl 1", "zlib 2"]))],
            vec![],
        ),
    ]);
    assert_eq!(shown(&image), ["musl 1 usr/lib/apk/db/installed 0", "zlib 2 usr/lib/apk/db/installed 1"]);
}

#[test]
fn a_database_behind_an_unread_place_is_a_problem() {
    let image = merged(vec![layer(vec![("var", link("data/var"))], vec![])]);
    assert_eq!(shown(&image), ["UnsupportedDatabase var"]);
    let image = merged(vec![layer(vec![("etc/os-release", link("os-version"))], vec![])]);
    assert_eq!(shown(&image), ["UnsupportedFormat etc/os-release"]);
}

#[test]
fn an_entry_beneath_a_file_is_ambiguous_and_kept() {
    let image = merged(vec![
        layer(vec![("var", FileContent::Other)], vec![]),
        layer(vec![(STATUS, deb(&["a 1"]))], vec![]),
    ]);
    assert_eq!(shown(&image), ["a 1 var/lib/dpkg/status 1", "Ambiguous var/lib/dpkg/status"]);
}

#[test]
fn os_release_outranks_the_distributions_own_files() {
    let all = [
        ("etc/os-release", link("../usr/lib/os-release")),
        ("usr/lib/os-release", release("wolfi")),
        ("etc/alpine-release", release("alpine")),
        ("etc/debian_version", release("debian")),
    ];
    let mut left = all.to_vec();
    for id in ["wolfi", "alpine", "debian"] {
        let image = merged(vec![layer(left.clone(), vec![])]);
        assert_eq!(image.distro.map(|distro| distro.id).as_deref(), Some(id));
        left.retain(|(_, content)| *content != release(id));
    }
    assert_eq!(merged(vec![layer(left, vec![])]).distro, None);
}

#[test]
fn unjudged_software_is_summed_and_never_hidden() {
    let python = |path: &str, count| UnjudgedSoftware {
        kind: "python".to_owned(),
        example_path: path.to_owned(),
        count,
    };
    let with = |software| LayerInventory { unjudged: vec![software], ..LayerInventory::default() };
    let image = merged(vec![
        with(python("a", 2)),
        layer(vec![], vec![Removal::Opaque(String::new())]),
        with(python("b", u64::MAX)),
    ]);
    assert_eq!(image.unjudged, [python("a", u64::MAX)]);
}

#[test]
fn a_layers_problem_names_its_layer() {
    let problem =
        inventory::Problem { kind: ProblemKind::Truncated, path: None, detail: "it ends".to_owned() };
    let image = merged(vec![LayerInventory { problems: vec![problem], ..LayerInventory::default() }]);
    assert_eq!(image.problems[0].detail, format!("it ends (layer {})", digest(0)));
}

/// The link `lib/apk` stands in `etc`, where nothing is read, and leads back to the root.
fn link_off_the_map() -> LayerInventory {
    layer(vec![("lib", link("etc")), ("lib/apk", link("/")), (STATUS, deb(&["a 1"]))], vec![])
}

#[test]
fn what_is_hidden_by_way_of_a_link_off_the_map_is_hidden_and_doubtful() {
    let above = vec![("usr/lib", link("../../x/y")), (STATUS, deb(&["b 1"]))];
    let image = merged(vec![link_off_the_map(), layer(above, vec![Removal::Opaque("lib/apk".to_owned())])]);
    // The link `lib` is gone with all else: one link is left that leads away.
    assert_eq!(
        shown(&image),
        [
            "b 1 var/lib/dpkg/status 1",
            "UnsupportedFormat usr/lib",
            "Ambiguous lib",
            "UnsupportedDatabase usr/lib"
        ]
    );
    let image = merged(vec![link_off_the_map(), layer(vec![], vec![gone("lib/apk/var")])]);
    assert_eq!(
        shown(&image),
        ["Ambiguous lib", "UnsupportedDatabase lib", "DatabaseRemoved var/lib/dpkg/status"]
    );
}

#[test]
fn what_lands_by_way_of_a_link_off_the_map_is_found_and_doubtful() {
    // The link that led there is gone at the end; what it led there is not.
    let image = merged(vec![
        link_off_the_map(),
        layer(vec![("lib/apk", link("/usr/lib/apk"))], vec![]),
        layer(vec![(APK, apk(&["musl 1"]))], vec![]),
        layer(vec![], vec![gone("lib")]),
    ]);
    assert_eq!(
        shown(&image),
        ["a 1 var/lib/dpkg/status 0", "musl 1 usr/lib/apk/db/installed 2", "Ambiguous lib"]
    );
}

#[test]
fn links_without_end_and_many_links_off_the_map_are_bounded() {
    let long = format!("/{}", "long/".repeat(600));
    let names: Vec<String> = (0..2000).map(|number| format!("var/lib/dpkg/info/{number}.list")).collect();
    let mut files = vec![("var/lib/dpkg", link(&long))];
    files.extend(names.iter().map(|name| (name.as_str(), link("/"))));
    let image = merged(vec![layer(files.clone(), vec![])]);
    assert_eq!(shown(&image), ["Ambiguous var/lib/dpkg", "UnsupportedDatabase var/lib/dpkg"]);
    files[0].1 = link(&long.repeat(2));
    let image = merged(vec![layer(files, vec![])]);
    assert_eq!(shown(&image), ["Ambiguous var/lib/dpkg", "UnsupportedDatabase var/lib/dpkg"]);
}
