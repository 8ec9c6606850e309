# SPDX-License-Identifier: Apache-2.0
"""The report as one self-contained page in English and Arabic: no script, nothing loaded, everything escaped.

The second door of Jinja2 beside `gateway.console.rendering`: the report must be written where no web server is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from governance.reports import graphs, measures
from governance.reports.arabic import ARABIC
from governance.reports.contents import Contents
from governance.reports.graphs import Edge
from governance.reports.measures import Measured
from governance.reports.wording import word
from khatim.vocabulary import Certainty, Digest
from registry.signing.encoding import b64

Language = Literal["en", "ar"]
FOLDER = Path(__file__).parent / "templates"
ROWS = 200
"""Rows shown of a table; the populations hold them all."""
_SHORT = 30  # characters that stand in one line


def render(contents: Contents, arabic: Callable[[str], str]) -> bytes:
    """Return the report; *arabic* puts sentences of the policies into Arabic and returns what it does not know."""
    tongues = [_Tongue("en", lambda text: text), _Tongue("ar", lambda text: ARABIC.get(text) or arabic(text))]
    page = (
        _environment()
        .get_template("report.html")
        .render(it=contents, tongues=tongues, certainties=[one.value for one in Certainty], rows=ROWS)
    )
    return page.encode("utf-8", "backslashreplace")


@cache
def _environment() -> Environment:
    built = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    built.globals.update(query_digest=lambda query: Digest.of(query.encode()).hex, csv_digest=_csv_digest)
    built.filters.update(
        code=code,
        filled=filled,
        moment=moment,
        b64=b64,
        measured=measured,
        interval=lambda one: Markup(measures.interval(one)),  # noqa: S704 - numbers only
    )
    return built


def _csv_digest(sheet: Any) -> str:
    return Digest.of(sheet.csv()).hex


class _Tongue:
    """One of the report's languages: how it says sentences and codes, and in which direction it runs."""

    def __init__(self, lang: Language, say: Callable[[str], str]) -> None:
        self.lang = lang
        self.way = "rtl" if lang == "ar" else "ltr"
        self._say = say

    def t(self, text: str) -> str | Markup:
        """Say a sentence; one that only exists in English is marked as English."""
        said = self._say(text)
        if self.lang == "en" or said != text or not text:
            return said
        return Markup('<bdi lang="en" dir="ltr">{}</bdi>').format(text)

    def word(self, value: object) -> str | Markup:
        """Say what a code is called; a code without a word stands in the face of codes."""
        name = word(str(value))
        return self.t(name) if name != str(value) else code(value)

    def graph(self, contents: Contents) -> Markup:
        """Draw the lineage."""
        boxes = [replace(box, kind=self._say(word(box.kind)), note=self._say(word(box.note))) for box in contents.boxes]
        arrows = [Edge(one.source, one.target, self._say(word(one.label))) for one in contents.arrows]
        drawn = graphs.svg(
            boxes,
            arrows,
            title=self._say("Lineage"),
            description=self._say("From the raw file to the endpoint; the table says the same."),
            rtl=self.way == "rtl",
            prefix=f"lineage-{self.lang}",
        )
        return Markup(drawn)  # noqa: S704 - graphs.svg escapes every text it is given


def filled(outcome: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a requirement says with everything in it that it may leave out."""
    return {"rule": "", "title": "", "reason": "", "legal_basis": "", "certainty": "", **outcome}


def code(value: object) -> str | Markup:
    """Show a code, a reference or a digest: left to right in either language."""
    texts: Sequence[object] = value if isinstance(value, list | tuple) else [value]
    shown = [
        Markup('<bdi class="code{}" dir="ltr">{}</bdi>').format(" short" * (len(str(one)) <= _SHORT), one)
        for one in texts
        if one not in (None, "")
    ]
    return Markup(" ").join(shown)


def moment(at: datetime) -> Markup:
    """Show a moment in UTC, to the second."""
    text = at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    return Markup('<time class="code" dir="ltr" datetime="{}">{}</time>').format(at.astimezone(UTC).isoformat(), text)


def measured(one: Measured | float | None) -> Markup:
    """Show a number with four places; with its interval when it has one."""
    value = one.value if isinstance(one, Measured) else one
    text = "" if value is None else f"{value:.4f}"
    if isinstance(one, Measured) and one.low is not None and one.high is not None:
        text += f" [{one.low:.4f}, {one.high:.4f}]"
    return Markup('<bdi class="number" dir="ltr">{}</bdi>').format(text)
