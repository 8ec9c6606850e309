# SPDX-License-Identifier: Apache-2.0
"""Sentences that the server makes out of data, in both languages at once: `parts.Words`."""

from __future__ import annotations

from gateway.console import labels
from gateway.console.language import Language, translations
from gateway.console.parts import Words


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


def _filled(message: str, values: dict[str, str | Words], lang: Language) -> str:
    shown = {name: value if isinstance(value, str) else getattr(value, lang) for name, value in values.items()}
    text = translations(lang).gettext(message)
    return text % shown if shown else text
