# SPDX-License-Identifier: Apache-2.0
"""What was revoked, and what therefore does not hold: then, and now.  Pure, so that everybody judges alike.

A revocation has a cut-off, from when its target is not to be believed.  A statement or an artifact does not hold from
the cut-off on.  A key or an identity says what it was used for: what it signed from the cut-off on does not hold, what
was signed before stays valid.  A revocation that was lifted leaves its window closed, not undone: what a stolen key
signed between cut-off and lifting is never believed again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from khatim.errors import Malformed
from khatim.vocabulary import Digest, Revoked
from registry.signing import identity

_KEY = re.compile(r"(?:certificate|key):sha256:[0-9a-f]{64}\Z|(?:serial|authority):[0-9a-f]{1,64}\Z")
_PATTERN = re.compile(r"spiffe://[a-z0-9.-]+/(agent|person|service)(?:/[A-Za-z0-9._:~*-]{1,200}){1,2}\Z")
_SIGNING = frozenset({Revoked.KEY, Revoked.IDENTITY})

ADVICE: Mapping[Revoked, str] = {
    Revoked.STATEMENT: "Have the claim made again by a new statement: repeat the job or the approval.",
    Revoked.KEY: "Have everything that it signed since then signed again, under a key that holds.",
    Revoked.IDENTITY: "Have what it signed since then done again by somebody else, or by a newly enrolled agent.",
    Revoked.ARTIFACT: "Use other bytes: make a new version that does not rest on these.",
}


@dataclass(frozen=True, slots=True)
class Marks:
    """How a signature can be recognised by a revocation.

    *entry* is the digest of its entry in the signature log: one for each signature, however its bundle is spelt.
    *certificate* and *key* are the digests of certificate (DER) and public key (SPKI), *serial* and *authority* the
    certificate's serial number and its issuer's key identifier in hexadecimal; *digests* are the subjects.
    """

    entry: Digest
    certificate: Digest
    key: Digest
    serial: str
    authority: str
    log_index: int
    identity: str
    signed_at: datetime
    digests: frozenset[Digest]

    @property
    def keys(self) -> frozenset[str]:
        """Every way in which a revocation can name the key or the certificate."""
        found = {f"certificate:{self.certificate}", f"key:{self.key}", f"serial:{self.serial}"}
        return frozenset(found | {f"authority:{self.authority}"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """One revocation: *since* None is from the beginning, *at* when it was recorded, *lifted_at* when it ended."""

    number: int
    kind: Revoked
    target: str
    since: datetime | None
    because: str
    by: str
    at: datetime
    lifted_at: datetime | None = None

    def names(self, marks: Marks) -> bool:
        """Whether this is about the signature with these *marks*, at whatever time."""
        match self.kind:
            case Revoked.STATEMENT:
                return self.target == str(marks.entry)
            case Revoked.KEY:
                return self.target in marks.keys
            case Revoked.IDENTITY:
                return identity.matches(self.target, marks.identity)
            case Revoked.ARTIFACT:
                return self.target in {str(digest) for digest in marks.digests}

    def reaches(self, moment: datetime) -> bool:
        """Whether *moment* lies between the cut-off and the lifting."""
        return (self.since is None or self.since <= moment) and (self.lifted_at is None or moment < self.lifted_at)

    def strikes(self, marks: Marks, moment: datetime) -> bool:
        """Whether the signature with these *marks* does not hold at *moment* because of this."""
        return self.names(marks) and self.reaches(marks.signed_at if self.kind in _SIGNING else moment)

    @property
    def sentence(self) -> str:
        """What was revoked, since when, when that was recorded, and why."""
        since = f"since {_told(self.since)}" if self.since else "from the beginning"
        return f"the {self.kind.value} {self.target} is revoked {since} (recorded {_told(self.at)}): {self.because}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether something holds at one moment, and the revocations because of which it does not."""

    holds: bool
    reasons: tuple[Revocation, ...] = ()

    @property
    def sentence(self) -> str:
        """Why it does not hold; empty when it does."""
        return "; ".join(one.sentence for one in self.reasons)

    @property
    def advice(self) -> str:
        """What to do about it."""
        return " ".join(dict.fromkeys(ADVICE[one.kind] for one in self.reasons))


@dataclass(frozen=True, slots=True)
class Standing:
    """A signature then (at a moment asked for) and now.  *unforeseen*: then, nobody could know of the revocation."""

    at: datetime
    then: Verdict
    now: Verdict
    unforeseen: bool = False
    is_made: bool = True  # whether it had been signed by then


