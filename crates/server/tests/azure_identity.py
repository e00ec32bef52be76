#!/usr/bin/env python3
"""Azure's credential chains, and its SDKs without TLS, unmodified.

  azure_identity.py BASE TENANT CLIENT SECRET PLAIN     (PLAIN: the base without TLS)
"""
import asyncio
import os
import sys

from azure.containerregistry import ContainerRegistryClient
from azure.core.exceptions import ClientAuthenticationError
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.identity import DefaultAzureCredential, EnvironmentCredential, ManagedIdentityCredential
from azure.identity.aio import DefaultAzureCredential as AsyncDefault
from azure.mgmt.containerregistry import ContainerRegistryManagementClient
from azure.mgmt.resource.resources import ResourceManagementClient
from azure.mgmt.resource.subscriptions import SubscriptionClient
from azure.mgmt.resourcegraph import ResourceGraphClient
from azure.mgmt.resourcegraph.models import QueryRequest
from azure.mgmt.security import SecurityCenter

BASE, TENANT, CLIENT, SECRET, PLAIN = sys.argv[1:6]
SCOPES = ["https://management.azure.com/.default"]
KEY = "dbd0cb49-b563-45e7-9724-889e799fa648"


def equal(found, wanted):
    assert found == wanted, f"{found!r} is not {wanted!r}"


os.environ.update(AZURE_AUTHORITY_HOST=BASE, AZURE_TENANT_ID=TENANT, AZURE_CLIENT_ID=CLIENT, AZURE_CLIENT_SECRET=SECRET)
for chain in (EnvironmentCredential, DefaultAzureCredential):
    credential = chain(disable_instance_discovery=True)
    subscriptions = SubscriptionClient(credential, base_url=BASE, credential_scopes=SCOPES).subscriptions.list()
    SUB = [found.subscription_id for found in subscriptions][0]
    resources = ResourceManagementClient(credential, SUB, base_url=BASE, credential_scopes=SCOPES)
    equal([group.name for group in resources.resource_groups.list()], ["default"])


os.environ.update(IDENTITY_ENDPOINT=f"{BASE}/msi/token", IDENTITY_HEADER=f"{CLIENT}:{SECRET}")
managed = ManagedIdentityCredential()
found = SubscriptionClient(managed, base_url=BASE, credential_scopes=SCOPES).subscriptions.list()
equal([one.subscription_id for one in found], [SUB])
os.environ["IDENTITY_HEADER"] = f"{CLIENT}:wrong"
try:
    ManagedIdentityCredential().get_token(*SCOPES)
    raise AssertionError("a wrong secret gets no token")
except ClientAuthenticationError as error:
    assert "AADSTS7000215" in str(error), error


async def in_a_loop():
    async with AsyncDefault(disable_instance_discovery=True) as chain:
        assert (await chain.get_token(*SCOPES)).token


asyncio.run(in_a_loop())

TOKEN = credential.get_token(*SCOPES).token


class Bearer(SansIOHTTPPolicy):
    """The SDKs' own policy refuses to send a token without TLS."""

    def on_request(self, request):
        request.http_request.headers["Authorization"] = f"Bearer {TOKEN}"


class Static:
    def get_token(self, *scopes, **more):
        return credential.get_token(*SCOPES)


plain = {"base_url": PLAIN, "authentication_policy": Bearer()}
registries = ContainerRegistryManagementClient(Static(), SUB, **plain)
registry = next(iter(registries.registries.list()))
security = SecurityCenter(Static(), SUB, **plain)
rows = list(security.sub_assessments.list(registry.id, KEY))
equal(sorted({row.status.code for row in rows}), ["Healthy", "Unhealthy"])
graph = ResourceGraphClient(Static(), **plain)
counted = graph.resources(QueryRequest(query="securityresources | where type endswith '/subassessments' | count", subscriptions=[SUB]))
assert counted.data[0]["Count"] >= len(rows), counted.data
# Or call by call.
insecure = ResourceManagementClient(credential, SUB, base_url=PLAIN, credential_scopes=SCOPES)
equal([group.name for group in insecure.resource_groups.list(enforce_https=False)], ["default"])
data = ContainerRegistryClient(PLAIN, credential, audience="https://containerregistry.azure.net")
names = sorted(data.list_repository_names(enforce_https=False))
assert names, "the registry has images"
assert list(data.list_tag_properties(names[0], enforce_https=False))
print("the chains sign in, and plain HTTP serves as TLS does")
