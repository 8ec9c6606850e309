# SPDX-License-Identifier: Apache-2.0
"""A rendered page as a tree, for tests that ask what a reader, a browser or a screen reader gets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

INLINE = {"a", "bdi", "span", "strong", "wbr"}  # these do not part words
VOID = {"meta", "link", "input", "br", "wbr", "hr", "img"}


@dataclass
class Element:
    """One element, its attributes, its children and the text directly in it."""

    name: str
    attributes: dict[str, str | None]
    parent: Element | None = None
    content: list[Element | str] = field(default_factory=list)

    @property
    def children(self) -> list[Element]:
        """The elements directly in it."""
        return [one for one in self.content if isinstance(one, Element)]

    @property
    def texts(self) -> list[str]:
        """The text directly in it."""
        return [one for one in self.content if isinstance(one, str)]

    def walk(self) -> Iterator[Element]:
        """Yield this element and everything in it, in the order of the page."""
        yield self
        for child in self.children:
            yield from child.walk()

    def ancestors(self) -> Iterator[Element]:
        """Yield what it stands in, innermost first."""
        if self.parent:
            yield self.parent
            yield from self.parent.ancestors()

    def all(self, *names: str) -> list[Element]:
        """Return the elements of these names inside."""
        return [element for element in self.walk() if element.name in names]

    def text(self) -> str:
        """Return all text inside."""
        return " ".join("".join(self._said()).split())

    def _said(self) -> Iterator[str]:
        for one in self.content:
            if isinstance(one, str):
                yield one
            else:
                yield from one._said()
                yield "" if one.name in INLINE else " "

    def get(self, name: str) -> str:
        """Return an attribute, empty when it is not there."""
        return self.attributes.get(name) or ""


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = self.here = Element("document", {})

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs), self.here)
        assert len(attrs) == len(element.attributes), f"doubled attribute in <{tag}>"
        self.here.content.append(element)
        if tag not in VOID:
            self.here = element

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.here.content.append(Element(tag, dict(attrs), self.here))

    def handle_endtag(self, tag: str) -> None:
        assert self.here.name == tag, f"</{tag}> closes <{self.here.name}>"
        assert self.here.parent is not None
        self.here = self.here.parent

    def handle_data(self, data: str) -> None:
        self.here.content.append(data)


def read(html: str) -> Element:
    """Parse a page; fails when its tags are not well nested."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert reader.here is reader.root, f"<{reader.here.name}> is not closed"
    return reader.root
