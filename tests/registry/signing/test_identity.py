# SPDX-License-Identifier: Apache-2.0
"""Names of signers, and who may claim what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khatim.errors import Malformed
from registry.signing import identity, statements
from registry.signing.identity import Identity, IdentityPolicy

ISSUER = "https://demo.khatim"
POLICY = IdentityPolicy.of_instance("demo", ISSUER)
AGENT = identity.agent("demo", "ae-health", "agent-1")


def test_an_agent_tells_its_zone_and_nobody_else_does() -> None:
    assert identity.zone_of(AGENT) == "ae-health"
    assert identity.zone_of(identity.person("demo", "person:7f3a")) is None


def test_an_agent_may_attest_training_but_not_approve() -> None:
    assert POLICY.permits(statements.TRAINING, Identity(AGENT, ISSUER))
    assert not POLICY.permits(statements.APPROVAL, Identity(AGENT, ISSUER))


def test_a_kind_that_no_rule_names_may_be_claimed_by_nobody() -> None:
    assert not POLICY.permits("https://example.test/other/v1", Identity(AGENT, ISSUER))
    assert not POLICY.permits(statements.SLSA_PROVENANCE, Identity(AGENT, ISSUER))  # a provenance of another build type


def test_another_issuer_vouches_for_nobody() -> None:
    assert not POLICY.permits(statements.TRAINING, Identity(AGENT, "https://other.test"))


@pytest.mark.parametrize(
    "name",
    [
        AGENT + "/more",
        AGENT.replace("demo", "demo.evil"),
        AGENT.replace("agent/ae-health", "agent/"),
        AGENT + "\n",
        "x" + AGENT,
        AGENT.replace(".", "x"),
    ],
)
def test_a_star_stands_for_one_part_only(name: str) -> None:
    assert not POLICY.permits(statements.TRAINING, Identity(name, ISSUER))


@given(st.text(max_size=20), st.text(max_size=20))
def test_no_spelling_of_zone_and_name_escapes_its_place(zone: str, name: str) -> None:
    """Whatever is accepted as parts is read back as exactly these parts."""
    try:
        made = identity.agent("demo", zone, name)
    except Malformed:
        return
    assert identity.zone_of(made) == zone
    assert made.endswith(f"/{name}")


@pytest.mark.parametrize("instance", ["", "Demo", "a b", "-a", "a..b", "a/b", "é", "a" * 201])
def test_an_instance_is_named_like_a_host(instance: str) -> None:
    with pytest.raises(Malformed):
        identity.domain(instance)
