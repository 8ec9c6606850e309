# SPDX-License-Identifier: Apache-2.0
"""The languages of the console: catalogues, direction, and which language and theme a request gets.

The ``.po`` files are the source and what is loaded: Babel compiles them in memory once per process, so that no binary
catalogue can be older than its text.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Literal

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import Translations

Language = Literal["en", "ar"]
Theme = Literal["system", "light", "dark"]

LANGUAGES: tuple[Language, ...] = ("en", "ar")
THEMES: tuple[Theme, ...] = ("system", "light", "dark")
LOCALES: dict[Language, str] = {"en": "en_AE", "ar": "ar_AE"}  # CLDR; both write Latin digits in the Emirates
FOLDER = Path(__file__).parent / "translations"


def direction(lang: Language) -> Literal["ltr", "rtl"]:
    """Return the writing direction of *lang*."""
    return "rtl" if lang == "ar" else "ltr"


def catalogue(lang: Language) -> Catalog:
    """Read the catalogue of *lang* from its ``.po`` file."""
    with (FOLDER / lang / "LC_MESSAGES" / "messages.po").open("rb") as source:
        return read_po(source, locale=lang)


@cache
def translations(lang: Language) -> Translations:
    """Return the compiled catalogue of *lang*."""
    compiled = BytesIO()
    write_mo(compiled, catalogue(lang))
    compiled.seek(0)
    return Translations(compiled)


def chosen_language(*, query: str = "", cookie: str = "", accept: str = "") -> Language:
    """Choose the language: ``?lang=`` first, then the cookie, then ``Accept-Language`` (RFC 9110), else English."""
    for asked in (query, cookie, *_accepted(accept)):
        for lang in LANGUAGES:
            if asked.lower().split("-")[0] == lang:
                return lang
    return "en"


def chosen_theme(*, query: str = "", cookie: str = "") -> Theme:
    """Choose the theme: ``?theme=`` first, then the cookie, else what the person's system says."""
    for asked in (query, cookie):
        for theme in THEMES:
            if asked == theme:
                return theme
    return "system"


def _accepted(header: str) -> Iterable[str]:
    """Return the language tags of an Accept-Language header, most wanted first; weights that are no numbers count 0."""
    weighted: list[tuple[float, str]] = []
    for item in header[:400].split(","):
        tag, _, parameters = item.partition(";")
        name, _, value = parameters.strip().partition("=")
        try:
            weight = float(value) if name.strip() == "q" else 1.0
        except ValueError:
            weight = 0.0
        if weight > 0:
            weighted.append((weight, tag.strip()))
    return [tag for _, tag in sorted(weighted, key=lambda pair: -pair[0])]
