# SPDX-License-Identifier: Apache-2.0
"""A bundle verified offline: no server, no database, nothing but the file and, better, a trust root of one's own.

Every byte is covered: by the one spelling of the file, the digests of the manifest, and the manifest's signature.  Then
the parts must agree: the ledger re-derives, the populations hold exactly the ledger's entries, every statement verifies
and is the one that the ledger names.  `VerificationFailed` has a member ``place`` that names what does not hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from audit.walk import LedgerReport
from governance.reports import archive, checks, manifest, reconciling, standings, vouching
from governance.reports.manifest import Manifest
from governance.reports.standings import Standing
from governance.reports.vouching import Vouched
from khatim.errors import KhatimError, Malformed, VerificationFailed
from khatim.vocabulary import Digest
from registry.signing import ledger_time
from registry.signing.revocation import Book
from registry.signing.revocation_list import SignedList
from registry.signing.verification import TrustRoot

INCLUDED_ROOT = (
    "The trust root came with the bundle, so all that is shown is that the bundle agrees with itself. Compare the "
    "digest of the trust root with one that you obtained on another way, or give your own."
)
OTHER_ROOT = "The bundle carries another trust root than yours; yours decided."
NO_REVOCATIONS = "This format carries no list of revocations: what holds now shows only with a list: --revocations."
OLD_REVOCATIONS = (
    "The list of revocations that decided was to be renewed by now: what was revoked since is not known. Bring a newer "
    "one: khatim revocations --signed, and --revocations here."
)
NO_CHECKPOINT = (
    "That nothing was cut off the end of the ledger shows only in comparison with a checkpoint that you hold already."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngagementReport:
    """What a verified bundle is, and on whose word.

    *trust* is ``given`` when the verifier's own trust root decided, else ``included``; *caveats* say in sentences what
    was not shown; *populations* are numbers of rows by name; *vouched* is who besides the registry vouches.
    """

    subject: str
    digest: str
    instance: str
    identity: str
    signed_at: datetime
    created_at: datetime
    created_by: str
    policy: Digest
    trust: str
    trust_root: Digest
    vkey: str
    ledger: LedgerReport
    files: int
    statements: int
    statements_found: tuple[Standing, ...]
    revocations: str
    populations: dict[str, int]
    vouched: Vouched
    caveats: tuple[str, ...]


def verify_bundle_file(  # noqa: PLR0913 - a bundle, and everything that a verifier may know besides
    path: Path,
    *,
    trusted_root: Path | None = None,
    vkey: str | None = None,
    checkpoint: Path | None = None,
    revocations: Path | None = None,
    witnesses: Sequence[str] = (),
    quorum: int = 1,
    tsa: Sequence[Path] = (),
    now: datetime | None = None,
) -> EngagementReport:
    """Verify a bundle.  Raises `VerificationFailed` with ``place``; `Misconfigured` for a bad trust root of one's own.

    *trusted_root* is a ``trusted_root.json`` obtained elsewhere; without it the included one is used, which proves
    internal consistency only.  *vkey* is the ledger's verifier key as known elsewhere.  *checkpoint* is a signed
    checkpoint that was seen before the export: a ledger that is older, or another one, is refused.  *revocations* is
    a newer signed list than the bundle's; *witnesses* are verifier keys of those whose word counts, *quorum* of them.
    *tsa* are files with certificates of timestamp authorities outside (PEM: its own first, its root last).
    """
    now = now or datetime.now(UTC)
    with archive.opened(path) as bundle:
        with _at(manifest.MANIFEST):
            said = Manifest.loads(bundle.read(manifest.MANIFEST))
        checks.files(bundle, said)
        own, included = _text_of(trusted_root), checks.text(bundle, manifest.TRUSTED_ROOT)
        root = TrustRoot.load(own) if own is not None else _included(included)
        root = checks.appointments(bundle, said, root)
        signed = checks.signature(bundle, said, root)
        checks.trust(bundle)
        key = checks.key(bundle, vkey)
        ledger = checks.ledger(bundle, said, key, _text_of(checkpoint))
        checks.policy(bundle, said)
        events = reconciling.scope(bundle, said)
        populations = reconciling.populations(bundle, said, events)
        statements = reconciling.statements(bundle, said, events, root)
        listed = own_list = standings.carried(bundle, said, root, events.values())
        if (given := _text_of(revocations)) is not None:
            listed = standings.newer(given, own_list, root, said.instance)
        clocks = (*root.clocks.known.values(), *map(ledger_time.outside_of, tsa))
        vouched = vouching.found(bundle, ledger, witnesses, quorum, clocks, now)
        around = {
            file: vouched.around(index) for file, index in reconciling.indexes(bundle, statements, events).items()
        }
        return EngagementReport(
            subject=said.subject,
            digest=said.digest,
            instance=said.instance,
            identity=signed.identity,
            signed_at=signed.signed_at,
            created_at=said.created_at,
            created_by=said.created_by,
            policy=said.policy,
            trust="included" if own is None else "given",
            trust_root=Digest.of((included if own is None else own).encode()),
            vkey=key,
            ledger=ledger,
            files=len(bundle.members),
            statements=len(statements),
            statements_found=standings.of_statements(statements, listed.book if listed else Book(), said, around, now),
            revocations=f"list {listed.number} of {listed.issued_at:%Y-%m-%d %H:%M:%S} UTC" if listed else "",
            populations=populations,
            vouched=vouched,
            caveats=(
                *_caveats(own, included, checkpoint),
                *_overdue(listed, now),
                *_unwitnessed(vouched, ledger.size, witnesses),
            ),
        )


def _included(text: str) -> TrustRoot:
    with _at(manifest.TRUSTED_ROOT):
        return TrustRoot.load(text)


def _caveats(own: str | None, included: str, checkpoint: Path | None) -> tuple[str, ...]:
    doubts = (
        (own is None, INCLUDED_ROOT),
        (own is not None and own != included, OTHER_ROOT),
        (checkpoint is None, NO_CHECKPOINT),
    )
    return tuple(sentence for holds, sentence in doubts if holds)


def _overdue(listed: SignedList | None, now: datetime) -> tuple[str, ...]:
    if listed is None:
        return (NO_REVOCATIONS,)
    return () if listed.is_fresh(now) else (OLD_REVOCATIONS,)


def _unwitnessed(vouched: Vouched, size: int, asked: Sequence[str]) -> tuple[str, ...]:
    if not asked or vouched.witnessed == size:
        return ()
    seen = f"{len(vouched.witnesses)} of the {vouched.quorum} witnesses that are wanted cosigned a checkpoint of it"
    told = f"only the first {vouched.witnessed} of {size} entries" if vouched.witnessed else f"no entry: {seen}"
    return (f"Witnessed is {told}; the rest is the registry's word. A later export shows more.",)


def _text_of(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as wrong:
        raise Malformed(f"{path} cannot be read") from wrong


@contextmanager
def _at(place: str) -> Iterator[None]:
    """Name the place of whatever goes wrong inside."""
    try:
        yield
    except VerificationFailed:
        raise
    except KhatimError as wrong:
        raise VerificationFailed(f"{place}: {wrong.detail}", advice=wrong.advice, place=place) from wrong
