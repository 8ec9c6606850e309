# SPDX-License-Identifier: Apache-2.0
"""The door of Jinja2: one environment per language, strict about names, escaping everything.

`render` is the only entry.  What templates may use beside their context: the filters and globals of `environment`.
"""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from gateway.console import addresses, assets, formats, graphs, labels, mentions, parts, plots
from gateway.console.contexts import PAGES, Context
from gateway.console.language import Language, Theme, direction, translations

FOLDER = Path(__file__).parent / "templates"


def render(page: str, context: Context, *, lang: Language, theme: Theme = "system") -> str:
    """Render *page* (a key of `contexts.PAGES`) from its *context*; raises `TypeError` for another page's context."""
    if not isinstance(context, PAGES[page]):
        raise TypeError(f"the page {page!r} renders {PAGES[page].__name__}, not {type(context).__name__}")
    values = {field.name: getattr(context, field.name) for field in fields(context)}
    template = environment(lang).get_template(f"{page}.html")
    return template.render(**values, lang=lang, direction=direction(lang), theme=theme)


@cache
def environment(lang: Language) -> Environment:
    """Return the environment of *lang*: what templates may use beside their context."""
    built = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    built.install_gettext_translations(translations(lang), newstyle=True)  # type: ignore[attr-defined]
    built.globals.update(address=addresses, asset=assets.asset_url, tone=labels.tone, axis_of=plots.axis_of)
    built.filters.update(
        ltr=formats.ltr,
        code=formats.code,
        digest=formats.digest,
        size=formats.size,
        moment=lambda at, **how: formats.moment(at, lang, **how),
        day=lambda at: formats.day(at, lang),
        number=lambda value: formats.number(value, lang),
        score=lambda value: formats.score(value, lang),
        label=lambda value, group: _label(value, group, lang),
        phrase=lambda value, sees_ledger=False: mentions.linked(_phrase(value, lang), sees_ledger=sees_ledger),
        ref=formats.reference,
        interval=lambda estimate, axis, threshold=None: plots.interval(estimate, axis, threshold),
        lineage=lambda value, title, description: _lineage(value, title, description, lang),
    )
    return built


def _label(value: str, group: labels.Group, lang: Language) -> str | Markup:
    """Return what the code *value* is called, or the code itself in the face of codes."""
    return word(value, group, lang) if str(value) in labels.LABELS[group] else formats.code(value)


def word(value: str, group: labels.Group, lang: Language) -> str:
    """Return what the code *value* is called, or the code itself."""
    message = labels.LABELS[group].get(str(value), "")
    return translations(lang).gettext(message) if message else str(value)


def _phrase(value: parts.Phrase, lang: Language) -> str | Markup:
    """Return a text from data in the reader's language; what is only there in English is marked as English."""
    english, own = (value, "") if isinstance(value, str) else (value.en, value.ar)
    if lang == "en" or not english:
        return english
    if own:
        return Markup("<bdi>{}</bdi>").format(own)
    found = translations(lang).gettext(english)
    return found if found != english else Markup('<bdi lang="en">{}</bdi>').format(english)


def _lineage(lineage: parts.Lineage, title: str, description: str, lang: Language) -> Markup:
    """Draw a lineage."""
    nodes = [
        graphs.Node(
            id=node.ref,
            kind=word(node.kind, "lineage", lang),
            name=node.name,
            note=" · ".join(text for text in (node.zone, _brief(node.digest)) if text),
            href="" if node.is_subject else node.href,
            mark={True: "✓", False: "!", None: ""}[node.is_verified],
            style="subject" if node.is_subject else {True: "good", False: "stop", None: ""}[node.is_verified],
        )
        for node in lineage.nodes
    ]
    edges = [graphs.Edge(edge.source, edge.target, word(edge.relation, "relation", lang)) for edge in lineage.edges]
    drawn = graphs.svg(nodes, edges, title=title, description=description, rtl=direction(lang) == "rtl", prefix="lin")
    return Markup(drawn)  # noqa: S704 - graphs.svg escapes every text it is given


def _brief(digest: str) -> str:
    return digest.rpartition(":")[2][:12]
