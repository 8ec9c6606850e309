# SPDX-License-Identifier: Apache-2.0
"""A real, certified OpenID provider (npm oidc-provider) as a process, and a browser that signs in with it."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx

from khatim.sign_in_settings import CALLBACK, OidcSettings
from runners.zone.cluster import free_ports
from tests.outside.tools import ROOM, program

SCRIPT = Path(__file__).parents[1] / "gateway" / "provider" / "provider.mjs"
LIBRARY = ROOM / "js" / "node_modules" / "oidc-provider" / "lib" / "index.js"
CONSOLE = "https://khatim.example"
AUDIENCE = "https://api.khatim.example"
SECRET = "a secret with /: and %"
_FIELD = re.compile(r'name="([^"]+)" value="([^"]*)"')
_ACTION = re.compile(r'action="([^"]+)"')


@dataclass
class IdentityProvider:
    """A running provider; `told` are the logout tokens that it sent to its client's server."""

    issuer: str
    http: httpx.Client
    secret_file: Path
    told: list[str]

    @property
    def settings(self) -> OidcSettings:
        """Return what a registry is told of it."""
        return OidcSettings(
            issuer=self.issuer, audience=AUDIENCE, client_id="console", client_secret_file=self.secret_file,
            public_url=CONSOLE, device_client_id="cli",
        )  # fmt: skip

    def tell(self, **what: Any) -> None:
        """Change what it does: `account`, `deny`, `rotate`."""
        self.http.post("/test", json=what).raise_for_status()

    def account(self, subject: str, **claims: Any) -> None:
        """Let *subject* be who signs in next."""
        self.tell(account={"sub": subject, "name": subject.title(), "amr": ["pwd"], "groups": [], **claims})

    def answer(self, url: str, browser: httpx.Client | None = None) -> str:
        """Follow a browser that was sent to *url* until it is sent back to the console; return where."""
        with httpx.Client() as fresh:
            here = browser or fresh
            for _ in range(12):
                got = here.get(url)
                url = urljoin(url, got.headers.get("location", ""))
                if url.startswith(CONSOLE):
                    return url
                assert got.is_redirect, got.text
        raise AssertionError("it goes round in circles")

    def sign_out(self, browser: httpx.Client) -> None:
        """Sign *browser*, in which somebody signed in, out of the provider, which tells its client's server."""
        page = browser.get("/session/end", params={"client_id": "console", "post_logout_redirect_uri": CONSOLE})
        form, action = dict(_FIELD.findall(page.text)), _ACTION.search(page.text)
        assert action is not None, page.text
        browser.post(urljoin(self.issuer, action[1]), data={**form, "logout": "yes"})

    def approve_device(self, address: str) -> None:
        """Enter a device's code as its owner does, and confirm it."""
        with httpx.Client(follow_redirects=True) as browser:
            page = browser.get(address)
            for _ in range(3):
                if "<form" not in page.text:
                    break
                form = dict(_FIELD.findall(page.text))
                action = _ACTION.search(page.text)
                assert action is not None, page.text
                page = browser.post(urljoin(self.issuer, action[1]), data={"confirm": "yes", **form})
            assert page.is_success, page.text

    def robot(self) -> str:
        """Return the access token that a program gets in its own name (client credentials)."""
        asked = {"grant_type": "client_credentials", "resource": AUDIENCE, "scope": "khatim"}
        got = self.http.post("/token", data=asked, auth=("robot", "beep"))
        return str(got.raise_for_status().json()["access_token"])


@contextmanager
def running(folder: Path) -> Iterator[IdentityProvider]:
    """Yield a provider on a free port; skips, or fails under CI, where there is no Node."""
    node = program("node")
    (port,) = free_ports(1)
    issuer = f"http://127.0.0.1:{port}"
    secret = folder / "client.secret"
    secret.write_text(SECRET + "\n")
    file, log = folder / "provider.json", folder / "provider.log"
    with _listening() as (address, told), log.open("w") as writing:
        file.write_text(json.dumps({"issuer": issuer, "audience": AUDIENCE, "clients": _clients(address)}))
        process = subprocess.Popen([node, SCRIPT, LIBRARY, file], stdout=subprocess.PIPE, stderr=writing, text=True)
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", log.read_text()
            with httpx.Client(base_url=issuer) as http:
                yield IdentityProvider(issuer, http, secret, told)
        finally:
            process.kill()
            process.communicate()


@contextmanager
def _listening() -> Iterator[tuple[str, list[str]]]:
    """Yield where the client's server listens, and the logout tokens that it was sent."""
    told: list[str] = []

    class Told(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            told.extend(parse_qs(body)["logout_token"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Told) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", told
        server.shutdown()
        thread.join()


def _clients(told_at: str) -> list[dict[str, Any]]:
    return [
        {
            "client_id": "console", "client_secret": SECRET, "redirect_uris": [CONSOLE + CALLBACK],
            "grant_types": ["authorization_code"], "response_types": ["code"],
            "token_endpoint_auth_method": "client_secret_basic", "post_logout_redirect_uris": [CONSOLE],
            "backchannel_logout_uri": told_at, "backchannel_logout_session_required": True,
        },
        {
            "client_id": "cli", "token_endpoint_auth_method": "none", "application_type": "native",
            "redirect_uris": [], "response_types": [],
            "grant_types": ["urn:ietf:params:oauth:grant-type:device_code", "refresh_token"],
        },
        {
            "client_id": "robot", "client_secret": "beep", "redirect_uris": [], "response_types": [],
            "grant_types": ["client_credentials"],
        },
    ]  # fmt: skip


def path_of(address: str) -> str:
    """Return what the console sees of an address that a browser was sent back to."""
    parts = urlsplit(address)
    return f"{parts.path}?{parts.query}"
