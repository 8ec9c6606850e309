# SPDX-License-Identifier: Apache-2.0
"""Rotation: a new generation of one key, the old one kept for verification; and what to do about a stolen one.

A change is one atomic replacement of ``authority.json``, under a lock; running processes see the file change and go
on with the new generation, without a restart.  The old one counts for `OVERLAP` longer, so that what was begun with
it still verifies.  A stolen one counts until its cut-off, and not a second more.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from khatim.errors import Conflict, Misconfigured
from registry.signing.encoding import rfc3339
from registry.signing.founding import CERTIFIED, generation, issuer_of
from registry.signing.keys import KeyStore, flush, fresh
from registry.signing.record import Change, Generation, PublicRecord
from registry.signing.transparency import SignatureLog

RECORD = "authority.json"
OVERLAP = timedelta(minutes=15)  # a certificate's ten minutes and the skew of clocks


@dataclass(frozen=True, slots=True)
class Plan:
    """What a rotation is about to do: the names of the old and the new key, until when the old one counts."""

    purpose: str
    old: str
    new: str
    old_ends: str
    needs_root: bool


def load(folder: Path) -> PublicRecord:
    """Read the public record in *folder*; raises `Misconfigured`."""
    try:
        return PublicRecord.loads((folder / RECORD).read_text("utf-8"))
    except OSError as wrong:
        raise Misconfigured(
            f"there is no signing authority in {folder.name}: {wrong.strerror}",
            advice="Found one (khatim authority create), or bring it back from its recovery kit.",
        ) from wrong


@contextmanager
def changing(folder: Path) -> Iterator[Callable[[PublicRecord], None]]:
    """Hold the record's lock; what is given to the yielded function becomes the record, durably and at once."""
    load(folder)
    descriptor = os.open(folder / "record.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield lambda record: _store(folder, record)
    finally:
        os.close(descriptor)


def note(folder: Path, change: Change) -> None:
    """Add something that was done to the authority to its history."""
    with changing(folder) as store:
        record = load(folder)
        store(replace(record, history=(*record.history, change)))


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
) -> Generation:
    """Make the next generation of *purpose* the one in use; return it.

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
        store(added(record, named, made, at, change))
    return made


def added(record: PublicRecord, purpose: str, made: Generation, at: datetime, *changes: Change) -> PublicRecord:
    """Return the record with *made* in use and the generation before it ending."""
    field = purpose.replace("-", "_")
    *older, last = record.generations(purpose)
    lists = {field: (*older, _ending(last, at), made)}
    return replace(record, **lists, history=(*record.history, *changes))  # type: ignore[arg-type]  # one of the lists


def compromise(  # noqa: PLR0913 - which key, since when, said when, by whom and why
    folder: Path, key: str, since: datetime, at: datetime, *, by: str, because: str = ""
) -> Generation:
    """Cut off a stolen *key*: what it signed after *since* counts no more, what it signed before stays valid.

    Said again, the earlier moment holds.  Raises `Conflict` when it is still in use (rotate first), `Misconfigured`
    for a key that the authority never had, or a moment in the future.
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
            store(replace(record, **lists, history=(*record.history, change)))  # type: ignore[arg-type]  # as above
    return cut


def _ending(old: Generation, at: datetime) -> Generation:
    return replace(old, end=min(filter(None, (old.end, rfc3339((at + OVERLAP).astimezone(UTC))))))


def _store(folder: Path, record: PublicRecord) -> None:
    draft = folder / f"{RECORD}.new"
    try:
        draft.write_text(record.dumps(), "utf-8")
        flush(draft)
        draft.replace(folder / RECORD)
        flush(folder)
    except OSError as wrong:
        raise Misconfigured(f"the authority's record cannot be written: {wrong.strerror}") from wrong
