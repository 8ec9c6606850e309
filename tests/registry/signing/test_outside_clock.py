# SPDX-License-Identifier: Apache-2.0
"""A second timestamp: the operator's must be there, one outside must agree; its absence is the operator's choice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509

from khatim.errors import SignatureInvalid, Unavailable
from khatim.vocabulary import Basis
from registry.signing import bundle as bundles
from registry.signing import trust
from registry.signing.arrangement import Arrangement, arrange
from registry.signing.authority import Authority
from registry.signing.bases import OPERATORS_TIME, Circumstances, bases_of, told
from registry.signing.binding import Window
from registry.signing.clocks import TOLERANCE, clock_of
from registry.signing.encoding import b64
from registry.signing.identity import IdentityPolicy
from registry.signing.keys import FolderKeys
from registry.signing.outside_clock import OutsideClock
from registry.signing.signer import LocalSigner
from registry.signing.verification import TrustRoot, verify_bundle
from tests.registry.signing.conftest import AGENT, ISSUER
from tests.registry.signing.test_verification import STATEMENT
from tests.support.stamps import by, founded, serving

ADDRESS = "https://tsa.ministry.example/tsr"
POLICY = IdentityPolicy.of_instance("demo", ISSUER)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Authority]:
    made = founded(tmp_path / "elsewhere")
    yield made
    made.close()


def chain_of(authority: Authority) -> list[x509.Certificate]:
    return authority.record.timestamping[-1].certificates


def listed(authority: Authority, elsewhere: Authority, address: str = ADDRESS) -> TrustRoot:
    """Let the record list the clock of *elsewhere*; return the trusted root then."""
    wanted = Arrangement(address=address, chain=chain_of(elsewhere))
    record = arrange(authority.folder, lambda: FolderKeys(authority.folder / "keys"), wanted, datetime.now(UTC))
    return TrustRoot.load(trust.dumps(trust.trusted_root(record)))


@contextmanager
def asking(elsewhere: Authority, *, off: timedelta = timedelta(), required: bool = True) -> Iterator[OutsideClock]:
    """Yield who asks the clock of *elsewhere* over HTTP, which is *off*."""
    with serving(by(elsewhere, lambda: datetime.now(UTC) + off)) as url, httpx.Client(timeout=10) as http:
        yield OutsideClock(clock_of(url, chain_of(elsewhere), Window(None, None)), http, required)


def signed(authority: Authority, outside: OutsideClock) -> str:
    return LocalSigner(authority, AGENT, ISSUER, lambda: datetime.now(UTC), outside=outside).sign(STATEMENT)


def with_stamps(bundle: str, change: Callable[[list[Any]], object]) -> str:
    body = json.loads(bundle)
    change(body["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"])
    return bundles.dumps(body)


def test_two_timestamps_make_the_time_somebody_elses_word_too(authority: Authority, elsewhere: Authority) -> None:
    root = listed(authority, elsewhere)
    with asking(elsewhere) as outside:
        found = verify_bundle(signed(authority, outside), root, POLICY)
    assert found.outside == ADDRESS
    assert found.clock.startswith("https://tsa.demo")
    bases = bases_of(found, "demo", Circumstances())
    assert Basis.OUTSIDE_TIME in bases
    assert OPERATORS_TIME not in told(bases, found, "demo")


def test_without_a_second_one_verification_says_whose_time_it_is(authority: Authority, elsewhere: Authority) -> None:
    root = listed(authority, elsewhere)
    with asking(elsewhere) as outside:
        bundle = signed(authority, outside)
    alone = verify_bundle(with_stamps(bundle, lambda stamps: stamps.pop()), root, POLICY)
    bases = bases_of(alone, "demo", Circumstances())
    assert Basis.OUTSIDE_TIME not in bases
    assert OPERATORS_TIME in told(bases, alone, "demo")


def test_a_clock_that_the_trusted_root_does_not_name_counts_for_nothing(
    authority: Authority, elsewhere: Authority, root: TrustRoot
) -> None:
    with asking(elsewhere) as outside:
        found = verify_bundle(signed(authority, outside), root, POLICY)
    assert found.outside == ""


def test_the_operators_own_timestamp_must_be_there(authority: Authority, elsewhere: Authority) -> None:
    root = listed(authority, elsewhere)
    with asking(elsewhere) as outside:
        bundle = signed(authority, outside)
    with pytest.raises(SignatureInvalid, match="operator's own"):
        verify_bundle(with_stamps(bundle, lambda stamps: stamps.pop(0)), root, POLICY)


@pytest.mark.parametrize(("off", "holds"), [(TOLERANCE / 2, True), (-TOLERANCE / 2, True), (2 * TOLERANCE, False)])
def test_two_timestamps_that_disagree_are_refused(
    authority: Authority, elsewhere: Authority, off: timedelta, holds: bool
) -> None:
    root = listed(authority, elsewhere)
    with asking(elsewhere) as outside:
        bundle = signed(authority, outside)
    late = elsewhere.stamp(bundles.parse(bundle).signature, datetime.now(UTC) + off)
    changed = with_stamps(bundle, lambda stamps: stamps[1].update(signedTimestamp=b64(late)))
    if holds:
        assert verify_bundle(changed, root, POLICY).outside == ADDRESS
        return
    with pytest.raises(SignatureInvalid, match="disagree"):
        verify_bundle(changed, root, POLICY)


def test_a_second_timestamp_over_other_bytes_is_refused(authority: Authority, elsewhere: Authority) -> None:
    root = listed(authority, elsewhere)
    with asking(elsewhere) as outside:
        bundle = signed(authority, outside)
    other = elsewhere.stamp(b"another signature", datetime.now(UTC))
    with pytest.raises(SignatureInvalid, match="does not hold"):
        verify_bundle(with_stamps(bundle, lambda stamps: stamps[1].update(signedTimestamp=b64(other))), root, POLICY)


@pytest.mark.parametrize("count", [0, 3])
def test_no_timestamp_and_three_are_refused(authority: Authority, root: TrustRoot, count: int) -> None:
    bundle = LocalSigner(authority, AGENT, ISSUER, lambda: datetime.now(UTC)).sign(STATEMENT)
    with pytest.raises(SignatureInvalid, match="timestamp"):
        verify_bundle(with_stamps(bundle, lambda stamps: stamps.extend(stamps * 2) if count else stamps.clear()),
                      root, POLICY)  # fmt: skip


def test_a_clock_that_is_away_or_off_refuses_the_signature_when_it_is_required(
    authority: Authority, elsewhere: Authority
) -> None:
    entries = len(list(authority.log.entries()))
    with asking(elsewhere, off=2 * TOLERANCE) as outside, pytest.raises(Unavailable, match="seconds off"):
        signed(authority, outside)
    away = clock_of("http://127.0.0.1:9/tsr", chain_of(elsewhere), Window(None, None))
    with httpx.Client(timeout=5) as http, pytest.raises(Unavailable, match="does not answer") as refused:
        signed(authority, OutsideClock(away, http))
    assert "REQUIRED=false" in refused.value.advice
    assert len(list(authority.log.entries())) == entries, "and nothing was logged"


def test_a_clock_that_is_away_is_said_when_it_is_not_required(authority: Authority, root: TrustRoot) -> None:
    said: list[str] = []
    clock = clock_of("http://127.0.0.1:9/tsr", chain_of(authority), Window(None, None))
    with httpx.Client(timeout=5) as http:
        bundle = signed(authority, OutsideClock(clock, http, is_required=False, say=said.append))
    assert "signed without a second timestamp" in said[0]
    assert verify_bundle(bundle, root, POLICY).outside == ""


def test_a_change_of_the_clock_outside_reaches_those_who_follow_the_steps(
    authority: Authority, elsewhere: Authority
) -> None:
    before = len(authority.record.links)
    listed(authority, elsewhere)
    assert len(authority.record.links) == before + 1
    listed(authority, elsewhere)
    assert len(authority.record.links) == before + 1, "the same again changes nothing"
    assert [one.kind for one in authority.record.history][-1] == "clocks_changed"
    arrange(authority.folder, lambda: FolderKeys(authority.folder / "keys"), Arrangement(), datetime.now(UTC))
    assert authority.record.outside_timestamping[-1].end
