# SPDX-License-Identifier: Apache-2.0
"""Elastic Common Schema 8: one JSON object a message; what the schema has no field for stands under ``khatim``."""

from __future__ import annotations

from typing import Any

from audit.events import moment
from audit.streams.messages import Message, Told, severity
from audit.streams.rfc5424 import json_of, kind_of, members_of

VERSION = "8.17.0"


def encode(message: Message) -> bytes:
    """Return *message* as one line of canonical JSON."""
    found = dict(members_of(message))
    event: dict[str, Any] = {
        "action": kind_of(message),
        "dataset": "khatim.ledger",
        "kind": "event" if isinstance(message, Told) else "metric" if "size" in found else "state",
        "module": "khatim",
        "severity": severity(message),
    }
    body: dict[str, Any] = {
        "@timestamp": moment(message.at),
        "ecs": {"version": VERSION},
        "event": event,
        "khatim": {**found, "origin": message.origin},
        "observer": {"name": message.origin, "product": "registry", "vendor": "Khatim"},
    }
    if "index" in found:
        event |= {"id": f"{message.origin}/{found['index']}", "sequence": found["index"]}
    if isinstance(message, Told):
        outcome = "failure" if message.is_refusal else "success"
        event |= {"category": ["configuration"], "hash": message.hash, "outcome": outcome, "type": ["change"]}
        if message.is_refusal:
            event |= {"category": ["iam"], "type": ["denied"]}
            body["rule"] = {"id": message.refused("rule")}
        body["khatim"]["event"] = dict(message.event)
        body["user"] = {"id": message.word("actor")}
    return json_of(body)
