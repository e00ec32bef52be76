#!/usr/bin/env python3
"""azure-mgmt-consumption, unmodified, against a server that is charged for some images.

  usage.py BASE TENANT CLIENT SECRET SUBSCRIPTION COUNT     (REQUESTS_CA_BUNDLE names the server's authority)
"""
import datetime
import json
import sys
from decimal import Decimal

from azure.core.exceptions import HttpResponseError
from azure.identity import ClientSecretCredential
from azure.mgmt.consumption import ConsumptionManagementClient

BASE, TENANT, CLIENT, SECRET, SUB, COUNT = sys.argv[1:7]
credential = ClientSecretCredential(TENANT, CLIENT, SECRET, authority=BASE, disable_instance_discovery=True)
client = ConsumptionManagementClient(
    credential, SUB, base_url=BASE, credential_scopes=["https://management.azure.com/.default"]
)
scope = f"/subscriptions/{SUB}"


def equal(found, wanted):
    assert found == wanted, f"{found!r} is not {wanted!r}"


today = datetime.datetime.now(datetime.timezone.utc).date()
rows = list(client.usage_details.list(scope, expand="properties/additionalInfo"))
equal(len(rows), int(COUNT))
equal({type(row).__name__ for row in rows}, {"LegacyUsageDetail"})
first = rows[0].properties
equal((first.quantity, first.cost, first.billing_currency), (1, Decimal("0.29"), "EUR"))
equal((first.subscription_id, first.date.date()), (SUB, today))
images = {json.loads(row.properties.additional_info)["imageDigest"] for row in rows}
equal(len(images), int(COUNT))
equal(len({row.id for row in rows}), int(COUNT))
since = f"properties/usageStart ge '{today}' and properties/usageEnd le '{today}'"
equal([row.id for row in client.usage_details.list(scope, filter=since)], [row.id for row in rows])
equal(list(client.usage_details.list(scope, filter="properties/usageEnd lt '2020-01-01'")), [])
equal([row.id for row in client.usage_details.list(scope, top=2)], [row.id for row in rows[:2]])
try:
    list(client.usage_details.list(scope, filter="properties/resourceGroup eq 'x'"))
    raise AssertionError("a filter that is not understood must be refused")
except HttpResponseError as error:
    equal(error.error.code, "InvalidFilter")
