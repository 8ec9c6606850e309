# SPDX-License-Identifier: Apache-2.0
"""The table of routes and roles that people read is the one that `test_routes` walks.

Write it anew after a change with ``python -m tests.gateway.test_matrix``.
"""

from __future__ import annotations

from pathlib import Path

from khatim.vocabulary import Action, Actor, ActorKind, Resource, Role
from policies.loading import PolicyBundle
from tests.gateway.test_routes import OWN_TOKEN, PUBLIC, ROUTES, Ask
from tests.support.world import ZONE

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "access-matrix.md"
PEOPLE = tuple(role for role in Role if role is not Role.AGENT)
HEAD = """# Who may call what

Every route and every role, by the shipped `roles.csv`; `tests/gateway/test_matrix.py` writes this page and fails when it is not so, and `tests/gateway/test_routes.py` calls each route as each role.
What is asked for is the permission, not the whole answer: gates, residency, separation of duties and the state of things come after it.

- **x**: may. **own**: an agent, in its own zone only. Empty: refused, and what may not be read is not there (404).
- People's roles are given everywhere here; [roles on record](policies.md#roles-on-record) hold in some zones and namespaces only, and an [overlay](policies.md#overlays) may take away by zone, namespace and condition.
- A list without a permission shows everybody what they may see, which may be nothing.

"""  # noqa: E501 - a line a sentence


def cell(asked: Ask, role: Role, rules: PolicyBundle) -> str:
    """Return what stands in the table for one route and role."""
    is_agent = role is Role.AGENT
    kind = ActorKind.AGENT if is_agent else ActorKind.PERSON
    actor = Actor("a", kind, frozenset({role}), ZONE if is_agent else None)
    what = Resource("x", "x", "oncology", asked.zone.replace("{home}", ZONE))
    may = kind in asked.kinds and all(rules.access.decide(actor, action, what) for action in asked.actions)
    return ("own" if is_agent else "x") if may else ""


def page() -> str:
    """Return the page as it should stand."""
    rules = PolicyBundle.load()
    roles = (*PEOPLE, Role.AGENT)
    lines = [
        f"| route | asks for | {' | '.join(role.value for role in roles)} |",
        f"| --- | --- | {' | '.join(':-:' for _ in roles)} |",
    ]
    for route, asked in sorted(ROUTES.items(), key=lambda one: one[0].partition(" ")[::-1]):
        asks = ", ".join(action.value for action in asked.actions if action is not Action.READ) or (
            "read" if asked.actions else "-"
        )
        cells = " | ".join(cell(asked, role, rules) for role in roles)
        lines.append(f"| `{route}` | {asks} | {cells} |")
    public = "\n".join(f"- `{route}`" for route in sorted(PUBLIC, key=lambda one: one.partition(" ")[::-1]))
    own = "\n".join(f"- `{route}`" for route in sorted(OWN_TOKEN))
    return (
        HEAD + "\n".join(lines) + f"\n\n## Open to everybody\n\n{public}\n\n## With a token of its own\n\n{own}\n"
    )  # fmt: skip


def test_the_page_is_what_is_decided() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "write it anew: python -m tests.gateway.test_matrix"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
