#!/usr/bin/env python3
"""Every writable setting of the models of Azure's clients: each, sent alone, is kept as sent or refused by its name.

  azure_settings.py BASE TENANT CLIENT SECRET     (REQUESTS_CA_BUNDLE names the server's authority)

The models are those of every version that the installed packages hold; they are read, and the bodies sent as JSON, by the
versions that the models are of. The server holds app/good in its default registry.
"""
import enum
import importlib
import pkgutil
import re
import sys
import typing
import uuid

import requests
from azure.identity import ClientSecretCredential

BASE, TENANT, CLIENT, SECRET = sys.argv[1:5]
SCOPE = "https://management.azure.com/.default"
IDENTITY = {"authority": BASE, "disable_instance_discovery": True}
TOKEN = ClientSecretCredential(TENANT, CLIENT, SECRET, **IDENTITY).get_token(SCOPE).token
session = requests.Session()
session.headers["Authorization"] = f"Bearer {TOKEN}"


def ask(method, path, version, body=None):
    return session.request(method, f"{BASE}{path}?api-version={version}", json=body)


def good(answer):
    assert answer.status_code < 300, f"{answer.request.method} {answer.url}: {answer.text}"
    return answer


SUBSCRIPTION = good(ask("GET", "/subscriptions", "2022-12-01")).json()["value"][0]["id"]
GROUP = f"{SUBSCRIPTION}/resourceGroups/default"
REGISTRIES = f"{GROUP}/providers/Microsoft.ContainerRegistry/registries"
REGISTRY = f"{REGISTRIES}/settings"


def fields(model, models):
    """A model's writable settings: the name as it is sent, its kind, and whether it is a list or a map of that."""
    if hasattr(model, "_attribute_map"):
        for attribute, known in model._attribute_map.items():
            if not model._validation.get(attribute, {}).get("readonly"):
                shape = re.match(r"([\[{]*)(\w+)", known["type"])
                kind = getattr(models, shape[2], None) or {"bool": bool, "int": int}.get(shape[2], str)
                yield known["key"], kind, shape[1][:1]
        return
    # A class learns what it has when the first is made.
    model()
    hints = {}
    for base in reversed(model.__mro__):
        space = vars(sys.modules[base.__module__]) | {"_models": models}
        for name, hint in getattr(base, "__annotations__", {}).items():
            hints[name] = hint, space
    for attribute, field in model._attr_to_rest_field.items():
        if field._visibility == ["read"] or attribute not in hints:
            continue
        hint, space = hints[attribute]
        text = str(hint)
        found = re.search(r"_models\.(\w+)", text)
        shape = "[" if re.search(r"\b[lL]ist\[", text) else "{" if re.search(r"\b[dD]ict\[", text) else ""
        kind = getattr(models, found[1]) if found else bool if "bool" in text else int if "int" in text else str
        yield field._rest_name, kind, shape


def settings(model, models, seen=()):
    """The paths of all its settings, each with another value than what is usual there."""
    for key, kind, shape in fields(model, models):
        path = [part.replace("\\.", ".") for part in re.split(r"(?<!\\)\.", key)]
        is_model = isinstance(kind, type) and not issubclass(kind, (enum.Enum, str, int))
        if is_model and kind not in seen:
            for beneath, value in settings(kind, models, (*seen, kind)):
                yield (*path, {"[": 0, "{": "key"}[shape], *beneath) if shape else (*path, *beneath), value
        elif isinstance(kind, type) and issubclass(kind, enum.Enum):
            for value in kind:
                yield (*path, 0) if shape == "[" else path, value.value
        else:
            value = {bool: True, int: 3}.get(kind, "other")
            yield (*path, {"[": 0, "{": "key"}[shape]) if shape else path, value


def put(document, path, value):
    """The document with the value at the path."""
    if not path:
        return value
    first, *rest = path
    if first == 0:
        # A list is sent whole: what was in it makes no difference to what is new.
        return [put(document[0] if isinstance(document, list) and document else {}, rest, value)]
    document = dict(document) if isinstance(document, dict) else {}
    document[first] = put(document.get(first), rest, value)
    return document


def at(document, path):
    for part in path:
        try:
            document = document[part]
        except (KeyError, IndexError, TypeError):
            return None
    return document


def is_same(sent, shown):
    if shown is None and isinstance(sent, str) and sent.lower() in ("none", "disabled"):
        # It asks for nothing.
        return True
    if isinstance(sent, str) and isinstance(shown, str):
        # Times are shown to seven digits.
        return sent.lower() == shown.lower().replace(".0000000z", "z")
    return sent == shown


