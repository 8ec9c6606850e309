# SPDX-License-Identifier: Apache-2.0
"""What gives a person away in a text: e-mail addresses, Emirates identity numbers, telephone numbers.

The ledger cannot forget, so such a text is not taken (compliance.md section 4, erasure; ADR 0025).  A name alone cannot
be told from other words: for names there are references, and the pages say so where a reason is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from khatim.errors import PersonalData

REDACTED: Final = "[removed: personal data]"
_PATTERNS: Final = {
    # The last label has letters only, and so has the first letter of the domain: oncology/malignancy@1 is no address.
    "an e-mail address": re.compile(r"[\w.%+-]{1,64}@[a-z][\w-]*(?:\.[\w-]+)*\.[a-z]{2,24}\b", re.IGNORECASE),
    "an Emirates identity number": re.compile(r"(?<![\w-])784[- ]?\d{4}[- ]?\d{7}[- ]?\d(?![\w-])"),
    "a telephone number": re.compile(r"(?<![\w+])(?:\+|00)(?:971|966|965|968|973|974)[- ]?\d(?:[- ]?\d){6,9}(?![\w-])"),
}


def found_in(text: str) -> str:
    """Return what gives a person away in *text* (``an e-mail address``), or an empty string."""
    if "@" not in text and not any(mark in text for mark in ("784", "+", "00")):  # nearly every text of the ledger
        return ""
    return next((what for what, pattern in _PATTERNS.items() if pattern.search(text)), "")


def refuse(payload: Mapping[str, Any]) -> None:
    """Raise `PersonalData` when a text anywhere in *payload* (JSON values) gives a person away."""
    for place, text in _texts(payload, ""):
        if what := found_in(text):
            raise PersonalData(f"{place} holds {what}, and the ledger cannot forget it", place=place)


def redacted(value: Any) -> Any:
    """Return *value* (JSON values) with everything that gives a person away removed from its texts."""
    if isinstance(value, str):
        for pattern in _PATTERNS.values() if found_in(value) else ():
            value = pattern.sub(REDACTED, value)
        return value
    if isinstance(value, Mapping):
        return {redacted(key): redacted(item) for key, item in value.items()}
    return [redacted(item) for item in value] if isinstance(value, list) else value


def _texts(value: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield f"a key of {place or 'the event'}", str(key)
            yield from _texts(item, f"{place}.{key}" if place else str(key))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item, place)
