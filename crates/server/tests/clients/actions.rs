//! What each client does in the matrix, by its own commands.

/// What must come of a command.
pub(crate) enum Wanted {
    Works,
    /// It works, and shows this.
    Shows(&'static str),
    /// It fails, and says that it is not allowed to.
    Refused,
    /// It fails: what it asks for is not there.
    Absent,
}
use Wanted::{Absent, Refused, Shows, Works};

/// What a client does, by one command of its own. `{address}`, `{password}`, `{folder}` and the like stand for
/// what the run has of them.
pub(crate) type Action = (&'static str, Wanted, &'static str);

pub(crate) const SKOPEO: &[Action] = &[
    ("private", Refused, "skopeo inspect --tls-verify=false --no-creds docker://{address}/seed/app:1"),
    ("login", Works, "skopeo login --tls-verify=false -u admin -p {password} {address}"),
    ("pull", Works, "skopeo copy --src-tls-verify=false docker://{address}/seed/app:1 oci:{folder}/layout:1"),
    (
        "push",
        Works,
        "skopeo copy --dest-tls-verify=false oci:{folder}/layout:1 docker://{address}/skopeo/app:1",
    ),
    ("list", Shows("\"1\""), "skopeo list-tags --tls-verify=false docker://{address}/skopeo/app"),
    (
        "copy",
        Works,
        "skopeo copy --src-tls-verify=false --dest-tls-verify=false docker://{address}/skopeo/app:1 docker://{address}/skopeo/copy:2",
    ),
    ("delete", Works, "skopeo delete --tls-verify=false docker://{address}/skopeo/copy:2"),
    ("pull", Absent, "skopeo inspect --tls-verify=false docker://{address}/skopeo/copy:2"),
    ("logout", Works, "skopeo logout {address}"),
    ("private", Refused, "skopeo inspect --tls-verify=false docker://{address}/skopeo/app:1"),
];

pub(crate) const PODMAN: &[Action] = &[
    ("private", Refused, "podman pull --quiet --tls-verify=false {address}/seed/app:1"),
    ("login", Works, "podman login --tls-verify=false -u admin -p {password} {address}"),
    ("pull", Works, "podman pull --quiet --tls-verify=false {address}/seed/app:1"),
    ("tag", Works, "podman tag {address}/seed/app:1 {address}/podman/app:1"),
    ("push", Works, "podman push --quiet --tls-verify=false {address}/podman/app:1"),
    ("list", Shows("podman/app"), "podman search --tls-verify=false --list-tags {address}/podman/app"),
    ("remove", Works, "podman rmi {address}/podman/app:1 {address}/seed/app:1"),
    ("pull", Works, "podman pull --quiet --tls-verify=false {address}/podman/app:1"),
    ("pull", Absent, "podman pull --quiet --tls-verify=false {address}/podman/app:absent"),
    ("logout", Works, "podman logout {address}"),
    ("private", Refused, "podman pull --quiet --tls-verify=false {address}/podman/app:1"),
];

pub(crate) const BUILDAH: &[Action] = &[
    ("private", Refused, "buildah pull --quiet --tls-verify=false {address}/seed/app:1"),
    ("login", Works, "buildah login --tls-verify=false -u admin -p {password} {address}"),
    ("pull", Works, "buildah pull --quiet --tls-verify=false {address}/seed/app:1"),
    ("push", Works, "buildah push --quiet --tls-verify=false {address}/seed/app:1 {address}/buildah/app:1"),
    ("index", Works, "buildah manifest create {address}/both {address}/seed/app:1"),
    (
        "push",
        Works,
        "buildah manifest push --all --tls-verify=false {address}/both docker://{address}/buildah/app:both",
    ),
    ("pull", Absent, "buildah pull --quiet --tls-verify=false {address}/buildah/app:absent"),
];

pub(crate) const DOCKER: &[Action] = &[
    ("private", Refused, "docker --host {docker} pull --quiet {address}/seed/app:1"),
    ("login", Works, "docker --host {docker} login -u admin -p {password} {address}"),
    ("pull", Works, "docker --host {docker} pull --quiet {address}/seed/app:1"),
    ("tag", Works, "docker --host {docker} tag {address}/seed/app:1 {address}/docker/app:1"),
    ("push", Works, "docker --host {docker} push --quiet {address}/docker/app:1"),
    ("remove", Works, "docker --host {docker} rmi {address}/docker/app:1 {address}/seed/app:1"),
    ("pull", Works, "docker --host {docker} pull --quiet {address}/docker/app:1"),
    ("list", Shows("schemaVersion"), "docker manifest inspect --insecure {address}/docker/app:1"),
    ("pull", Absent, "docker --host {docker} pull --quiet {address}/docker/app:absent"),
    ("logout", Works, "docker --host {docker} logout {address}"),
    ("private", Refused, "docker --host {docker} pull --quiet {address}/docker/app:1"),
];

pub(crate) const CTR: &[Action] = &[
    (
        "private",
        Refused,
        "ctr -a {containerd} images pull --plain-http --snapshotter native {address}/seed/app:1",
    ),
    (
        "pull",
        Works,
        "ctr -a {containerd} images pull --plain-http --snapshotter native --user admin:{password} {address}/seed/app:1",
    ),
    ("tag", Works, "ctr -a {containerd} images tag {address}/seed/app:1 {address}/ctr/app:1"),
    (
        "push",
        Works,
        "ctr -a {containerd} images push --plain-http --user admin:{password} {address}/ctr/app:1",
    ),
    ("list", Shows("ctr/app:1"), "ctr -a {containerd} images ls -q"),
    (
        "pull",
        Absent,
        "ctr -a {containerd} images pull --plain-http --snapshotter native --user admin:{password} {address}/ctr/app:absent",
    ),
];

pub(crate) const ORAS: &[Action] = &[
    ("push", Works, "{oras} {folder}/artifacts.py {address} {password} push oras/app:1"),
    ("pull", Shows("hello"), "{oras} {folder}/artifacts.py {address} {password} pull oras/app:1"),
    ("chunks", Works, "{oras} {folder}/artifacts.py {address} {password} chunks oras/app:2"),
    ("list", Shows("['1', '2']"), "{oras} {folder}/artifacts.py {address} {password} list oras/app"),
    ("delete", Works, "{oras} {folder}/artifacts.py {address} {password} delete oras/app:2"),
    ("list", Shows("['1']"), "{oras} {folder}/artifacts.py {address} {password} list oras/app"),
];

pub(crate) const ORAS_SCRIPT: &str = r"
import pathlib, sys
import oras.client
address, password, action, target = sys.argv[1:]
# With the other backend it never asks for a second token: what it got to look is not enough to push.
client = oras.client.OrasClient(hostname=address, insecure=True, auth_backend='basic')
if password != '-':
    client.login('admin', password, hostname=address, tls_verify=False)
folder = pathlib.Path(__file__).parent
hello = folder / 'hello.txt'
container = f'{address}/{target}'
if action in ('push', 'chunks'):
    hello.write_text('hello\n' * (100_000 + len(action)))
    client.push(target=container, files=[str(hello)], disable_path_validation=True, do_chunked=action == 'chunks', chunk_size=65536)
elif action == 'pull':
    for path in client.pull(target=container, outdir=str(folder / 'pulled')):
        print(pathlib.Path(path).read_text()[:5])
elif action == 'list':
    print(client.get_tags(container))
elif action == 'delete':
    name, tag = container.rsplit(':', 1)
    client.delete_tags(name, [tag])
";

pub(crate) const AZURE: &[Action] = &[
    ("private", Refused, "{azure} {folder}/acr.py {address} - pull seed/app 1"),
    ("push", Works, "{azure} {folder}/acr.py {address} {arm} push azure/app 1"),
    ("push", Works, "{azure} {folder}/acr.py {address} {arm} push azure/app 2"),
    ("pull", Shows("9000000"), "{azure} {folder}/acr.py {address} {arm} pull azure/app 2"),
    ("list", Shows("['1', '2']"), "{azure} {folder}/acr.py {address} {arm} list azure/app -"),
    ("delete", Works, "{azure} {folder}/acr.py {address} {arm} delete azure/app 2"),
    ("list", Shows("['1']"), "{azure} {folder}/acr.py {address} {arm} list azure/app -"),
    ("pull", Absent, "{azure} {folder}/acr.py {address} {arm} pull azure/app 2"),
    ("private", Refused, "{azure} {folder}/acr.py {address} - list azure/app -"),
];

pub(crate) const AZURE_SCRIPT: &str = r#"
import hashlib, io, sys, time
from azure.containerregistry import ContainerRegistryClient
from azure.core.credentials import AccessToken
address, token, action, repository, tag = sys.argv[1:]
class Given:
    def get_token(self, *scopes, **options):
        return AccessToken(token, int(time.time()) + 3600)
client = ContainerRegistryClient(f'http://{address}', None if token == '-' else Given())
plain = {'enforce_https': False}
if action == 'push':
    # More than one chunk.
    layer, layer_size = client.upload_blob(repository, io.BytesIO(tag.encode() * 9_000_000), **plain)
    config, config_size = client.upload_blob(repository, io.BytesIO(b'{}'), **plain)
    client.set_manifest(repository, {
        'schemaVersion': 2, 'mediaType': 'application/vnd.oci.image.manifest.v1+json',
        'config': {'mediaType': 'application/vnd.oci.image.config.v1+json', 'digest': config, 'size': config_size},
        'layers': [{'mediaType': 'application/vnd.oci.image.layer.v1.tar', 'digest': layer, 'size': layer_size}],
    }, tag=tag, **plain)
elif action == 'pull':
    for layer in client.get_manifest(repository, tag, **plain).manifest['layers']:
        content = b''.join(client.download_blob(repository, layer['digest'], **plain))
        assert layer['digest'] == 'sha256:' + hashlib.sha256(content).hexdigest()
        print(len(content))
elif action == 'list':
    print([found.name for found in client.list_tag_properties(repository, **plain)])
elif action == 'delete':
    digest = client.get_tag_properties(repository, tag, **plain).digest
    client.delete_tag(repository, tag, **plain)
    client.delete_manifest(repository, digest, **plain)
"#;

/// What everybody may, and may not, once a registry lets everybody pull. Docker is said to send no
/// credentials where it is asked for none: it logs in and pushes after it has pulled without.
pub(crate) const ANONYMOUS: &[(&str, &[Action])] = &[
    (
        "skopeo",
        &[
            (
                "pull",
                Works,
                "skopeo copy --src-tls-verify=false --src-no-creds docker://{address}/seed/app:1 oci:{folder}/free:1",
            ),
            (
                "list",
                Shows("\"1\""),
                "skopeo list-tags --tls-verify=false --no-creds docker://{address}/seed/app",
            ),
            (
                "push",
                Refused,
                "skopeo copy --dest-tls-verify=false --dest-no-creds oci:{folder}/free:1 docker://{address}/free/app:1",
            ),
        ],
    ),
    (
        "podman",
        &[
            ("pull", Works, "podman pull --quiet --tls-verify=false {address}/seed/app:1"),
            ("push", Refused, "podman push --quiet --tls-verify=false {address}/seed/app:1"),
            ("login", Works, "podman login --tls-verify=false -u admin -p {password} {address}"),
            ("push", Works, "podman push --quiet --tls-verify=false {address}/seed/app:1"),
        ],
    ),
    (
        "docker",
        &[
            ("pull", Works, "docker --host {docker} pull --quiet {address}/seed/app:1"),
            ("push", Refused, "docker --host {docker} push --quiet {address}/seed/app:1"),
            ("login", Works, "docker --host {docker} login -u admin -p {password} {address}"),
            ("push", Works, "docker --host {docker} push --quiet {address}/seed/app:1"),
        ],
    ),
    ("oras", &[("pull", Shows("hello"), "{oras} {folder}/artifacts.py {address} - pull oras/app:1")]),
    (
        "azure",
        &[
            ("pull", Shows("9000000"), "{azure} {folder}/acr.py {address} - pull azure/app 1"),
            ("list", Shows("['1']"), "{azure} {folder}/acr.py {address} - list azure/app -"),
            ("push", Refused, "{azure} {folder}/acr.py {address} - push azure/app 3"),
            ("delete", Refused, "{azure} {folder}/acr.py {address} - delete azure/app 1"),
        ],
    ),
];

/// A download that breaks off and is gone on with.
pub(crate) const CURL: &[Action] = &[
    ("private", Refused, "curl -sS --fail-with-body http://{address}/v2/seed/app/blobs/{layer}"),
    (
        "begin",
        Works,
        "curl -sS --fail -u admin:{password} -r 0-99999 -o {folder}/part http://{address}/v2/seed/app/blobs/{layer}",
    ),
    (
        "resume",
        Works,
        "curl -sS --fail -u admin:{password} -C - -o {folder}/part http://{address}/v2/seed/app/blobs/{layer}",
    ),
    ("compare", Shows("{hex}"), "sha256sum {folder}/part"),
];
