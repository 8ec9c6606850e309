# SPDX-License-Identifier: Apache-2.0
"""The bytes of a ledger entry: an event inside an envelope that gives its index and the hash of the entry before.

``{"event":<body>,"index":N,"prev":"<64 hex>","v":1}``: canonical JSON because its keys are sorted and the body is.
The envelope is put around the body's bytes as they are, and taken off again the same way: nothing is serialised twice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, NamedTuple

from audit.canonical import canonical
from audit.tiles import ENTRY_MAX
from khatim.errors import LedgerInvalid

BODY_MAX = ENTRY_MAX - 200  # the envelope takes 118 bytes at most; the rest is room for a later version of it
NO_ENTRY = bytes(32)
"""``prev`` of the first entry."""
GENESIS = "ledger.opened"

_HEAD = b'{"event":'
_TAIL = re.compile(rb',"index":(0|[1-9][0-9]{0,18}),"prev":"([0-9a-f]{64})","v":1\}\Z')
_TAIL_MAX = 120
_COLUMN_MAX = 500  # characters; a B-tree row holds 2,704 bytes, and what cannot be indexed would stop the ledger


@dataclass(frozen=True, slots=True)
class Entry:
    """A parsed entry: its place, the hash of the entry before it, and the event."""

    index: int
    prev: bytes
    event: Mapping[str, Any]


class Columns(NamedTuple):
    """What is repeated of an event in the columns of ``ledger_entries``."""

    kind: str
    actor: str
    resource: str
    namespace: str
    zone: str
    at: datetime


def build(body: bytes, index: int, prev: bytes) -> bytes:
    """Return the entry of the event *body* at *index* after the entry whose SHA-256 is *prev*."""
    return b'%s%s,"index":%d,"prev":"%s","v":1}' % (_HEAD, body, index, prev.hex().encode())


def parse(entry: bytes, index: int) -> Entry:
    """Read the entry that stands at *index*; raises `LedgerInvalid` if it is not of the one form or says otherwise."""
    place = f"entry {index}"
    tail = _TAIL.search(entry, max(0, len(entry) - _TAIL_MAX))
    if tail is None or not entry.startswith(_HEAD):
        raise LedgerInvalid(f"{place} does not have the form of an entry", place=place)
    if int(tail[1]) != index:
        raise LedgerInvalid(f"{place} says that it is entry {int(tail[1])}", place=place)
    return Entry(index, bytes.fromhex(tail[2].decode()), event_of(entry[len(_HEAD) : tail.start()], place))


def body_of(entry: bytes, index: int) -> bytes:
    """Return the event's bytes inside the entry at *index*; raises `LedgerInvalid` if it has not the form."""
    parse(entry, index)
    tail = _TAIL.search(entry, max(0, len(entry) - _TAIL_MAX))
    return entry[len(_HEAD) : tail.start() if tail else None]


def event_of(body: bytes, place: str) -> Mapping[str, Any]:
    """Read an event body; raises `LedgerInvalid` naming *place* if it is not a JSON object."""
    try:
        event = json.loads(body.decode())
    except (ValueError, RecursionError) as wrong:
        raise LedgerInvalid(f"the event of {place} is not JSON", place=place) from wrong
    if not isinstance(event, dict):
        raise LedgerInvalid(f"the event of {place} is not an object", place=place)
    return event


def columns_of(event: Mapping[str, Any], place: str) -> Columns:
    """Return the look-up columns of *event*; raises `LedgerInvalid` naming *place* if it does not say when it was."""
    try:
        at = datetime.fromisoformat(event["at"])
        moment = at.astimezone(UTC) if at.tzinfo else None
    except (KeyError, TypeError, ValueError, OverflowError):
        moment = None
    if moment is None:
        raise LedgerInvalid(f"{place} does not say when it happened", place=place)
    kind, actor, resource, namespace, zone = (_column(event.get(name)) for name in Columns._fields[:-1])
    return Columns(kind, actor, resource, namespace, zone, moment)


def _column(value: object) -> str:
    # PostgreSQL text holds neither NUL nor lone surrogates; the entry itself keeps what was said.
    text = value[:_COLUMN_MAX] if isinstance(value, str) else ""
    return text.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")


def payload_digest_of(event: Mapping[str, Any]) -> str | None:
    """Return the digest of the payload kept aside, if the event has one."""
    digest = event.get("payload_digest")
    return digest if isinstance(digest, str) else None


def genesis_body(origin: str, vkey: str, at: datetime) -> bytes:
    """Return the body of entry 0, which says whose ledger this is and which key speaks for it."""
    return canonical(
        {
            "actor": "service:khatim",
            "at": at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "entity": "",
            "kind": GENESIS,
            "namespace": "",
            "payload": {"origin": origin, "vkey": vkey},
            "resource": f"ledger:{origin}",
            "version": 1,
            "zone": "",
        }
    )


def link_of(entry: bytes) -> bytes:
    """Return the hash that the next entry must carry as ``prev``."""
    return sha256(entry).digest()
