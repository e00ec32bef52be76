#!/usr/bin/env python3
"""Resource Graph by Azure's own SDK (7.0.0, 8.0.1 and what follows), unmodified, and by the bodies that az sends.

  azure_graph.py BASE TENANT CLIENT SECRET     (REQUESTS_CA_BUNDLE names the server's authority)

The server holds the findings of one image and one healthy image, and answers 15 queries in five seconds.
"""
import asyncio
import inspect
import sys
import time

import requests
from azure.core.exceptions import HttpResponseError
from azure.identity import ClientSecretCredential
from azure.identity.aio import ClientSecretCredential as AsyncCredential
from azure.mgmt.resourcegraph import ResourceGraphClient
from azure.mgmt.resourcegraph.aio import ResourceGraphClient as AsyncClient
from azure.mgmt.resourcegraph import models

BASE, TENANT, CLIENT, SECRET = sys.argv[1:5]
SCOPES = ["https://management.azure.com/.default"]
URL = f"{BASE}/providers/Microsoft.ResourceGraph/resources?api-version=2021-03-01"
credential = ClientSecretCredential(TENANT, CLIENT, SECRET, authority=BASE, disable_instance_discovery=True)
TOKEN = {"Authorization": f"Bearer {credential.get_token(*SCOPES).token}"}


def equal(found, wanted):
    assert found == wanted, f"{found!r} is not {wanted!r}"


answer = requests.get(f"{BASE}/subscriptions?api-version=2022-12-01", headers=TOKEN)
SUB = answer.json()["value"][0]["subscriptionId"]
settings = {"base_url": BASE, "credential_scopes": SCOPES}
if "subscription_id" in inspect.signature(ResourceGraphClient.__init__).parameters:
    settings["subscription_id"] = SUB  # from 8.1 on
client = ResourceGraphClient(credential, **settings)


def ask(query, subscriptions=None, facets=None, **options):
    request = models.QueryRequest(
        query=query, subscriptions=subscriptions, facets=facets,
        options=models.QueryRequestOptions(**options) if options else None,
    )
    return client.resources(request)


# Objects, the default, and every row by its page.
every = ask("securityresources | project id, name, type, properties | order by id asc")
rows = every.data
equal((every.total_records, every.count, str(every.result_truncated).split(".")[-1].lower()), (len(rows), len(rows), "false"))
assert len(rows) > 6 and isinstance(rows[0], dict), rows
bad = [row for row in rows if row["type"] == "microsoft.security/assessments/subassessments"
       and row["properties"]["status"]["code"] == "Unhealthy"]
assert bad and all(row["properties"]["id"] == "CVE-2024-1" for row in bad), bad
request = models.QueryRequest(
    query="securityresources | project id | order by id asc", subscriptions=[SUB],
    options=models.QueryRequestOptions(result_format="objectArray", top=4),
)
page, seen = client.resources(request), []
while True:
    seen += [row["id"] for row in page.data]
    if not page.skip_token:
        break
    request.options.skip_token = page.skip_token
    page = client.resources(request)
equal(seen, [row["id"] for row in rows])

# Tables.
table = ask("resources | project name, type", result_format="table").data
columns = [column["name"] for column in table["columns"]]
equal((columns, table["rows"]), (["name", "type"], [["lazaret", "microsoft.containerregistry/registries"]]))

# Facets, one of them wrong.
facets = [
    models.FacetRequest(expression="type", options=models.FacetRequestOptions(sort_by="count", sort_order="desc", top=1)),
    models.FacetRequest(expression="nothing"),
]
found = ask("securityresources", facets=facets).facets
equal([type(facet).__name__ for facet in found], ["FacetResult", "FacetError"])
equal((found[0].count, found[0].data[0]["type"]), (1, "microsoft.security/assessments/subassessments"))

# Refusals, as the SDK shows them.
try:
    ask("where where")
    raise AssertionError("it was answered")
except HttpResponseError as error:
    equal((error.status_code, error.error.code), (400, "BadRequest"))
    equal([detail.code for detail in error.error.details], ["InvalidQuery", "ParserFailure"])
try:
    ask("resources", subscriptions=["00000000-0000-0000-0000-00000000dead"])
    raise AssertionError("it was answered")
except HttpResponseError as error:
    equal(error.error.details[0].code, "AccessDenied")
if "allow_partial_scopes" in getattr(models.QueryRequestOptions, "_attribute_map", {"allow_partial_scopes": 0}):
    partial = ask("resources", subscriptions=["00000000-0000-0000-0000-00000000dead"], allow_partial_scopes=True)
    equal(partial.total_records, 0)


