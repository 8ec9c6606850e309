# SPDX-License-Identifier: Apache-2.0
"""Timestamps over checkpoints: whose word they are, and that none but the right ones pass."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from audit.checkpoint import Checkpoint, sign_checkpoint
from audit.endorsed import OWN_CLOCK, Endorsed
from khatim.errors import LedgerInvalid
from registry.signing import ledger_time, trust
from registry.signing.authority import Authority
from registry.signing.clocks import Clock, Clocks
from registry.signing.ledger_time import TOLERANCE, times_of
from tests.audit.ledgers import ORIGIN, SIGNER
from tests.support.stamps import chain_in, founded

AT = datetime.now(UTC).replace(microsecond=0)
CHECKPOINT = Checkpoint(ORIGIN, 17, bytes(32))
NOTE = sign_checkpoint(CHECKPOINT, SIGNER)
OUTSIDE = "https://tsa.example"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return founded(tmp_path_factory.mktemp("own") / "authority", "test", AT)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return founded(tmp_path_factory.mktemp("other") / "authority", "other", AT)


@pytest.fixture
def clocks(own: Authority) -> list[Clock]:
    return list(Clocks.of(trust.trusted_root(own.record)).known.values())


@pytest.fixture
def outside(other: Authority, tmp_path: Path) -> Clock:
    return ledger_time.outside_of(chain_in(other, tmp_path / "chain.pem"), OUTSIDE)


def endorsed(*tokens: tuple[str, bytes], after: datetime = AT) -> Endorsed:
    return Endorsed(NOTE, CHECKPOINT, NOTE.encode(), tokens, after)


def refused(given: Endorsed, clocks: list[Clock], now: datetime = AT) -> str:
    with pytest.raises(LedgerInvalid) as found:
        times_of(given, clocks, now)
    assert str(found.value.members["place"]).startswith("timestamp ")
    return found.value.detail


def test_the_operators_own_clock_is_said_to_be_the_operators_word(own: Authority, clocks: list[Clock]) -> None:
    (found,) = times_of(endorsed((OWN_CLOCK, own.stamp(NOTE.encode(), AT))), clocks, AT)
    assert (found.at, found.size, found.is_outside) == (AT, 17, False)
    assert found.clock == "https://tsa.test.khatim"
    assert found.told.startswith("time attested by the operator only (https://tsa.test.khatim): the first 17 entries")


def test_a_clock_outside_makes_it_somebody_elses_word(
    own: Authority, other: Authority, clocks: list[Clock], outside: Clock
) -> None:
    both = endorsed((OWN_CLOCK, own.stamp(NOTE.encode(), AT)), (OUTSIDE, other.stamp(NOTE.encode(), AT)))
    mine, theirs = times_of(both, [*clocks, outside], AT)
    assert (mine.is_outside, theirs.is_outside, theirs.clock, theirs.at) == (False, True, OUTSIDE, AT)
    assert theirs.told.startswith(f"time attested by {OUTSIDE}, outside: the first 17 entries")


def test_without_certificates_nothing_is_attested(own: Authority, other: Authority, clocks: list[Clock]) -> None:
    both = endorsed((OWN_CLOCK, own.stamp(NOTE.encode(), AT)), (OUTSIDE, other.stamp(NOTE.encode(), AT)))
    assert [one.at for one in times_of(both, [], AT)] == [None, None]
    assert [one.at for one in times_of(both, clocks, AT)] == [AT, None], "nobody outside is known"
    assert "was not judged" in times_of(both, [], AT)[0].told
    assert times_of(None, clocks, AT) == ()
    assert times_of(endorsed(), clocks, AT) == ()


def test_a_foreign_timestamp_is_refused(
    own: Authority, other: Authority, clocks: list[Clock], outside: Clock, tmp_path: Path
) -> None:
    assert "no timestamp authority that you trust" in refused(
        endorsed((OWN_CLOCK, other.stamp(NOTE.encode(), AT))), clocks
    )
    stranger = founded(tmp_path / "stranger", "test", AT)  # of the same name, with other keys
    assert "no timestamp authority" in refused(endorsed((OWN_CLOCK, stranger.stamp(NOTE.encode(), AT))), clocks)
    assert "no timestamp authority" in refused(endorsed((OUTSIDE, stranger.stamp(NOTE.encode(), AT))), [outside])


@pytest.mark.parametrize("is_known", [True, False])
def test_a_timestamp_over_another_checkpoint_is_refused(own: Authority, clocks: list[Clock], *, is_known: bool) -> None:
    known = clocks if is_known else []
    later = sign_checkpoint(Checkpoint(ORIGIN, 18, bytes(32)), SIGNER)
    assert "over other bytes" in refused(endorsed((OWN_CLOCK, own.stamp(later.encode(), AT))), known)
    cosigned = f"{NOTE}\u2014 witness.test/w1 AAAAAAAA\n"
    assert "over other bytes" in refused(endorsed((OWN_CLOCK, own.stamp(cosigned.encode(), AT))), known)
    assert "no timestamp" in refused(endorsed((OWN_CLOCK, b"")), known)


def test_no_changed_byte_makes_a_timestamp_say_another_thing(own: Authority, clocks: list[Clock]) -> None:
    """Two version numbers and the algorithm's name are covered by no signature: what passes still says the same."""
    honest = own.stamp(NOTE.encode(), AT)
    passed = 0
    for place in range(len(honest)):
        changed = honest[:place] + bytes([honest[place] ^ 1]) + honest[place + 1 :]
        try:
            (found,) = times_of(endorsed((OWN_CLOCK, changed)), clocks, AT)
        except LedgerInvalid:
            continue
        passed += 1
        assert (found.at, found.clock) == (AT, "https://tsa.test.khatim")
    assert passed <= 10


def test_a_time_before_the_last_entry_or_yet_to_come_is_refused(own: Authority, clocks: list[Clock]) -> None:
    stamped = endorsed((OWN_CLOCK, own.stamp(NOTE.encode(), AT)), after=AT + TOLERANCE + timedelta(seconds=1))
    assert "before the last entry" in refused(stamped, clocks)
    assert "before the last entry" in refused(stamped, [])
    early = AT - TOLERANCE - timedelta(seconds=1)
    assert "yet to come" in refused(endorsed((OWN_CLOCK, own.stamp(NOTE.encode(), AT)), after=early), clocks, early)
    assert times_of(endorsed((OWN_CLOCK, own.stamp(NOTE.encode(), AT)), after=AT + TOLERANCE), clocks, AT)
