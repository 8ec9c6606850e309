# SPDX-License-Identifier: Apache-2.0
"""Which messages the console says, and the catalogues brought up to date with them.

``python -m gateway.console.extraction`` rewrites the ``.po`` files: new messages come in untranslated, those that
nobody says any more go.  A test refuses a catalogue that differs from what is said, or that leaves Arabic out.
"""

from __future__ import annotations

from datetime import UTC, datetime

from babel.messages.catalog import Catalog
from babel.messages.pofile import write_po
from jinja2.ext import babel_extract

from gateway.console import rendering
from gateway.console.language import FOLDER, LANGUAGES, Language, catalogue

_KEYWORDS = ("_", "gettext", "ngettext")
_OPTIONS = {"trim_blocks": "true", "lstrip_blocks": "true", "silent": "false"}
# One date for all: the catalogues change when their messages do, not when somebody runs the extraction.
_WRITTEN = datetime(2026, 1, 1, tzinfo=UTC)


def said() -> Catalog:
    """Return a catalogue of every message in the templates and in the code, each with where it stands."""
    found = Catalog(charset="utf-8")
    for template in sorted(rendering.FOLDER.glob("*.html")):
        with template.open("rb") as source:
            for _, _, message, _ in babel_extract(source, _KEYWORDS, (), _OPTIONS):
                ids = tuple(part for part in message if part) if isinstance(message, tuple) else message or ""
                found.add(ids, locations=[(f"templates/{template.name}", 0)])
    for message in sorted(rendering.messages_in_code()):
        found.add(message)
    return found


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
            new.add(message.id, old.string if old else "", locations=message.locations)
    return new


def main() -> None:
    """Rewrite both catalogues."""
    for lang in LANGUAGES:
        text = renewed(lang)
        with (FOLDER / lang / "LC_MESSAGES" / "messages.po").open("wb") as target:
            write_po(target, text, width=120, sort_output=True, include_lineno=False)


if __name__ == "__main__":
    main()
