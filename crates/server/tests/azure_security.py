#!/usr/bin/env python3
"""Every call of azure-mgmt-security that reads images' results, in whichever generation is installed, sync and async.

  azure_security.py BASE TENANT CLIENT SECRET FINDINGS     (REQUESTS_CA_BUNDLE and SSL_CERT_FILE name the authority)

The server holds app/bad with FINDINGS findings, the first of them critical, and app/good without one.
"""
import asyncio
import datetime
import sys
from importlib.metadata import version

import requests
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.identity import ClientSecretCredential

BASE, TENANT, CLIENT, SECRET, FINDINGS = *sys.argv[1:5], int(sys.argv[5])
GENERATION = int(version("azure-mgmt-security").split(".")[0])
OF_2020 = "dbd0cb49-b563-45e7-9724-889e799fa648"
OF_2023 = "c0b7cfc6-3172-465a-b378-53c7ff2cc0d5"
OF_2024 = "33422d8f-ab1e-42be-bc9a-38685bb567b9"
OPTIONS = {"base_url": BASE, "credential_scopes": ["https://management.azure.com/.default"]}
IDENTITY = {"authority": BASE, "disable_instance_discovery": True}
credential = ClientSecretCredential(TENANT, CLIENT, SECRET, **IDENTITY)


def equal(found, wanted):
    assert found == wanted, f"{found!r} is not {wanted!r}"


def refused(status, kind, call):
    try:
        call()
    except kind as error:
        equal(error.status_code, status)
        return error
    raise AssertionError("it was not refused")


def raw(method, path, **more):
    token = credential.get_token("https://management.azure.com/.default").token
    url = f"{BASE}{path}?api-version=2025-05-04"
    answer = requests.request(method, url, headers={"Authorization": f"Bearer {token}"}, **more)
    answer.raise_for_status()
    return answer.json() if answer.content else None


def client(of, sub, **more):
    """Each generation has a name and arguments of its own."""
    if GENERATION == 1:
        return of.SecurityCenter(CREDENTIALS[of.__name__], sub, asc_location="local", **OPTIONS, **more)
    name = "SecurityManagementClient" if GENERATION >= 8 else "SecurityCenter"
    return getattr(of, name)(CREDENTIALS[of.__name__], sub, **OPTIONS, **more)


def of(row, *names):
    """An attribute, which the newest generation keeps beneath `properties`."""
    for name in names:
        row = getattr(row, name) if hasattr(row, name) or getattr(row, "properties", None) is None else getattr(row.properties, name)
    return row


def data(row):
    """additionalData as a mapping, typed or not."""
    found = of(row, "additional_data")
    if hasattr(found, "as_dict"):
        known = found.as_dict()
        return {**known.pop("additional_properties", {}), **known, **(getattr(found, "additional_properties", None) or {})}
    return dict(found)


import azure.mgmt.security as sync_package  # noqa: E402

CREDENTIALS = {"azure.mgmt.security": credential}
SUB = raw("GET", "/subscriptions")["value"][0]["subscriptionId"]
scope = f"subscriptions/{SUB}"
group = f"{scope}/resourceGroups/default"
registry = f"{group}/providers/Microsoft.ContainerRegistry/registries/lazaret"
root = f"providers/Microsoft.Management/managementGroups/{TENANT}"
security = client(sync_package, SUB)

# Pages: thousands of rows, each once, whatever the scope.
for key in (OF_2020, OF_2023, OF_2024):
    rows = list(security.sub_assessments.list(registry, key))
    equal((len(rows), len({row.name for row in rows})), (FINDINGS + 1, FINDINGS + 1))
# The last of them has the same at every scope.
for at in (scope, group, root):
    equal([row.id for row in security.sub_assessments.list(at, key)], [row.id for row in rows])
every = list(security.sub_assessments.list_all(scope))
equal((len(every), len({row.id for row in every})), (3 * FINDINGS + 3, 3 * FINDINGS + 3))

# What each form says, in typed attributes.
rows = list(security.sub_assessments.list(registry, OF_2020))
bad = next(row for row in rows if of(row, "status", "code") == "Unhealthy" and of(row, "impact") == "3")
good = next(row for row in rows if of(row, "status", "code") == "Healthy")
equal(of(good, "status", "severity"), None)
vulnerability = of(bad, "id_properties_id") if GENERATION < 8 else bad.properties.id
equal((vulnerability, of(bad, "status", "severity"), of(bad, "category")), ("CVE-2024-0", "High", "debian"))
equal(of(bad, "status", "description"), "The resource is unhealthy")
assert isinstance(of(bad, "time_generated"), datetime.datetime), bad
assert "Upgrade zlib to 2.0" in of(bad, "remediation"), of(bad, "remediation")
found = of(bad, "additional_data")
if GENERATION < 8:
    equal(type(found).__name__, "ContainerRegistryVulnerabilityProperties")
    equal((found.repository_name, found.patchable, found.type, found.cvss, found.published_time), ("app/bad", True, "Vulnerability", {}, None))
    equal([flaw.title for flaw in found.cve], ["CVE-2024-0"])
    image = found.image_digest
