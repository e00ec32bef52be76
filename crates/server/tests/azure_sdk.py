#!/usr/bin/env python3
"""Azure's own SDKs, unmodified, against a server that holds one unhealthy and one healthy image.

  azure_sdk.py BASE TENANT CLIENT SECRET     (REQUESTS_CA_BUNDLE and SSL_CERT_FILE name the server's authority)
"""
import asyncio
import io
import sys
import time

from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceExistsError
from azure.containerregistry import ArtifactTagOrder, ContainerRegistryClient
from azure.containerregistry.aio import ContainerRegistryClient as AsyncRegistryClient
from azure.identity import ClientSecretCredential
from azure.identity.aio import ClientSecretCredential as AsyncCredential
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.containerregistry import ContainerRegistryManagementClient
from azure.mgmt.resource.resources import ResourceManagementClient
from azure.mgmt.resource.subscriptions import SubscriptionClient
from azure.mgmt.security import SecurityCenter

BASE, TENANT, CLIENT, SECRET = sys.argv[1:5]
KEY_2023 = "c0b7cfc6-3172-465a-b378-53c7ff2cc0d5"
KEY_2024 = "33422d8f-ab1e-42be-bc9a-38685bb567b9"
KEY = "dbd0cb49-b563-45e7-9724-889e799fa648"
AUDIENCE = "https://containerregistry.azure.net"
SCOPES = ["https://management.azure.com/.default"]
credential = ClientSecretCredential(TENANT, CLIENT, SECRET, authority=BASE, disable_instance_discovery=True)


def equal(found, wanted):
    assert found == wanted, f"{found!r} is not {wanted!r}"


def subscription_id():
    """The SDKs want it; az finds it so."""
    import requests

    token = credential.get_token(*SCOPES).token
    answer = requests.get(f"{BASE}/subscriptions?api-version=2022-12-01", headers={"Authorization": f"Bearer {token}"})
    answer.raise_for_status()
    return answer.json()["value"][0]["subscriptionId"]


SUB = subscription_id()
scope = f"subscriptions/{SUB}"
registries = ContainerRegistryManagementClient(credential, SUB, base_url=BASE, credential_scopes=SCOPES)
registry = next(iter(registries.registries.list()))
equal(registries.registries.get("default", "lazaret").id, registry.id)
assert BASE.endswith(registry.login_server)

subscriptions = SubscriptionClient(credential, base_url=BASE, credential_scopes=SCOPES)
mine = next(iter(subscriptions.subscriptions.list()))
equal((mine.subscription_id, mine.display_name, mine.state), (SUB, "Default subscription", "Enabled"))
equal(subscriptions.subscriptions.get(SUB).tenant_id, TENANT)
equal([tenant.tenant_id for tenant in subscriptions.tenants.list()], [TENANT])
equal([found.name for found in subscriptions.subscriptions.list_locations(SUB)], ["local"])

resources = ResourceManagementClient(credential, SUB, base_url=BASE, credential_scopes=SCOPES)
for provider in resources.providers.list():
    equal(provider.registration_state, "Registered")
    equal(resources.providers.register(provider.namespace).id, provider.id)
equal(resources.providers.get("microsoft.containerregistry").resource_types[0].resource_type, "registries")
assert "Microsoft.Security" in [provider.namespace for provider in resources.providers.list_at_tenant_scope()]
equal(resources.providers.get_at_tenant_scope("Microsoft.Security").registration_state, None)
equal(resources.resource_groups.check_existence("made"), False)
equal(resources.resource_groups.create_or_update("made", {"location": "north"}).location, "north")
equal(resources.resource_groups.check_existence("MADE"), True)
equal([found.name for found in subscriptions.subscriptions.list_locations(SUB)], ["local", "north"])
equal(resources.resource_groups.create_or_update("made", {"location": "north", "tags": {"a": "b"}}).tags, {"a": "b"})
equal(resources.resource_groups.update("made", {"tags": {"c": "d", "e": "f"}}).tags, {"c": "d", "e": "f"})
equal(resources.resource_groups.update("made", {}).tags, {"c": "d", "e": "f"})
equal(resources.resource_groups.get("made").tags, {"c": "d", "e": "f"})
resources.resource_groups.begin_delete("made").result()
equal([found.name for found in resources.resource_groups.list()], ["default"])

