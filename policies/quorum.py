# SPDX-License-Identifier: Apache-2.0
"""One person, one voice: which places of a quorum can be filled by different people.

Somebody who holds two roles could fill two places, but counts once.  Counting role by role would refuse where another
assignment fits, so this is a maximum bipartite matching (Kuhn's augmenting paths); places are few, people are few.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from collections.abc import Set as AbstractSet
from typing import TypeVar

Place = TypeVar("Place", bound=Hashable)


def saturated(candidates: Mapping[Place, AbstractSet[str]]) -> frozenset[Place]:
    """Return the places filled by a maximum matching of people to places.

    Places are tried in the mapping's order and people by name, so the answer is the same every time.  A place that is
    filled stays filled when somebody joins: adding a person never empties one.
    """
    holder: dict[str, Place] = {}

    def seat(place: Place, tried: set[str]) -> bool:
        for person in sorted(candidates[place] - tried):
            tried.add(person)
            if person not in holder or seat(holder[person], tried):
                holder[person] = place
                return True
        return False

    return frozenset(place for place in candidates if seat(place, set()))
