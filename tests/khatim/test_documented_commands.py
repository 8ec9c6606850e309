# SPDX-License-Identifier: Apache-2.0
"""Every command line in the README and the guides is one that `khatim` understands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from khatim.cli.main import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def lines_of(page: Path) -> list[str]:
    """Return the lines of *page* that call `khatim`, from its blocks of shell."""
    blocks = re.findall(r"```(?:sh|bash|console)\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    joined = "\n".join(blocks).replace("\\\n", " ")
    found = re.findall(r"(?m)^(?:\$ )?(?:\S*/)?(?:python -m )?(khatim [^|&;<>\n]*)", joined)
    return sorted({re.sub(r"\s#.*", "", line).strip() for line in found})


def understood(line: str) -> None:
    """Raise what Typer raises for a command or an option that is not there."""
    words = shlex.split(line.replace("$(", "").replace(")", ""))[1:]
    command: Any = typer.main.get_command(app)
    context = command.context_class(command, info_name="khatim")
    while words and hasattr(command, "commands") and words[0] in command.commands:
        command = command.commands[words.pop(0)]
        context = command.context_class(command, parent=context, info_name=command.name)
    if hasattr(command, "commands"):
        assert not words or words[0].startswith("-"), f"there is no command {words[0]!r}: {line}"
        return
    _, left, _ = command.make_parser(context).parse_args(args=words)
    assert not left, f"too many arguments: {line}"


@pytest.mark.parametrize(
    ("page", "line"),
    [
        pytest.param(page.relative_to(ROOT).as_posix(), line, id=f"{page.name}: {line}")
        for page in PAGES
        for line in lines_of(page)
    ],
)
def test_a_command_that_a_page_shows_is_understood(page: str, line: str) -> None:
    understood(line)


def test_a_command_that_does_not_exist_would_be_found() -> None:
    with pytest.raises(AssertionError, match="no command 'conjure'"):
        understood("khatim conjure --now")
    with pytest.raises(Exception, match="--conjured"):
        understood("khatim model list --conjured")
