# SPDX-License-Identifier: Apache-2.0
"""What the documentation says exists: links, commands, options, settings, names of code and tests, decisions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
import typer
from pydantic import BaseModel

from khatim.cli.main import app
from khatim.client import Client
from khatim.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted(DOCS.rglob("*.md"))]
DECISIONS = sorted(path for path in (DOCS / "decisions").glob("[0-9]*.md"))
HEADINGS = ["Context", "Decision", "Consequences", "Alternatives", "References"]
FOLDERS = [
    "audit",
    "docs",
    "gateway",
    "governance",
    "khatim",
    "locks",
    "migrations",
    "policies",
    "registry",
    "runners",
    "tests",
]
# Variables that commands read and that are no settings of the server.
OF_COMMANDS = {"KHATIM_SERVER", "KHATIM_TOKEN", "KHATIM_ENROL_TOKEN"}


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@cache
def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@cache
def blocks(page: Path) -> tuple[tuple[str, str], ...]:
    """Return language and content of every fenced block."""
    return tuple(re.findall(r"^```(\w*)\n(.*?)^```", text_of(page), re.MULTILINE | re.DOTALL))


@cache
def prose(page: Path) -> str:
    """Return the page without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", text_of(page), flags=re.MULTILINE | re.DOTALL)


def spans(page: Path) -> list[str]:
    """Return what stands in backquotes outside of blocks."""
    return re.findall(r"`([^`\n]+)`", prose(page))


def slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    return {slug(line) for line in re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)}


# --- links ---


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_leads_somewhere(page: Path) -> None:
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            dead.append(target)

    assert dead == []


def test_no_page_is_out_of_reach() -> None:
    """Every page can be reached from the README by links alone."""
    reached, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or not page.exists():
            continue
        reached.add(page)
        links = re.findall(r"\]\(([^)\s#:]+\.md)(?:#[^)]*)?\)", prose(page))
        waiting += [(page.parent / link).resolve() for link in links]

    assert {named(page) for page in PAGES} - {named(page) for page in reached} == set()


# --- commands ---


@cache
def commands() -> dict[tuple[str, ...], Any]:
    """Return every command and group of the command line by its words."""
    found: dict[tuple[str, ...], Any] = {}

    def walk(command: Any, words: tuple[str, ...]) -> None:
        found[words] = command
        for name, child in getattr(command, "commands", {}).items():
            walk(child, (*words, name))

    walk(typer.main.get_command(app), ())
    return found


def command_lines(page: Path) -> Iterator[str]:
    """Yield what stands after ``khatim`` wherever a page writes a command."""
    for language, content in blocks(page):
        if language in {"sh", "bash", ""}:
            for line in content.replace("\\\n", " ").splitlines():
                yield from re.findall(r"(?:^|\s|\()khatim ([^#|;)]+)", line)
    for span in spans(page):
        yield from re.findall(r"^(?:\.venv/bin/|python -m )?khatim ([^#|;)]+)", span)


def words_of(line: str) -> tuple[tuple[str, ...], list[str]]:
    """Return the longest command that *line* begins with, and the words that follow."""
    words = line.split()
    for length in (3, 2, 1):
        if tuple(words[:length]) in commands() and len(words) >= length:
            return tuple(words[:length]), words[length:]
    return (), words


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_command_and_option_that_a_page_names_exists(page: Path) -> None:
    wrong = []
    for line in command_lines(page):
        if not re.match(r"[a-z]", line):
            continue
        command, rest = words_of(line)
        known = {name for option in getattr(commands()[command], "params", []) for name in option.opts}
        is_unfinished = bool(getattr(commands()[command], "commands", None)) and bool(rest)
        unknown = [word for word in rest if word.startswith("-") and word.split("=")[0] not in {*known, "--help"}]
        if not command or is_unfinished or unknown:
            wrong.append(f"khatim {line.strip()}")

    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_make_target_that_a_page_names_exists(page: Path) -> None:
    makefile = text_of(ROOT / "Makefile")
    said = [span for span in spans(page) if span.startswith("make ")]
    said += [line for language, block in blocks(page) if language == "sh" for line in block.splitlines()]
    targets = {match[1] for line in said if (match := re.match(r"make ([a-z-]+)", line))}

    assert {target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)} == set()