wrong = []


class Kind:
    """A kind of resource: where one is, what it is made of, and how what is sent is read again."""

    def __init__(self, path, body, read=None, method="PUT"):
        self.path, self.body, self.read, self.method = path, body, read, method

    def check(self, model, models, version):
        count = 0
        for path, value in settings(model, models):
            value = VALUES.get(path[-1] if path[-1] != 0 else path[-2], value) if value == "other" else value
            answer = ask(self.method, self.path, version, put(self.body, path, value))
            # A list that is not had is named as a whole.
            whole = path[: next((place for place, part in enumerate(path) if part in (0, "key")), len(path))]
            name = path[-1] if isinstance(path[-1], str) and path[-1] != "key" else path[-2]
            where = f"{model.__module__}.{model.__name__} {'.'.join(map(str, path))}={value!r}: {answer.status_code} {answer.text}"
            if answer.status_code >= 300:
                error = answer.json()["error"]
                message = error["message"].lower().replace(" ", "")
                is_named = name.lower() in message or ".".join(whole).lower() in message
                # Or it was looked for, and is not there.
                is_named |= isinstance(value, str) and value.lower().replace("-", "") in message.replace("-", "")
                is_read = error["code"] in ("UnsupportedResourceType", "SourceAccessDenied")
                if answer.status_code >= 500 or not (is_named or is_read):
                    wrong.append(where)
            elif self.read is not None:
                shown = at(self.read(version), path)
                if not is_same(value, shown):
                    wrong.append(f"{where[:300]}: {shown!r} is shown")
            count += 1
        return count


# What would be refused for its form before anybody looked whether it is kept.
VALUES = {
    "location": "elsewhere",
    "serviceUri": "https://hooks.example/other",
    "actions": "repositories/other/content/read",
    "sourceRepository": "docker.io/library/other",
    "scopeMapId": f"{REGISTRY}/scopeMaps/others",
    "expiry": "2100-01-01T00:00:00Z",
    "creationTime": "2020-01-01T00:00:00Z",
    "lastUpdatedTime": "2020-01-01T00:00:00Z",
    "conditionVersion": "1.0",
    "principalId": str(uuid.uuid4()),
    "delegatedManagedIdentityResourceId": "/subscriptions/x/other",
}


def versions(package):
    """The models of each version that a package holds, with the version."""
    try:
        module = importlib.import_module(package)
    except ModuleNotFoundError:
        return
    found = [name for _, name, _ in pkgutil.iter_modules(module.__path__) if re.fullmatch(r"v\d{4}_\d\d_\d\d(_preview)?", name)]
    for name in found:
        yield importlib.import_module(f"{package}.{name}.models"), name[1:].replace("_", "-")
    if not found:
        yield importlib.import_module(f"{package}.models"), None


def reader(path):
    return lambda version: good(ask("GET", path, version)).json()


