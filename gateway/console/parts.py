# SPDX-License-Identifier: Apache-2.0
"""The pieces of the console's pages: frozen dataclasses, every field documented where it stands.

All times are aware; pages show them in Asia/Dubai.  Texts that come from policies are a `Phrase`; codes (stages, kinds,
roles, meanings) are named for people by `labels`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from khatim.vocabulary import ActorKind, Certainty, FileRole, Role, Stage


@dataclass(frozen=True, slots=True)
class Words:
    """A sentence that comes from data, in both languages."""

    en: str  #: the English sentence
    ar: str = ""  #: the Arabic sentence; when empty the catalogue is asked, then English is shown, marked as English


Phrase = str | Words


@dataclass(frozen=True, slots=True)
class Who:
    """A person, agent or service, as shown to people."""

    ref: str  #: the opaque reference that stands in the ledger
    name: str = ""  #: the name from the directory; empty when there is none, then the reference is shown
    kind: ActorKind = ActorKind.PERSON  #: person, agent or service
    zone: str = ""  #: zone of an agent
    is_erased: bool = False  #: whether nobody can tell any more who this was


@dataclass(frozen=True, slots=True)
class NextStep:
    """What waits, in one sentence."""

    kind: Literal["act", "wait", "done", "stopped"]  #: who is to move, or nobody
    text: Phrase  #: the sentence
    detail: Phrase = ""  #: why, or how


@dataclass(frozen=True, slots=True)
class Requirement:
    """One requirement of a gate."""

    id: str  #: its id in ``policies/gates.yaml``
    text: Phrase  #: what is required
    is_met: bool  #: whether it holds now
    reason: Phrase = ""  #: what is missing, when unmet
    advice: Phrase = ""  #: what to do when unmet
    legal_basis: str = ""  #: where the requirement comes from
    certainty: Certainty | None = None  #: how well that source was checked
    excused: Phrase = ""  #: until when a waiver excuses it, when one does


@dataclass(frozen=True, slots=True)
class Gate:
    """The gate between the present stage and the next one."""

    start: Stage  #: the present stage
    to: str  #: the stage behind the gate, or ``deploy``
    policy: str  #: digest of the policy that sets the requirements
    requirements: tuple[Requirement, ...]  #: all of them, in the policy's order


@dataclass(frozen=True, slots=True)
class Binding:
    """One thing that an approval is bound to."""

    what: str  #: ``model``, ``dataset``, ``evidence``, ``policy``, ``zone`` ...
    value: str  #: its digest, or its name where it has none


@dataclass(frozen=True, slots=True)
class Obligation:
    """What must be done by when for an approval to be given anew."""

    text: str  #: what the approver asks for
    due: datetime  #: when the approval ends without it
    answers: tuple[str, ...] = ()  #: what was said to it, oldest first


@dataclass(frozen=True, slots=True)
class Approval:
    """One approval: a signed statement bound to bytes."""

    role: Role  #: the role in which the person approved
    who: Who  #: the person
    meaning: Phrase  #: the sentence that was signed
    at: datetime  #: when it was given
    expires_at: datetime | None  #: when it ends by itself
    binding: str  #: how the person is bound to it; ``server-attested``: the server signed for the signed-in person
    statement: str  #: digest of the signed statement
    state: Literal["active", "suspended", "expired", "revoked"]  #: whether it counts now
    reason: Phrase = ""  #: why it does not count
    comment: str = ""  #: what the person wrote
    bound_to: tuple[Binding, ...] = ()  #: what exactly was approved
    stands_in_for: Who | None = None  #: the absent person with whose voice it was given
    ticket: str = ""  #: the change ticket with its state, as the approver saw it
    obligations: tuple[Obligation, ...] = ()  #: under which it was given


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measured number with its confidence interval."""

    value: float  #: the point estimate
    low: float | None = None  #: lower end of the interval
    high: float | None = None  #: upper end


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of an evaluation."""

    name: str  #: its code: ``roc_auc`` ...
    estimate: Estimate  #: what was measured
    threshold: float | None = None  #: what the gate asks for
    is_passed: bool | None = None  #: whether it reaches the threshold; None when there is none


@dataclass(frozen=True, slots=True)
class Subgroup:
    """The metrics of one subgroup."""

    name: str  #: which rows: ``mean radius: upper third`` ...
    rows: int  #: how many of them
    estimates: tuple[Estimate | None, ...]  #: one per ``subgroup_metrics``; None: too few rows


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One signed test result."""

    result: Literal["PASSED", "WARNED", "FAILED"]  #: in-toto test-result word
    dataset: str  #: reference of the held-out data
    rows: int  #: rows of it
    confidence: float  #: level of the intervals, 0.95 for 95 %
    at: datetime  #: when it was signed
    who: Who  #: the agent that measured
    statement: str  #: digest of the signed statement
    metrics: tuple[Metric, ...]  #: over all rows
    subgroup_metrics: tuple[str, ...] = ()  #: column heads of the subgroup table
    subgroups: tuple[Subgroup, ...] = ()  #: its rows


