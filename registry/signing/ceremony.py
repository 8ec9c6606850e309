# SPDX-License-Identifier: Apache-2.0
"""Ceremonies: the moments at which the offline root signs.

In production the root's key lies outside the service's store, sealed under a passphrase, on a medium that is brought
for the ceremony and taken away again.  Everything else is a rotation without the root (`registry.signing.rotation`).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

from khatim.errors import Misconfigured
from registry.signing import trust_links
from registry.signing.certificates import Issuer
from registry.signing.encoding import rfc3339
from registry.signing.founding import CERTIFIED, generation, root
from registry.signing.keys import KeyStore
from registry.signing.record import Change, Generation
from registry.signing.record_file import changing, load
from registry.signing.rotation import added, rotate


def renew(  # noqa: PLR0913 - what, with which keys, when, who and why
    folder: Path, purpose: str, keys: KeyStore, root_keys: KeyStore, at: datetime, *, by: str, because: str = ""
) -> Generation:
    """Have the root certify a new key for ``signing`` or ``timestamping``; the key itself is made in *keys*.

    Raises `Misconfigured` for another purpose, and when the root is not in *root_keys* or has run out.
    """
    if purpose not in CERTIFIED:
        raise Misconfigured(
            f"the root does not certify {purpose}", advice=f"khatim authority rotate {purpose} needs no ceremony."
        )
    return rotate(folder, purpose, keys, at, by=by, because=because, root_keys=root_keys)


def new_root(  # noqa: PLR0913 - as renew
    folder: Path, keys: KeyStore, root_keys: KeyStore, at: datetime, *, by: str, because: str = ""
) -> tuple[Generation, ...]:
    """Make the next root, and new keys under it for all that the root certifies; return root and generations.

    The trusted root lists old and new chains side by side: what was signed under the old root still verifies, at its
    time.  The old root need not be there: it may have run out, or be lost.
    """
    with changing(folder) as store:
        before = record = load(folder)
        first = root(record.instance, root_keys, at)
        issuer = Issuer(first.certificates[0], root_keys.p256(first.key))
        because_of = Change("root_added", rfc3339(at), by, first.key, because, {"fingerprint": first.fingerprint})
        record = replace(record, roots=(*record.roots, first), history=(*record.history, because_of))
        made = []
        for purpose in CERTIFIED:
            one = generation(purpose, record.instance, keys, at, issuer)
            change = Change("rotated", rfc3339(at), by, one.key, because, {"fingerprint": one.fingerprint})
            record = added(record, purpose, one, at, change)
            made.append(one)
        store(trust_links.linked(folder, before, record, keys, at))
    return (first, *made)
