# SPDX-License-Identifier: Apache-2.0
"""The events of legal holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from audit.events import Event


@dataclass(frozen=True, kw_only=True)
class HoldPlaced(Event):
    """What is in *scope* must not be disposed of from now on."""

    kind: ClassVar[str] = "hold.placed"
    scope: Mapping[str, Any]
    because: str
    legal_basis: str
    review_due: str


@dataclass(frozen=True, kw_only=True)
class HoldReleaseAsked(Event):
    """Somebody asked that a hold end; it stands until another person agrees."""

    kind: ClassVar[str] = "hold.release_asked"
    because: str


@dataclass(frozen=True, kw_only=True)
class HoldReleased(Event):
    """Another person agreed; the hold has ended."""

    kind: ClassVar[str] = "hold.released"
    because: str
    asked_by: str
