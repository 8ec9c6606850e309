# SPDX-License-Identifier: Apache-2.0
"""References inside sentences: shown short, and leading to their ledger entries for those who may read the ledger."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

from gateway.console import addresses, formats

# What `Resource` and the rows' `ref` write: a kind, a namespace where there is one, then an id or name@number.
_MENTION = re.compile(rf"\b[a-z][a-z-]*:(?:[\w.-]+/)?(?:{formats.UUID}|[\w.-]*[\w]@\d+)(?![\w@-])")


def linked(text: str | Markup, *, sees_ledger: bool) -> Markup:
    """Return *text* (escaped unless it is markup) with every reference in it isolated and short.

    Those with an id are linked: nobody can look for them by hand.  What is markup must hold no reference inside a tag.
    """

    def shown(found: re.Match[str]) -> str:
        reference = formats.reference(found[0])
        if not sees_ledger or "@" in found[0]:
            return str(reference)
        return str(Markup('<a href="{}">{}</a>').format(addresses.ledger(resource=found[0]), reference))

    # A reference has no character that escaping changes, so it stands in the escaped text as it was.
    return Markup(_MENTION.sub(shown, str(escape(text))))  # noqa: S704 - escaped above
