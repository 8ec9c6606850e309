# SPDX-License-Identifier: Apache-2.0
"""Sentences that the server makes out of data, in both languages at once: `parts.Words`."""

from __future__ import annotations

import re

from gateway.console import formats, labels
from gateway.console.language import Language, translations
from gateway.console.parts import Phrase, Words

# What `governance.monitors` writes beside what it suspends.
_DRIFT = re.compile(rf"drift: finding (?P<finding>{formats.UUID})(?:; (?P<other>\S+) answers instead)?")


def words(message: str, **values: str | Words) -> Words:
    """Return *message* (marked for the catalogues by being written here) in both languages, filled with *values*."""
    return Words(*(_filled(message, values, lang) for lang in ("en", "ar")))


def named(group: labels.Group, code: str) -> Words:
    """Return what *code* is called in both languages; a code without a name is its own name."""
    message = labels.LABELS[group].get(code)
    return words(message) if message else Words(code, code)


def listed(items: list[Words]) -> Words:
    """Return *items* as one enumeration."""
    return Words(", ".join(item.en for item in items), "، ".join(item.ar for item in items))


def joined(start: Words, rest: Phrase) -> Words:
    """Return *rest* after *start* and a colon; a text that is there in one language only stands in both."""
    en, ar = (rest, rest) if isinstance(rest, str) else (rest.en, rest.ar or rest.en)
    return Words(f"{start.en}: {en}", f"{start.ar}: {ar}")


def because_of(reason: str) -> Phrase:
    """Return a reason that the server itself wrote in both languages; any other as it is."""
    found = _DRIFT.fullmatch(reason)
    if found is None:
        return reason
    finding = f"finding:{found['finding']}"
    if not found["other"]:
        return words("Drift was found: %(finding)s", finding=finding)
    return words("Drift was found: %(finding)s. Answering instead: %(other)s", finding=finding, other=found["other"])


def _filled(message: str, values: dict[str, str | Words], lang: Language) -> str:
    shown = {name: value if isinstance(value, str) else getattr(value, lang) for name, value in values.items()}
    text = translations(lang).gettext(message)
    return text % shown if shown else text