# What `az graph query` and `az rest` send.
def post(body, **headers):
    while True:
        answer = requests.post(URL, json=body, headers=TOKEN | headers)
        if answer.status_code != 429:
            return answer
        time.sleep(int(answer.headers["Retry-After"]))


sent = {"query": "resources", "subscriptions": [SUB],
        "options": {"$top": 100, "$skip": 0, "resultFormat": "objectArray", "allowPartialScopes": False}}
equal(post(sent).json()["data"][0]["name"], "lazaret")
equal(post({"query": "Resources", "managementGroups": [TENANT]}).json()["count"], 1)
equal(post({"query": "Resources", "managementGroups": ["elsewhere"]}).json()["error"]["details"][0]["code"], "AccessDenied")
equal(post({"query": "Resources", "managementGroups": ["elsewhere"], "options": {"allowPartialScopes": True}}).json()["count"], 0)
export = post({"query": "securityresources | project id, name | order by id asc"}, Accept="text/csv")
equal((export.status_code, len(export.text.splitlines())), (200, len(rows) + 1))
equal(export.text.splitlines()[0], "id,name")


# The same without threads: rows, a page and its next, facets, refusals.
async def asynchronously():
    secret = AsyncCredential(TENANT, CLIENT, SECRET, authority=BASE, disable_instance_discovery=True)
    async with secret, AsyncClient(secret, **settings) as graph:
        wanted = models.QueryRequest(
            query="securityresources | project id | order by id asc", subscriptions=[SUB],
            facets=[models.FacetRequest(expression="id", options=models.FacetRequestOptions(top=1))],
            options=models.QueryRequestOptions(result_format="objectArray", top=5),
        )
        page = await graph.resources(wanted)
        equal((page.count, page.total_records, type(page.facets[0]).__name__), (5, len(rows), "FacetResult"))
        wanted.options.skip_token = page.skip_token
        following = await graph.resources(wanted)
        equal([row["id"] for row in page.data + following.data], [row["id"] for row in rows][:10])
        try:
            await graph.resources(models.QueryRequest(query="resources | project cout()"))
            raise AssertionError("it was answered")
        except HttpResponseError as error:
            equal([detail.code for detail in error.error.details], ["InvalidQuery", "UnknownFunction"])


asyncio.run(asynchronously())

# Every version of the API, and the two formats that they begin with.
for version in ["2018-09-01-preview", "2019-04-01", "2020-04-01-preview", "2021-03-01", "2021-06-01-preview", "2022-10-01", "2024-04-01"]:
    answer = requests.post(URL.replace("2021-03-01", version), json={"query": "resources | project name"}, headers=TOKEN)
    while answer.status_code == 429:
        time.sleep(int(answer.headers["Retry-After"]))
        answer = requests.post(URL.replace("2021-03-01", version), json={"query": "resources | project name"}, headers=TOKEN)
    wanted = {"columns": [{"name": "name", "type": "string"}], "rows": [["lazaret"]]}
    equal(answer.json()["data"], wanted if version <= "2019-04-01" else [{"name": "lazaret"}])
    for header in ["x-ms-user-quota-remaining", "x-ms-user-quota-resets-after", "x-ms-resource-graph-request-duration",
                   "x-ms-ratelimit-remaining-tenant-resource-requests"]:
        assert answer.headers.get(header), (version, header, answer.headers)

# A saved query, as a resource and as a table.
saved = f"/subscriptions/{SUB}/resourceGroups/default/providers/Microsoft.ResourceGraph/queries/flawed"
put = requests.put(f"{BASE}{saved}?api-version=2018-09-01-preview", headers=TOKEN,
                   json={"location": "global", "properties": {"query": "securityresources | where properties.status.code == 'Unhealthy'"}})
assert put.status_code in (200, 201), put.text
equal(post({"query": "{{" + saved + "}} | where type has 'subassessments' | count"}).json()["data"][0]["Count"], len(bad))
requests.delete(f"{BASE}{saved}?api-version=2018-09-01-preview", headers=TOKEN).raise_for_status()

# Too many: refused with a time, and the SDK waits and comes again by itself.
answers = [requests.post(URL, json={"query": "print 1"}, headers=TOKEN) for _ in range(20)]
late = next(answer for answer in answers if answer.status_code == 429)
equal((late.json()["error"]["code"], late.headers["x-ms-user-quota-remaining"]), ("RateLimiting", "0"))
assert 1 <= int(late.headers["Retry-After"]) <= 5
equal(ask("print x = 7").data, [{"x": 7}])
print(f"{len(rows)} rows, {len(bad)} of them unhealthy sub-assessments")
