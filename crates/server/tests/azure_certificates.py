#!/usr/bin/env python3
"""Azure's identity library, unmodified, with certificates and federated tokens instead of secrets.

  azure_certificates.py BASE TENANT CLIENT SECRET LAZARET DATA     (REQUESTS_CA_BUNDLE, SSL_CERT_FILE: the authority)

Keys are made here; LAZARET is the program, by which a principal of the data folder is told of them.
"""
import asyncio
import base64
import datetime
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import jwt
import requests
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import CertificateCredential, ClientAssertionCredential, WorkloadIdentityCredential
from azure.identity.aio import CertificateCredential as AsyncCertificateCredential
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

BASE, TENANT, LAZARET, DATA = sys.argv[1], sys.argv[2], *sys.argv[5:7]
SCOPE = "https://management.azure.com/.default"
OPTIONS = {"authority": BASE, "disable_instance_discovery": True}
FOLDER = pathlib.Path(tempfile.mkdtemp())
ISSUER, SUBJECT = "https://cluster.example", "system:serviceaccount:team:robot"


def lazaret(*arguments):
    return subprocess.run([LAZARET, *arguments, "--data", DATA], check=True, capture_output=True, text=True).stdout


def certificate(name, days):
    """A key with its certificate in one PEM file, as Azure's clients want them."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    begin = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=30)
    end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)
    made = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number(), begin, end)
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    text = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + made.sign(key, hashes.SHA256()).public_bytes(pem)
    path = FOLDER / f"{name}.pem"
    path.write_bytes(text)
    return str(path)


def subscriptions(credential):
    token = credential.get_token(SCOPE).token
    answer = requests.get(f"{BASE}/subscriptions?api-version=2022-12-01", headers={"Authorization": f"Bearer {token}"})
    answer.raise_for_status()
    return len(answer.json()["value"])


def refused(code, credential):
    try:
        credential.get_token(SCOPE)
    except ClientAuthenticationError as error:
        assert code in error.message, error.message
        return
    raise AssertionError(f"{code} was wanted")


lazaret("principal", "create", "robot", "--role", "Reader", "--scope", "/")
robot = next(found["id"] for found in json.loads(lazaret("principal", "list", "--format=json")) if found["name"] == "robot")
good, other, old = certificate("good", 30), certificate("other", 30), certificate("old", -1)
for path in (good, old):
    lazaret("principal", "secret", "add", "robot", "--certificate", path)
by = lambda path, **more: CertificateCredential(TENANT, robot, path, **OPTIONS, **more)
assert subscriptions(by(good)) == 1
assert subscriptions(by(good, send_certificate_chain=True)) == 1
refused("AADSTS700027", by(other))
refused("AADSTS7000222", by(old))


async def without_waiting():
    async with AsyncCertificateCredential(TENANT, robot, good, **OPTIONS) as credential:
        assert (await credential.get_token(SCOPE)).token


asyncio.run(without_waiting())

cluster = rsa.generate_private_key(public_exponent=65537, key_size=2048)
number = lambda it: base64.urlsafe_b64encode(it.to_bytes((it.bit_length() + 7) // 8, "big")).rstrip(b"=").decode()
public = cluster.public_key().public_numbers()
keys = FOLDER / "keys.json"
keys.write_text(json.dumps({"keys": [{"kty": "RSA", "alg": "RS256", "kid": "k1", "n": number(public.n), "e": number(public.e)}]}))
lazaret("principal", "secret", "add", "robot", "--issuer", ISSUER, "--subject", SUBJECT, "--keys", str(keys))


def projected(subject):
    """What a cluster writes into a pod's token file."""
    claims = {"iss": ISSUER, "sub": subject, "aud": ["api://AzureADTokenExchange"], "exp": int(time.time()) + 600}
    return jwt.encode(claims, cluster, algorithm="RS256", headers={"kid": "k1"})


file = FOLDER / "token"
file.write_text(projected(SUBJECT))
assert subscriptions(WorkloadIdentityCredential(tenant_id=TENANT, client_id=robot, token_file_path=str(file), **OPTIONS)) == 1
assert subscriptions(ClientAssertionCredential(TENANT, robot, lambda: projected(SUBJECT), **OPTIONS)) == 1
refused("AADSTS700027", ClientAssertionCredential(TENANT, robot, lambda: projected("system:serviceaccount:team:other"), **OPTIONS))
kinds = sorted(found["kind"] for found in json.loads(lazaret("principal", "secret", "list", "robot", "--format=json")))
assert kinds == ["certificate", "certificate", "federation", "secret"], kinds
print("ok")
