#!/usr/bin/env python3
"""People sign in through azure-identity and msal, unmodified: for a device, and for a program. (With a password msal asks
port 443 first, whatever the address says: a server at another port cannot be tried so.)

  sign_in.py BASE TENANT NAME PASSWORD     (REQUESTS_CA_BUNDLE names the server's authority)
"""
import re
import sys
import threading
import webbrowser

import msal
import requests
from azure.identity import DeviceCodeCredential

BASE, TENANT, NAME, PASSWORD = sys.argv[1:5]
CLIENT = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"
SCOPES = ["https://management.azure.com/.default"]


def is_let_in(token):
    answer = requests.get(f"{BASE}/tenants?api-version=2022-12-01", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200, answer.text


def sign_in(address, **fields):
    """What a person does in a browser: opens the page, fills in its form, sends it."""
    session = requests.Session()
    page = session.get(address)
    page.raise_for_status()
    hidden = dict(re.findall(r'<input type=hidden name=(\w+) value="([^"]*)">', page.text))
    answer = session.post(address, data={**hidden, "username": NAME, "password": PASSWORD, **fields}, allow_redirects=False)
    assert answer.status_code in (200, 303), answer.text
    return answer


options = dict(authority=BASE, disable_instance_discovery=True, tenant_id=TENANT, client_id=CLIENT)

# A device: the code is shown, somebody enters it elsewhere.
shown = []


def enter(address, code, _):
    shown.append(code)
    sign_in(address, user_code=code)


credential = DeviceCodeCredential(prompt_callback=enter, **options)
is_let_in(credential.get_token(*SCOPES).token)
# The next comes from the cache, or by the refresh token: nobody is asked again.
is_let_in(credential.get_token(*SCOPES).token)
assert len(shown) == 1, shown

# A program on this machine, step by step, and then renewed.
application = msal.PublicClientApplication(CLIENT, authority=f"{BASE}/{TENANT}", instance_discovery=False)
flow = application.initiate_auth_code_flow(SCOPES, redirect_uri="http://localhost:8400")
answer = sign_in(flow["auth_uri"])
query = dict(requests.utils.unquote(pair).split("=", 1) for pair in answer.headers["location"].split("?", 1)[1].split("&"))
result = application.acquire_token_by_auth_code_flow(flow, query)
assert "access_token" in result, result
assert result["id_token_claims"]["preferred_username"] == NAME, result["id_token_claims"]
is_let_in(result["access_token"])
(account,) = application.get_accounts()
renewed = application.acquire_token_silent_with_error(SCOPES, account, force_refresh=True)
assert renewed and renewed["access_token"] != result["access_token"], renewed
is_let_in(renewed["access_token"])

# As `az login` does it: msal listens on this machine and opens a browser. The page that it gets is a form.
threads = []


def browse(address, *_, **__):
    def go():
        page = sign_in(address)
        if page.status_code == 303:
            requests.get(page.headers["location"])
            return
        action = re.search(r'action="([^"]*)"', page.text).group(1)
        requests.post(action, data=dict(re.findall(r'<input type=hidden name=(\w+) value="([^"]*)">', page.text)))

    threads.append(threading.Thread(target=go))
    threads[-1].start()
    return True


browser = type("Browser", (), {"open": staticmethod(browse), "name": "here"})()
webbrowser.register("here", None, browser, preferred=True)
webbrowser.open = browse
result = application.acquire_token_interactive(SCOPES, timeout=30)
assert "access_token" in result, result
is_let_in(result["access_token"])
for thread in threads:
    thread.join()
assert threads, "no browser was opened"