def registries():
    make = {"location": "local", "sku": {"name": "Basic"}}
    newest = "2025-11-01"
    good(ask("PUT", REGISTRY, newest, make))
    for name in ["pullers", "others"]:
        actions = {"properties": {"actions": ["repositories/app/content/read"]}}
        good(ask("PUT", f"{REGISTRY}/scopeMaps/{name}", newest, actions))
    scope_map = f"{REGISTRY}/scopeMaps/pullers"
    hook = {"location": "local", "properties": {"serviceUri": "https://hooks.example/x", "actions": ["push"]}}
    token = {"properties": {"scopeMapId": scope_map}}
    rule = {"properties": {"sourceRepository": "docker.io/library/ubuntu", "targetRepository": "ubuntu"}}
    tokens = f"{REGISTRY}/tokens/pipeline"
    good(ask("PUT", f"{REGISTRY}/webhooks/hooked", newest, hook))
    good(ask("PUT", tokens, newest, token))
    good(ask("POST", f"{REGISTRY}/generateCredentials", newest, {"tokenId": tokens, "name": "password1"}))
    good(ask("PUT", f"{REGISTRY}/cacheRules/ubuntu", newest, rule))
    # The secret part of a webhook is shown by a call of its own.
    config = f"{REGISTRY}/webhooks/hooked/getCallbackConfig"

    def hooked(version):
        document = good(ask("GET", f"{REGISTRY}/webhooks/hooked", version)).json()
        document["properties"] |= good(ask("POST", config, version)).json()
        return document

    password = {"properties": {**token["properties"], "credentials": {"passwords": [{"name": "password1"}]}}}
    order = {"source": {"resourceId": f"{REGISTRIES}/lazaret", "sourceImage": "app/good:1"}, "targetTags": ["copied:1"], "mode": "Force"}
    child = {"properties": {}}
    return {
        "Registry": Kind(REGISTRY, make, reader(REGISTRY)),
        "RegistryUpdateParameters": Kind(REGISTRY, {}, reader(REGISTRY), "PATCH"),
        "Webhook": Kind(f"{REGISTRY}/webhooks/hooked", hook, hooked),
        "WebhookCreateParameters": Kind(f"{REGISTRY}/webhooks/hooked", hook, hooked),
        "WebhookUpdateParameters": Kind(f"{REGISTRY}/webhooks/hooked", {}, hooked, "PATCH"),
        "Token": Kind(tokens, password, reader(tokens)),
        "TokenUpdateParameters": Kind(tokens, password, reader(tokens), "PATCH"),
        "ScopeMap": Kind(f"{REGISTRY}/scopeMaps/others", {"properties": {"actions": ["repositories/a/content/read"]}}, reader(f"{REGISTRY}/scopeMaps/others")),
        "ScopeMapUpdateParameters": Kind(f"{REGISTRY}/scopeMaps/others", {}, reader(f"{REGISTRY}/scopeMaps/others"), "PATCH"),
        "CacheRule": Kind(f"{REGISTRY}/cacheRules/ubuntu", rule, reader(f"{REGISTRY}/cacheRules/ubuntu")),
        "CacheRuleUpdateParameters": Kind(f"{REGISTRY}/cacheRules/ubuntu", {}, reader(f"{REGISTRY}/cacheRules/ubuntu"), "PATCH"),
        "CredentialSet": Kind(f"{REGISTRY}/credentialSets/vault", child),
        "CredentialSetUpdateParameters": Kind(f"{REGISTRY}/credentialSets/vault", child, None, "PATCH"),
        "ConnectedRegistry": Kind(f"{REGISTRY}/connectedRegistries/near", child),
        "Replication": Kind(f"{REGISTRY}/replications/near", child),
        "PrivateEndpointConnection": Kind(f"{REGISTRY}/privateEndpointConnections/near", child),
        "ImportImageParameters": Kind(f"{REGISTRY}/importImage", order, None, "POST"),
        "GenerateCredentialsParameters": Kind(f"{REGISTRY}/generateCredentials", {"tokenId": tokens}, None, "POST"),
    }


def roles():
    made = f"{REGISTRIES}/lazaret/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}"
    definition = f"{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/7f951dda-4ed3-4680-a7ca-43fe172d538d"
    return {
        "RoleAssignmentCreateParameters": Kind(
            made, {"properties": {"roleDefinitionId": definition, "principalId": CLIENT}}, reader(made)
        )
    }


def plans():
    path = f"{SUBSCRIPTION}/providers/Microsoft.Security/pricings/Containers"
    extension = {"name": "ContainerRegistriesVulnerabilityAssessments", "isEnabled": "True"}
    return {"Pricing": Kind(path, {"properties": {"pricingTier": "Standard", "extensions": [extension]}}, reader(path))}


def groups():
    path = f"{SUBSCRIPTION}/resourceGroups/settings"
    good(ask("PUT", path, "2021-04-01", {"location": "local"}))
    return {
        "ResourceGroup": Kind(path, {"location": "local"}, reader(path)),
        "ResourceGroupPatchable": Kind(path, {}, reader(path), "PATCH"),
    }


# Where the models of one version only are, that version.
PACKAGES = {
    "azure.mgmt.containerregistry": (registries, "2025-11-01"),
    "azure.mgmt.authorization": (roles, "2022-04-01"),
    "azure.mgmt.security": (plans, "2024-01-01"),
    "azure.mgmt.resource.resources": (groups, "2021-04-01"),
}
for package, (kinds, newest) in PACKAGES.items():
    found = list(versions(package))
    if not found:
        print(f"{package} is not installed here: left out")
        continue
    known = kinds()
    for models, version in found:
        for name, kind in known.items():
            if hasattr(models, name):
                count = kind.check(getattr(models, name), models, version or newest)
                assert count, f"{models.__name__}.{name} has no settings"
                print(f"{models.__name__}.{name}: {count}")
assert not wrong, "\n".join(["neither kept nor refused by name:", *wrong])
