# SPDX-License-Identifier: Apache-2.0
"""What an engagement about a version is about, read from the ledger alone.

Whoever exports and whoever verifies derive the same references from the same entries, so nothing can be left out of a
population by leaving its subject out of the scope.  Pure: entries in, references out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from audit import entries as codec

Entries = Callable[[], Iterable[tuple[int, bytes]]]
"""Index and bytes of every entry from 0 on; called once per pass."""
Aside = Callable[[str], bytes]
"""Returns the payload that was kept aside under a digest."""

# Which member of a payload names what an event is below of: finding.opened says about which deployment it is.
BELOW = {
    "deployment.requested": "subject",
    "finding.opened": "subject",
    "job.requested": "subject",
    "monitor.ran": "deployment",
}
_UP = frozenset({"version.registered", "features.registered", "dataset.registered"})
_DEPLOYED = "deployment.requested"
_AUTHORISED = "authorisation.requested"


@dataclass(frozen=True, slots=True)
class Said:
    """One event of the ledger with its index."""

    index: int
    kind: str
    actor: str
    resource: str
    namespace: str
    zone: str
    at: datetime
    payload: Mapping[str, Any]

    def value(self, member: str) -> str:
        """Return a member as text: ``resource``, or ``payload.subject``; empty where there is none."""
        found = self.payload.get(member[8:]) if member.startswith("payload.") else getattr(self, member)
        return found if isinstance(found, str) else ""


def said(entries: Entries, aside: Aside) -> Iterator[Said]:
    """Read every entry; raises `LedgerInvalid` for one that is not of the form."""
    for index, entry in entries():
        event = codec.parse(entry, index).event
        columns = codec.columns_of(event, f"entry {index}")
        digest = codec.payload_digest_of(event)
        payload = codec.event_of(aside(digest), f"the payload of entry {index}") if digest else event.get("payload")
        yield Said(index, *columns, payload if isinstance(payload, dict) else {})


@dataclass
class _Relations:
    """Who was made from what, and what stands below what."""

    parents: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    below: dict[str, set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))
    authorised: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def take(self, event: Said) -> None:
        """Note what *event* relates."""
        if event.kind in _UP:
            self.parents[event.resource].update(_parents(event.payload))
        elif event.kind in BELOW:
            self.below[event.value(f"payload.{BELOW[event.kind]}")].add((event.kind, event.resource))
        elif event.kind == _AUTHORISED:
            terms = event.payload.get("terms")
            for path in _list(terms, "datasets"):
                self.authorised[f"dataset:{path}"].add(event.resource)


def _parents(payload: Mapping[str, Any]) -> Iterator[str]:
    files = _list(payload, "files")
    yield from (str(one) for one in _list(payload, "parents"))
    yield from (f"artifact:{file.get('digest')}" for file in files if isinstance(file, dict))
    # The digest of a version is that of its manifest; that of data is the file's own.
    yield from (f"artifact:{payload[key]}" for key in ("source", "digest") if key in payload and not files)
    if "dataset" in payload:
        yield str(payload["dataset"])


def _list(value: object, member: str) -> list[Any]:
    """Return a member that is a list; what is of another form relates nothing."""
    found = value.get(member) if isinstance(value, Mapping) else None
    return found if isinstance(found, list) else []


def of(version: str, entries: Entries, aside: Aside) -> frozenset[str]:
    """Return the references that an engagement about *version* is about.

    The lineage to its roots; their names without numbers (work is asked for by name); the version's deployments;
    monitor runs, findings and jobs of all these; the authorisations of its datasets; and the people who acted on any.
    """
    relations = _Relations()
    for event in said(entries, aside):
        relations.take(event)
    refs = _reached({version}, relations.parents)
    deployed = {ref for kind, ref in relations.below[version] if kind == _DEPLOYED}
    refs |= deployed | {name for ref in refs for name in _names(ref)}
    refs |= {one for ref in tuple(refs) for one in relations.authorised[ref]}
    # Other versions of these data are deployed too; only what the version itself serves in is of interest.
    below = {ref: {one for kind, one in ones if kind != _DEPLOYED} for ref, ones in relations.below.items()}
    refs = _reached(refs, below)
    actors: set[str] = set()
    people: set[str] = set()
    for event in said(entries, aside):
        if event.kind == "person.known":
            people.add(event.resource)
        elif event.resource in refs:
            actors.add(f"person:{event.actor}")
    return frozenset(refs | (actors & people))


def _reached(start: Iterable[str], further: Mapping[str, Iterable[str]]) -> set[str]:
    found, waiting = set(start), list(start)
    while waiting:
        for one in further.get(waiting.pop(), ()):
            if one not in found:
                found.add(one)
                waiting.append(one)
    return found


def _names(ref: str) -> Iterator[str]:
    """Yield what *ref* is called before it has a number; a version is asked for as its model."""
    kind, _, path = ref.partition(":")
    name, numbered, _ = path.rpartition("@")
    if numbered and kind in ("version", "features", "dataset"):
        yield f"{kind}:{name}"
        if kind == "version":
            yield f"model:{name}"
