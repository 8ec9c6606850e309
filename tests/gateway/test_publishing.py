# SPDX-License-Identifier: Apache-2.0
"""To whom the checkpoints of an installation go: its own authority in whichever process it is, and one outside."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from audit.endorsed import OWN_CLOCK
from gateway import signing
from gateway.instance import Instance
from gateway.publishing import publishing_of
from khatim.errors import Unavailable
from khatim.settings import Settings
from registry.signing import ledger_time, socket_server, stamping, trust
from registry.signing.clocks import Clocks, time_of
from registry.signing.desk import LocalOffice
from tests.support.stamps import by, chain_in, founded, serving

NOTE = b"ledger.local.khatim\n1\n"


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yield a folder with a name that is short enough for a socket."""
    with tempfile.TemporaryDirectory() as short:
        yield Path(short)


def settings_in(folder: Path, **more: Any) -> Settings:
    made = Settings(data=folder / "data", **more)
    Instance(made.data).prepare()
    return made


def time_by(office: LocalOffice, token: bytes) -> datetime:
    """Return what *token* says by the trusted root of *office*."""
    (clock,) = Clocks.of(trust.trusted_root(office.record)).known.values()
    return time_of(clock, token, NOTE)


def _as_soon_as_it_listens(ask: Callable[[], bytes]) -> bytes:
    deadline = time.monotonic() + 20
    while True:
        try:
            return ask()
        except Unavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def test_in_local_mode_the_office_in_this_process_stamps(folder: Path) -> None:
    settings = settings_in(folder)
    signing.local_office(settings, Instance(settings.data)).close()
    with publishing_of(settings, Instance(settings.data)) as to:
        assert list(to.stampers) == [OWN_CLOCK]
        token = to.stampers[OWN_CLOCK](NOTE)
    office = signing.local_office(settings, Instance(settings.data))
    assert abs((time_by(office, token) - datetime.now(UTC)).total_seconds()) < 30
    office.close()


def test_elsewhere_the_signers_process_stamps_over_its_socket_and_is_asked_again(folder: Path) -> None:
    settings = settings_in(folder, authority={"process": True, "socket": folder / "s"})
    with publishing_of(settings, Instance(settings.data)) as to:
        with pytest.raises(Unavailable, match="signer does not answer"):
            to.stampers[OWN_CLOCK](NOTE)
        office, stop = signing.local_office(settings, Instance(settings.data)), threading.Event()
        known = frozenset({os.getuid()})
        thread = threading.Thread(target=socket_server.serve, args=(folder / "s", office, known, stop))
        thread.start()
        token = _as_soon_as_it_listens(lambda: to.stampers[OWN_CLOCK](NOTE))
        assert abs((time_by(office, token) - datetime.now(UTC)).total_seconds()) < 30
        stop.set()
        thread.join()
        office.close()


def test_an_authority_outside_stamps_beside_it_and_only_with_the_known_certificates(folder: Path) -> None:
    elsewhere, stranger = founded(folder / "elsewhere"), founded(folder / "stranger", "stranger")
    chain = chain_in(elsewhere, folder / "chain.pem")
    with serving(by(elsewhere)) as url:
        settings = settings_in(folder, ledger={"timestamp_url": url, "timestamp_root": chain})
        with publishing_of(settings, Instance(settings.data)) as to:
            assert list(to.stampers) == [OWN_CLOCK, url]
            token = to.stampers[url](NOTE)
    assert time_of(ledger_time.outside_of(chain, url), token, NOTE) <= datetime.now(UTC)
    assert stamping.read(token, NOTE).tst_info.nonce
    with serving(by(stranger)) as url:
        settings = settings_in(folder, ledger={"timestamp_url": url, "timestamp_root": chain})
        with publishing_of(settings, Instance(settings.data)) as to, pytest.raises(Unavailable, match="does not hold"):
            to.stampers[url](NOTE)