else:
    equal((found["repositoryName"], found["patchable"], found["cvss"]), ("app/bad", True, {}))
    equal([flaw["title"] for flaw in found["cve"]], ["CVE-2024-0"])
    image = found["imageDigest"]
equal(of(bad, "resource_details", "id"), f"/{registry}/repository/app/bad/imageDigest/{image}")
one = security.sub_assessments.get(registry, OF_2020, bad.name)
equal((one.id, of(one, "remediation")), (bad.id, of(bad, "remediation")))
modern = data(next(row for row in security.sub_assessments.list(registry, OF_2023) if row.name == bad.name))
details, software = modern["vulnerabilityDetails"], modern["softwareDetails"]
equal((details["cveId"], details["severity"], details["cvss"]), ("CVE-2024-0", "High", {"2.0": None, "3.0": None}))
equal((software["packageName"], software["fixedVersion"], software["fixStatus"]), ("zlib", "2.0", "FixAvailable"))
equal(software["osDetails"], {"osPlatform": "linux", "osVersion": "debian_linux_12"})
artifact = modern["artifactDetails"]
equal((artifact["repositoryName"], artifact["digest"], artifact["tags"]), ("app/bad", image, ["1"]))
refused(404, ResourceNotFoundError, lambda: security.sub_assessments.get(registry, OF_2020, "00000000-0000-0000-0000-000000000000"))
refused(404, ResourceNotFoundError, lambda: list(security.sub_assessments.list(registry, "00000000-0000-0000-0000-000000000000")))

# Assessments: of the registry under two keys, of each image under the third, and of the package to be updated.
listed = list(security.assessments.list(scope))
equal(sorted(row.name for row in listed if row.name in (OF_2020, OF_2023, OF_2024)), sorted([OF_2020, OF_2023, OF_2024, OF_2024]))
equal([of(row, "display_name") for row in listed if row.name not in (OF_2020, OF_2023, OF_2024)], ["Update zlib"])
equal(len(list(security.assessments.list(root))), len(listed))
assessment = security.assessments.get(registry, OF_2020)
equal((of(assessment, "status", "code"), of(assessment, "resource_details", "id")), ("Unhealthy", f"/{registry}"))
equal(of(assessment, "additional_data")["imagesUnhealthy"], "1")
if GENERATION > 1:
    since = of(assessment, "status", "first_evaluation_date"), of(assessment, "status", "status_change_date")
    assert all(isinstance(time, datetime.datetime) for time in since) and since[0] <= since[1], since
expanded = security.assessments.get(registry, OF_2020, "metadata") if GENERATION == 1 else security.assessments.get(registry, OF_2020, expand="metadata")
equal((of(expanded, "metadata").severity, of(expanded, "metadata").assessment_type), ("High", "BuiltIn"))
linked = security.assessments.get(registry, OF_2020, "links") if GENERATION == 1 else security.assessments.get(registry, OF_2020, expand="links")
assert of(linked, "links").azure_portal_uri.endswith("/portal/registries/lazaret")
of_image = f"{registry}/repositories-app-bad-images-{image}"
equal(of(security.assessments.get(of_image, OF_2024), "status", "code"), "Unhealthy")
equal(len(list(security.sub_assessments.list(of_image, OF_2024))), FINDINGS)
equal(len(list(security.assessments.list(of_image))), 2)
if GENERATION >= 8:
    risk = security.assessments.get(of_image, OF_2024).properties.risk
    equal((risk.level, list(risk.risk_factors)), ("High", []))
body = {"properties": {"status": {"code": "Healthy"}, "resourceDetails": {"source": "Azure"}}}
error = refused(405, HttpResponseError, lambda: security.assessments.create_or_update(registry, OF_2020, body))
assert "custom ones are not kept" in str(error), error
refused(405, HttpResponseError, lambda: security.assessments.delete(registry, OF_2020))

# What is said of assessments wherever they are.
metadata = security.assessments_metadata
keys = sorted([OF_2020, OF_2023, OF_2024])
by_subscription = metadata.list_by_subscription
equal(sorted(row.name for row in metadata.list()), keys)
equal(sorted(row.name for row in by_subscription()), keys)
said = metadata.get(OF_2020), metadata.get_in_subscription(OF_2020)
equal([of(row, "severity") for row in said], ["High", "High"])
equal([of(row, "display_name") for row in said], [of(assessment, "display_name")] * 2)
assert of(said[0], "description") and of(said[0], "remediation_description")
refused(404, ResourceNotFoundError, lambda: metadata.get("00000000-0000-0000-0000-000000000000"))

