# SPDX-License-Identifier: Apache-2.0
"""How many refusals of one actor the ledger takes: a bucket of tokens each, pure but for its memory."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import Final

MINUTE_S: Final = 60.0
ACTORS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Bucket:
    """Tokens left at a moment."""

    tokens: float
    at: datetime


def taken(bucket: Bucket, per_minute: int, now: datetime) -> tuple[bool, Bucket]:
    """Take a token at *now*; return whether there was one, and the bucket after it.

    The bucket holds at most *per_minute* tokens and gains as many in a minute; a clock that goes back gives none.
    """
    gained = max(0.0, (now - bucket.at).total_seconds()) * per_minute / MINUTE_S
    tokens = min(float(per_minute), bucket.tokens + gained)
    at = max(now, bucket.at)
    return (True, Bucket(tokens - 1, at)) if tokens >= 1 else (False, Bucket(tokens, at))


class Quota:
    """One bucket for each of the last `ACTORS` actors; whoever fell out of memory begins with a full one."""

    def __init__(self, per_minute: int) -> None:
        """Let each actor have *per_minute* tokens a minute."""
        self._per_minute = per_minute
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def take(self, actor: str, now: datetime) -> bool:
        """Whether *actor* had a token left at *now*; it is gone then."""
        bucket = self._buckets.pop(actor, None) or Bucket(float(self._per_minute), now)
        had, self._buckets[actor] = taken(bucket, self._per_minute, now)
        if len(self._buckets) > ACTORS:
            self._buckets.popitem(last=False)
        return had

    def __len__(self) -> int:
        """Return how many actors are remembered."""
        return len(self._buckets)
