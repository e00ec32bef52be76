#!/usr/bin/env python3
"""Azure's client for registries, unmodified, in whichever version is installed, sync and async.

  azure_registries.py BASE TENANT CLIENT SECRET     (REQUESTS_CA_BUNDLE and SSL_CERT_FILE name the server's authority)

The server holds app/good in its default registry.
"""
import asyncio
import inspect
import sys
import time

import requests
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.identity import ClientSecretCredential
from azure.identity.aio import ClientSecretCredential as AsyncCredential
from azure.mgmt.containerregistry import ContainerRegistryManagementClient
from azure.mgmt.containerregistry.aio import ContainerRegistryManagementClient as AsyncClient

BASE, TENANT, CLIENT, SECRET = sys.argv[1:5]
SCOPES = ["https://management.azure.com/.default"]
IDENTITY = {"authority": BASE, "disable_instance_discovery": True}
GROUP = "default"


def equal(found, wanted):
    assert found == wanted, f"{found!r} is not {wanted!r}"


async def done(value):
    """What a call comes to: itself, a coroutine's result, or that of a poller."""
    if inspect.isawaitable(value):
        value = await value
    if hasattr(value, "polling_method"):
        value = value.result()
        if inspect.isawaitable(value):
            value = await value
    return value


async def listed(pages):
    if hasattr(pages, "__aiter__"):
        return [item async for item in pages]
    return list(pages)


async def refused(kind, code, call):
    try:
        await done(call())
    except kind as error:
        equal(error.error.code, code)
        return
    raise AssertionError(f"{code} was wanted")


async def registry(client, name):
    source = (await done(client.registries.get(GROUP, "lazaret"))).id
    check = {"name": name, "type": "Microsoft.ContainerRegistry/registries"}
    equal((await done(client.registries.check_name_availability(check))).name_available, True)
    wanted = {"location": "local", "sku": {"name": "Basic"}, "tags": {"a": "b"}}
    made = await done(client.registries.begin_create(GROUP, name, wanted))
    equal((made.name, made.sku.name, made.tags, made.provisioning_state), (name, "Basic", {"a": "b"}, "Succeeded"))
    assert made.login_server.startswith(f"{name}."), made.login_server
    equal((await done(client.registries.check_name_availability(check))).name_available, False)
    changed = await done(client.registries.begin_update(GROUP, name, {"tags": {"c": "d"}}))
    equal((changed.sku.name, changed.tags), ("Basic", {"c": "d"}))
    closed = {"properties": {"publicNetworkAccess": "Disabled"}}
    await refused(HttpResponseError, "UnsupportedProperty", lambda: client.registries.begin_update(GROUP, name, closed))
    changed = await done(client.registries.begin_update(GROUP, name, {"properties": {"adminUserEnabled": True}}))
    equal(changed.admin_user_enabled, True)
    given = await done(client.registries.list_credentials(GROUP, name))
    equal((given.username, [password.name for password in given.passwords]), (name, ["password", "password2"]))
    renewed = await done(client.registries.regenerate_credential(GROUP, name, {"name": "password2"}))
    equal([one.value == other.value for one, other in zip(given.passwords, renewed.passwords)], [True, False])
    await images(client, name, source)
    await webhooks(client, name)
    await tokens(client, name)
    await cache_rules(client, name)
    usages = {usage.name: usage.current_value for usage in (await done(client.registries.list_usages(GROUP, name))).value}
    assert usages.pop("Size") > 0
    equal(usages, {"Webhooks": 1, "ScopeMaps": 0, "Tokens": 0})
    equal(sorted(found.name for found in await listed(client.registries.list_by_resource_group(GROUP))), ["lazaret", name])
    equal(await listed(client.replications.list(GROUP, name)), [])
    await done(client.registries.begin_delete(GROUP, name))
    equal([found.name for found in await listed(client.registries.list())], ["lazaret"])


async def images(client, name, source):
    order = {
        "source": {"resourceId": source, "sourceImage": "app/good:1"},
        "targetTags": ["app/copied:1", "app/copied:2"],
        "untaggedTargetRepositories": ["app/bare"],
    }
    begin = lambda **more: client.registries.begin_import_image(GROUP, name, {**order, **more})
    await done(begin())
    await refused(ResourceExistsError, "Conflict", begin)
    await done(begin(mode="Force"))
    missing = {"resourceId": source, "sourceImage": "app/good:none"}
    await refused(ResourceNotFoundError, "ImageNotFound", lambda: begin(source=missing, mode="Force"))


