# SPDX-License-Identifier: Apache-2.0
"""Facts about people's sessions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from audit.events import Event


@dataclass(frozen=True, kw_only=True)
class SignedIn(Event):
    """A person signed in to the console: by a one-time link, or with the identity provider, and how strongly."""

    kind: ClassVar[str] = "person.signed_in"
    by: str
    link: str = ""
    session: str = ""
    strength: int | None = None


@dataclass(frozen=True, kw_only=True)
class SignedOut(Event):
    """Sessions of a person ended before their time: by themselves, by an administrator or by the identity provider."""

    kind: ClassVar[str] = "person.signed_out"
    by: str
    sessions: list[str]
    because: str = ""
