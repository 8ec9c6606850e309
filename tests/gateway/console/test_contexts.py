# SPDX-License-Identifier: Apache-2.0
"""Each page renders its documented context: every field has its help, and every field is read."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields, is_dataclass
from typing import Any

import pytest
from jinja2 import meta

from gateway.console import contexts, parts, rendering
from tests.gateway.console.examples import EXAMPLES

DOCUMENTED: list[Any] = [
    cls
    for module in (parts, contexts)
    for _, cls in inspect.getmembers(module, is_dataclass)
    if cls.__module__ == module.__name__
]
PAGE_WIDE = {"lang", "direction", "theme", "ui", "piece", "ref", "section_name", "caller", "_trans", "command"}


@pytest.mark.parametrize("cls", DOCUMENTED, ids=lambda cls: cls.__name__)
def test_every_field_is_documented_where_it_stands(cls: type) -> None:
    source = inspect.getsource(cls)
    for field in fields(cls):
        assert re.search(rf"^    {field.name}: .+  #: \S.+$", source, re.MULTILINE), f"{cls.__name__}.{field.name}"


def test_every_page_has_a_template_and_every_template_a_page() -> None:
    templates = {path.stem for path in rendering.FOLDER.glob("*.html") if not path.name.startswith("_")}

    assert templates == set(contexts.PAGES)


@pytest.mark.parametrize("page", contexts.PAGES)
def test_a_page_names_each_field_of_its_context_and_nothing_else(page: str) -> None:
    environment = rendering.environment("en")
    used: set[str] = set()
    for name in (f"{page}.html", "_page.html"):
        used |= meta.find_undeclared_variables(environment.parse((rendering.FOLDER / name).read_text(encoding="utf-8")))
    names = {field.name for field in fields(contexts.PAGES[page])}
    offered = set(environment.globals) | PAGE_WIDE

    assert names <= used | set(environment.globals)
    assert used - names - offered == set()


def test_every_field_of_every_piece_is_read_by_some_page() -> None:
    read: set[tuple[str, str]] = set()
    for page, context in EXAMPLES.values():
        rendering.render(page, watched(context, read), lang="ar")
    pieces = {(cls.__name__, field.name) for cls in DOCUMENTED for field in fields(cls)}

    assert pieces - read == set()


def test_another_pages_context_is_refused() -> None:
    with pytest.raises(TypeError, match="renders ModelsPage"):
        rendering.render("models", EXAMPLES["ledger"][1], lang="en")


def watched(value: Any, read: set[tuple[str, str]]) -> Any:
    """Return a copy of *value* that writes down which fields of which dataclass are read."""
    if isinstance(value, tuple):
        return tuple(watched(item, read) for item in value)
    if not is_dataclass(value) or isinstance(value, type):
        return value
    cls: Any = type(value)
    names = {field.name for field in fields(value)}

    def reading(self: Any, name: str) -> Any:
        if name in names:
            read.add((cls.__name__, name))
        return object.__getattribute__(self, name)

    copy: Any = object.__new__(type(cls.__name__, (cls,), {"__getattribute__": reading}))
    for name in names:
        object.__setattr__(copy, name, watched(getattr(value, name), read))
    return copy