@dataclass(frozen=True, slots=True)
class Scan:
    """What the scan of the files found."""

    is_clean: bool  #: whether nothing was found
    scanner: str  #: name and version of the scanner
    at: datetime  #: when
    findings: tuple[str, ...] = ()  #: what was found, one sentence each


@dataclass(frozen=True, slots=True)
class Signature:
    """One signed statement about this version."""

    predicate: str  #: predicate type
    identity: str  #: who signed, as in the certificate
    issuer: str  #: who vouched for that identity
    at: datetime  #: trusted time of the signature
    log_index: int | None  #: index in the signature log
    statement: str  #: digest of the statement
    is_verified: bool  #: whether it verified when last checked
    problem: Phrase = ""  #: why not
    who: Who | None = None  #: the person or agent whose identity it is, when known


@dataclass(frozen=True, slots=True)
class File:
    """One file of the version's manifest."""

    path: str  #: path inside the version
    role: FileRole  #: what it is for
    format: str  #: format id of ``policies/formats.yaml``
    verdict: Literal["servable", "record-only", "refused"]  #: what that policy allows
    size: int  #: bytes
    digest: str  #: of its bytes


@dataclass(frozen=True, slots=True)
class LineageNode:
    """One thing in the lineage."""

    ref: str  #: its reference
    kind: str  #: ``source``, ``artifact``, ``dataset``, ``features``, ``version``, ``deployment``
    name: str  #: shown name
    zone: str = ""  #: where its bytes are
    digest: str = ""  #: of its bytes, when it has them
    is_verified: bool | None = None  #: whether its signature verified; None when it is not signed
    is_subject: bool = False  #: whether this page is about it
    href: str = ""  #: page of it, when there is one


@dataclass(frozen=True, slots=True)
class LineageEdge:
    """One thing came out of another."""

    source: str  #: reference of the earlier thing
    target: str  #: reference of the later thing
    relation: str = ""  #: what the source was for the target: ``source``, ``dataset``, ``features``, ``weights`` ...


@dataclass(frozen=True, slots=True)
class Lineage:
    """From the raw file to the endpoint."""

    nodes: tuple[LineageNode, ...]  #: the things
    edges: tuple[LineageEdge, ...]  #: what came out of what


@dataclass(frozen=True, slots=True)
class Deployment:
    """One endpoint that serves this version, or did."""

    ref: str  #: its reference in the ledger
    endpoint: str  #: its address; empty before it serves
    zone: str  #: where it answers
    state: Literal["requested", "serving", "refused", "suspended", "stopped"]  #: what it does now
    since: datetime  #: since when
    agent: Who | None = None  #: the agent that serves it
    reason: Phrase = ""  #: why it is in that state
    finding: str = ""  #: the finding that suspended it


@dataclass(frozen=True, slots=True)
class Residency:
    """One decision whether bytes may be somewhere."""

    at: datetime  #: when it was decided
    operation: str  #: code of the movement: ``deploy``, ``download``, ``place`` ...
    from_zone: str  #: where the bytes are
    to_zone: str  #: where they were wanted
    is_allowed: bool  #: the decision
    rule: str  #: id of the rule that decided
    reason: Phrase  #: its sentence
    legal_basis: str = ""  #: the source of the rule in law
    certainty: Certainty | None = None  #: how well that source was checked
    index: int | None = None  #: ledger index


@dataclass(frozen=True, slots=True)
class EntryLine:
    """One ledger entry, in one line."""

    index: int  #: its place in the ledger
    at: datetime  #: when it happened
    kind: str  #: event kind, ``version.promoted``
    who: Who  #: the actor
    resource: str  #: reference of what it is about
    zone: str  #: where
    is_refusal: bool  #: whether a rule said no
    summary: Phrase = ""  #: the reason or the gist
    about: Who | None = None  #: the person or agent it is about; None when it is about something else


@dataclass(frozen=True, slots=True)
class ApproveForm:
    """What the signed-in person may approve here."""

    roles: tuple[Role, ...]  #: their roles that the gate still waits for
    meanings: tuple[str, ...]  #: English sentences to choose from: what the signature means, and what is signed
    days: int  #: how long the approval will hold
    bound_to: tuple[Binding, ...]  #: what it will be bound to
    seen: str  #: digest of that binding, posted back: what has changed since is not approved unseen


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The signed statement of the ledger's size and root."""

    origin: str  #: name of the ledger
    size: int  #: number of entries it covers
    root: str  #: Merkle root, as in the checkpoint (base64)
    note: str  #: the whole signed note, to compare or keep
    vkey: str  #: verifier key of the ledger
    at: datetime  #: when it was signed
    pending: int = 0  #: events committed that no checkpoint covers yet


@dataclass(frozen=True, slots=True)
class Proof:
    """Inclusion proof of one entry (RFC 9162 2.1.3) under a checkpoint."""

    size: int  #: tree size it is for
    root: str  #: root it leads to, hex
    path: tuple[str, ...]  #: the sibling hashes, leaf to root, hex
