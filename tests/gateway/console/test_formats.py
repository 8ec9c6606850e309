# SPDX-License-Identifier: Apache-2.0
"""Values as people see them, addresses, static files, and colours that can be read."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from gateway.console import addresses, assets, formats, plots
from gateway.console.parts import Estimate, Metric
from khatim.errors import NotFound

AT = datetime(2026, 11, 22, 21, 5, 7, 120_000, tzinfo=UTC)
CSS = (assets.FOLDER / "khatim.css").read_text(encoding="utf-8")


def test_a_time_is_shown_in_dubai_and_kept_in_utc() -> None:
    shown = formats.moment(AT, "en", seconds=True)

    assert 'datetime="2026-11-22T21:05:07.120000Z"' in shown
    assert "<bdi>23 Nov 2026</bdi>" in shown
    assert "01:05:07" in shown


def test_an_arabic_date_has_an_arabic_month_and_latin_digits() -> None:
    assert "<bdi>23 نوفمبر 2026</bdi>" in formats.day(AT, "ar")


def test_a_long_reference_can_wrap_and_a_digest_in_it_is_shortened() -> None:
    digest = "ab" * 32

    assert "deployment:<wbr>oncology/<wbr>01a2067e-<wbr>" in formats.code("deployment:oncology/01a2067e-ed65-7bd5")
    assert formats.code("ae-health") == '<bdi dir="ltr" class="code">ae-health</bdi>'
    assert f'title="artifact:sha256:{digest}"' in formats.code(f"artifact:sha256:{digest}")
    assert f"{digest[:12]}…<" in formats.code(f"artifact:sha256:{digest}")


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="without a zone"):
        formats.utc(datetime(2026, 1, 1))  # noqa: DTZ001 - that is what is refused


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (184_231, "179.9 KiB"),
        (5 * 2**40, "5.0 TiB"),
        (2**60, "1048576.0 TiB"),
    ],
)
def test_sizes_are_powers_of_1024(count: int, text: str) -> None:
    assert f">{text}<" in formats.size(count)


def test_a_metric_has_three_decimals_and_a_count_has_separators() -> None:
    assert ">0.950<" in formats.score(0.95, "ar")
    assert ">1,043<" in formats.number(1043, "ar")


def test_an_axis_holds_every_interval_and_threshold() -> None:
    metrics = [Metric("a", Estimate(0.97, 0.91, 0.99), 0.9), Metric("b", Estimate(0.93))]

    assert plots.axis_of(metrics) == pytest.approx((0.85, 1.0), abs=0.051)
    assert plots.axis_of([]) == (0.0, 1.0)
    assert "interval-threshold" in plots.interval(metrics[0].estimate, (0.85, 1.0), 0.9)


def test_addresses_quote_what_they_are_given() -> None:
    assert addresses.version("a/b", "c d", 3) == "/console/models/a%2Fb/c%20d/versions/3"
    assert (
        addresses.ledger(resource="version:a/b@1", refusals=True)
        == "/console/ledger?resource=version%3Aa%2Fb%401&refusals=1"
    )
    assert addresses.query("/console/models?q=x&lang=en", lang="ar") == "/console/models?q=x&lang=ar"


def test_a_static_file_is_found_by_name_only() -> None:
    for path in ("../__init__.py", f"{assets.content_hash()}/../contexts.py", "khatim.css", "", "x/"):
        with pytest.raises(NotFound):
            assets.static_asset(path)


def test_an_asset_of_a_former_release_is_answered_but_not_kept() -> None:
    assert assets.static_asset("0123456789abcdef/khatim.css").headers["Cache-Control"] == "no-cache"


def test_static_files_ask_for_nothing_from_elsewhere() -> None:
    for path in assets.FOLDER.iterdir():
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|@import|url\(|eval\(|innerHTML", text), path.name


def test_the_style_sheet_knows_no_left_and_no_right() -> None:
    """Logical properties serve both directions; what is Latin by nature (bytes, hashes) is aligned left on purpose."""
    physical = re.findall(r"(?<![\w-])(?:margin|padding|border|inset)?-?(?:left|right)\b[^;]*;", CSS)

    assert [rule for rule in physical if "text-align: left" not in rule and rule.strip() != "left;"] == []


COLOURS = {name: pair for name, *pair in re.findall(r"--([\w-]+): light-dark\((#\w+), (#\w+)\);", CSS)}
TEXT_PAIRS = [
    *[
        ("ink", ground)
        for ground in ("ground", "surface", "sunken", "hover", "accent-wash", "good-wash", "warn-wash", "stop-wash")
    ],
    *[
        ("faint", ground)
        for ground in ("ground", "surface", "sunken", "hover", "accent-wash", "good-wash", "warn-wash", "stop-wash")
    ],
    *[
        ("accent", ground)
        for ground in ("ground", "surface", "sunken", "hover", "accent-wash", "good-wash", "stop-wash")
    ],
    *[(tone, f"{tone}-wash") for tone in ("good", "warn", "stop", "info")],
    ("accent-ink", "accent"),
    ("bar-ink", "bar"),
    ("bar-faint", "bar"),
    ("stop", "surface"),
    ("good", "surface"),
    ("warn", "surface"),
]
SIGN_PAIRS = [
    ("line-strong", "surface"),
    ("line-strong", "ground"),
    ("line-strong", "sunken"),
    ("focus", "surface"),
    ("focus", "ground"),
]


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("above", "below", "least"), [(*p, 4.5) for p in TEXT_PAIRS] + [(*p, 3.0) for p in SIGN_PAIRS])
def test_colours_can_be_read(above: str, below: str, least: float, theme: int) -> None:
    """WCAG 2.2 1.4.3 and 1.4.11."""
    bright, dark = sorted((luminance(COLOURS[above][theme]), luminance(COLOURS[below][theme])), reverse=True)

    assert (bright + 0.05) / (dark + 0.05) >= least
