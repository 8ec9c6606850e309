# SPDX-License-Identifier: Apache-2.0
"""Ids are short where people read them, whole where they point, and a reason names its finding in both languages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup, escape

from gateway.console import addresses, formats, mentions
from gateway.console.names import signer_of
from gateway.console.parts import Words
from gateway.console.wording import because_of
from tests.gateway.console.pages import read

ID = "01a20670-f80f-7413-bba8-95987715d424"
SHORT = "01a20670…d424"


@pytest.mark.parametrize(
    ("whole", "shown"),
    [
        (f"agent:{ID}", f"agent:{SHORT}"),
        (f"job:oncology/{ID}", f"job:oncology/{SHORT}"),
        (f"monitor-run:{ID}", f"monitor-run:{SHORT}"),
        ("person:p-426f3e817781555d1e4d", "person:p-426f3e81…1e4d"),
        ("artifact:sha256:" + "ab" * 32, "artifact:sha256:abababababab…"),
        ("version:oncology/malignancy@1", "version:oncology/malignancy@1"),
    ],
)
def test_a_reference_keeps_its_kind_and_namespace_and_enough_of_its_id(whole: str, shown: str) -> None:
    assert formats.short(whole) == shown
    assert read(formats.reference(whole)).text() == shown
    assert (f'title="{whole}"' in formats.reference(whole)) == (whole != shown)


@given(st.uuids(), st.uuids())
def test_two_ids_of_one_minute_look_different(one: object, other: object) -> None:
    """A UUIDv7 begins with its time, so the first digits alone would be the same."""
    first, second = (f"{ID[:9]}{str(text)[9:]}" for text in (one, other))

    assert (formats.short(first) == formats.short(second)) == (first[-4:] == second[-4:])


def test_a_finding_in_a_sentence_leads_to_its_entries_for_those_who_may_read_them() -> None:
    text = f"suspended by finding:{ID}: <b>drift</b>"
    linked, bare = (mentions.linked(text, sees_ledger=sees) for sees in (True, False))

    assert [a.get("href") for a in read(linked).all("a")] == [addresses.ledger(resource=f"finding:{ID}")]
    assert f"finding:{SHORT}" in linked
    assert "&lt;b&gt;" in linked
    assert not read(bare).all("a")
    assert f'title="finding:{ID}"' in bare


def test_what_has_a_name_is_isolated_but_not_linked() -> None:
    shown = mentions.linked("You may not approve version:oncology/malignancy@1.", sees_ledger=True)

    assert not read(shown).all("a")
    assert str(shown).endswith("</bdi>.")


@given(st.text())
def test_a_text_without_references_is_only_escaped(text: str) -> None:
    plain = text.replace(":", ";")

    assert mentions.linked(plain, sees_ledger=True) == escape(plain)


def test_markup_stays_markup() -> None:
    shown = mentions.linked(Markup("<bdi>finding:{}</bdi>").format(ID), sees_ledger=True)

    assert read(shown).all("bdi")[0].all("a")


def test_a_reason_that_the_server_wrote_is_said_in_both_languages() -> None:
    drift = because_of(f"drift: finding {ID}")
    fallback = because_of(f"drift: finding {ID}; version:oncology/malignancy@2 answers instead")

    assert isinstance(drift, Words)
    assert isinstance(fallback, Words)
    for text in (drift.en, drift.ar, fallback.en, fallback.ar):
        assert f"finding:{ID}" in text
    assert "version:oncology/malignancy@2" in fallback.ar
    assert because_of("a person's own words") == "a person's own words"


def test_a_certificate_names_a_person_an_agent_or_a_service() -> None:
    assert signer_of("spiffe://demo.khatim/person/p-1") == "p-1"
    assert signer_of(f"spiffe://demo.khatim/agent/ae-health/{ID}") == f"agent:{ID}"
    assert not signer_of("spiffe://demo.khatim/service/registry")
