# SPDX-License-Identifier: Apache-2.0
"""OCSF 1.7.0: one JSON object a message, of the class that fits the kind of event.

Refusals by residency, gates and other rules are Compliance Findings (2003), findings of monitors Detection Findings
(2004), people and roles are Entity Management (3004), everything else that somebody asked of the registry API Activity
(6003), the class that also tells withheld places and heartbeats.  What has no attribute stands under ``unmapped``.
"""

from __future__ import annotations

from typing import Any

from audit.streams.messages import Message, Told, severity
from audit.streams.rfc5424 import json_of, kind_of, members_of

VERSION = "1.7.0"
API, AUTHENTICATION, SESSION, ENTITY, COMPLIANCE, DETECTION = 6003, 3002, 3003, 3004, 2003, 2004
_NAMES = {
    API: "API Activity",
    AUTHENTICATION: "Authentication",
    SESSION: "Authorize Session",
    ENTITY: "Entity Management",
    COMPLIANCE: "Compliance Finding",
    DETECTION: "Detection Finding",
}
_CATEGORIES = {2: "Findings", 3: "Identity & Access Management", 6: "Application Activity"}
_BY_NOUN = {"sign-in": AUTHENTICATION, "token": SESSION, "finding": DETECTION, "person": ENTITY, "agent": ENTITY}
_CREATE, _READ, _UPDATE, _DELETE, _OTHER = 1, 2, 3, 4, 99
_ACTIVITY = {
    "registered": _CREATE, "requested": _CREATE, "added": _CREATE, "placed": _CREATE, "invited": _CREATE,
    "enrolled": _CREATE, "recorded": _CREATE, "opened": _CREATE, "exported": _READ, "copied": _READ,
    "identified": _READ, "changed": _UPDATE, "promoted": _UPDATE, "approved": _UPDATE, "granted": _UPDATE,
    "erased": _DELETE, "removed": _DELETE, "retired": _DELETE,
}  # fmt: skip
_SEVERITY = {4: 3, 5: 2, 6: 1}  # medium, low, informational, by the numbers of syslog


def class_of(message: Message) -> int:
    """Return the ``class_uid`` of *message*."""
    if not isinstance(message, Told):
        return API
    noun = message.word("kind").partition(".")[0]
    if message.is_refusal and message.refused("rule") and noun not in {"sign-in", "token"}:
        return COMPLIANCE
    return _BY_NOUN.get(noun, API)


def encode(message: Message) -> bytes:
    """Return *message* as one line of canonical JSON."""
    uid, kind, found = class_of(message), kind_of(message), dict(members_of(message))
    activity = _activity(uid, kind)
    when = int(message.at.timestamp() * 1000)
    metadata: dict[str, Any] = {
        "event_code": kind,
        "log_name": message.origin,
        "product": {"name": "registry", "vendor_name": "Khatim"},
        "version": VERSION,
    }
    if "index" in found:
        metadata |= {"sequence": found["index"], "uid": f"{message.origin}/{found['index']}"}
    body: dict[str, Any] = {
        "activity_id": activity,
        "category_name": _CATEGORIES[uid // 1000],
        "category_uid": uid // 1000,
        "class_name": _NAMES[uid],
        "class_uid": uid,
        "metadata": metadata,
        "severity_id": _SEVERITY[severity(message)],
        "status_id": 1,
        "time": when,
        "type_uid": uid * 100 + activity,
        "unmapped": {"khatim": found},
    }
    if isinstance(message, Told):
        body["status_id"] = 2 if message.is_refusal else 1
        body["unmapped"]["khatim"] = {**found, "event": dict(message.event)}
        body |= _of_class(uid, message, when)
    elif uid == API:
        body |= {"actor": {"app_name": "khatim"}, "api": {"operation": kind}, "src_endpoint": {"name": message.origin}}
    return json_of(body)


def _activity(uid: int, kind: str) -> int:
    verb = kind.rpartition(".")[2]
    if uid in {COMPLIANCE, DETECTION}:
        return {"resolved": 3, "changed": 2}.get(verb, 1)  # create, update, close
    if uid in {AUTHENTICATION, SESSION}:
        return 1 if verb != "refused" else _OTHER
    return _ACTIVITY.get(verb, _OTHER)


def _of_class(uid: int, message: Told, when: int) -> dict[str, Any]:
    actor, about = {"user": {"uid": message.word("actor")}}, message.word("resource")
    if uid in {COMPLIANCE, DETECTION}:
        told = {"finding_info": {"created_time": when, "title": message.word("kind"), "uid": message.leaf}}
        rule = message.refused("rule")
        details = {"compliance": {"control": rule, "standards": [message.refused("legal_basis") or "house rule"]}}
        return {**told, "resources": [{"uid": about}], "actor": actor, **(details if uid == COMPLIANCE else {})}
    if uid == ENTITY:
        return {"actor": actor, "entity": {"type": about.partition(":")[0], "uid": about}}
    if uid in {AUTHENTICATION, SESSION}:
        return {"user": {"uid": message.word("actor")}, "actor": actor}
    return {
        "actor": actor,
        "api": {"operation": message.word("kind")},
        "resources": [{"uid": about}],
        "src_endpoint": {"name": message.origin},
    }