made = registries.registries.begin_create("default", "second", {"location": "local", "sku": {"name": "Basic"}, "tags": {"c": "d"}}).result()
hook = {"location": "local", "properties": {"serviceUri": "https://hooks.example/x", "actions": ["push"]}}
registries.webhooks.begin_create("default", "second", "hooked", hook).result()
equal(sorted(found.name for found in registries.registries.list_by_resource_group("DEFAULT")), ["lazaret", "second"])
ids = lambda **asked: [found.name for found in resources.resources.list(**asked)]
equal(ids(), ["lazaret", "second", "second/hooked"])
equal(ids(top=1), ["lazaret", "second", "second/hooked"])
equal(ids(filter="resourceType eq 'microsoft.containerregistry/registries' and (name eq 'SECOND' or name eq 'third')"), ["second"])
equal(ids(filter="tagName eq 'c' and tagValue eq 'd'"), ["second"])
equal(ids(filter="tagName eq 'c' and tagValue eq 'D'"), [])
equal(ids(filter="substringof('aza', name) and startswith(location, 'lo')"), ["lazaret"])
equal(next(iter(resources.resources.list(expand="createdTime,provisioningState"))).provisioning_state, "Succeeded")
equal([found.name for found in resources.resources.list_by_resource_group("default", filter="name ne 'lazaret'")], ["second", "second/hooked"])
try:
    ids(filter="colour eq 'red'")
    raise AssertionError("there is no such property")
except HttpResponseError as error:
    equal(error.error.code, "InvalidFilterInQueryString")
registries.registries.begin_delete("default", "second").result()
equal([found.name for found in registries.registries.list()], ["lazaret"])
try:
    registries.registries.begin_delete("default", "lazaret").result()
    raise AssertionError("the default registry stays")
except ResourceExistsError as error:
    equal(error.error.code, "DefaultRegistry")

security = SecurityCenter(credential, SUB, base_url=BASE, credential_scopes=SCOPES)
rows = list(security.sub_assessments.list(registry.id, KEY))
equal(sorted(row.status.code for row in rows), ["Healthy", "Unhealthy"])
modern = list(security.sub_assessments.list(registry.id, KEY_2023))
equal([row.name for row in modern], [row.name for row in rows])
of_images = list(security.sub_assessments.list(scope, KEY_2024))
equal([row.name for row in of_images], [row.name for row in rows])
equal(sorted(row.id for row in security.sub_assessments.list_all(scope)), sorted(row.id for row in rows + modern + of_images))
details = next(row for row in modern if row.status.code == "Unhealthy").additional_data.additional_properties
equal(details["assessedResourceType"] if "assessedResourceType" in details else None, None)
equal(details["artifactDetails"]["repositoryName"] != "", True)
equal(details["artifactDetails"]["registryHost"], registry.login_server)
bad = next(row for row in rows if row.status.code == "Unhealthy")
equal((bad.id_properties_id, bad.status.severity, bad.impact), ("CVE-2024-1", "High", "3"))
equal(type(bad.additional_data).__name__, "ContainerRegistryVulnerabilityProperties")
equal((bad.additional_data.repository_name, bad.additional_data.patchable), ("app/bad", True))
equal([cve.title for cve in bad.additional_data.cve], ["CVE-2024-1"])
assert bad.resource_details.id.endswith(f"/repository/app/bad/imageDigest/{bad.additional_data.image_digest}")
equal(security.sub_assessments.get(registry.id, KEY, bad.name).remediation, bad.remediation)
of_registry = [found for found in security.assessments.list(scope) if found.name in (KEY, KEY_2023)]
equal([found.status.code for found in of_registry], ["Unhealthy", "Unhealthy"])
equal(security.assessments.get(registry.id, KEY, expand="metadata").metadata.severity, "High")
tiers = {plan.name: plan.pricing_tier for plan in security.pricings.list(scope).value}
equal(tiers, {"ContainerRegistry": "Standard", "Containers": "Free"})
equal(security.pricings.update(scope, "Containers", {"properties": {"pricingTier": "standard"}}).pricing_tier, "Standard")

