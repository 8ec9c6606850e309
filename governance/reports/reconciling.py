# SPDX-License-Identifier: Apache-2.0
"""The bundle's parts against its ledger: scope, populations and statements are what the entries say, no less, no more.

Call these when the ledger has been verified: they take its entries at their word.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from audit import verify
from audit.canonical import canonical
from audit.tiles import payload_path
from audit.verify import ZipSource
from governance.reports import scope as scopes
from governance.reports import sheets
from governance.reports.archive import Archive
from governance.reports.checks import failed, policy_of, text
from governance.reports.manifest import ATTESTATIONS, LEDGER, MANIFEST, POPULATIONS, Manifest
from governance.reports.populations import Population, of_format
from governance.reports.scope import Said
from khatim.errors import Malformed, SignatureInvalid, VerificationFailed
from khatim.vocabulary import Digest
from registry.signing import identity
from registry.signing.attesters import attesters_in
from registry.signing.encoding import b64, strict_json
from registry.signing.identity import IdentityPolicy
from registry.signing.statements import APPROVAL
from registry.signing.verification import TrustRoot, VerifiedStatement, verify_bundle

# Columns of a population that repeat what its entry says.
_REPEATED = ("actor", "kind", "resource", "namespace", "zone")
_PLACED = ("version.registered", "features.registered", "dataset.registered", "deployment.requested")
Events = Mapping[int, Said]


def scope(bundle: Archive, said: Manifest) -> Events:
    """Check that the scope and the subject are those that the ledger gives; return the events of any population."""
    refs = scopes.of(said.subject, lambda: _entries(bundle, said), lambda digest: _payload(bundle, digest))
    if tuple(sorted(refs)) != said.scope:
        raise failed(MANIFEST, "the scope is not the one that the ledger gives")
    events = {
        event.index: event
        for event in scopes.said(lambda: _entries(bundle, said), lambda digest: _payload(bundle, digest))
        if any(one.holds(event, refs, said.namespace) for one in of_format(said.format))
    }
    registered = (event for event in events.values() if event.kind == "version.registered")
    if said.digest not in (event.value("payload.digest") for event in registered if event.resource == said.subject):
        raise failed(MANIFEST, "the ledger registers the subject under another digest")
    return events


def _entries(bundle: Archive, said: Manifest) -> Iterator[tuple[int, bytes]]:
    return verify.entries_of(ZipSource(bundle.zip, LEDGER), said.ledger.size)


def _payload(bundle: Archive, digest: str) -> bytes:
    return bundle.read(LEDGER + payload_path(digest))


def populations(bundle: Archive, said: Manifest, events: Events) -> dict[str, int]:
    """Check every population and its page; return the numbers of rows by name."""
    asked = of_format(said.format)
    expected = {f"{POPULATIONS}{one.name}.{end}" for one in asked for end in ("csv", "json")}
    for name in sorted(expected ^ {name for name in said.files if name.startswith(POPULATIONS)}):
        raise failed(name, "it is missing" if name in expected else "the format knows no such population")
    return {one.name: _population(bundle, said, events, one) for one in asked}


def _population(bundle: Archive, said: Manifest, events: Events, population: Population) -> int:
    csv, page = f"{POPULATIONS}{population.name}.csv", f"{POPULATIONS}{population.name}.json"
    rows = _rows(bundle, population.name)
    told = _page(bundle, page)
    query = str(told.get("query"))
    facts = {
        "name": population.name,
        "query_sha256": Digest.of(query.encode()).hex,
        "rows": len(rows),
        "csv_sha256": bundle.members[csv].digest.hex,
        "ledger": {
            "origin": said.ledger.origin,
            "size": said.ledger.size,
            "root": b64(said.ledger.root),
            "first": 0,
            "last": said.ledger.size - 1,
            "gaps": 0,
        },
    }
    for member, value in facts.items():
        if told.get(member) != value:
            raise failed(page, f"its {member} is not that of the sheet and the ledger")
    refs = frozenset(said.scope)
    expected = [index for index, one in sorted(events.items()) if population.holds(one, refs, said.namespace)]
    found = [row.get("ledger_index", "") for row in rows]
    if found != [str(index) for index in expected]:
        odd = next((one for one in found if one not in set(map(str, expected))), None)
        lost = next((index for index in expected if str(index) not in set(found)), None)
        what = f"a row for entry {odd}" if odd is not None else f"no row for entry {lost}"
        raise failed(csv, f"it has {what if odd is not None or lost is not None else 'its rows twice or out of order'}")
    for row in rows:
        _repeats(csv, row, events[int(row["ledger_index"])])
    return len(rows)


def _repeats(place: str, row: Mapping[str, str], event: Said) -> None:
    said = {"at": sheets.text_of(event.at), **{name: getattr(event, name) for name in _REPEATED}}
    for name, value in said.items():
        if name in row and row[name] != value:
            raise failed(place, f"in the row of entry {event.index}, {name} is not what the entry says")


def _rows(bundle: Archive, name: str) -> list[dict[str, str]]:
    place = f"{POPULATIONS}{name}.csv"
    try:
        return sheets.read(bundle.read(place))
    except Malformed as wrong:
        raise failed(place, wrong.detail) from wrong


def _page(bundle: Archive, place: str) -> Mapping[str, Any]:
    try:
        told = strict_json(text(bundle, place), "the page")
    except Malformed as wrong:
        raise failed(place, wrong.detail) from wrong
    if not isinstance(told, dict):
        raise failed(place, "it is not an object")
    return told


def statements(bundle: Archive, said: Manifest, events: Events, root: TrustRoot) -> dict[str, VerifiedStatement]:
    """Verify every statement, and that these are exactly the ones that the ledger admitted; return them by file."""
    admitted = {one.value("payload.digest"): one for one in events.values() if one.kind == "statement.admitted"}
    files = {str(bundle.members[name].digest): name for name in said.files if name.startswith(ATTESTATIONS)}
    names = [name for name in said.files if name.startswith(ATTESTATIONS)]
    for name in names:
        if str(bundle.members[name].digest) not in admitted:
            raise failed(name, "the ledger does not name a statement of this digest")
    if len(files) != len(names):
        raise failed(ATTESTATIONS, "a statement stands there twice")
    for digest, event in admitted.items():
        if digest not in files:
            raise failed(ATTESTATIONS, f"the statement {digest} of entry {event.index} is missing")
    zones = {one.resource: one.zone for one in events.values() if one.kind in _PLACED}
    verified = {}
    for digest, name in files.items():
        event = admitted[digest]
        found = _verified(bundle, said, name, event, zones.get(event.resource), root)
        verified[event.value("payload.statement")] = (name, found)
    _approvals(events, verified, said)
    return dict(verified.values())


def indexes(bundle: Archive, files: Iterable[str], events: Events) -> dict[str, int]:
    """Return by the name of each statement's file which entry of the ledger admitted it."""
    admitted = {one.value("payload.digest"): one.index for one in events.values() if one.kind == "statement.admitted"}
    return {name: admitted[str(bundle.members[name].digest)] for name in files}


