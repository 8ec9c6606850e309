# SPDX-License-Identifier: Apache-2.0
"""What happens to a live endpoint when something happens to its version: ``runtime.yaml`` by event and risk tier.

Pure: the agent in a zone and the registry ask the same function and get the same answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, assert_never

from policies.zones import STRICT


class RuntimeEvent(StrEnum):
    """What can happen to a version that is being served."""

    DRIFT = "drift"
    REVOKED = "revoked"
    SUSPENDED = "suspended"
    EXPIRED = "expired"
    UNREACHABLE = "unreachable"
    CLOCK_UNCERTAIN = "clock-uncertain"


class Reaction(StrEnum):
    """What the policy asks for."""

    STOP = "stop"
    FALL_BACK = "fall-back"
    SERVE_UNTIL = "serve-until"
    WARN = "warn"
    SUSPEND = "suspend"


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """The answer to one event.  `hours` counts from the event; `otherwise` is what comes after, or instead."""

    __pydantic_config__ = STRICT

    do: Reaction
    otherwise: Reaction = Reaction.STOP
    hours: float = 0
    finding: bool = False
    alert: bool = False

    def __post_init__(self) -> None:
        """Refuse a response that leaves open how long, or what then."""
        if (self.do is Reaction.SERVE_UNTIL) != (self.hours > 0):
            raise ValueError("hours: a positive number with serve-until, and only there")
        if self.otherwise not in {Reaction.STOP, Reaction.WARN}:
            raise ValueError(f"otherwise: stop or warn, not {self.otherwise.value}")

    def as_members(self) -> dict[str, Any]:
        """Return JSON members."""
        return {
            "do": self.do.value,
            "otherwise": self.otherwise.value,
            "hours": self.hours,
            "finding": self.finding,
            "alert": self.alert,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPolicy:
    """The responses to one event."""

    __pydantic_config__ = STRICT

    title: str
    default: Response
    by_tier: Mapping[int, Response] = field(default_factory=dict)
    airgapped: Response | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What to do now: `do` is STOP, FALL_BACK, WARN or SUSPEND; `until` is when to ask again, None for never."""

    event: RuntimeEvent
    do: Reaction
    finding: bool
    alert: bool
    until: datetime | None = None

    @property
    def is_serving(self) -> bool:
        """Whether the version itself goes on answering."""
        return self.do is Reaction.WARN


# An unknown tier gets the strictest answer there is.
_CLOSED: Final = Response(do=Reaction.STOP, finding=True, alert=True)
_KNOWN_TIERS: Final = frozenset({1, 2, 3})


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimePolicy:
    """``runtime.yaml`` as read; `policy` is the digest of the bundle."""

    __pydantic_config__ = STRICT

    events: Mapping[RuntimeEvent, EventPolicy]
    policy: str = ""

    def __post_init__(self) -> None:
        """Refuse a policy that is silent about an event."""
        if missing := [event.value for event in RuntimeEvent if event not in self.events]:
            raise ValueError(f"events: {', '.join(missing)} is missing")
        for event, policy in self.events.items():
            if not policy.by_tier.keys() <= _KNOWN_TIERS:
                raise ValueError(f"events.{event.value}.by_tier: of {sorted(_KNOWN_TIERS)}")

    def response(self, event: RuntimeEvent, tier: int | None, *, is_airgapped: bool = False) -> Response:
        """Return what the policy asks for."""
        if tier not in _KNOWN_TIERS:
            return _CLOSED
        policy = self.events[event]
        if is_airgapped and policy.airgapped is not None:
            return policy.airgapped
        return policy.by_tier.get(tier, policy.default)

    def effect(  # noqa: PLR0913 - the facts of one event, all named
        self,
        event: RuntimeEvent,
        tier: int | None,
        *,
        since: datetime,
        at: datetime,
        has_fallback: bool,
        is_airgapped: bool = False,
    ) -> Effect:
        """Return what to do at *at* about an *event* of *since*; *has_fallback*: an approved older version exists."""
        response = self.response(event, tier, is_airgapped=is_airgapped)
        do, until = response.do, None
        match response.do:
            case Reaction.FALL_BACK:
                do = Reaction.FALL_BACK if has_fallback else response.otherwise
            case Reaction.SERVE_UNTIL:
                end = since + timedelta(hours=response.hours)
                # A clock that ran backwards gives no extra time: before the event nothing is served on its account.
                is_within = since <= at < end
                do, until = (Reaction.WARN, end) if is_within else (response.otherwise, None)
            case Reaction.STOP | Reaction.WARN | Reaction.SUSPEND:
                pass
            case _:
                assert_never(response.do)
        return Effect(event=event, do=do, finding=response.finding, alert=response.alert, until=until)

    def as_members(self, tier: int | None, *, is_airgapped: bool = False) -> dict[str, Any]:
        """Return the policy of one tier as JSON members, for the signed statement that the agent keeps."""
        return {
            event.value: self.response(event, tier, is_airgapped=is_airgapped).as_members() for event in RuntimeEvent
        }
