# SPDX-License-Identifier: Apache-2.0
"""What every error of Khatim is: a sentence for people, advice, and members of an RFC 9457 problem.

Import it from `khatim.errors`, where the tree of errors stands.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

PROBLEM_BASE = "https://khatim.dev/problems/"


def _slug(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()


class KhatimError(Exception):
    """Something went wrong inside Khatim."""

    status: ClassVar[int] = 500
    advice: str = ""

    def __init__(self, detail: str = "", *, advice: str = "", **members: Any) -> None:
        """Take the sentence for people, advice what to do, and RFC 9457 extension members (JSON values)."""
        super().__init__(detail or self.title())
        self.detail = detail or self.title()
        self.members: Mapping[str, Any] = members
        if advice:
            self.advice = advice

    @classmethod
    def slug(cls) -> str:
        """Return the last part of the problem type: ``GateNotSatisfied`` -> ``gate-not-satisfied``."""
        return _slug(cls.__name__)

    @classmethod
    def title(cls) -> str:
        """Return the first line of the docstring."""
        return (cls.__doc__ or cls.__name__).splitlines()[0].rstrip(".")

    def as_problem(self) -> dict[str, Any]:
        """Return the problem+json body."""
        body: dict[str, Any] = {
            "type": PROBLEM_BASE + self.slug(),
            "title": self.title(),
            "status": self.status,
            "detail": self.detail,
        }
        if self.advice:
            body["advice"] = self.advice
        return {**{k: v for k, v in self.members.items() if k not in body}, **body}


def _tree(root: type[KhatimError]) -> dict[str, type[KhatimError]]:
    found = {root.slug(): root}
    for child in root.__subclasses__():
        found.update(_tree(child))
    return found


def from_problem(body: Mapping[str, Any], status: int) -> KhatimError:
    """Rebuild the error that a problem+json *body* describes; an unknown type becomes a plain `KhatimError`."""
    kind = str(body.get("type", "")).removeprefix(PROBLEM_BASE)
    known = {"type", "title", "status", "detail", "advice"}
    members = {k: v for k, v in body.items() if k not in known}
    cls = _tree(KhatimError).get(kind)
    if cls is None:
        members["status"] = status
        cls = KhatimError
    return cls(str(body.get("detail", "")), advice=str(body.get("advice", "")), **members)