@dataclass(frozen=True, slots=True)
class Book:
    """All revocations of an instance up to *number*, which grows by one with each row."""

    number: int = 0
    revocations: tuple[Revocation, ...] = ()

    def verdict(self, marks: Marks, moment: datetime) -> Verdict:
        """Return whether the signature with these *marks* holds at *moment*, by all that is known."""
        reasons = tuple(one for one in self.revocations if one.strikes(marks, moment))
        return Verdict(not reasons, reasons)

    def standing(self, marks: Marks, *, at: datetime, now: datetime) -> Standing:
        """Return how the signature stood at *at* and how it stands *now*, judged by what is known now."""
        then = self.verdict(marks, at)
        is_made = marks.signed_at <= at
        unforeseen = bool(then.reasons) and all(one.at > at for one in then.reasons)
        return Standing(at, replace(then, holds=then.holds and is_made), self.verdict(marks, now), unforeseen, is_made)

    def forbids(self, digests: Collection[str], moment: datetime) -> Verdict:
        """Return whether any of these bytes (digests as text) may not be used at *moment*."""
        reasons = tuple(
            one
            for one in self.revocations
            if one.kind is Revoked.ARTIFACT and one.target in digests and one.reaches(moment)
        )
        return Verdict(not reasons, reasons)

    def bars(self, name: str, moment: datetime) -> Verdict:
        """Return whether the identity *name* may not sign or work at *moment*."""
        reasons = tuple(
            one
            for one in self.revocations
            if one.kind is Revoked.IDENTITY and identity.matches(one.target, name) and one.reaches(moment)
        )
        return Verdict(not reasons, reasons)


def target_of(kind: Revoked, text: str, instance: str) -> str:
    """Return the one spelling of a target; raises `Malformed` that shows the forms.

    An identity may be written below the instance (``agent/ae-health/*``); the registry's own cannot be revoked, for it
    signs the list of revocations: revoke its key, after a rotation.
    """
    text = text.strip()
    below = f"spiffe://{identity.domain(instance)}/"
    match kind:
        case Revoked.STATEMENT | Revoked.ARTIFACT:
            return str(_read(Digest.parse, text, "sha256:<64 hexadecimal digits>"))
        case Revoked.KEY:
            lower = text.lower()
            if not _KEY.match(lower):
                forms = "certificate:sha256:…, key:sha256:…, serial:<hex> or authority:<hex>"
                raise Malformed(f"not a key: {text[:120]!r}", advice=f"Write {forms}.")
            return lower
        case Revoked.IDENTITY:
            full = text if text.startswith("spiffe://") else below + text
            if not full.startswith(below) or not _PATTERN.match(full):
                forms = f"agent/ZONE/NAME, agent/ZONE/* or person/REF, with or without {below}"
                raise Malformed(f"not an identity of this instance: {text[:120]!r}", advice=f"Write {forms}.")
            if identity.matches(full, identity.service(instance, "registry")):
                raise Malformed(
                    "the registry's own identity signs the list of revocations and cannot stand on it",
                    advice="Rotate the key of the authority and revoke the old one: khatim revoke key authority:…",
                )
            return full


def _read(parse: Callable[[str], Digest], text: str, form: str) -> Digest:
    try:
        return parse(text)
    except ValueError as wrong:
        raise Malformed(f"not a digest: {text[:120]!r}", advice=f"Write {form}.") from wrong


def folded(rows: Iterable[Mapping[str, Any]]) -> Iterator[Revocation]:
    """Yield revocations of *rows* (number, kind, target, since, because, by, at, lifts), each with its lifting.

    Raises `KeyError`, `TypeError` or `ValueError` for what is no row.
    """
    listed: Sequence[Mapping[str, Any]] = sorted(rows, key=lambda row: int(row["number"]))
    ended = {int(row["lifts"]): row["at"] for row in listed if row["lifts"] is not None}
    for row in listed:
        if row["lifts"] is None:
            yield Revocation(
                number=int(row["number"]),
                kind=Revoked(row["kind"]),
                target=str(row["target"]),
                since=row["since"],
                because=str(row["because"]),
                by=str(row["by"]),
                at=row["at"],
                lifted_at=ended.get(int(row["number"])),
            )


def digests_in(value: object) -> frozenset[str]:
    """Return every digest (``sha256:…``) that stands anywhere in a JSON value: what a job's specification touches."""
    match value:
        case str():
            return frozenset({value}) if re.fullmatch(r"sha256:[0-9a-f]{64}", value) else frozenset()
        case Mapping():
            return frozenset().union(*(digests_in(one) for one in value.values()))
        case list() | tuple():
            return frozenset().union(*(digests_in(one) for one in value))
        case _:
            return frozenset()


def _told(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
