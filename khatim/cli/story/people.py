# SPDX-License-Identifier: Apache-2.0
"""The people of the story, and what each is trusted with.  They are made up."""

from __future__ import annotations

from dataclasses import dataclass

from khatim.vocabulary import Role


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a name and roles; `part` is what the timeline calls them."""

    name: str
    part: str
    roles: tuple[Role, ...]


ENGINEER = Person("Layla Haddad", "data engineer", (Role.DATA_ENGINEER,))
# In a small team the scientist is a validator as well, of other people's models: separation of duties is what keeps
# her from approving her own, not the lack of a role.
SCIENTIST = Person("Mariam Al Ketbi", "data scientist", (Role.DATA_SCIENTIST, Role.VALIDATOR))
VALIDATOR = Person("Yousef Rahman", "validator", (Role.VALIDATOR,))
PRIVACY = Person("Noura Al Suwaidi", "privacy officer", (Role.PRIVACY_OFFICER,))
RISK = Person("Omar Farouk", "model risk approver", (Role.MODEL_RISK_APPROVER,))
PLATFORM = Person("Khalid Darwish", "platform engineer", (Role.PLATFORM_ENGINEER,))
AUDITOR = Person("Huda Saleh", "auditor", (Role.AUDITOR,))

EVERYBODY = (ENGINEER, SCIENTIST, VALIDATOR, PRIVACY, RISK, PLATFORM, AUDITOR)
