# SPDX-License-Identifier: Apache-2.0
"""What each page of the console is given: one frozen dataclass per page, every field documented where it stands.

A template may read these fields and nothing else: `rendering` refuses undefined names, and a test watches that each
field is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from audit.reserve import Pressure
from gateway.console.parts import (
    Approval,
    ApproveForm,
    Checkpoint,
    Deployment,
    EntryLine,
    Evaluation,
    File,
    Gate,
    Lineage,
    NextStep,
    Phrase,
    Proof,
    Residency,
    Scan,
    Signature,
    Who,
)
from khatim.vocabulary import Role, Stage, VersionStatus


@dataclass(frozen=True, slots=True)
class Notice:
    """What came of the form that was just sent."""

    is_done: bool  #: True: it happened; False: it was refused
    text: Phrase  #: one sentence
    advice: Phrase = ""  #: what to do now
    index: int | None = None  #: ledger index of the entry that records it, when already assigned


@dataclass(frozen=True, slots=True)
class Chrome:
    """What stands around every page."""

    here: str  #: path and query of this page without ``lang`` and ``theme``
    instance: str  #: name of this registry: its ledger's origin
    zone: str  #: declared zone of the control plane
    is_local_mode: bool  #: whether people are local (loopback, no identity provider)
    who: Who | None = None  #: who is signed in
    roles: tuple[Role, ...] = ()  #: the roles this person holds now
    sees_ledger: bool = False  #: whether these roles may read the ledger
    csrf: str = ""  #: token that every form sends back in the field ``csrf``
    notice: Notice | None = None  #: result of the last form
    is_degraded: bool = False  #: whether approvals are signed with a bare key
    disk: Pressure = Pressure.ROOM  #: how full the registry's disk is


@dataclass(frozen=True, slots=True)
class SignInPage:
    """The sign-in page: with the identity provider or, in local mode, the one-time link from the terminal."""

    chrome: Chrome  #: what stands around
    state: Literal["ask", "confirm", "expired", "used", "invalid", "refused"]  #: what the link is, or the sign-in was
    link: str = ""  #: the link's secret, posted back in the field ``link`` when the person confirms
    person: Who | None = None  #: for whom a good link was made
    provider: str = ""  #: host of the identity provider; empty in local mode
    begin: str = ""  #: where signing in with it begins; empty when this console has no client there
    why: str = ""  #: why the provider did not sign the person in
    is_out: bool = False  #: whether they have just signed out
    end_session: str = ""  #: where to sign out of the provider as well


@dataclass(frozen=True, slots=True)
class ErrorPage:
    """A problem (RFC 9457), as a page."""

    chrome: Chrome  #: what stands around
    status: int  #: HTTP status
    title: str  #: first line of the error's docstring; translated through the catalogue
    detail: Phrase  #: what happened this time
    advice: Phrase = ""  #: what the person can do
    slug: str = ""  #: last part of the problem type, for support
    request_id: str = ""  #: finds the request in the logs
    members: tuple[tuple[str, str], ...] = ()  #: the problem's extension members: rule, legal basis, unmet ...
    is_recorded: bool = False  #: whether a refusal was written to the ledger
    back: str = ""  #: address of the page from which the refused form was sent


@dataclass(frozen=True, slots=True)
class Tally:
    """How far the approvals of a version are."""

    state: Literal["none", "waiting", "complete", "expired", "suspended"]  #: where they stand
    given: int = 0  #: approvals in force
    needed: int = 0  #: approvals the gate to production asks for


@dataclass(frozen=True, slots=True)
class ModelLine:
    """One registered model, with its latest version."""

    namespace: str  #: its namespace
    name: str  #: its name inside the namespace
    version: int | None  #: number of the latest version; None while there is none
    stage: Stage  #: stage of that version
    status: VersionStatus  #: whether its files were scanned
    zone: str  #: zone that holds its files
    tags: tuple[str, ...]  #: data tags it inherited from its data
    approvals: Tally  #: how far its approvals are
    changed_at: datetime  #: when the latest version was registered or last changed


@dataclass(frozen=True, slots=True)
class ModelsPage:
    """The list of registered models."""

    chrome: Chrome  #: what stands around
    search: str  #: what the person typed
    models: tuple[ModelLine, ...]  #: this page of the list, by name
    after: str = ""  #: cursor that led here; empty on the first page
    next_after: str = ""  #: cursor of the next page; empty on the last


@dataclass(frozen=True, slots=True)
class VersionPage:
    """One model version with everything needed to decide about it."""

    chrome: Chrome  #: what stands around
    namespace: str  #: namespace of the model
    model: str  #: name of the model
    number: int  #: number of the version
    numbers: tuple[int, ...]  #: the versions beside it, newest first, this one included
    digest: str  #: of the manifest: what an approval binds
    stage: Stage  #: where it stands
    is_alone: bool  #: in production on the word of who made it alone
    status: VersionStatus  #: whether its files were scanned
    status_message: Phrase  #: why registration failed; empty otherwise
    revoked: Phrase  #: why the version was revoked; empty while it is not
    zone: str  #: zone that holds its files
    tags: tuple[str, ...]  #: data tags
    tier: int  #: risk tier of the model, 1 being the highest risk
    aliases: tuple[str, ...]  #: aliases that point here
    registered_at: datetime  #: when it was registered
    registered_by: Who  #: who asked for it
    description: str  #: what people wrote about it
    step: NextStep  #: what waits
    gate: Gate | None  #: the next gate; None when there is none
    approvals: tuple[Approval, ...]  #: newest first
    evaluations: tuple[Evaluation, ...]  #: newest first
    scan: Scan | None  #: None while it runs
    signatures: tuple[Signature, ...]  #: newest first
    files: tuple[File, ...]  #: the manifest
    lineage: Lineage  #: from the raw file to the endpoint
    deployments: tuple[Deployment, ...]  #: newest first
    residency: tuple[Residency, ...]  #: newest first
    history: tuple[EntryLine, ...]  #: newest first, the most recent ones
    approve: ApproveForm | None = None  #: None when this person may not approve now
    why_not_approve: Phrase = ""  #: said in place of the form
    promote_to: Stage | None = None  #: stage this person may promote to; None: no form


@dataclass(frozen=True, slots=True)
class LedgerPage:
    """The ledger, newest entries first."""

    chrome: Chrome  #: what stands around
    entries: tuple[EntryLine, ...]  #: this page of it
    checkpoint: Checkpoint | None  #: None before the first one
    kinds: tuple[str, ...]  #: event kinds to offer in the filter
    kind: str = ""  #: kind asked for
    resource: str = ""  #: resource asked for
    only_refusals: bool = False  #: whether only refusals were asked for
    before: int | None = None  #: cursor that led here: entries before this index
    next_before: int | None = None  #: cursor of the next, older page; None on the last


@dataclass(frozen=True, slots=True)
class EntryPage:
    """One ledger entry with its bytes and its proof."""

    chrome: Chrome  #: what stands around
    entry: EntryLine  #: what it says
    raw: str  #: its bytes, indented for reading
    previous: str  #: hash of the entry before, hex
    leaf: str  #: its leaf hash, hex
    checkpoint: Checkpoint | None  #: the checkpoint that covers it
    proof: Proof | None  #: None while no checkpoint covers it
    newer: int | None = None  #: index of the next entry
    older: int | None = None  #: index of the entry before


Context = SignInPage | ErrorPage | ModelsPage | VersionPage | LedgerPage | EntryPage

PAGES: dict[str, type[Context]] = {
    "sign_in": SignInPage,
    "error": ErrorPage,
    "models": ModelsPage,
    "version": VersionPage,
    "ledger": LedgerPage,
    "entry": EntryPage,
}
