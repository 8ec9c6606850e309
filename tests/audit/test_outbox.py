# SPDX-License-Identifier: Apache-2.0
"""The outbox: an event commits with its change, and what could not be sequenced is refused where it is said."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from audit import outbox
from audit.entries import BODY_MAX
from khatim.errors import Malformed
from khatim.vocabulary import Digest
from tests.audit.ledgers import OPENED, LedgerDatabase, event_body


@pytest.fixture
def session(ledger: LedgerDatabase) -> Iterator[Session]:
    engine = create_engine(ledger.url("khatim_service").replace("postgresql://", "postgresql+psycopg://", 1))
    with Session(engine) as opened:
        yield opened
    engine.dispose()


def test_an_event_waits_from_its_commit_on(ledger: LedgerDatabase, session: Session) -> None:
    with ledger.connect("khatim_service") as conn:
        outbox.append(session, event_body(5), None)
        assert outbox.pending_count(conn) == 0
        session.commit()
        outbox.append(session, event_body(9), None)
        session.commit()
        waiting = outbox.backlog(conn)
        assert waiting == outbox.Backlog(2, OPENED + timedelta(seconds=5))
        assert waiting.age_s(OPENED + timedelta(seconds=8)) == 3
        assert outbox.pending_count(conn) == 2


def test_an_event_goes_with_its_transaction(ledger: LedgerDatabase, session: Session) -> None:
    outbox.append(session, event_body(1), None)
    session.rollback()
    with ledger.connect("khatim_service") as conn:
        assert outbox.backlog(conn) == outbox.Backlog(0, None)


def test_the_largest_body_is_taken_and_one_byte_more_is_not(session: Session) -> None:
    room = BODY_MAX - len(event_body(1, resource=""))
    outbox.append(session, event_body(1, resource="x" * room), None)
    with pytest.raises(Malformed, match="does not fit"):
        outbox.append(session, event_body(1, resource="x" * (room + 1)), None)


def test_a_payload_is_taken_with_its_digest_only(session: Session) -> None:
    payload = b'{"large":true}'
    named = event_body(1, payload_digest=str(Digest.of(payload)))
    outbox.append(session, named, payload)
    for body, aside in ((named, None), (named, payload + b" "), (event_body(1), payload)):
        with pytest.raises(Malformed, match="digest"):
            outbox.append(session, body, aside)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"{", b"\xff", b'{"at":1}', b"[" * 5000])
def test_what_is_no_event_is_malformed(session: Session, body: bytes) -> None:
    with pytest.raises(Malformed):
        outbox.append(session, body, None)
