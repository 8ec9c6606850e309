# SPDX-License-Identifier: Apache-2.0
"""The people of the story, each with the roles of their work."""

from __future__ import annotations

from dataclasses import dataclass

from khatim.vocabulary import Actor, ActorKind, Role


@dataclass(frozen=True)
class Person:
    """One natural person; the same name is the same person, whatever the roles."""

    name: str
    roles: frozenset[Role]

    @property
    def ref(self) -> str:
        """The opaque reference."""
        return f"p-{self.name.lower()}"

    @property
    def actor(self) -> Actor:
        """The person as the verbs see them."""
        return Actor(self.ref, ActorKind.PERSON, self.roles)

    def also(self, *roles: Role) -> Person:
        """Return the same person with further roles."""
        return Person(self.name, self.roles | frozenset(roles))


def person(name: str, *roles: Role) -> Person:
    """Return a person with *roles*."""
    return Person(name, frozenset(roles))


DANA = person("Dana", Role.DATA_ENGINEER)
SAMI = person("Sami", Role.DATA_SCIENTIST)
VERA = person("Vera", Role.VALIDATOR)
PETRA = person("Petra", Role.PRIVACY_OFFICER)
MONA = person("Mona", Role.MODEL_RISK_APPROVER)
PAVEL = person("Pavel", Role.PLATFORM_ENGINEER)
ADEL = person("Adel", Role.AUDITOR)
NOUR = person("Nour", Role.ACCESS_ADMINISTRATOR)
OMAR = person("Omar", Role.ACCESS_ADMINISTRATOR)
EVERYBODY = (DANA, SAMI, VERA, PETRA, MONA, PAVEL, ADEL)
APPROVERS = ((VERA, Role.VALIDATOR), (PETRA, Role.PRIVACY_OFFICER), (MONA, Role.MODEL_RISK_APPROVER))
