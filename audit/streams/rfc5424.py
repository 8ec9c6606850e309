# SPDX-License-Identifier: Apache-2.0
"""RFC 5424: one syslog message with structured data; the text is the event's canonical JSON, as it stands.

Facility 13 (log audit).  The number in the structured data's name is the one that RFC 5612 reserves for examples, for
Khatim has no private enterprise number; an installation gives its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, assert_never

from audit.canonical import canonical
from audit.events import moment
from audit.streams.messages import Heartbeat, Message, Told, Withheld, severity
from khatim.errors import Malformed

FACILITY = 13
NUMBER = 32473
_NOT_PRINTED = re.compile(r"[^\x21-\x7e]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x80-\x9f\u2028\u2029]")
_NAME_MAX, _KIND_MAX = 255, 32


def encode(message: Message, *, number: int = NUMBER, text: bytes | None = None) -> bytes:
    """Return *message* without a frame around it; *text* stands in place of the event's JSON (another format)."""
    priority = FACILITY * 8 + severity(message)
    host = _NOT_PRINTED.sub("_", message.origin)[:_NAME_MAX] or "-"
    kind = _NOT_PRINTED.sub("_", kind_of(message))[:_KIND_MAX] or "-"
    head = f"<{priority}>1 {moment(message.at)} {host} khatim - {kind} [khatim@{number} {_data(message)}] "
    return head.encode() + (said(message) if text is None else text)


def kind_of(message: Message) -> str:
    """Return the kind of event, or what the message is in place of one."""
    match message:
        case Told():
            return message.word("kind")
        case Withheld():
            return "stream.withheld"
        case Heartbeat():
            return "stream.heartbeat"
    assert_never(message)


def said(message: Message) -> bytes:
    """Return the event in canonical JSON (its bytes in the ledger), or an object that says what is in its place."""
    match message:
        case Told():
            return json_of(dict(message.event))
        case Withheld():
            return canonical({"index": message.index, "kind": kind_of(message), "rule": message.rule})
        case Heartbeat():
            return canonical({"kind": kind_of(message), "size": message.size})
    assert_never(message)


def json_of(value: Mapping[str, Any]) -> bytes:
    """Return *value* as canonical JSON, or as plain ASCII where it has none: what was said must go out all the same."""
    try:
        return canonical(value)
    except Malformed:
        return json.dumps(value, sort_keys=True).encode()


def members_of(message: Message) -> Mapping[str, str | int]:
    """Return what a receiver needs to find gaps and duplicates, under the names that every format uses."""
    match message:
        case Told():
            return {"index": message.index, "leaf": message.leaf, "hash": message.hash, "prev": message.prev}
        case Withheld():
            return {"index": message.index, "withheld": message.rule}
        case Heartbeat():
            return {"size": message.size}
    assert_never(message)


def _data(message: Message) -> str:
    pairs = dict(members_of(message))
    if isinstance(message, Told):
        pairs |= {name: message.word(name) for name in ("actor", "resource", "namespace", "zone", "entity")}
    return " ".join(f'{name}="{_escaped(str(value))}"' for name, value in pairs.items() if value != "")


def _escaped(value: str) -> str:
    # RFC 5424 6.3.3 escapes three characters.  It allows controls, but a line feed would end the message in a file:
    # here they become U+FFFD, and stand as they are in the JSON after it.
    clean = _CONTROL.sub("\ufffd", value).encode("utf-8", "replace").decode()
    return clean.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")
