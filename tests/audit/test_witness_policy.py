# SPDX-License-Identifier: Apache-2.0
"""Which witnesses make a checkpoint count: policies as files and as settings."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.checkpoint import Checkpoint, sign_checkpoint
from audit.cosignatures import Cosigner
from audit.witness_policy import WitnessPolicy
from khatim.errors import LedgerInvalid, Malformed, NotWitnessed
from tests.audit.cosigning import ED25519, MLDSA44, ed25519
from tests.audit.ledgers import ORIGIN, SIGNER

X = [ed25519(f"x{number}.test") for number in range(3)]
Y = [ed25519(f"y{number}.test") for number in range(3)]
CHECKPOINT = Checkpoint(ORIGIN, 3, bytes(32))
# The example of the specification, with keys of ours.
EXAMPLE = f"""
# two organisations
log {SIGNER.vkey} https://ledger.example

witness X1 {X[0].vkey}
witness X2\t{X[1].vkey}   https://x2.test/
  witness X3 {X[2].vkey}
group X-witnesses 2 X1 X2 X3

witness Y1 {Y[0].vkey}
witness Y2 {Y[1].vkey}
witness Y3 {Y[2].vkey}
group Y-witnesses any Y1 Y2 Y3

group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
"""


def cosigned(*cosigners: Cosigner) -> str:
    lines = (one.cosign(CHECKPOINT.text(), datetime.now(UTC)) for one in cosigners)
    return sign_checkpoint(CHECKPOINT, SIGNER) + "".join(lines)


@given(st.sets(st.sampled_from([*X, *Y])))
def test_the_example_of_the_specification(seen: set[Cosigner]) -> None:
    policy = WitnessPolicy.parse(EXAMPLE)
    found = policy.judge(cosigned(*seen))
    assert found.counts == (len(seen & set(X)) >= 2 and len(seen & set(Y)) >= 1)
    assert set(found.by) == {one.vkey for one in seen}
    assert [one.vkey for one in policy.logs] == [SIGNER.vkey]
    assert policy.witnesses["X2"].url == "https://x2.test/"


def test_without_a_quorum_every_checkpoint_counts() -> None:
    for policy in (WitnessPolicy(), WitnessPolicy.parse("quorum none\n"), WitnessPolicy.of_keys([], 0)):
        assert not policy.is_demanding
        assert policy.demand(cosigned()).counts


def test_one_witness_may_be_the_quorum() -> None:
    policy = WitnessPolicy.parse(f"witness w {ED25519.vkey}\nquorum w\n")
    assert policy.demand(cosigned(ED25519)).wanted == "the witness witness.test/w1"
    with pytest.raises(NotWitnessed, match="witnessed by nobody"):
        policy.demand(cosigned(X[0]))


@given(st.sets(st.sampled_from(X)), st.integers(0, 3))
def test_k_of_n(seen: set[Cosigner], quorum: int) -> None:
    policy = WitnessPolicy.of_keys([(one.vkey, "") for one in X], quorum)
    assert policy.judge(cosigned(*seen)).counts == (len(seen) >= quorum)


def test_a_repeated_cosignature_counts_once() -> None:
    policy = WitnessPolicy.of_keys([(one.vkey, "") for one in X], 2)
    assert not policy.judge(cosigned(X[0], X[0])).counts


def test_two_keys_of_one_name_are_one_witness() -> None:
    policy = WitnessPolicy.of_keys([(ED25519.vkey, ""), (MLDSA44.vkey, ""), (X[0].vkey, "")], 2)
    assert policy.describe() == "2 of 2 witnesses"
    assert not policy.judge(cosigned(ED25519, MLDSA44)).counts
    assert policy.judge(cosigned(MLDSA44, X[0])).counts


def test_a_forged_cosignature_is_an_error_and_no_missing_witness() -> None:
    policy = WitnessPolicy.of_keys([(X[0].vkey, "")], 1)
    other = Checkpoint(ORIGIN, 4, bytes(32)).text()
    with pytest.raises(LedgerInvalid):
        policy.judge(sign_checkpoint(CHECKPOINT, SIGNER) + X[0].cosign(other, datetime.now(UTC)))


SAME_KEY = Cosigner("another.test", X[0]._key)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no quorum"),
        ("quorum x\n", "line 1"),
        ("quorum none\nquorum none\n", "line 2"),
        (f"witness none {X[0].vkey}\nquorum none", "taken"),
        (f"witness a {X[0].vkey}\nwitness a {X[1].vkey}\nquorum a", "taken"),
        (f"witness a {X[0].vkey}\nwitness b {SAME_KEY.vkey}\nquorum a", "already"),
        (f"witness a {SIGNER.vkey}\nquorum a", "type 01"),
        (f"log {X[0].vkey}\nquorum none", "type 1"),
        ("witness a\nquorum none", "not understood"),
        (f"witness a {X[0].vkey}\ngroup g 2 a\nquorum g", "cannot be"),
        (f"witness a {X[0].vkey}\ngroup g 0 a\nquorum g", "cannot be"),
        (f"witness a {X[0].vkey}\ngroup g 1 a a\nquorum g", "already"),
        (f"witness a {X[0].vkey}\ngroup g any a\ngroup h any a\nquorum h", "already"),
        ("group g any b\nquorum g", "not known yet"),
        ("group g any\nquorum none", "not understood"),
        ("trust everybody\n", "not understood"),
    ],
    ids=range(16),
)
def test_a_wrong_policy_is_malformed_and_says_where(text: str, says: str) -> None:
    with pytest.raises(Malformed, match=says):
        WitnessPolicy.parse(text)


@pytest.mark.parametrize(("keys", "quorum"), [([X[0], X[0]], 1), ([X[0]], 2), ([X[0]], -1), ([ED25519, MLDSA44], 2)])
def test_a_quorum_that_cannot_be_met_is_malformed(keys: list[Cosigner], quorum: int) -> None:
    with pytest.raises(Malformed):
        WitnessPolicy.of_keys([(one.vkey, "") for one in keys], quorum)
