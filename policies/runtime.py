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

    @classmethod
    def parse(cls, members: Mapping[str, Any]) -> Response:
        """Read what `as_members` made; raises `ValueError`, `KeyError` or `TypeError` for anything else."""
        return cls(
            do=Reaction(members["do"]),
            otherwise=Reaction(members["otherwise"]),
            hours=float(members["hours"]),
            finding=bool(members["finding"]),
            alert=bool(members["alert"]),
        )

    def effect(self, event: RuntimeEvent, *, since: datetime, at: datetime, has_fallback: bool = False) -> Effect:
        """Return what to do at *at* about an *event* of *since*; *has_fallback*: an approved older version exists."""
        do, until = self.do, None
        match self.do:
            case Reaction.FALL_BACK:
                do = Reaction.FALL_BACK if has_fallback else self.otherwise
            case Reaction.SERVE_UNTIL:
                end = since + timedelta(hours=self.hours)
                # A clock that ran backwards gives no extra time: before the event nothing is served on its account.
                is_within = since <= at < end
                do, until = (Reaction.WARN, end) if is_within else (self.otherwise, None)
            case Reaction.STOP | Reaction.WARN | Reaction.SUSPEND:
                pass
            case _:
                assert_never(self.do)
        return Effect(event=event, do=do, finding=self.finding, alert=self.alert, until=until)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPolicy:
    """The responses to one event."""

    __pydantic_config__ = STRICT

    title: str
    default: Response
    by_tier: Mapping[int, Response] = field(default_factory=dict)
    airgapped: Response | None = None
    warn_days: frozenset[int] = frozenset()  # so many days before it happens, where that can be known

    def __post_init__(self) -> None:
        """Refuse a warning that comes after what it warns of."""
        if any(days <= 0 for days in self.warn_days):
            raise ValueError("warn_days: more than 0")


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


@dataclass(frozen=True, slots=True)
class Terms:
    """What was agreed for one deployment, event by event: the policy of its approval, not of the day."""

    responses: Mapping[RuntimeEvent, Response]

    @classmethod
    def parse(cls, members: Mapping[str, Any]) -> Terms:
        """Read what `as_members` made.  What is missing or cannot be read stops the endpoint when it happens."""
        found: dict[RuntimeEvent, Response] = {}
        for event in RuntimeEvent:
            try:
                found[event] = Response.parse(members[event.value])
            except (ValueError, KeyError, TypeError):
                found[event] = _CLOSED
        return cls(found)

    def effect(self, event: RuntimeEvent, *, since: datetime, at: datetime, has_fallback: bool = False) -> Effect:
        """Return what to do at *at* about an *event* of *since*."""
        return self.responses[event].effect(event, since=since, at=at, has_fallback=has_fallback)

    def as_members(self) -> dict[str, Any]:
        """Return JSON members, for the signed status that the agent keeps."""
        return {event.value: response.as_members() for event, response in self.responses.items()}


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
        return response.effect(event, since=since, at=at, has_fallback=has_fallback)

    def terms(self, tier: int | None, *, is_airgapped: bool = False) -> Terms:
        """Return what is agreed for a deployment of that tier in such a zone; it is what its approvers approve."""
        return Terms({event: self.response(event, tier, is_airgapped=is_airgapped) for event in RuntimeEvent})