# --- settings ---


def variables(model: type[BaseModel], prefix: str) -> Iterator[str]:
    """Yield the environment variable of every setting."""
    for name, field in model.model_fields.items():
        # A list of groups is one variable with JSON in it; only an optional group is looked into.
        is_list = get_origin(field.annotation) in {list, tuple}
        within = () if is_list else (field.annotation, *get_args(field.annotation))
        inner = [kind for kind in within if _is_group(kind)]
        if inner:
            yield from variables(inner[0], f"{prefix}{name}__".upper())
        else:
            yield f"{prefix}{name}".upper()


def _is_group(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def test_every_setting_has_its_row_and_no_row_is_without_a_setting() -> None:
    rows = set(re.findall(r"^\| `(KHATIM_\w+)`", text_of(DOCS / "guides" / "configuration.md"), re.MULTILINE))

    assert rows == {*variables(Settings, "KHATIM_"), *OF_COMMANDS}


def test_the_variables_of_commands_are_those_that_commands_read() -> None:
    read = {
        variable
        for command in commands().values()
        for option in getattr(command, "params", [])
        for variable in ([option.envvar] if isinstance(option.envvar, str) else option.envvar or [])
    }

    assert OF_COMMANDS - read == set()
    assert read - OF_COMMANDS - set(variables(Settings, "KHATIM_")) == set()


# --- code ---


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    paths = [span for span in spans(page) if re.match(rf"({'|'.join(FOLDERS)})/[\w./-]+$", span)]

    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    said = {span for span in spans(page) if re.fullmatch(r"test_[a-z0-9_]+", span)}
    defined = {name for path in (ROOT / "tests").rglob("*.py") for name in re.findall(r"def (test_\w+)", text_of(path))}

    assert said - defined == set()


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_method_of_the_client_that_a_page_names_exists(page: Path) -> None:
    said = set(re.findall(r"\bclient\.([a-z_]+)(?:\.([a-z_]+))?\(", text_of(page)))
    with Client("http://127.0.0.1:1", "a token") as client:
        missing = [
            f"client.{noun}.{verb}"
            for noun, verb in said
            if not hasattr(getattr(client, noun, None) if verb else client, verb or noun)
        ]

    assert missing == []


# --- decisions ---


@pytest.mark.parametrize("page", DECISIONS, ids=named)
def test_a_decision_has_its_five_headings_a_status_and_a_date(page: Path) -> None:
    assert re.findall(r"^## (.+)$", text_of(page), re.MULTILINE) == HEADINGS
    assert re.search(r"^(Accepted|Superseded by \[\d{4}\]\(.+\)), \d{4}-\d\d-\d\d\.$", text_of(page), re.MULTILINE)


def test_the_list_of_decisions_is_complete_and_says_what_they_say() -> None:
    listed = re.findall(
        r"^\| \[(\d{4})\]\(([\w.-]+)\) \| (.+) \|$", text_of(DOCS / "decisions" / "README.md"), re.MULTILINE
    )
    written = [(page.name[:4], page.name, text_of(page).splitlines()[0].partition(": ")[2]) for page in DECISIONS]

    assert listed == written
    assert [int(number) for number, _, _ in listed] == list(range(1, len(listed) + 1))


# --- benchmarks ---


def test_the_page_of_benchmarks_says_on_what_it_was_measured() -> None:
    page = text_of(DOCS / "benchmarks.md")

    for word in ("processor", "memory", "Python", "PostgreSQL", "load average", "*anchor:*"):
        assert word in page
