# SPDX-License-Identifier: Apache-2.0
"""The four formats: goldens, hostile characters, and what a receiver reads back."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.canonical import canonical
from audit.entries import build
from audit.streams.check import check, lines_of, read
from audit.streams.messages import Format, Heartbeat, Message, Told, Withheld, told
from audit.streams.ocsf import class_of
from audit.streams.writing import framed, line
from tests.audit.ledgers import ORIGIN, chained, event_body

AT = datetime(2026, 11, 23, 6, 0, 0, 5, tzinfo=UTC)
GOLDENS = Path(__file__).parents[1] / "goldens" / "streams"
HOSTILE = 'a]"\\b=|c\nd\r\te\x00f\x1b[0mg\u2028h\x85iختم\U0001f512 k=v CEF:0| <13>1 '
REFUSED = {
    "action": "deployment.request",
    "error": "residency-refused",
    "members": {"rule": "ae-health/abroad", "legal_basis": "Federal Law 2/2019 Art 13", "certainty": "S"},
}


def entry_of(number: int = 7, **members: Any) -> Told:
    return told(ORIGIN, number, build(event_body(number, **members), number, bytes(range(32))))


MESSAGES: dict[str, Message] = {
    "entry": entry_of(),
    "refusal": entry_of(8, kind="deployment.refused", payload=REFUSED),
    "withheld": Withheld(ORIGIN, 9, "ae-health/abroad", AT),
    "heartbeat": Heartbeat(ORIGIN, 10, AT),
}


@pytest.mark.parametrize("form", Format)
def test_each_format_is_written_as_in_its_golden_file(form: Format) -> None:
    written = b"".join(line(one, form) + b"\n" for one in MESSAGES.values())

    assert written == (GOLDENS / f"{form.value}.txt").read_bytes()


@pytest.mark.parametrize("form", Format)
@given(words=st.text(max_size=200) | st.just(HOSTILE))
def test_whatever_an_event_says_stays_one_line_and_is_read_back(form: Format, words: str) -> None:
    words = words.encode("utf-8", "replace").decode()  # the canonical form has no lone surrogates
    message = entry_of(actor=words, resource=words, zone=words, kind=words, payload={"note": words})
    written = line(message, form)

    assert b"\n" not in written
    assert b"\r" not in written
    found = read(written)
    assert found is not None
    assert {key: found[key] for key in ("index", "leaf", "hash", "prev")} == {
        "index": 7, "leaf": message.leaf, "hash": message.hash, "prev": message.prev,
    }  # fmt: skip


@given(words=st.text(max_size=100) | st.just(HOSTILE))
def test_the_json_formats_carry_the_event_unchanged(words: str) -> None:
    words = words.encode("utf-8", "replace").decode()
    message = entry_of(payload={"note": words})

    assert json.loads(line(message, Format.ECS))["khatim"]["event"] == message.event
    assert json.loads(line(message, Format.OCSF))["unmapped"]["khatim"]["event"] == message.event
    assert line(message, Format.SYSLOG).endswith(canonical(dict(message.event)))


def test_an_event_with_a_lone_surrogate_goes_out_all_the_same() -> None:
    message = entry_of()
    odd = replace(message, event={**message.event, "payload": {"note": "\ud800"}, "actor": "\ud800"})
    for form in Format:
        found = read(line(odd, form))
        assert found is not None
        assert found["index"] == 7


def test_structured_data_has_the_escapes_of_rfc_5424_and_no_control() -> None:
    written = line(entry_of(actor=HOSTILE), Format.SYSLOG).decode()
    data = re.search(r' actor="((?:[^"\\\]]|\\["\\\]])*)"', written)

    assert data is not None
    assert data[1].startswith('a\\]\\"\\\\b=|c\ufffdd')
    assert not re.search(r"[\x00-\x1f\x7f\x85\u2028]", data[1])
    assert re.match(r"<110>1 2026-\d\d-\d\dT[\d:.]{15}Z \S+ khatim - version.promoted \[khatim@32473 ", written)


def test_cef_escapes_pipes_in_the_header_and_equals_signs_in_the_extension() -> None:
    written = line(entry_of(kind="a|b\\c", actor="x=y\nz"), Format.CEF).decode()

    assert written.startswith("CEF:0|Khatim|registry|1|a\\|b\\\\c|a\\|b\\\\c|3|")
    assert " suid=x\\=y\\nz " in written


def test_ocsf_chooses_the_class_by_the_kind_and_counts_its_type() -> None:
    classes = {
        "person.erased": 3004, "agent.enrolled": 3004, "finding.opened": 2004, "version.promoted": 6003,
        "sign-in.completed": 3002, "token.issued": 3003,
    }  # fmt: skip
    for kind, uid in classes.items():
        body = json.loads(line(entry_of(kind=kind), Format.OCSF))
        assert body["class_uid"] == uid
        assert body["type_uid"] == uid * 100 + body["activity_id"]
        assert body["category_uid"] == uid // 1000
    assert class_of(MESSAGES["refusal"]) == 2003
    assert json.loads(line(MESSAGES["refusal"], Format.OCSF))["compliance"]["control"] == "ae-health/abroad"


@pytest.mark.parametrize("form", Format)
def test_a_withheld_place_says_its_index_and_rule_and_nothing_else_of_the_entry(form: Format) -> None:
    one, other = (line(Withheld(ORIGIN, 9, "ae-health/abroad", AT), form) for _ in range(2))

    assert one == other
    found = read(one) or {}
    found.pop("origin", None)
    assert found == {"index": 9, "withheld": "ae-health/abroad"}
    for word in (b"oncology", b"person:", b"version:", b'ae-health"'):
        assert word not in one


@pytest.mark.parametrize("form", Format)
def test_frames_count_their_octets_and_are_taken_apart_again(form: Format) -> None:
    messages = [*MESSAGES.values(), entry_of(11, actor=HOSTILE)]
    file = BytesIO(b"".join(framed(one, form) for one in messages))
    found = check(lines_of(file))

    assert (found.messages, found.first, found.last, found.size, found.unreadable) == (5, 7, 11, 10, [])


# -- what a receiver finds --


def stream(count: int = 12) -> list[bytes]:
    bodies = [event_body(number) for number in range(count)]
    lines = [line(told(ORIGIN, index, entry), Format.ECS) for index, entry in enumerate(chained(bodies))]
    return [*lines, line(Heartbeat(ORIGIN, count, AT), Format.ECS)]


def test_a_whole_stream_has_no_fault_in_any_order_and_with_duplicates() -> None:
    found = check([*reversed(stream()), *stream()[3:6]])

    assert found.is_complete
    assert (found.first, found.last, found.duplicates, found.size) == (0, 11, 3, 12)


@given(lost=st.sets(st.integers(0, 11), min_size=1, max_size=11))
def test_whatever_is_lost_is_found(lost: set[int]) -> None:
    lines = stream()
    found = check([one for index, one in enumerate(lines) if index not in lost], start=0)
    missing = {index for a, b in found.gaps for index in range(a, b)} | set(range(12 - found.lost, 12))

    assert missing == lost
    assert not found.is_complete


def test_loss_at_the_end_is_told_by_the_heartbeat_alone() -> None:
    lines = stream()
    assert check(lines[:8]).is_complete
    assert check([*lines[:8], lines[-1]]).lost == 4


def test_an_entry_that_was_changed_contradicts_or_does_not_follow() -> None:
    lines = stream()
    forged = json.loads(lines[5])
    forged["khatim"] |= {"leaf": "0" * 64, "hash": "0" * 64}

    assert check([*lines, json.dumps(forged).encode()]).contradictions == [5]
    assert check([*lines[:5], json.dumps(forged).encode(), *lines[6:]]).broken == [6]


def test_half_a_line_is_noted_and_counts_as_missing() -> None:
    for form in Format:
        lines = [line(entry_of(number), form) for number in range(1, 4)]
        found = check([lines[0], lines[1][:-9], lines[2]])
        assert (found.unreadable, found.gaps) == ([2], [(2, 3)]), form