def _verified(  # noqa: PLR0913, PLR0917 - a statement, its entry and who decides about it
    bundle: Archive, said: Manifest, name: str, event: Said, zone: str | None, root: TrustRoot
) -> VerifiedStatement:
    policy = (
        IdentityPolicy.of_instance(said.instance, said.issuer, attesters_in(zone))
        if zone
        else policy_of(said.instance, said.issuer)
    )
    try:
        found = verify_bundle(text(bundle, name), root, policy)
    except SignatureInvalid as wrong:
        raise VerificationFailed(f"{name}: {wrong.detail}", advice=wrong.advice, place=name) from wrong
    told = (event.value("payload.identity"), event.value("payload.predicate_type"))
    if (found.identity, found.predicate_type) != told:
        raise failed(name, f"it is signed by another, or says another thing, than entry {event.index} tells")
    return found


def _approvals(events: Events, verified: Mapping[str, tuple[str, VerifiedStatement]], said: Manifest) -> None:
    """Check that what each person signed is what the ledger says they approved."""
    for event in events.values():
        if event.kind != "approval.granted":
            continue
        name, statement = verified.get(event.value("payload.statement"), ("", None))
        if statement is None or statement.predicate_type != APPROVAL:
            raise failed(ATTESTATIONS, f"the statement of the approval in entry {event.index} is missing")
        signed: Sequence[Any] = [statement.predicate.get(key) for key in ("approver", "role", "binding")]
        told = [event.actor, event.payload.get("role"), event.payload.get("binding")]
        is_own = statement.speaker == identity.person(said.instance, event.actor)
        if canonical(list(signed)) != canonical(told) or not is_own:
            raise failed(name, f"it is not the approval that entry {event.index} tells")
