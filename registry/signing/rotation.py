# SPDX-License-Identifier: Apache-2.0
"""Rotation: a new generation of one key, the old one kept for verification; and what to do about a stolen one.

A change is one atomic replacement of ``authority.json``, under a lock; running processes see the file change and go
on with the new generation, without a restart.  The old one counts for `OVERLAP` longer, so that what was begun with
it still verifies.  A stolen one counts until its cut-off, and not a second more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from khatim.errors import Conflict, Misconfigured
from registry.signing import trust_links
from registry.signing.encoding import rfc3339
from registry.signing.founding import CERTIFIED, generation, issuer_of
from registry.signing.keys import FolderKeys, KeyStore, flush, fresh
from registry.signing.record import Change, Generation, PublicRecord
from registry.signing.record_file import RECORD, changing, load, note
from registry.signing.transparency import SignatureLog

__all__ = ("RECORD", "changing", "load", "note")
OVERLAP = timedelta(minutes=15)  # a certificate's ten minutes and the skew of clocks


@dataclass(frozen=True, slots=True)
class Plan:
    """What a rotation is about to do: the names of the old and the new key, until when the old one counts."""

    purpose: str
    old: str
    new: str
    old_ends: str
    needs_root: bool


def plan(record: PublicRecord, purpose: str, keys: KeyStore, at: datetime) -> Plan:
    """Return what `rotate` would do; nothing is changed.  Raises `Malformed` for no purpose."""
    old = record.generations(purpose)[-1]
    named = purpose.replace("_", "-")
    return Plan(named, old.key, fresh(keys, named), _ending(old, at).end, named in CERTIFIED)


def rotate(  # noqa: PLR0913 - what, with which keys, when, who and why
    folder: Path,
    purpose: str,
    keys: KeyStore,
    at: datetime,
    *,
    by: str,
    because: str = "",
    root_keys: KeyStore | None = None,
    is_linked: bool = True,
) -> Generation:
    """Make the next generation of *purpose* the one in use; return it.

    The keys in use so far sign the next trusted root (`registry.signing.trust_links`), unless *is_linked* is false.

    *root_keys* hold the root for what it certifies (by default *keys*, where local mode keeps it).  Raises
    `Misconfigured` when the root is not there or has run out; nothing has changed then.
    """
    with changing(folder) as store:
        record = load(folder)
        named = plan(record, purpose, keys, at).purpose
        issuer = issuer_of(record, root_keys or keys, at) if named in CERTIFIED else None
        made = generation(named, record.instance, keys, at, issuer)
        if named == "signature-log":
            SignatureLog.create(folder / made.folder, record.origin_of(made), keys.ed25519(made.key)).close()
            flush(folder / made.folder, folder)
        change = Change("rotated", rfc3339(at), by, made.key, because, {"fingerprint": made.fingerprint})
        after = added(record, named, made, at, change)
        store(trust_links.linked(folder, record, after, keys if is_linked else None, at))
    return made


def added(record: PublicRecord, purpose: str, made: Generation, at: datetime, *changes: Change) -> PublicRecord:
    """Return the record with *made* in use and the generation before it ending."""
    field = purpose.replace("-", "_")
    *older, last = record.generations(purpose)
    lists = {field: (*older, _ending(last, at), made)}
    return replace(record, **lists, history=(*record.history, *changes))  # type: ignore[arg-type]  # one of the lists


def compromise(  # noqa: PLR0913 - which key, since when, said when, by whom and why
    folder: Path,
    key: str,
    since: datetime,
    at: datetime,
    *,
    by: str,
    because: str = "",
    keys: KeyStore | None = None,
) -> Generation:
    """Cut off a stolen *key*: what it signed after *since* counts no more, what it signed before stays valid.

    Said again, the earlier moment holds.  Raises `Conflict` when it is still in use (rotate first), `Misconfigured`
    for a key that the authority never had, or a moment in the future.  *keys* are those of the service, by default
    the folder's own; those in use sign the trusted root that says so.
    """
    if since > at:
        raise Misconfigured("a key cannot have been stolen in the future")
    with changing(folder) as store:
        record = load(folder)
        purpose = key.rpartition("-")[0]
        known = record.generations(purpose)
        found = next((one for one in known if one.key == key), None)
        if found is None:
            raise Misconfigured(f"the authority has had no key {key}", advice="khatim authority status lists them.")
        if found is known[-1]:
            raise Conflict(
                f"{key} is still in use",
                advice=f"First khatim authority rotate {purpose}, or a ceremony; then say since when it was stolen.",
            )
        moment = min(filter(None, (rfc3339(since), found.cut_off)))
        cut = replace(found, cut_off=moment, end=min(filter(None, (moment, found.end))))
        lists = {purpose.replace("-", "_"): tuple(cut if one is found else one for one in known)}
        change = Change("compromised", rfc3339(at), by, key, because, {"since": moment})
        if cut != found:
            after = replace(record, **lists, history=(*record.history, change))  # type: ignore[arg-type]  # as above
            store(trust_links.linked(folder, record, after, keys or FolderKeys(folder / "keys"), at))
    return cut


def _ending(old: Generation, at: datetime) -> Generation:
    return replace(old, end=min(filter(None, (old.end, rfc3339((at + OVERLAP).astimezone(UTC))))))
