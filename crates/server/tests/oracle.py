#!/usr/bin/env python3
"""What the findings of an image must be, computed without Lazaret.

  oracle.py debian LAYOUT TRACKER.json.gz   source package, advisory, fixed version, one a line, tab separated
  oracle.py alpine LAYOUT SECDB.json        the same
  oracle.py tracker LAYOUT                  prints a tracker document around the image's own versions
  oracle.py secdb LAYOUT                    prints a secdb document likewise

Debian's versions are compared by dpkg, Alpine's by the apk program of the image itself.
"""
import gzip, json, os, re, subprocess, sys, tarfile, tempfile


def blob(layout, digest):
    return os.path.join(layout, "blobs", *digest.split(":"))


def layers(layout):
    index = json.load(open(os.path.join(layout, "index.json")))
    manifest = json.load(open(blob(layout, index["manifests"][0]["digest"])))
    return [blob(layout, layer["digest"]) for layer in manifest["layers"]]


def files(layout, wanted):
    """The newest version of each wanted path; whiteouts of these paths do not occur in the images used."""
    found = {}
    for layer in layers(layout):
        with tarfile.open(layer) as archive:
            for member in archive:
                name = member.name.removeprefix("./").lstrip("/")
                if member.isfile() and wanted(name):
                    found[name] = archive.extractfile(member).read().decode("utf-8", "replace")
    return found


def stanzas(text):
    for stanza in re.split(r"\n\s*\n", text):
        fields = dict(re.findall(r"^([A-Za-z][A-Za-z0-9-]*):[ \t]*(.*)$", stanza, re.M))
        if fields:
            yield fields


def dpkg_less(a, b):
    return subprocess.run(["dpkg", "--compare-versions", a, "lt", b], check=False).returncode == 0


def deb_sources(layout):
    """The release's codename, and the source packages with their versions."""
    is_database = lambda n: n == "var/lib/dpkg/status" or (n.startswith("var/lib/dpkg/status.d/") and not n.endswith(".md5sums"))
    sources, codename = set(), None
    for name, text in files(layout, lambda n: is_database(n) or n in ("etc/os-release", "usr/lib/os-release")).items():
        if name.endswith("os-release"):
            codename = re.search(r"^VERSION_CODENAME=(\S+)", text, re.M)[1]
            continue
        for fields in stanzas(text):
            if name.endswith("/status") and fields["Status"].split()[2] in ("config-files", "not-installed"):
                continue
            source = fields.get("Source", fields["Package"])
            match = re.fullmatch(r"(\S+)(?:\s+\((.+)\))?", source)
            sources.add((match[1], match[2] or fields["Version"]))
    return codename, sources


def debian(layout, tracker_path):
    codename, sources = deb_sources(layout)
    opener = gzip.open if tracker_path.endswith(".gz") else open
    tracker = json.load(opener(tracker_path, "rt"))
    rows = set()
    for source, version in sources:
        for advisory, entry in tracker.get(source, {}).items():
            release = entry["releases"].get(codename)
            if not release or release.get("urgency") == "unimportant":
                continue
            if release["status"] == "resolved":
                fixed = release["fixed_version"]
                if fixed != "0" and dpkg_less(version, fixed):
                    rows.add((source, advisory, fixed))
            elif release["status"] == "open":
                rows.add((source, advisory, ""))
    return rows


def tracker(layout):
    """For each source: versions around its own, every status, and another release that must not matter."""
    codename, sources = deb_sources(layout)
    document = {}
    for number, (source, version) in enumerate(sorted(sources)):
        resolved = lambda fixed, urgency="not yet assigned": {"status": "resolved", "fixed_version": fixed, "urgency": urgency}
        cases = [resolved(version), resolved(version + "~"), resolved(version + "+b1"), resolved(version + ".1"),
                 resolved("0"), resolved("99:1"), resolved("0~1"), resolved(version + "+deb99u1", "unimportant"),
                 {"status": "open", "urgency": "low"}, {"status": "open", "urgency": "unimportant"}]
        entry = {f"CVE-2099-{number:03}{kind}": {"releases": {codename: case}} for kind, case in enumerate(cases)}
        entry[f"CVE-2098-{number:04}"] = {"releases": {"trixie": resolved("99:1")}}
        document[source] = entry
    return document


def apk_packages(layout):
    text = files(layout, lambda n: n in ("lib/apk/db/installed", "usr/lib/apk/db/installed"))
    for record in next(iter(text.values())).split("\n\n"):
        fields = dict(line.split(":", 1) for line in record.splitlines() if line[1:2] == ":")
        if "P" in fields:
            yield fields.get("o", fields["P"]), fields["V"]


class Apk:
    """The image's own apk, run by its own loader, from a folder that is removed."""

    def __init__(self, layout):
        self.root = tempfile.TemporaryDirectory()
        for layer in layers(layout):
            with tarfile.open(layer) as archive:
                for member in archive:
                    name = member.name.removeprefix("./")
                    if re.match(r"(usr/)?(lib/[^/]*\.so|sbin/apk$|lib$)", name) and (member.isfile() or member.issym()):
                        archive.extract(member, self.root.name, filter="fully_trusted")

    def less(self, a, b):
        root = self.root.name
        loader = f"{root}/lib/ld-musl-x86_64.so.1"
        command = [loader, "--library-path", f"{root}/lib:{root}/usr/lib", f"{root}/sbin/apk", "version", "-t", a, b]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "<"


def alpine(layout, secdb_path):
    apk, secdb, rows = Apk(layout), json.load(open(secdb_path)), set()
    fixes = {}
    for entry in secdb["packages"]:
        for version, ids in entry["pkg"]["secfixes"].items():
            for one in ids:
                fixes.setdefault((entry["pkg"]["name"], one), []).append(version)
    for origin, installed in set(apk_packages(layout)):
        for (package, one), versions in fixes.items():
            if package == origin and "0" not in versions and len(versions) == 1 and apk.less(installed, versions[0]):
                rows.add((origin, one, versions[0]))
    return rows


def secdb(layout):
    """For each origin: its own version, a later revision, a later release, an earlier one, and 'never affected'."""
    packages = []
    # A virtual package (`.python-rundeps`) is made by the image's author and has no revision.
    real = {(origin, version) for origin, version in apk_packages(layout) if "-r" in version}
    for number, (origin, version) in enumerate(sorted(real)):
        base, _, revision = version.rpartition("-r")
        cve = lambda kind: [f"CVE-2099-{number:03}{kind}"]
        packages.append({"pkg": {"name": origin, "secfixes": {
            version: cve(0), f"{base}-r{int(revision) + 1}": cve(1), f"{base}_rc1-r0": cve(3),
            f"{base}_p1-r0": cve(4), "0.0.1-r0": cve(5), "0": cve(6), f"9999{base}-r0": cve(7),
            # After a letter or a suffix no number may follow: that would be no version.
            **({f"{base}.1-r0": cve(2)} if re.fullmatch(r"[0-9.]+", base) else {})}}})
    version = files(layout, lambda n: n == "etc/alpine-release")["etc/alpine-release"].strip()
    return {"apkurl": "", "archs": ["x86_64"], "reponame": "main", "urlprefix": "",
            "distroversion": "v" + ".".join(version.split(".")[:2]), "packages": packages}


what, layout = sys.argv[1:3]
if what in ("secdb", "tracker"):
    json.dump({"secdb": secdb, "tracker": tracker}[what](layout), sys.stdout)
else:
    for row in sorted({"debian": debian, "alpine": alpine}[what](layout, sys.argv[3])):
        print("\t".join(row))