# Plans.
at = () if GENERATION == 1 else (scope,)
plans = security.pricings.list(*at).value
equal([plan.name for plan in plans], ["ContainerRegistry", "Containers"])
equal([of(plan, "pricing_tier") for plan in plans], ["Standard", "Free"])
equal(of(plans[0], "free_trial_remaining_time"), datetime.timedelta(0))
on, off = ({"properties": {"pricingTier": tier}} for tier in ("standard", "free"))
for plan, tier in ((on, "Standard"), (off, "Free")):
    changed = security.pricings.update(*at, "containers", plan)
    equal((changed.name, of(changed, "pricing_tier")), ("Containers", tier))
    equal(of(security.pricings.get(*at, "CONTAINERS"), "pricing_tier"), tier)
refused(404, ResourceNotFoundError, lambda: security.pricings.get(*at, "VirtualMachines"))
if GENERATION > 1:
    equal((of(plans[0], "deprecated"), list(of(plans[0], "replaced_by"))), (True, ["Containers"]))
    equal((of(plans[0], "resources_coverage_status"), of(plans[0], "inherited")), ("FullyCovered", "False"))
    assert isinstance(of(plans[0], "enablement_time"), datetime.datetime)
    equal([plan.name for plan in security.pricings.list(scope, filter="name in (Containers)").value], ["Containers"])
    inherited = security.pricings.get(registry, "ContainerRegistry")
    equal((of(inherited, "inherited"), of(inherited, "inherited_from")), ("True", f"/{scope}"))
    security.pricings.delete(registry, "ContainerRegistry")
    refused(400, HttpResponseError, lambda: security.pricings.delete(scope, "ContainerRegistry"))
if GENERATION == 7:
    old = client(sync_package, SUB, api_version="2018-06-01").pricings
    equal([plan.name for plan in old.list().value], ["ContainerRegistry", "Containers"])
    equal(old.update("ContainerRegistry", {"pricing_tier": "Standard"}).pricing_tier, "Standard")

# A rule: everything says the same, at once.
rule = f"/{registry}/providers/Microsoft.Security/findingRules/accepted"
made = raw("PUT", rule, json={"properties": {"criteria": {"packages": ["zlib"]}, "reason": "not reachable"}})
equal(made["properties"]["disabledFindings"], FINDINGS)
exempt = security.sub_assessments.get(registry, OF_2020, bad.name)
equal((of(exempt, "status", "code"), of(exempt, "status", "cause"), of(exempt, "status", "severity")), ("NotApplicable", "Exempt", "High"))
assert "'accepted'" in of(exempt, "status", "description") and "not reachable" in of(exempt, "status", "description")
equal(of(security.assessments.get(registry, OF_2020), "status", "code"), "Healthy")
equal([of(row, "status", "code") for row in security.assessments.list(of_image)], ["Healthy", "NotApplicable"])
raw("DELETE", rule)
equal(of(security.sub_assessments.get(registry, OF_2020, bad.name), "status", "code"), "Unhealthy")
equal(of(security.assessments.get(registry, OF_2020), "status", "code"), "Unhealthy")


async def at_once():
    """The same, asked asynchronously."""
    import azure.identity.aio
    import azure.mgmt.security.aio as async_package

    async with azure.identity.aio.ClientSecretCredential(TENANT, CLIENT, SECRET, **IDENTITY) as login:
        CREDENTIALS[async_package.__name__] = login
        async with client(async_package, SUB) as security:
            rows = [row.name async for row in security.sub_assessments.list(registry, OF_2020)]
            equal((len(rows), len(set(rows))), (FINDINGS + 1, FINDINGS + 1))
            equal(len([row async for row in security.sub_assessments.list_all(scope)]), len(every))
            equal((await security.sub_assessments.get(registry, OF_2020, bad.name)).id, bad.id)
            equal([row.id async for row in security.assessments.list(scope)], [row.id for row in listed])
            equal(of(await security.assessments.get(registry, OF_2023), "status", "code"), "Unhealthy")
            equal(sorted([row.name async for row in security.assessments_metadata.list()]), keys)
            equal(sorted([row.name async for row in security.assessments_metadata.list_by_subscription()]), keys)
            equal(of(await security.assessments_metadata.get(OF_2020), "severity"), "High")
            equal(of(await security.assessments_metadata.get_in_subscription(OF_2020), "severity"), "High")
            equal([plan.name for plan in (await security.pricings.list(*at)).value], ["ContainerRegistry", "Containers"])
            equal(of(await security.pricings.update(*at, "Containers", on), "pricing_tier"), "Standard")
            equal(of(await security.pricings.update(*at, "Containers", off), "pricing_tier"), "Free")
            equal(of(await security.pricings.get(*at, "Containers"), "pricing_tier"), "Free")


try:
    import aiohttp  # noqa: F401
except ImportError:
    print(f"left out: the asynchronous azure-mgmt-security {GENERATION}: aiohttp is not installed")
else:
    asyncio.run(at_once())
print("ok")
