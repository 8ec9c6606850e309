# SPDX-License-Identifier: Apache-2.0
"""Which messages the console says, and the catalogues brought up to date with them.

``python -m gateway.console.extraction`` rewrites the ``.po`` files: new messages come in untranslated, those that
nobody says any more go.  A test refuses a catalogue that differs from what is said, or that leaves Arabic out.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.pofile import write_po
from jinja2.ext import babel_extract

from gateway.console import rendering
from gateway.console.language import FOLDER, LANGUAGES, Language, catalogue
from khatim import errors
from khatim.errors import KhatimError
from policies.loading import PolicyBundle

_IN_TEMPLATES = ("_", "gettext", "ngettext")
_IN_CODE = {"mark": None, "words": None}
_OPTIONS = {"trim_blocks": "true", "lstrip_blocks": "true", "silent": "false"}
# One date for all: the catalogues change when their messages do, not when somebody runs the extraction.
_WRITTEN = datetime(2026, 1, 1, tzinfo=UTC)
_Ids = str | tuple[str, ...]


def said() -> Catalog:
    """Return a catalogue of every message of templates, code, errors and shipped gates, each with where it stands."""
    found = Catalog(charset="utf-8")
    for place, ids in (*_templates(), *_code(), *_errors(), *_gates()):
        found.add(ids, locations=[(place, 0)])
    return found


def _templates() -> Iterator[tuple[str, _Ids]]:
    for template in sorted(rendering.FOLDER.glob("*.html")):
        with template.open("rb") as source:
            for _, _, message, _ in babel_extract(source, _IN_TEMPLATES, (), _OPTIONS):
                ids = tuple(part for part in message if part) if isinstance(message, tuple) else message or ""
                yield f"templates/{template.name}", ids


def _code() -> Iterator[tuple[str, _Ids]]:
    for module in sorted(Path(__file__).parent.glob("*.py")):
        with module.open("rb") as source:
            for _, message, _, _ in extract("python", source, keywords=_IN_CODE):
                yield module.name, message


def _errors() -> Iterator[tuple[str, _Ids]]:
    waiting: list[type[KhatimError]] = [KhatimError]
    while waiting:
        error = waiting.pop(0)
        yield from (("khatim/errors.py", text) for text in (error.title(), error.advice) if text)
        waiting.extend(child for child in error.__subclasses__() if child.__module__ == errors.__name__)


def _gates() -> Iterator[tuple[str, _Ids]]:
    """Yield what the shipped gates say; a customer's overlay brings its own words."""
    gates = PolicyBundle.load().gates
    pairs = [(rule.title, rule.advice) for rule in gates.requirements.values()]
    pairs += [(rule.title, rule.advice) for rule in gates.separation.values()]
    pairs.append((gates.waivers.title, gates.waivers.advice))
    yield from (("policies/gates.yaml", text) for pair in pairs for text in pair if text)


def renewed(lang: Language) -> Catalog:
    """Return the catalogue of *lang* with the messages that are said now, keeping its translations."""
    kept, fresh = catalogue(lang), said()
    new = Catalog(
        locale=lang, project="Khatim", copyright_holder="the Khatim authors", charset="utf-8", fuzzy=False,
        header_comment="# SPDX-License-Identifier: Apache-2.0\n# The console's messages.",
        creation_date=_WRITTEN, revision_date=_WRITTEN, last_translator="the Khatim authors", language_team=lang,
    )  # fmt: skip
    for message in sorted(fresh, key=lambda item: str(item.id)):
        if message.id:
            old = kept.get(message.id[0] if isinstance(message.id, tuple) else message.id)
            new.add(message.id, old.string if old else "", locations=sorted(set(message.locations)))
    return new


def main() -> None:
    """Rewrite both catalogues."""
    for lang in LANGUAGES:
        text = renewed(lang)
        with (FOLDER / lang / "LC_MESSAGES" / "messages.po").open("wb") as target:
            write_po(target, text, width=120, sort_output=True, include_lineno=False)


if __name__ == "__main__":
    main()
