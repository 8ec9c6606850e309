# SPDX-License-Identifier: Apache-2.0
"""Sessions of the console, without the way by which people come to them."""

from __future__ import annotations

from gateway.sign_in import cookie_of
from khatim.vocabulary import Actor, ActorKind
from registry import sessions
from tests.support.people import Person
from tests.support.world import World


def session(world: World, person: Person) -> str:
    """Return the cookie of a session that *person* has just begun with a one-time link."""
    with world.parts.ledger.transaction(Actor(person.ref, ActorKind.PERSON, person.roles)) as tx:
        row = sessions.begin(tx, by="one-time link", roles=person.roles, link="x")
    return cookie_of(world.parts.issuer, row, person.name, by="link")
