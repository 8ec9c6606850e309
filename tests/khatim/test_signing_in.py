# SPDX-License-Identifier: Apache-2.0
"""``khatim login`` against a real provider: a code, a token that is renewed, a file that only its owner can read."""

from __future__ import annotations

import re
import stat
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from khatim import credentials, device_flow
from khatim.cli.main import app
from khatim.device_flow import Code, Granted
from khatim.errors import KhatimError, Misconfigured, Unauthenticated, Unavailable
from khatim.settings import AuthoritySettings
from khatim.wire.sign_in import SignIn
from tests.processes.serving import Registry
from tests.support.provider import IdentityProvider, running
from tests.support.world import Step, World, Worlds

NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)
HOW = SignIn(mode="oidc", issuer="https://id.example", audience="api", client_id="cli", scopes=["openid"])
CODE = Code("ABCD", "https://id.example/device", "https://id.example/device?c=ABCD", "dev", 5.0,
            NOW + timedelta(minutes=10), "https://id.example/token")  # fmt: skip


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IdentityProvider]:
    with running(Path(tmp_path_factory.mktemp("provider"))) as started:
        yield started


@pytest.fixture
def registry(worlds: Worlds, provider: IdentityProvider) -> Iterator[tuple[World, str]]:
    with worlds.at(Step.EMPTY, oidc=provider.settings, authority=AuthoritySettings(process=False)) as world:
        served = Registry(world)
        served.start()
        try:
            yield world, served.url
        finally:
            served.stop()


def confirm(provider: IdentityProvider, screen: list[str]) -> None:
    """Do what the terminal asks for, as soon as it does."""
    for _ in range(200):
        if found := re.search(r"Open (\S+) and enter the code (\S+)", "".join(screen)):
            provider.approve_device(f"{found[1]}?user_code={found[2]}")
            return
        time.sleep(0.05)


def test_one_signs_in_once_and_later_commands_act_as_oneself(
    registry: tuple[World, str], provider: IdentityProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, url = registry
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("KHATIM_TOKEN", raising=False)
    said: list[str] = []
    monkeypatch.setattr("khatim.cli.output.say", said.append)
    provider.account("dana")
    owner = threading.Thread(target=confirm, args=(provider, said))
    owner.start()
    result = CliRunner().invoke(app, ["login", "--server", url, "--no-browser"])
    owner.join()
    file = credentials.path()

    assert result.exit_code == 0, (result.output, result.exception)
    assert "You are Dana (p-" in said[-1]
    assert "no role yet" in said[-1]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) & 0o077 == 0
    assert "Dana" in CliRunner().invoke(app, ["whoami", "--server", url]).output
    # Its end is near: the next command renews it, and the provider gives another token.
    first = credentials.token_for(file, url)
    later = credentials.token_for(file, url, now=datetime.now(UTC) + timedelta(minutes=9, seconds=30))
    assert later != first
    assert world.bearer(later).get("/v1/whoami").status_code == 200
    CliRunner().invoke(app, ["logout", "--server", url])
    assert credentials.token_for(file, url) == ""
    with pytest.raises(Unauthenticated, match="nobody is signed in"):
        CliRunner().invoke(app, ["whoami", "--server", url], catch_exceptions=False)


def answering(*answers: httpx.Response) -> httpx.Client:
    """Return a client whose calls are answered in turn."""
    left = list(answers)
    return httpx.Client(transport=httpx.MockTransport(lambda _: left.pop(0)))


def pending(error: str) -> httpx.Response:
    return httpx.Response(400, json={"error": error})


def test_it_is_asked_as_often_as_the_provider_wants() -> None:
    slept: list[float] = []
    granted = httpx.Response(200, json={"access_token": "t", "expires_in": 600})
    with answering(pending("authorization_pending"), pending("slow_down"), granted) as http:
        found = device_flow.wait(http, HOW, CODE, sleep=slept.append, clock=lambda: NOW)

    assert slept == [5.0, 5.0, 10.0]
    assert (found.access_token, found.refresh_token) == ("t", "")
    assert found.expires_at == NOW + timedelta(minutes=10)


@pytest.mark.parametrize(("error", "words"), [("access_denied", "access_denied"), ("expired_token", "expired_token")])
def test_a_refusal_ends_it(error: str, words: str) -> None:
    with answering(pending(error)) as http, pytest.raises(Unauthenticated, match=words):
        device_flow.wait(http, HOW, CODE, sleep=lambda _: None, clock=lambda: NOW)


def test_nobody_is_waited_for_longer_than_the_code_lives() -> None:
    with answering() as http, pytest.raises(Unauthenticated, match="in time"):
        device_flow.wait(http, HOW, CODE, sleep=lambda _: None, clock=lambda: CODE.until)


@pytest.mark.parametrize(
    ("how", "answer", "error"),
    [
        (SignIn(), {}, Misconfigured),
        (HOW, {"issuer": "https://evil.example", "device_authorization_endpoint": "https://id.example/d"}, Unavailable),
        (HOW, {"issuer": "https://id.example"}, Misconfigured),
        (HOW, {"issuer": "https://id.example", "device_authorization_endpoint": "http://id.example/d"}, Misconfigured),
        (HOW, [], Unavailable),
    ],
)
def test_a_provider_that_cannot_be_trusted_gets_no_code(how: SignIn, answer: object, error: type[KhatimError]) -> None:
    with answering(httpx.Response(200, json=answer)) as http, pytest.raises(error):
        device_flow.begin(http, how, NOW)


def test_a_sign_in_without_a_refresh_token_lasts_to_its_end_and_no_longer(tmp_path: Path) -> None:
    file = tmp_path / "khatim" / "credentials.json"
    credentials.keep(file, "https://K.example/", Granted("t", "", NOW, "https://id.example/token", "cli"))

    assert credentials.token_for(file, "https://k.example", now=NOW - timedelta(seconds=1)) == "t"
    with pytest.raises(Unauthenticated, match="ended"):
        credentials.token_for(file, "https://k.example", now=NOW)
    assert credentials.token_for(file, "https://other.example", now=NOW) == ""


@pytest.mark.parametrize(
    "text", ["{", "\xff", '{"https://k.example": {"access_token": 1}}', '{"https://k.example": []}']
)
def test_a_spoilt_file_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "credentials.json"
    file.write_bytes(text.encode("latin-1"))

    with pytest.raises(Misconfigured, match=r"credentials\.json"):
        credentials.token_for(file, "https://k.example", now=NOW)
