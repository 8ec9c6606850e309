# SPDX-License-Identifier: Apache-2.0
"""Settings: read once, from the environment and from what is given; what contradicts itself does not start."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gateway import children
from khatim import settings
from khatim.errors import Misconfigured
from khatim.settings import DatabaseSettings, Settings
from khatim.sign_in_settings import OidcSettings

OIDC = {"issuer": "https://id.example", "audience": "khatim"}
URLS = {"url": "postgresql://a", "owner_url": "postgresql://b", "sequencer_url": "postgresql://c"}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Start with an environment that says nothing about Khatim."""
    for name in [name for name in os.environ if name.startswith("KHATIM_")]:
        monkeypatch.delenv(name)
    return monkeypatch


def refused(**given: Any) -> str:
    """Return why settings are refused."""
    with pytest.raises(Misconfigured) as raised:
        settings.load(**{"data": "data", **given})
    assert raised.value.advice
    return raised.value.detail


def test_a_folder_is_all_that_must_be_said() -> None:
    read = settings.load(data="somewhere")

    assert read.data == Path("somewhere")
    assert read.is_local
    assert settings.is_loopback(read.host)
    assert (read.database.url, read.oidc, read.policies) == (None, None, None)


def test_without_a_folder_nothing_starts() -> None:
    with pytest.raises(Misconfigured, match="data: Field required"):
        settings.load()


def test_the_environment_is_read_with_its_prefix_and_nested_by_two_underscores(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("KHATIM_DATA", "there")
    environment.setenv("KHATIM_PORT", "9000")
    environment.setenv("KHATIM_OIDC__ISSUER", OIDC["issuer"])
    environment.setenv("KHATIM_OIDC__AUDIENCE", OIDC["audience"])
    for name, value in URLS.items():
        environment.setenv(f"KHATIM_DATABASE__{name.upper()}", value)
    read = settings.load()

    assert (read.data, read.port) == (Path("there"), 9000)
    assert read.oidc == OidcSettings.model_validate(OIDC)
    assert read.database == DatabaseSettings(**URLS)
    assert not read.is_local


def test_what_is_given_wins_over_the_environment_and_nothing_given_does_not(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("KHATIM_DATA", "there")
    environment.setenv("KHATIM_PORT", "9000")

    read = settings.load(data=None, port=9001)
    assert (read.data, read.port) == (Path("there"), 9001)


@pytest.mark.parametrize("missing", ["issuer", "audience"])
def test_an_identity_provider_needs_both_issuer_and_audience(missing: str) -> None:
    assert f"oidc.{missing}" in refused(oidc={name: value for name, value in OIDC.items() if name != missing})


@pytest.mark.parametrize("change", [{"issuer": "http://id.example"}, {"audience": ""}])
def test_an_identity_provider_is_reached_safely_and_speaks_to_somebody(change: dict[str, str]) -> None:
    assert "oidc" in refused(oidc={**OIDC, **change})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "khatim.example", ""])  # noqa: S104 - it must be refused
def test_local_mode_listens_on_this_machine_only(host: str) -> None:
    assert "loopback only" in refused(host=host)
    assert settings.load(data="data", host=host, oidc=OIDC, proxy="10.0.0.7").host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_this_machine_has_several_names(host: str) -> None:
    assert settings.load(data="data", host=host).host == host


@pytest.mark.parametrize("host", ["127.0.0.1.example", "localhost.example", "128.0.0.1", "", "1", "\x00", "testclient"])
def test_what_only_looks_like_this_machine_is_not(host: str) -> None:
    assert not settings.is_loopback(host)


@pytest.mark.parametrize("missing", URLS)
def test_a_database_is_reached_in_three_roles_or_not_at_all(missing: str) -> None:
    given = {name: value for name, value in URLS.items() if name != missing}

    assert "three roles" in refused(database=given)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", -1), ("port", 65536), ("port", "many"), ("workers", 0), ("workers", 65), ("max_body", 1),
        ("entity", ""), ("entity", "The Bank"), ("instance", "a/b"), ("instance", "a-"), ("zone", "AE"),
    ],
)  # fmt: skip
def test_a_value_out_of_its_range_is_named(name: str, value: object) -> None:
    assert refused(**{name: value}).startswith(f"{name}: ")


def test_every_complaint_is_told_at_once() -> None:
    told = refused(port=-1, workers=0, oidc={})

    assert [name in told for name in ("port", "workers", "oidc.issuer", "oidc.audience")] == [True] * 4


@pytest.mark.parametrize("unknown", [{"hosst": "127.0.0.1"}, {"oidc": {**OIDC, "skip": True}}, {"database": {"x": 1}}])
def test_a_misspelt_setting_is_refused(unknown: dict[str, Any]) -> None:
    assert "Extra inputs are not permitted" in refused(**unknown)


def test_a_refusal_does_not_repeat_what_may_be_secret() -> None:
    told = refused(database={"url": "postgresql://khatim:topsecret@db"})

    assert "topsecret" not in told


def test_settings_do_not_change() -> None:
    read = settings.load(data="data", oidc=OIDC)
    with pytest.raises(ValidationError, match="frozen"):
        read.port = 1  # type: ignore[misc]  # it must be refused
    assert read.oidc is not None
    with pytest.raises(ValidationError, match="frozen"):
        read.oidc.audience = "all"  # type: ignore[misc]  # it must be refused


def test_nothing_secret_or_security_deciding_has_a_default() -> None:
    defaults = Settings(data=Path("data")).model_dump()

    assert (defaults["oidc"], set(defaults["database"].values())) == (None, {None})


def test_a_child_process_reads_what_its_parent_was_told(environment: pytest.MonkeyPatch) -> None:
    told = settings.load(
        data=Path("/there"), host="10.0.0.5", proxy="10.0.0.7, 10.1.0.0/16",
        oidc={**OIDC, "client_id": "console", "public_url": "https://khatim.example", "scopes": ["openid", "groups"]},
        tls={"certificate": Path("/cert.pem"), "key": Path("/key.pem")},
    )  # fmt: skip
    for name, value in children.environment(told).items():
        environment.setenv(name, value)

    assert settings.load() == told
