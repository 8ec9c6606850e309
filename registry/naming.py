# SPDX-License-Identifier: Apache-2.0
"""Names and references: how ``oncology/malignancy@1`` is read and written."""

from __future__ import annotations

from dataclasses import dataclass

from khatim.errors import Malformed
from khatim.vocabulary import is_name


@dataclass(frozen=True, slots=True)
class Path:
    """``namespace/name`` or, with a number, ``namespace/name@number``."""

    namespace: str
    name: str
    number: int | None = None

    def __str__(self) -> str:
        """Return the path as written."""
        base = f"{self.namespace}/{self.name}"
        return base if self.number is None else f"{base}@{self.number}"

    @classmethod
    def parse(cls, text: str) -> Path:
        """Read a path; raises `Malformed` with the expected form."""
        base, _, number = text.partition("@")
        namespace, slash, name = base.partition("/")
        is_numbered = number.isascii() and number.isdigit() and not number.startswith("0")
        if not slash or not is_name(namespace) or not is_name(name) or ("@" in text and not is_numbered):
            raise Malformed(f"not a path of the form namespace/name or namespace/name@number: {text[:120]!r}")
        return cls(namespace, name, int(number) if number else None)

    @classmethod
    def numbered(cls, text: str) -> tuple[str, str, int]:
        """Read a path that must carry a number, as (namespace, name, number)."""
        path = cls.parse(text)
        if path.number is None:
            raise Malformed(f"a version number is missing: {text[:120]!r}", advice=f"Write {path}@1, for example.")
        return path.namespace, path.name, path.number


def checked(text: str, what: str) -> str:
    """Return *text* when it may name a *what*; raises `Malformed` otherwise."""
    if not is_name(text):
        raise Malformed(
            f"{text[:80]!r} cannot name a {what}: lower-case letters, digits, dot, dash, 1 to 64 characters"
        )
    return text


def namespace_of(ref: str) -> str:
    """Return the namespace in a reference of the ledger (``kind:namespace/name``), or nothing."""
    return ref.partition(":")[2].rpartition("/")[0]
