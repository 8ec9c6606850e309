# SPDX-License-Identifier: Apache-2.0
"""``khatim ledger verify`` about time: whose clock dated the ledger, and that another's timestamp fails it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from audit.endorsed import OWN_CLOCK
from audit.publisher import Publisher, Publishing
from audit.tiles import ENDORSED
from audit.worm import written
from khatim.errors import LedgerInvalid
from registry.signing import stamping, trust
from tests.khatim.test_ledger_command import run, vkey_of
from tests.support.people import ADEL
from tests.support.stamps import by, chain_in, founded, serving
from tests.support.world import World

OUTSIDE = "https://tsa.example"


@pytest.fixture(scope="module")
def stamped(listening: tuple[World, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[World, str, Path, Path]:
    """Return a registry whose latest checkpoint two clocks have stamped, its trusted root and the other's chain."""
    world, url = listening
    world.sequence()
    folder = tmp_path_factory.mktemp("clocks")
    elsewhere = founded(folder / "elsewhere")
    root = folder / "root.json"
    root.write_text(trust.dumps(world.parts.notary.trusted_root))

    def own(note: bytes) -> bytes:
        return stamping.stamped(world.parts.office.timestamp, note, "the signer")

    import httpx  # noqa: PLC0415

    with serving(by(elsewhere)) as tsa, httpx.Client() as http:
        stampers: dict[str, Callable[[bytes], bytes]] = {
            OWN_CLOCK: own,
            OUTSIDE: lambda note: stamping.stamped(stamping.over_http(tsa, http), note, tsa),
        }
        done = Publisher(world.url("khatim_sequencer"), Publishing(stampers=stampers)).publish_once()
    assert (done.faults, len(done.added)) == ((), 2)
    return world, url, root, chain_in(elsewhere, folder / "chain.pem")


def times(output: str) -> list[tuple[str, bool, bool]]:
    return [(one["who"], one["at"] is not None, one["is_outside"]) for one in json.loads(output)["times"]]


def test_the_verification_says_whose_clock_attests_the_time(
    stamped: tuple[World, str, Path, Path], tmp_path: Path
) -> None:
    world, url, root, chain = stamped
    words, token = ("ledger", "verify", "--vkey", vkey_of(world)), world.token(ADEL)
    both = ("--trusted-root", str(root), "--tsa", str(chain))

    assert times(run(url, token, *words, *both, "--json")) == [(OWN_CLOCK, True, False), (OUTSIDE, True, True)]
    assert times(run(url, token, *words, "--json")) == [(OWN_CLOCK, False, False), (OUTSIDE, False, False)]
    own = run(url, token, *words, "--trusted-root", str(root))
    assert "time attested by the operator only (https://tsa.test.khatim)" in own
    assert f"the timestamp by {OUTSIDE} was not judged" in own
    run(url, token, *words, *both, "--outside-time")
    with pytest.raises(LedgerInvalid, match="no clock outside"):
        run(url, token, *words, "--trusted-root", str(root), "--outside-time")

    run(url, token, "ledger", "export", str(tmp_path / "copy"))
    run(url, token, "ledger", "export", str(tmp_path / "copy.zip"))
    for copy in ("copy", "copy.zip"):
        offline = run("", "", "ledger", "verify", str(tmp_path / copy), "--vkey", vkey_of(world), *both)
        assert "time attested by the operator only" in offline
        assert ", outside: the first" in offline


def test_a_forged_a_foreign_and_a_moved_timestamp_fail_the_verification(
    stamped: tuple[World, str, Path, Path], tmp_path: Path
) -> None:
    world, url, root, _ = stamped
    run(url, world.token(ADEL), "ledger", "export", str(tmp_path / "copy"))
    file = tmp_path / "copy" / ENDORSED
    note = file.read_text().rpartition("\n\n")[0] + "\n"
    stranger = founded(tmp_path / "stranger", "test")
    words = ("ledger", "verify", str(tmp_path / "copy"), "--vkey", vkey_of(world), "--trusted-root", str(root))
    for token, said in (
        (stranger.stamp(note.encode(), datetime.now(UTC)), "no timestamp authority that you trust"),
        (stamping.stamped(world.parts.office.timestamp, b"other", "the signer"), "over other bytes"),
        (b"no token", "no timestamp"),
    ):
        file.write_bytes(written(note, [(OWN_CLOCK, token)]))
        with pytest.raises(LedgerInvalid, match=said) as found:
            run("", "", *words)
        assert found.value.members["place"] == f"timestamp {OWN_CLOCK}"
    file.unlink()
    assert "nobody attests" in run("", "", *words)
