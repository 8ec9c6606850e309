# SPDX-License-Identifier: Apache-2.0
"""Tickets: signed for one blob in one zone, and worth nothing for another."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from khatim import tokens
from tests.support.agents import digest
from tests.support.http import good, problem
from tests.support.people import DANA, SAMI
from tests.support.world import ONSHORE, ZONE, World

FILE = digest("a file")
PLACED = "/v1/agent/artifacts"


def ticket(world: World, **changes: Any) -> dict[str, Any]:
    """Return a ticket to bring the file into the zone."""
    body = {"zone": ZONE, "digest": FILE, "size": 100, "tags": ["health.ae"], **changes}
    issued: dict[str, Any] = good(world.as_(DANA).post("/v1/uploads", body))
    return issued


def report(world: World, token: str, **changes: Any) -> Any:
    """Report the file under *token*."""
    return world.agent.api.post(PLACED, {"digest": FILE, "size": 100, "ticket": token, **changes})


def test_a_ticket_for_one_blob_lets_no_other_in(enrolled: World) -> None:
    body = problem(report(enrolled, ticket(enrolled)["token"], digest=digest("another")), 403, "ticket-refused")

    assert "this blob" in body["detail"]
    assert enrolled.refusals()[0]["payload"]["error"] == "ticket-refused"


def test_a_blob_is_not_larger_than_its_ticket(enrolled: World) -> None:
    problem(report(enrolled, ticket(enrolled)["token"], size=101), 422, "malformed")

    assert enrolled.sql("SELECT count(*) FROM placements") == [(0,)]


def test_a_ticket_of_another_zone_is_refused(enrolled: World) -> None:
    elsewhere = enrolled.enrol(ONSHORE)
    body = {"digest": FILE, "size": 100, "ticket": ticket(enrolled)["token"]}

    problem(elsewhere.api.post(PLACED, body), 403, "ticket-refused")


def test_a_ticket_to_read_is_none_to_write(enrolled: World) -> None:
    good(report(enrolled, ticket(enrolled)["token"]))
    read = good(enrolled.as_(SAMI).post("/v1/downloads", {"zone": ZONE, "digest": FILE, "to_zone": ZONE}))

    problem(report(enrolled, read["token"]), 403, "ticket-refused")


def test_a_long_upload_is_reported_after_the_ticket_has_ended(enrolled: World) -> None:
    issued = ticket(enrolled)
    enrolled.clock.forward(hours=5)

    good(report(enrolled, issued["token"]))


def test_a_ticket_from_yesterday_is_refused(enrolled: World) -> None:
    issued = ticket(enrolled)
    enrolled.clock.forward(days=1)
    body = problem(report(enrolled, issued["token"]), 403, "ticket-refused")

    assert "expired" in body["detail"]


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "eyJhbGciOiJub25lIn0.e30."])
def test_a_ticket_that_is_none_is_refused(enrolled: World, token: str) -> None:
    problem(report(enrolled, token), 403, "ticket-refused")


def test_another_kind_of_token_is_no_ticket(enrolled: World) -> None:
    issuer = enrolled.parts.issuer
    for kind in ("job", "access", "agent", "link", "session", "enrolment"):
        token = tokens.issue(
            issuer.key, kind=kind, subject="x", audience=f"zone:{ZONE}", issuer=issuer.issuer, at=enrolled.clock(),
            ttl=timedelta(minutes=5), op="put", digest=FILE, max_size=100, media_type="x/y", tags=[], rule="",
        )  # fmt: skip
        problem(report(enrolled, token), 403, "ticket-refused")


def test_people_report_no_blobs(enrolled: World) -> None:
    body = {"digest": FILE, "size": 100, "ticket": ticket(enrolled)["token"]}

    problem(enrolled.as_(DANA).post(PLACED, body), 403, "forbidden")


def test_no_byte_of_data_has_a_column(enrolled: World) -> None:
    """Metadata, digests, signatures: raw bytes are only the ledger, answers, sealed names and hashes of tokens."""
    columns = enrolled.sql(
        "SELECT table_name, column_name FROM information_schema.columns "
        "WHERE table_schema = 'public' AND data_type IN ('bytea', 'oid') ORDER BY 1, 2"
    )

    assert {table for table, _ in columns} == {
        "answers", "ledger_archives", "ledger_checkpoints", "ledger_endorsements", "ledger_entries", "ledger_outbox",
        "ledger_payloads", "ledger_recoveries", "ledger_tiles", "people", "service_tokens",
    }  # fmt: skip