async def webhooks(client, name):
    hooks = client.webhooks
    wanted = {"location": "local", "properties": {"serviceUri": "https://hooks.example/x", "actions": ["push"]}}
    equal((await done(hooks.begin_create(GROUP, name, "hooked", wanted))).provisioning_state, "Succeeded")
    equal([found.name for found in await listed(hooks.list(GROUP, name))], ["hooked"])
    equal((await done(hooks.get_callback_config(GROUP, name, "hooked"))).service_uri, "https://hooks.example/x")
    change = {"properties": {"status": "disabled", "scope": "app:*"}}
    changed = await done(hooks.begin_update(GROUP, name, "hooked", change))
    equal((changed.status, changed.scope, changed.actions), ("disabled", "app:*", ["push"]))
    assert (await done(hooks.ping(GROUP, name, "hooked"))).id
    # It is listed once it has been tried.
    deadline = time.monotonic() + 30
    while not await listed(hooks.list_events(GROUP, name, "hooked")):
        assert time.monotonic() < deadline, "no event"
        await asyncio.sleep(0.1)
    wanted = {**wanted, "properties": {**wanted["properties"], "serviceUri": "https://hooks.example/y"}}
    await done(hooks.begin_create(GROUP, name, "passing", wanted))
    await done(hooks.begin_delete(GROUP, name, "passing"))
    await refused(ResourceNotFoundError, "ResourceNotFound", lambda: hooks.get(GROUP, name, "passing"))


async def cache_rules(client, name):
    rules = client.cache_rules
    wanted = {"properties": {"sourceRepository": "docker.io/library/hello-world", "targetRepository": "hello-world"}}
    made = await done(rules.begin_create(GROUP, name, "hello", wanted))
    equal((made.source_repository, made.target_repository, made.provisioning_state), ("docker.io/library/hello-world", "hello-world", "Succeeded"))
    equal((made.credential_set_resource_id, made.creation_date.tzinfo is not None), (None, True))
    equal([found.name for found in await listed(rules.list(GROUP, name))], ["hello"])
    await refused(ResourceExistsError, "Conflict", lambda: rules.begin_create(GROUP, name, "second", wanted))
    absent = {"properties": {"credentialSetResourceId": f"{made.id.split('/cacheRules')[0]}/credentialSets/absent"}}
    await refused(ResourceNotFoundError, "ResourceNotFound", lambda: rules.begin_update(GROUP, name, "hello", absent))
    equal(await listed(client.credential_sets.list(GROUP, name)), [])
    await done(rules.begin_delete(GROUP, name, "hello"))
    equal(await listed(rules.list(GROUP, name)), [])


async def tokens(client, name):
    maps = client.scope_maps
    actions = ["repositories/app/copied/content/read"]
    made = await done(maps.begin_create(GROUP, name, "pullers", {"properties": {"actions": actions}}))
    equal(made.actions, actions)
    more = actions + ["repositories/app/copied/metadata/read"]
    equal((await done(maps.begin_update(GROUP, name, "pullers", {"properties": {"actions": more}}))).actions, more)
    assert "pullers" in [found.name for found in await listed(maps.list(GROUP, name))]
    wanted = {"properties": {"scopeMapId": made.id, "status": "enabled"}}
    token = await done(client.tokens.begin_create(GROUP, name, "pipeline", wanted))
    equal((token.status, token.scope_map_id), ("enabled", made.id))
    asked = {"tokenId": token.id, "name": "password1"}
    given = await done(client.registries.begin_generate_credentials(GROUP, name, asked))
    equal((given.username, [password.name for password in given.passwords]), ("pipeline", ["password1"]))
    disabled = {"properties": {"status": "disabled"}}
    equal((await done(client.tokens.begin_update(GROUP, name, "pipeline", disabled))).status, "disabled")
    equal([found.name for found in await listed(client.tokens.list(GROUP, name))], ["pipeline"])
    await done(client.tokens.begin_delete(GROUP, name, "pipeline"))
    await done(maps.begin_delete(GROUP, name, "pullers"))
    assert "pullers" not in [found.name for found in await listed(maps.list(GROUP, name))]


async def both():
    credential = ClientSecretCredential(TENANT, CLIENT, SECRET, **IDENTITY)
    headers = {"Authorization": f"Bearer {credential.get_token(*SCOPES).token}"}
    answer = requests.get(f"{BASE}/subscriptions?api-version=2022-12-01", headers=headers)
    answer.raise_for_status()
    subscription = answer.json()["value"][0]["subscriptionId"]
    options = {"base_url": BASE, "credential_scopes": SCOPES}
    with ContainerRegistryManagementClient(credential, subscription, **options) as client:
        await registry(client, "second")
    async with AsyncCredential(TENANT, CLIENT, SECRET, **IDENTITY) as credential:
        async with AsyncClient(credential, subscription, **options) as client:
            await registry(client, "third")


asyncio.run(both())
print("ok")
