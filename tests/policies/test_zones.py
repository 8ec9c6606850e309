# SPDX-License-Identifier: Apache-2.0
"""Zones by name: the shipped ones, the derived ones, and that nothing is guessed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khatim.errors import NotFound
from khatim.vocabulary import is_name
from policies.loading import PolicyBundle

SHIPPED = {"ae-onshore", "ae-fin", "ae-health", "ae-gov", "ae-difc", "ae-adgm"}


def test_the_zones_of_the_design_are_shipped(bundle: PolicyBundle) -> None:
    named = {zone.name: zone for zone in bundle.zones}

    assert named.keys() >= SHIPPED
    assert all(zone.location == "AE" and is_name(name) for name, zone in named.items())


def test_abroad_is_derived_from_two_letters(bundle: PolicyBundle) -> None:
    germany, states, norway = (bundle.zones.get(name) for name in ("ext-de", "ext-us", "ext-no"))

    assert germany is not None
    assert states is not None
    assert norway is not None
    assert (germany.location, germany.family, germany.regimes) == ("DE", "ext", frozenset({"gdpr"}))
    assert (states.location, states.regimes) == ("US", frozenset({"foreign"}))
    assert (norway.location, norway.regimes) == ("NO", frozenset({"gdpr"}))


@pytest.mark.parametrize(
    "name",
    [
        "",
        "ext-",
        "ext-ae",
        "ext-zz",
        "ext-DE",
        "ext-deu",
        "ext-de-airgap",
        "ae",
        "ae-fujairah",
        "-airgap",
        "EXT-de",
        "ext-d\u0435",
    ],
)
def test_what_is_not_known_is_no_zone(bundle: PolicyBundle, name: str) -> None:
    assert bundle.zones.get(name) is None
    assert name not in bundle.zones
    with pytest.raises(NotFound):
        bundle.residency.zone(name)


def test_a_suffix_adds_to_the_zone_before_it(bundle: PolicyBundle) -> None:
    zone = bundle.zones.get("ae-health-auh-cii-airgap")

    assert zone is not None
    assert zone.is_airgapped
    assert zone.regimes == {"ae-health", "cii"}
    assert (zone.family, zone.emirate, zone.location, zone.parent) == ("ae-health", "auh", "AE", "ae-health-auh-cii")


@given(st.text(max_size=80))
def test_any_text_is_answered(bundle: PolicyBundle, name: str) -> None:
    zone = bundle.zones.get(name)

    assert zone is None or (zone.name == name and zone.regimes)


def test_a_very_long_name_is_answered_too(bundle: PolicyBundle) -> None:
    assert bundle.zones.get("ae-health" + "-airgap" * 100_000) is None
