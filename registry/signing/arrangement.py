# SPDX-License-Identifier: Apache-2.0
"""What an installation's settings say about signing, brought into the authority's public record when they change.

Who signs for the registry is appointed by the authority, and a clock that others run is listed in the trusted root: so
every verifier learns of both from the authority's signature, and what was signed before stays verifiable.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from registry.signing import trust_links
from registry.signing.appointments import Appointment, appointed, author, latest
from registry.signing.authority import Authority
from registry.signing.encoding import rfc3339
from registry.signing.keys import KeyStore
from registry.signing.record import Change, Generation, PublicRecord
from registry.signing.record_file import changing, load
from registry.signing.signer import LocalSigner
from registry.signing.trust import dumps, trusted_root
from registry.signing.verification import TrustRoot

BY = "service:khatim"


@dataclass(frozen=True, slots=True)
class Arrangement:
    """Who signs for the registry, and the clock that others run: its *address* and *chain* (its own first)."""

    signs: Appointment = field(default_factory=Appointment)
    address: str = ""
    chain: Sequence[x509.Certificate] = ()


def arrange(folder: Path, open_keys: Callable[[], KeyStore], wanted: Arrangement, at: datetime) -> PublicRecord:
    """Make the record in *folder* say what is *wanted*; mostly it does already, and the keys are not opened.

    Raises `Misconfigured` when the record cannot be written, `SignatureInvalid` for a trusted root or key that no
    verifier could use.
    """
    if _is_so(record := load(folder), wanted):
        return record
    with changing(folder) as store:
        record, keys = load(folder), open_keys()  # another process may have done it meanwhile
        clocks = _clocks(record, wanted, at)
        after = record
        if clocks != record.outside_timestamping:
            change = Change("clocks_changed", rfc3339(at), BY, wanted.address)
            after = replace(record, outside_timestamping=clocks, history=(*record.history, change))
            after = trust_links.linked(folder, record, after, keys, at)
        if not wanted.signs.is_same(latest(record.appointments)):
            made = _appointment(folder, record, keys, wanted.signs, at)
            said = {"backend": wanted.signs.backend, "issuer": wanted.signs.who.issuer}
            change = Change("signing_changed", rfc3339(at), BY, wanted.signs.who.name, "", said)
            after = replace(after, appointments=(*after.appointments, made), history=(*after.history, change))
        store(after)
    return after


def _is_so(record: PublicRecord, wanted: Arrangement) -> bool:
    open_ones = [(one.origin, one.chain) for one in record.outside_timestamping if not one.end]
    listed = [(wanted.address, _pem(wanted.chain))] if wanted.address else []
    return open_ones == listed and wanted.signs.is_same(latest(record.appointments))


def _clocks(record: PublicRecord, wanted: Arrangement, at: datetime) -> tuple[Generation, ...]:
    """Return the clocks outside: the one that is wanted, and those of before until now."""
    chain = _pem(wanted.chain)
    kept = [
        one if one.end or (one.origin, one.chain) == (wanted.address, chain) else replace(one, end=rfc3339(at))
        for one in record.outside_timestamping
    ]
    if wanted.address and not any(not one.end for one in kept):
        # Its certificate says since when it counts: the clock was there before we knew of it.
        start = rfc3339(min(at, wanted.chain[0].not_valid_before_utc))
        name = f"outside-timestamping-{len(kept) + 1}"
        kept.append(Generation(name, start, chain, origin=wanted.address))
    return tuple(kept)


def _appointment(folder: Path, record: PublicRecord, keys: KeyStore, signs: Appointment, at: datetime) -> str:
    number = len(record.appointments) + 1
    authority = Authority(folder, record, keys)
    try:
        signer = LocalSigner(authority, author(record.instance), f"https://{record.instance}", lambda: at)
        made = signer.sign(signs.statement(number, at))
    finally:
        authority.close()
    # What no verifier could read must not get into the record: everybody would stumble over it for ever.
    root = TrustRoot.load(dumps(trusted_root(record)))
    appointed(root, (*record.appointments, made), record.instance)
    return json.dumps(json.loads(made), separators=(",", ":"))


def _pem(chain: Sequence[x509.Certificate]) -> tuple[str, ...]:
    return tuple(one.public_bytes(Encoding.PEM).decode() for one in chain)
