# SPDX-License-Identifier: Apache-2.0
"""Which witnesses must have seen a checkpoint before it counts: k of n, in C2SP's own form for it (tlog-policy).

    witness mona     witness.example/w1+…    https://witness.example/w1
    witness auditor  witness.auditor/a+…
    group   both     all  mona auditor
    quorum  both

A key is a witness only once: no second name, and no second group, lets it count twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from audit.checkpoint import NoteVerifier
from audit.cosignatures import CosignatureVerifier, cosigned_by
from khatim.errors import Malformed, NotWitnessed

NONE = "none"
_NUMBER = re.compile(r"[1-9][0-9]{0,3}\Z")


@dataclass(frozen=True, slots=True)
class KnownWitness:
    """A witness's key, and where it takes checkpoints (its submission prefix), if that is known."""

    verifier: CosignatureVerifier
    url: str = ""


@dataclass(frozen=True, slots=True)
class Witnessed:
    """What a policy says about one checkpoint: whether it counts, who saw it when (vkey), and what was wanted."""

    counts: bool
    by: Mapping[str, datetime]
    wanted: str


@dataclass(frozen=True, slots=True)
class WitnessPolicy:
    """Witnesses by their name in the policy, groups of them (threshold, members), and the quorum."""

    witnesses: Mapping[str, KnownWitness] = field(default_factory=dict)
    groups: Mapping[str, tuple[int, tuple[str, ...]]] = field(default_factory=dict)
    quorum: str = NONE
    logs: tuple[NoteVerifier, ...] = ()

    @property
    def is_demanding(self) -> bool:
        """Whether a checkpoint needs any witness."""
        return self.quorum != NONE

    @classmethod
    def of_keys(cls, keys: Iterable[tuple[str, str]], quorum: int) -> WitnessPolicy:
        """Return the policy *quorum* of the witnesses with these vkeys and URLs; 0 demands none.

        Several keys of one name (Ed25519 and ML-DSA-44) are one witness: any of them counts, and all of them once.
        """
        witnesses: dict[str, KnownWitness] = {}
        named: dict[str, list[str]] = {}
        for vkey, url in keys:
            verifier = CosignatureVerifier.parse(vkey)
            if verifier.vkey in {one.verifier.vkey for one in witnesses.values()}:
                raise Malformed(f"the witness {verifier.name} is named twice")
            key = f"key{len(witnesses) + 1}"
            witnesses[key] = KnownWitness(verifier, url)
            named.setdefault(verifier.name, []).append(key)
        if not 0 <= quorum <= len(named):
            raise Malformed(f"a quorum of {quorum} cannot be met by {len(named)} witnesses")
        groups = {name: (1, tuple(members)) for name, members in named.items()}
        groups["quorum"] = (quorum, tuple(named))
        return cls(witnesses, groups if quorum else {}, "quorum" if quorum else NONE)

    @classmethod
    def parse(cls, text: str) -> WitnessPolicy:
        """Read a policy file; raises `Malformed` naming the line."""
        reader = _Reading()
        for number, line in enumerate(text.split("\n"), 1):
            words = line.replace("\t", " ").split(" ")
            words = [word for word in words if word]
            if words and not words[0].startswith("#"):
                try:
                    reader.take(words)
                except Malformed as wrong:
                    raise Malformed(f"line {number} of the witness policy: {wrong}") from wrong
        if reader.quorum is None:
            raise Malformed("the witness policy has no quorum line")
        return cls(reader.witnesses, reader.groups, reader.quorum, tuple(reader.logs))

    def judge(self, note: str) -> Witnessed:
        """Say whether the checkpoint *note* counts; raises `LedgerInvalid` if a known witness's line does not verify.

        The log's own signature is not looked at here.
        """
        by = cosigned_by(note, (one.verifier for one in self.witnesses.values()))
        met = {name for name, one in self.witnesses.items() if one.verifier.vkey in by}
        for name, (threshold, members) in self.groups.items():  # members stand before their group
            if sum(member in met for member in members) >= threshold:
                met.add(name)
        return Witnessed(self.quorum == NONE or self.quorum in met, by, self.describe())

    def demand(self, note: str) -> Witnessed:
        """Return the judgement about *note*; raises `NotWitnessed` when it does not count."""
        found = self.judge(note)
        if not found.counts:
            seen = ", ".join(sorted({vkey.partition("+")[0] for vkey in found.by})) or "nobody"
            raise NotWitnessed(f"the checkpoint needs {found.wanted}; it is witnessed by {seen}", place="checkpoint")
        return found

    def describe(self) -> str:
        """Say in words what is wanted."""
        if self.quorum in self.witnesses:
            return f"the witness {self.witnesses[self.quorum].verifier.name}"
        threshold, members = self.groups.get(self.quorum, (0, ()))
        return f"{threshold} of {len(members)} witnesses" if members else "no witness"


class _Reading:
    """A policy file half read: every line may speak of what stands before it only."""

    def __init__(self) -> None:
        self.witnesses: dict[str, KnownWitness] = {}
        self.groups: dict[str, tuple[int, tuple[str, ...]]] = {}
        self.logs: list[NoteVerifier] = []
        self.quorum: str | None = None
        self._members: set[str] = set()

    def take(self, words: list[str]) -> None:
        match words:
            case ["log", vkey] | ["log", vkey, _]:
                self.logs.append(NoteVerifier.parse(vkey))
            case ["witness", name, vkey, *url] if len(url) <= 1:
                self._add_witness(name, vkey, "".join(url))
            case ["group", name, threshold, *members] if members:
                self._add_group(name, threshold, members)
            case ["quorum", name]:
                if self.quorum is not None or (name != NONE and name not in {*self.witnesses, *self.groups}):
                    raise Malformed(f"one quorum, of what was named before, not {name!r}")
                self.quorum = name
            case _:
                raise Malformed(f"not understood: {' '.join(words)[:80]!r}")

    def _add_witness(self, name: str, vkey: str, url: str) -> None:
        self._new(name)
        known = KnownWitness(CosignatureVerifier.parse(vkey), url)
        # tlog-policy: the same public key under another name is a duplicate.
        if known.verifier.public in {one.verifier.public for one in self.witnesses.values()}:
            raise Malformed(f"the key of {name!r} is a witness already")
        self.witnesses[name] = known

    def _add_group(self, name: str, threshold: str, members: list[str]) -> None:
        self._new(name)
        wanted = {"any": "1", "all": str(len(members))}.get(threshold, threshold)
        if not _NUMBER.match(wanted) or int(wanted) > len(members):
            raise Malformed(f"{threshold!r} of {len(members)} members cannot be")
        for member in members:
            if member not in {*self.witnesses, *self.groups} or member in self._members:
                raise Malformed(f"{member!r} is not known yet, or a member already")
            self._members.add(member)
        self.groups[name] = (int(wanted), tuple(members))

    def _new(self, name: str) -> None:
        if name == NONE or name in {*self.witnesses, *self.groups}:
            raise Malformed(f"the name {name!r} is taken")
