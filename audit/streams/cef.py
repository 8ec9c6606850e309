# SPDX-License-Identifier: Apache-2.0
"""ArcSight Common Event Format, version 0: a header of eight fields and an extension of key=value pairs."""

from __future__ import annotations

import re

from audit.streams.messages import Message, Told, severity
from audit.streams.rfc5424 import kind_of, members_of, said

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x9f\u2028\u2029]")
_BREAK = re.compile(r"[\r\n\t]+")
_SEVERITY = {4: 7, 5: 5, 6: 3}  # of CEF, 0 to 10, by that of syslog
_LABELS = (("cs1", "leaf"), ("cs2", "hash"), ("cs3", "prev"), ("cs4", "zone"), ("cs5", "rule"), ("cs6", "withheld"))


def encode(message: Message) -> bytes:
    """Return *message* as one line."""
    kind = kind_of(message)
    header = "|".join(map(_in_header, ("Khatim", "registry", "1", kind, kind.replace(".", " "))))
    pairs = _extension(message)
    extension = " ".join(f"{name}={_in_extension(str(value))}" for name, value in pairs.items() if value != "")
    return f"CEF:0|{header}|{_SEVERITY[severity(message)]}|{extension}".encode()


def _extension(message: Message) -> dict[str, str | int]:
    found = dict(members_of(message))
    named: dict[str, str | int] = {"rt": int(message.at.timestamp() * 1000), "dvchost": message.origin}
    if "index" in found:
        named |= {"externalId": found["index"], "cn1": found["index"], "cn1Label": "index"}
    if "size" in found:
        named |= {"cn2": found["size"], "cn2Label": "size"}
    if isinstance(message, Told):
        outcome = "failure" if message.is_refusal else "success"
        named |= {"act": message.word("kind"), "outcome": outcome, "suid": message.word("actor")}
        named["request"] = message.word("resource")
        found |= {"zone": message.word("zone"), "rule": message.refused("rule")}
    for key, label in _LABELS:
        if found.get(label, "") != "":
            named |= {key: found[label], f"{key}Label": label}
    named["msg"] = said(message).decode()
    return named


def _in_header(value: str) -> str:
    return _clean(_BREAK.sub(" ", value)).replace("\\", "\\\\").replace("|", "\\|")


def _in_extension(value: str) -> str:
    escaped = _clean(value).replace("\\", "\\\\").replace("=", "\\=")
    return escaped.replace("\r", "\\r").replace("\n", "\\n").replace("\t", " ")


def _clean(value: str) -> str:
    return _CONTROL.sub("\ufffd", value).encode("utf-8", "replace").decode()