roles = AuthorizationManagementClient(credential, SUB, base_url=BASE, credential_scopes=SCOPES)
reader = next(iter(roles.role_definitions.list(registry.id, filter="roleName eq 'Security Reader'")))
assert reader.id.endswith("39bc4728-0917-49c7-9d2c-d95423bc2eb4")
wanted = {"role_definition_id": reader.id, "principal_id": CLIENT}
name = "11111111-2222-3333-4444-555555555555"
equal(roles.role_assignments.create(registry.id, name, wanted).principal_id, CLIENT)
assert name in [held.name for held in roles.role_assignments.list_for_scope(registry.id)]
roles.role_assignments.delete(registry.id, name)

data = ContainerRegistryClient(BASE, credential, audience=AUDIENCE)
equal(list(data.list_repository_names()), ["app/bad", "app/good"])
equal(data.get_repository_properties("app/good").tag_count, 1)
manifest = next(iter(data.list_manifest_properties("app/good")))
equal((manifest.operating_system, manifest.tags), ("linux", ["1"]))
tags = data.list_tag_properties("app/good", order_by=ArtifactTagOrder.LAST_UPDATED_ON_DESCENDING)
equal([tag.digest for tag in tags], [manifest.digest])
equal(data.get_manifest_properties("app/good", "1").digest, manifest.digest)
equal(data.get_manifest("app/good", "1").digest, manifest.digest)
blob = b"0123456789" * 900_000
digest, size = data.upload_blob("app/blobs", io.BytesIO(blob))
equal((size, b"".join(data.download_blob("app/blobs", digest))), (len(blob), blob))
data.delete_tag("app/good", "1")
equal(data.get_repository_properties("app/good").tag_count, 0)
data.delete_repository("app/good")
equal(list(data.list_repository_names()), ["app/bad", "app/blobs"])


async def without_waiting():
    """The same client with asyncio; and for everybody, once everybody may pull."""
    options = {"authority": BASE, "disable_instance_discovery": True}
    async with AsyncCredential(TENANT, CLIENT, SECRET, **options) as mine:
        async with AsyncRegistryClient(BASE, mine, audience=AUDIENCE) as client:
            equal([name async for name in client.list_repository_names()], ["app/bad", "app/blobs"])
            wanted = await client.get_manifest("app/bad", "1")
            manifest = await client.get_manifest_properties("app/bad", "1")
            equal(manifest.digest, wanted.digest)
            digest, _ = await client.upload_blob("app/blobs", io.BytesIO(b"more"))
            stream = await client.download_blob("app/blobs", digest)
            equal(b"".join([piece async for piece in stream]), b"more")
    equal(ContainerRegistryClient(BASE, audience=AUDIENCE).get_manifest("app/bad", "1").digest, wanted.digest)
    async with AsyncRegistryClient(BASE, audience=AUDIENCE) as nobody:
        equal((await nobody.get_manifest("app/bad", "1")).digest, wanted.digest)
        try:
            await nobody.delete_repository("app/bad")
            raise AssertionError("nobody may delete")
        except ClientAuthenticationError as error:
            equal(error.status_code, 401)


try:
    ContainerRegistryClient(BASE, audience=AUDIENCE).get_manifest("app/bad", "1")
    raise AssertionError("not everybody may pull yet")
except ClientAuthenticationError as error:
    equal(error.status_code, 401)
open_to_all = registries.registries.begin_update("default", "lazaret", {"properties": {"anonymousPullEnabled": True}}).result()
equal(open_to_all.anonymous_pull_enabled, True)
deadline = time.monotonic() + 30
while True:  # A running server follows within a second.
    try:
        ContainerRegistryClient(BASE, audience=AUDIENCE).get_manifest("app/bad", "1")
        break
    except ClientAuthenticationError:
        assert time.monotonic() < deadline, "everybody may pull, and cannot"
asyncio.run(without_waiting())
print("ok")
