# SPDX-License-Identifier: Apache-2.0
"""From one trusted root to the next: a statement about the next, signed with the keys that the present one lists.

Whoever trusts a root follows the links to the newest without trusting whoever brings them.  A root's number is the
count of links before it, so an older one shows.  The links stand in the public record, made with the rotation itself
by the service that holds the keys; no signer signs one for a server that merely asks.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from audit.canonical import canonical
from khatim.errors import KhatimError, SignatureInvalid
from khatim.vocabulary import Digest
from registry.signing import identity, statements
from registry.signing.authority import Authority
from registry.signing.identity import IdentityPolicy
from registry.signing.keys import KeyStore
from registry.signing.record import PublicRecord
from registry.signing.signer import LocalSigner
from registry.signing.trust import dumps, trusted_root
from registry.signing.verification import TrustRoot, verify_bundle

KIND = "https://khatim.dev/attestations/trusted-root/v1"
BROKEN = ""
"""The link that could not be made: the keys had run out, or an old log must not grow."""
_SUBJECT = "trusted_root.json"
_SERVICE = "authority"
_ADVICE = "Get the trusted root from somebody you trust; an agent is enrolled anew: khatim agent invite."


def linked(
    folder: Path, before: PublicRecord, after: PublicRecord, keys: KeyStore | None, at: datetime
) -> PublicRecord:
    """Return *after* with the link to its trusted root, when that is another than the one of *before*.

    *keys* hold those of *before*, which is still the record in *folder*; without them, or when they do not sign what
    verifies, the chain is broken here, and who trusts an earlier root must get the new one by hand.
    """
    document = trusted_root(after)
    if document == trusted_root(before):
        return after
    number = len(before.links) + 1
    made = _made(folder, before, document, number, keys, at) if keys is not None else BROKEN
    return replace(after, links=(*before.links, made))


def follow(root: TrustRoot, link: str, number: int, instance: str) -> dict[str, Any]:
    """Return the trusted root with *number* to which *link* leads from *root*; raises `SignatureInvalid`."""
    if link == BROKEN:
        raise SignatureInvalid(f"nothing leads to the trusted root number {number}", advice=_ADVICE)
    policy = IdentityPolicy.of_instance(instance, f"https://{instance}", {KIND: (f"service/{_SERVICE}",)})
    verified = verify_bundle(link, root, policy)
    said = verified.predicate
    document = said.get("trustedRoot")
    if verified.kind != KIND or said.get("number") != number or not isinstance(document, dict):
        raise SignatureInvalid(f"the statement does not lead to the trusted root number {number}", advice=_ADVICE)
    if verified.digests != {Digest.of(canonical(document))}:
        raise SignatureInvalid("the statement is not about the trusted root that it brings", advice=_ADVICE)
    TrustRoot.load(dumps(document))
    return document


def _made(  # noqa: PLR0913, PLR0917 - the two roots, the keys, and when
    folder: Path, before: PublicRecord, document: dict[str, Any], number: int, keys: KeyStore, at: datetime
) -> str:
    subject = [(_SUBJECT, Digest.of(canonical(document)))]
    said = statements.statement(subject, KIND, {"number": number, "trustedRoot": document})
    who = identity.service(before.instance, _SERVICE)
    try:
        authority = Authority(folder, before, keys)
        try:
            made = LocalSigner(authority, who, f"https://{before.instance}", lambda: at).sign(said)
        finally:
            authority.close()
        follow(TrustRoot.load(dumps(trusted_root(before))), made, number, before.instance)
    except KhatimError:  # keys that ran out or were lost: the rotation is the remedy, and must not fail for it
        return BROKEN
    return json.dumps(json.loads(made), separators=(",", ":"))
