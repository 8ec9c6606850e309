# SPDX-License-Identifier: Apache-2.0
"""How values look to people: times, digests, numbers, sizes.  Pure functions from values to safe markup.

Ids, digests, numbers and times are isolated with ``<bdi dir="ltr">`` so that right-to-left text around them cannot
reorder them (Unicode UAX 9).  Digits are Latin in both languages; machine-readable values stay ISO 8601 and ASCII.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from babel.dates import format_date
from babel.numbers import format_decimal
from markupsafe import Markup

from gateway.console.language import LOCALES, Language

DUBAI = ZoneInfo("Asia/Dubai")
_UNBROKEN = 24  # characters that stand in one line of a table
_SHOWN = 12  # digits of a digest: 48 bits tell any two things on one page apart
# A UUIDv7 begins with its time (RFC 9562 5.7): two of one minute share their first eight digits, so the end is shown.
_HEAD, _TAIL = 8, 4
UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_LONG = re.compile(rf"(?P<digest>\b[0-9a-f]{{64}}\b)|\b(?:{UUID}|[0-9a-f]{{20,63}})\b")
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_PATTERNS: dict[Language, str] = {"en": "d MMM y", "ar": "d MMMM y"}  # Arabic months have no short names


def utc(at: datetime) -> str:
    """Return *at* as ISO 8601 in UTC, to the microsecond where it has any; refuses a naive time."""
    if at.tzinfo is None:
        raise ValueError("a time without a zone")
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def ltr(value: object) -> Markup:
    """Isolate an id, number or other left-to-right text."""
    return Markup('<bdi dir="ltr">{}</bdi>').format(value)


def code(value: object) -> Markup:
    """Return an id in the monospaced face, isolated; a long one may wrap, a digest in it is shortened."""
    whole = str(value)
    return _coded(whole, re.sub("[0-9a-f]{64}", lambda digits: f"{digits[0][:_SHOWN]}…", whole), "[:/-]")


def short(value: str) -> str:
    """Return a reference with its ids shortened: kind and namespace stay, and enough digits to tell ids apart."""
    return _LONG.sub(
        lambda found: f"{found[0][:_SHOWN]}…" if found["digest"] else f"{found[0][:_HEAD]}…{found[0][-_TAIL:]}", value
    )


def reference(value: str, *, kind: bool = True) -> Markup:
    """Return a reference as `code`, shortened, without its kind if not wanted; the whole stands in the title."""
    text = short(value)
    return _coded(value, text if kind else text.partition(":")[2] or text, "[:/]")


def _coded(whole: str, text: str, ends: str) -> Markup:
    """Return *text* as code that may wrap after *ends*; *whole* stands in the title when the text is shorter."""
    found = re.findall(rf"(?:(?!{ends}).)+{ends}*|{ends}+", text) if len(text) > _UNBROKEN else [text]
    # A line may end after an ellipsis (UAX 14), which would tear the id that it shortens.
    held = [Markup('<span class="held">{}</span>').format(part) if "…" in part else part for part in found]
    breakable = Markup("<wbr>").join(held)
    if text != whole:
        return Markup('<bdi dir="ltr" class="code" title="{}">{}</bdi>').format(whole, breakable)
    return Markup('<bdi dir="ltr" class="code">{}</bdi>').format(breakable)


def moment(at: datetime, lang: Language, *, seconds: bool = False) -> Markup:
    """Return a time in Dubai: date and time of day, the exact UTC time beside it for machines and on hover."""
    local = at.astimezone(DUBAI)
    exact = utc(at)
    return Markup('<time datetime="{}" title="{}"><bdi>{}</bdi> <bdi dir="ltr" class="clock">{}</bdi></time>').format(
        exact, exact, _date(local, lang), local.strftime("%H:%M:%S" if seconds else "%H:%M")
    )


def day(at: datetime, lang: Language) -> Markup:
    """Return the day of a time in Dubai."""
    exact = utc(at)
    return Markup('<time datetime="{}" title="{}"><bdi>{}</bdi></time>').format(
        exact, exact, _date(at.astimezone(DUBAI), lang)
    )


def digest(value: str) -> Markup:
    """Return a digest shortened to its first 12 digits; the whole stands in the title and behind the copy button."""
    algorithm, found, digits = value.rpartition(":")
    short = f"{digits[:_SHOWN]}…" if len(digits) > _SHOWN + 4 else digits
    return Markup('<bdi dir="ltr" class="code digest" title="{}" data-copy="{}">{}</bdi>').format(
        value, value, f"{algorithm}{found}{short}"
    )


def number(value: float, lang: Language) -> Markup:
    """Return a number with thousands separators and at most three decimals."""
    return ltr(format_decimal(value, format="#,##0.###", locale=LOCALES[lang]))


def score(value: float, lang: Language) -> Markup:
    """Return a metric with exactly three decimals, so that columns of them can be compared."""
    return ltr(format_decimal(value, format="0.000", locale=LOCALES[lang]))


def size(count: int) -> Markup:
    """Return a number of bytes in powers of 1024, with the exact count in the title."""
    power = min(max(0, count.bit_length() - 1) // 10, len(_UNITS) - 1)
    shown = f"{count / 1024**power:.1f}" if power else str(count)
    return Markup('<bdi dir="ltr" title="{} B">{} {}</bdi>').format(count, shown, _UNITS[power])


def _date(local: datetime, lang: Language) -> str:
    return format_date(local, format=_PATTERNS[lang], locale=LOCALES[lang])
