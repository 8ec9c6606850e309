# SPDX-License-Identifier: Apache-2.0
"""The catalogues are complete and fresh, and a request gets the language it asks for."""

from __future__ import annotations

import re

import pytest
from babel.messages.catalog import Catalog

from gateway.console import extraction
from gateway.console.language import LANGUAGES, Language, catalogue, chosen_language, chosen_theme, translations


def forms(value: str | tuple[str, ...] | list[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def spoken(of: Catalog) -> dict[tuple[str, ...], tuple[str, ...]]:
    return {forms(message.id): forms(message.string or "") for message in of if message.id}


def slots(text: str) -> set[str]:
    return set(re.findall(r"%\(\w+\)s", text))


@pytest.mark.parametrize("lang", LANGUAGES)
def test_a_catalogue_holds_exactly_what_is_said(lang: Language) -> None:
    """When this fails: ``python -m gateway.console.extraction``, then translate what is empty."""
    assert set(spoken(catalogue(lang))) == set(spoken(extraction.said()))


def test_every_message_is_translated_into_arabic() -> None:
    silent = [ids for ids, strings in spoken(catalogue("ar")).items() if not all(strings)]

    assert silent == []


def test_arabic_messages_are_written_in_arabic_and_keep_what_is_filled_in() -> None:
    for ids, strings in spoken(catalogue("ar")).items():
        for text in strings:
            assert re.search("[\u0621-\u064a]", text), ids
            assert slots(text) <= slots(ids[-1]), ids
        if len(ids) == 1:
            assert slots(strings[0]) == slots(ids[0])
        else:
            assert len(strings) == 6


def test_no_message_is_fuzzy() -> None:
    assert [message.id for message in catalogue("ar") if message.id and message.fuzzy] == []


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (1, "سريانها يوم واحد"),
        (2, "سريانها يومان"),
        (3, "3 أيام"),
        (10, "10 أيام"),
        (11, "11 يومًا"),
        (15, "15 يومًا"),
        (100, "100 يوم"),
        (103, "103 أيام"),
    ],
)
def test_arabic_counts_in_six_forms(count: int, said: str) -> None:
    one = "It is signed, stands in the ledger under your name, and holds for %(shown)s day."
    text = translations("ar").ngettext(one, one.replace(" day.", " days."), count)

    assert said in text % {"shown": count}


@pytest.mark.parametrize(
    ("query", "cookie", "accept", "expected"),
    [
        ("", "", "", "en"),
        ("ar", "en", "en", "ar"),
        ("", "ar", "en-GB", "ar"),
        ("", "", "ar-AE,ar;q=0.9,en;q=0.8", "ar"),
        ("", "", "en;q=0.5, ar;q=0.9", "ar"),
        ("", "", "fr-FR, de;q=0.9", "en"),
        ("", "", "ar;q=0, en;q=0.1", "en"),
        ("", "", "ar;q=much, en", "en"),
        ("xx", "yy", "*", "en"),
        ("AR-ae", "", "", "ar"),
    ],
)
def test_the_language_is_chosen_by_address_then_cookie_then_browser(
    query: str, cookie: str, accept: str, expected: str
) -> None:
    assert chosen_language(query=query, cookie=cookie, accept=accept) == expected


@pytest.mark.parametrize(
    ("query", "cookie", "expected"),
    [("", "", "system"), ("dark", "light", "dark"), ("", "light", "light"), ("pink", "x", "system")],
)
def test_the_theme_is_chosen_by_address_then_cookie(query: str, cookie: str, expected: str) -> None:
    assert chosen_theme(query=query, cookie=cookie) == expected
