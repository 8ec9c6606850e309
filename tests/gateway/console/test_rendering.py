# SPDX-License-Identifier: Apache-2.0
"""What every page holds, in both languages: direction, labels, who is signed in, and nothing inline."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from functools import cache

import pytest

from gateway.console import addresses, assets, contexts, parts, rendering
from gateway.console.language import Language, translations
from khatim.vocabulary import Stage
from tests.gateway.console import examples
from tests.gateway.console.examples import EXAMPLES, LEDGER, MODELS, VERSION
from tests.gateway.console.pages import Element, read

BOTH: tuple[Language, ...] = ("en", "ar")
every_page = pytest.mark.parametrize(("name", "lang"), [(name, lang) for name in EXAMPLES for lang in BOTH])

# Our own addresses, and the one place elsewhere that a person may choose to go to: their provider's sign-out.
OURS = r"(/console(/|$)|/sign-(in|out|in/begin)$|#|$|https://login\.seha\.example/end$)"


@cache
def shown(name: str, lang: Language) -> str:
    page, context = EXAMPLES[name]
    return rendering.render(page, context, lang=lang)


@cache
def tree(name: str, lang: Language) -> Element:
    return read(shown(name, lang))


@every_page
def test_a_page_says_its_language_and_direction(name: str, lang: Language) -> None:
    root = tree(name, lang).all("html")[0]

    assert (root.get("lang"), root.get("dir")) == (lang, {"en": "ltr", "ar": "rtl"}[lang])


@every_page
def test_nothing_is_inline_and_nothing_comes_from_elsewhere(name: str, lang: Language) -> None:
    for element in tree(name, lang).walk():
        assert element.name != "style"
        assert not {attribute for attribute in element.attributes if attribute == "style" or attribute.startswith("on")}
        if element.name == "script":
            assert element.get("src")
            assert not element.text()
        for attribute in ("src", "href", "action"):
            assert re.match(OURS, element.get(attribute)), element.attributes


@every_page
def test_a_page_shows_who_is_signed_in_with_which_roles_and_whether_it_is_local_mode(name: str, lang: Language) -> None:
    chrome = EXAMPLES[name][1].chrome
    page = tree(name, lang)
    bar = page.all("header")[0].text()
    say = translations(lang).gettext

    assert bool([e for e in page.walk() if e.get("class") == "local-mode"]) == chrome.is_local_mode
    if chrome.who is None:
        assert say("Not signed in") in bar
    else:
        assert chrome.who.name in bar
        for role in chrome.roles:
            assert rendering.word(role, "role", lang) in bar


@every_page
def test_a_page_is_named_has_one_heading_a_way_past_the_navigation_and_unique_ids(name: str, lang: Language) -> None:
    page = tree(name, lang)
    ids = [element.get("id") for element in page.walk() if element.get("id")]

    assert page.all("title")[0].text().strip(" ·")
    assert len(page.all("h1")) == 1
    assert page.all("body")[0].children[0].get("href") == "#main"
    assert len(ids) == len(set(ids))
    assert {e.get("href")[1:] for e in page.all("a") if e.get("href").startswith("#")} <= set(ids)


@every_page
def test_every_field_of_a_form_is_labelled_and_every_sending_form_carries_the_token(name: str, lang: Language) -> None:
    page = tree(name, lang)
    labelled = {label.get("for") for label in page.all("label")}
    for control in page.all("input", "select", "textarea"):
        if control.get("type") != "hidden":
            inside = any(ancestor.name == "label" for ancestor in control.ancestors())
            assert inside or control.get("id") in labelled
    for form in page.all("form"):
        names = {control.get("name") for control in form.all("input")}
        assert form.get("method") == "get" or "csrf" in names
    for control in page.all("button", "a"):
        assert control.text() or control.get("aria-label"), control.attributes


@every_page
def test_tables_have_names_and_heads_and_scrolling_regions_can_be_reached_by_keyboard(
    name: str, lang: Language
) -> None:
    page = tree(name, lang)
    for table in page.all("table"):
        assert table.all("caption")[0].text()
        widths = {sum(int(cell.get("colspan") or 1) for cell in row.children) for row in table.all("tr")}
        assert len(widths) == 1, f"{table.all('caption')[0].text()}: {widths}"
    for element in page.walk():
        if element.get("role") == "region":
            assert element.get("tabindex") == "0"
            assert element.get("aria-label")


@every_page
def test_times_are_shown_in_dubai_and_readable_by_machines_in_utc(name: str, lang: Language) -> None:
    for element in tree(name, lang).all("time"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", element.get("datetime"))


@every_page
def test_in_arabic_no_word_is_left_in_english_unmarked(name: str, lang: Language) -> None:
    """What is English there stands in an isolate, in a text that people wrote, or is marked as English."""
    if lang == "en":
        return
    allowed = {"SDK", "ROC", "UTC", "F1", "B"}
    for element in tree(name, lang).all("body")[0].walk():
        within = [element, *element.ancestors()]
        if any(
            e.name in {"bdi", "pre", "kbd", "svg", "code"} or e.get("lang") == "en" or e.get("dir") == "auto"
            for e in within
        ):
            continue
        if element.name == "option" and element.text() == element.get("value"):  # a code; options hold text only
            continue
        left = set(re.findall(r"[A-Za-z][\w-]+", " ".join(element.texts))) - allowed
        data = {"Mariam", "Yousef", "Noura", "make"}
        assert left - data == set(), (element.name, element.attributes, element.texts)


@every_page
def test_digits_are_latin(name: str, lang: Language) -> None:
    assert not re.search("[\u0660-\u0669\u06f0-\u06f9]", shown(name, lang))


def test_digests_are_isolated_shortened_and_can_be_copied_whole() -> None:
    digest = VERSION.files[0].digest
    isolates = [e for e in tree("version", "ar").all("bdi") if e.get("data-copy") == digest]

    assert isolates[0].get("dir") == "ltr"
    assert isolates[0].get("title") == digest
    assert isolates[0].text() == digest[: len("sha256:") + 12] + "…"


def test_the_lineage_graph_and_its_table_say_the_same() -> None:
    page = tree("version", "en")
    graph = next(e for e in page.all("svg") if e.get("class") == "graph")
    table = next(t for t in page.all("table") if t.all("caption")[0].text() == "Lineage").text()
    boxes = [e.all("title")[0].text() for e in graph.walk() if e.get("class").startswith("graph-node")]

    assert len(boxes) == len(VERSION.lineage.nodes)
    for node in VERSION.lineage.nodes:
        assert any(node.name in box for box in boxes)
        assert node.name.replace("/", "/ ") in table or node.name in table


def test_an_approval_says_in_which_role_by_whom_until_when_and_bound_to_what() -> None:
    article = next(e for e in tree("version", "en").walk() if e.get("class") == "approval").text()

    for text in (
        "Privacy officer",
        "Noura Al Suwaidi",
        "23 Nov 2026",
        "06:39",
        "21 Feb 2027",
        "Server-attested",
        "In force",
    ):
        assert text in article


def test_unmet_requirements_come_with_their_reason_and_advice() -> None:
    unmet = [e for e in tree("version", "en").all("li") if e.get("class") == "unmet"]

    assert len(unmet) == 1
    assert "Nobody in this role has approved these bytes" in unmet[0].text()
    assert "Ask a model risk approver" in unmet[0].text()


def test_the_approve_form_sends_the_digest_of_what_the_person_saw() -> None:
    form = next(f for f in tree("version", "en").all("form") if f.get("action").endswith("/approvals"))
    sent = {one.get("name"): one.get("value") for one in form.all("input") if one.get("type") == "hidden"}

    assert sent == {"csrf": "c5rf-t0ken", "seen": examples.digest("binding")}
    assert {control.get("name") for control in form.all("select", "textarea")} == {"role", "comment"}


def test_refusals_in_the_ledger_are_marked_by_more_than_colour() -> None:
    rows = [row for row in tree("ledger", "en").all("tr") if row.get("class") == "refusal"]

    assert len(rows) == 3
    assert all("refused" in row.text() and row.all("svg") for row in rows)


def test_paging_keeps_the_filter() -> None:
    links = [a.get("href") for a in tree("ledger-filtered", "en").all("a") if a.get("rel") == "next"]

    assert links == [addresses.ledger(kind="version.refused", resource=examples.REF, refusals=True, before=1028)]


def test_the_other_language_and_theme_keep_the_query() -> None:
    links = {a.get("href") for a in tree("models", "en").all("a")}

    assert {"/console/models?q=oncology&lang=ar", "/console/models?q=oncology&theme=dark"} <= links


@pytest.mark.parametrize("theme", ["system", "light", "dark"])
def test_the_theme_stands_in_the_page_so_that_it_never_flashes(theme: str) -> None:
    html = rendering.render("models", MODELS, lang="en", theme=theme)  # type: ignore[arg-type]

    assert f'data-theme="{theme}"' in html


@pytest.mark.parametrize("lang", BOTH)
def test_what_people_wrote_is_never_markup(lang: Language) -> None:
    evil = '<script>alert(1)</script>"><img src=x>'
    approval = replace(examples.APPROVALS[0], comment=evil, meaning=evil, reason=evil, who=parts.Who(evil, evil))
    lineage = parts.Lineage((parts.LineageNode(evil, evil, evil, evil, evil),), ())
    page = replace(
        VERSION, description=evil, tags=(evil,), approvals=(approval,), lineage=lineage, zone=evil, digest=evil
    )
    html = rendering.render("version", page, lang=lang)

    assert "<script>alert" not in html
    assert "<img" not in html
    read(html)


def test_a_code_that_has_no_word_yet_is_shown_as_it_is() -> None:
    assert '<bdi dir="ltr" class="code">quota.raised</bdi>' in shown("ledger", "ar")


def test_a_text_without_its_arabic_is_marked_as_english() -> None:
    assert '<bdi lang="en">Three approvals are missing</bdi>' in shown("ledger", "ar")


@pytest.mark.parametrize("lang", BOTH)
def test_fifty_rows_render_in_a_tenth_of_a_second(lang: Language) -> None:
    entries = tuple(replace(examples.ENTRIES[n % 10], index=2000 - n) for n in range(50))
    lines = tuple(MODELS.models[n % 7] for n in range(50))
    pages: list[tuple[str, contexts.Context]] = [
        ("ledger", replace(LEDGER, entries=entries)),
        ("models", replace(MODELS, models=lines)),
        ("version", replace(VERSION, history=entries, stage=Stage.PRODUCTION)),
    ]
    for page, context in pages:
        rendering.render(page, context, lang=lang)  # compiles the template once per process
        took = []  # seconds of this process: other work on the machine is not the page's
        for _ in range(5):
            start = time.process_time()
            rendering.render(page, context, lang=lang)
            took.append(time.process_time() - start)
        assert min(took) < 0.1, f"{page}: {min(took):.3f} s"


def test_every_asset_a_page_asks_for_is_served() -> None:
    wanted = {e.get("src") or e.get("href") for e in tree("models", "en").all("script", "link")}

    assert len(wanted) == 3
    for address in wanted:
        served = assets.static_asset(address.removeprefix(f"{addresses.STATIC}/"))
        assert "immutable" in served.headers["Cache-Control"]
