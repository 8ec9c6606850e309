# SPDX-License-Identifier: Apache-2.0
"""The scope of an engagement: derived from entries alone, closed under what was made from and done with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import entries as codec
from audit.canonical import canonical
from governance.reports import scope
from khatim.errors import LedgerInvalid
from khatim.vocabulary import Digest

V1, V2 = "version:oncology/malignancy@1", "version:oncology/malignancy@2"
DATA, VIEW = "dataset:oncology/wdbc@1", "features:oncology/cell-shape@1"
STORY: list[tuple[str, str, str, dict[str, Any]]] = [
    ("person.known", "person:p-1", "p-1", {}),
    ("person.known", "person:p-2", "p-2", {}),
    ("job.requested", "job:oncology/ingest", "p-1", {"subject": "dataset:oncology/wdbc"}),
    ("dataset.registered", DATA, "agent:a", {"digest": "sha256:data", "source": "sha256:csv"}),
    ("features.registered", VIEW, "agent:a", {"digest": "sha256:view", "dataset": DATA}),
    ("authorisation.requested", "authorisation:oncology/1", "p-1", {"terms": {"datasets": ["oncology/wdbc@1"]}}),
    ("authorisation.requested", "authorisation:oncology/2", "p-2", {"terms": {"datasets": ["oncology/other@1"]}}),
    ("version.registered", V1, "agent:a", {"parents": [VIEW, DATA], "files": [{"digest": "sha256:model"}]}),
    ("version.registered", V2, "agent:a", {"parents": [VIEW, DATA, V1], "files": []}),
    ("deployment.requested", "deployment:oncology/d1", "p-1", {"subject": V1}),
    ("deployment.requested", "deployment:oncology/d2", "p-2", {"subject": V2}),
    ("monitor.ran", "monitor-run:m1", "agent:a", {"deployment": "deployment:oncology/d1"}),
    ("finding.opened", "finding:f1", "agent:a", {"subject": "deployment:oncology/d1"}),
    ("finding.opened", "finding:f2", "agent:a", {"subject": "deployment:oncology/d2"}),
    ("job.requested", "job:oncology/monitor", "p-1", {"subject": "deployment:oncology/d1"}),
]


def ledger(events: Iterable[tuple[str, str, str, dict[str, Any]]]) -> list[tuple[int, bytes]]:
    return [
        (
            index,
            codec.build(
                canonical(
                    {
                        "kind": kind,
                        "resource": resource,
                        "actor": actor,
                        "at": "2026-11-23T02:30:00.000000Z",
                        "namespace": "oncology",
                        "zone": "ae-health",
                        "payload": payload,
                    }
                ),
                index,
                bytes(32),
            ),
        )
        for index, (kind, resource, actor, payload) in enumerate(events)
    ]


def of(version: str, events: list[tuple[str, str, str, dict[str, Any]]] | None = None) -> frozenset[str]:
    written = ledger(STORY if events is None else events)

    def entries() -> Iterator[tuple[int, bytes]]:
        yield from written

    return scope.of(version, entries, lambda _: b"{}")


def test_the_scope_is_the_lineage_and_what_was_done_with_the_version() -> None:
    assert of(V1) == {
        V1, VIEW, DATA,
        "artifact:sha256:model", "artifact:sha256:view", "artifact:sha256:data", "artifact:sha256:csv",
        "version:oncology/malignancy", "model:oncology/malignancy", "features:oncology/cell-shape",
        "dataset:oncology/wdbc", "authorisation:oncology/1", "job:oncology/ingest",
        "deployment:oncology/d1", "monitor-run:m1", "finding:f1", "job:oncology/monitor", "person:p-1",
    }  # fmt: skip


def test_a_version_made_from_another_has_the_other_in_its_scope_but_not_its_deployments() -> None:
    found = of(V2)

    assert V1 in found
    assert {"deployment:oncology/d2", "finding:f2", "person:p-2"} <= found
    assert found.isdisjoint({"deployment:oncology/d1", "finding:f1", "authorisation:oncology/2"})


@given(st.permutations(STORY))
def test_the_order_of_entries_does_not_change_the_scope(shuffled: list[tuple[str, str, str, dict[str, Any]]]) -> None:
    assert of(V1, shuffled) == of(V1)


@given(st.recursive(st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5), st.lists, max_leaves=6))
def test_payloads_of_any_form_relate_nothing_and_break_nothing(junk: Any) -> None:
    kinds = ["version.registered", "features.registered", "dataset.registered", *scope.BELOW, "authorisation.requested"]
    members = ["parents", "files", "dataset", "source", "digest", "subject", "deployment", "terms"]
    odd = [(kind, "odd:1", "p-9", dict.fromkeys(members, junk)) for kind in kinds]

    assert of(V1, [*STORY, *odd]) >= of(V1)


def test_circles_end() -> None:
    circle = [("version.registered", V1, "a", {"parents": [V2]}), ("version.registered", V2, "a", {"parents": [V1]})]

    assert {V1, V2} <= of(V1, circle)


def test_a_payload_kept_aside_is_read() -> None:
    aside = canonical({"parents": [VIEW], "files": []})
    body = {"kind": "version.registered", "resource": V1, "at": "2026-11-23T02:30:00.000000Z"}
    entry = codec.build(canonical({**body, "payload_digest": str(Digest.of(aside))}), 0, bytes(32))

    assert VIEW in scope.of(V1, lambda: [(0, entry)], lambda _: aside)
    with pytest.raises(LedgerInvalid):
        scope.of(V1, lambda: [(0, entry)], lambda _: b"[]")
