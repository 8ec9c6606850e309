# SPDX-License-Identifier: Apache-2.0
"""Every error of Khatim, raised in the server, rendered as problem+json (RFC 9457), raised again in the SDK.

::

    KhatimError                      500
    ├── Malformed                    422   the body or a value in it cannot be read
    │   ├── ContractUnreadable             a data contract is wrong in itself
    │   ├── PersonalData                   a text that would stand in the ledger for ever names a person
    │   ├── DataUnreadable                 a data file cannot be parsed at all
    │   └── SchemaMismatch                 a file's columns are not those of its contract
    ├── Unauthenticated              401   no valid token
    │   ├── TokenExpired                   the token or sign-in link has expired
    │   └── LinkUsed                       the sign-in link or enrolment token was used before
    ├── NotFound                     404   absent, or invisible to the caller
    │   └── EntryArchived            410   the entry lies in an archive, which is named
    ├── Refused                      403   a rule said no: recorded in the ledger
    │   ├── Forbidden                      access control said no
    │   ├── ResidencyRefused               bytes may not be there
    │   ├── GateNotSatisfied               a requirement of the transition is unmet
    │   ├── SeparationOfDuties             the same person on both sides
    │   ├── WaiverRefused                  this requirement may not be excused so
    │   ├── AssignmentRefused              this role may not be held so
    │   ├── OutsideAuthorisation           the run is not inside a standing authorisation
    │   ├── FormatRefused                  the file format may not be served or promoted
    │   ├── TicketRefused                  the zone door does not honour this ticket
    │   ├── RevokedRefused                 it rests on what was revoked
    │   ├── ErasureHeld                    an obligation to keep stands against the erasure
    │   └── Erased                         the person behind this reference was erased
    ├── Conflict                     409   the state does not allow it now
    │   ├── AlreadyExists                  the name or version is taken
    │   ├── StaleFence                     the lease belongs to somebody else by now
    │   └── IdempotencyMismatch            the key was used for another request
    ├── Changed                      412   what was looked at is not what it is now
    ├── TooLarge                     413   over the size limit
    ├── StoreFull                    507   the zone's store has no room; nothing was kept
    ├── RegistryFull                 507   the disk of the database or the ledger is full; nothing was changed
    ├── Suspended                    423   the endpoint's approval is suspended; names the finding
    ├── Unavailable                  503   a part that must answer does not (never a refusal)
    │   ├── ClockUnreliable                nothing is signed by a clock that is off
    │   └── LedgerReadOnly                 the ledger signs nothing until somebody has decided what happened
    ├── VerificationFailed           422   a signature, digest or binding does not hold
    │   ├── SignatureInvalid               a bundle does not verify
    │   ├── NotWitnessed                   too few witnesses have seen the checkpoint
    │   └── LedgerInvalid                  chain, tree or checkpoint does not re-derive; names the place
    │       └── LedgerForked               going on from here would contradict what was signed before
    ├── Misconfigured                500   settings contradict each other; refuses to start
    └── Unsealed                     500   a programming error caught before commit
        ├── UnrecordedChange               a governed row changed without an event
        └── UnauthorizedChange             a governed row changed without a permission
"""

from __future__ import annotations

from khatim.faults import PROBLEM_BASE, KhatimError, from_problem

__all__ = ["PROBLEM_BASE", "KhatimError", "from_problem"]  # told anew from here, beside all that is defined below


class Malformed(KhatimError):
    """The request cannot be read."""

    status = 422


class ContractUnreadable(Malformed):
    """The data contract is wrong in itself."""


class PersonalData(Malformed):
    """A text that would stand in the ledger for ever names a person."""

    advice = (
        "Write business reasons only: no e-mail address, telephone number or identity number. "
        "Name a colleague by the reference that the console shows."
    )


class DataUnreadable(Malformed):
    """The data file cannot be parsed."""


class SchemaMismatch(Malformed):
    """The file's columns are not those of its contract."""


class Unauthenticated(KhatimError):
    """Nobody is signed in."""

    status = 401
    advice = "Send a bearer token: khatim token issue, or sign in at the console."


class TokenExpired(Unauthenticated):
    """The token or link has expired."""

    advice = "Ask for a new one."


class LinkUsed(Unauthenticated):
    """This single-use link or token was used before."""

    advice = "Ask for a new one; if you did not use it yourself, tell your platform engineer."


class NotFound(KhatimError):
    """There is no such thing, or you may not see it."""

    status = 404


class EntryArchived(NotFound):
    """The entry has left the database and lies in an archive."""

    status = 410


class Refused(KhatimError):
    """A rule said no."""

    status = 403


class Forbidden(Refused):
    """Your roles do not allow this."""


class ResidencyRefused(Refused):
    """The bytes may not be there."""


class GateNotSatisfied(Refused):
    """Requirements of this transition are not met."""


class SeparationOfDuties(Refused):
    """The same person may not do both."""


class WaiverRefused(Refused):
    """This requirement may not be excused so."""


class AssignmentRefused(Refused):
    """This role may not be held so."""


class OutsideAuthorisation(Refused):
    """The run is not inside a standing training authorisation."""


class FormatRefused(Refused):
    """This file format may not be used so."""


class TicketRefused(Refused):
    """The zone door does not honour this ticket."""


class RevokedRefused(Refused):
    """This rests on something that was revoked."""

    advice = "See what was revoked and why: khatim revocations.  Make it anew from what still holds."


class ErasureHeld(Refused):
    """An obligation to keep this stands against its erasure."""


class Erased(Refused):
    """The person behind this reference was erased."""

    advice = "A reference is never given to somebody again: ask for a token under a new name."


class Conflict(KhatimError):
    """The present state does not allow this."""

    status = 409


class AlreadyExists(Conflict):
    """The name is taken."""


class StaleFence(Conflict):
    """The lease has passed to another agent."""

    advice = "Stop the work and throw its result away; another agent holds the job now."


class IdempotencyMismatch(Conflict):
    """This Idempotency-Key was used for another request."""

    advice = "Use a new key for a new request."


class Changed(KhatimError):
    """What you looked at is not what it is now."""

    status = 412
    advice = "Look at what is new, and decide then."


class TooLarge(KhatimError):
    """The body is over the size limit."""

    status = 413


class StoreFull(KhatimError):
    """The zone's store has no room; nothing was kept."""

    status = 507


class RegistryFull(KhatimError):
    """The registry's disk is full; nothing was changed."""

    status = 507
    advice = (
        "Reading, serving, revoking and signing in go on. Tell your platform engineer: free room on the volume, or "
        "make it larger; writing goes on by itself."
    )


class Suspended(KhatimError):
    """The approval of this endpoint is suspended."""

    status = 423


class Unavailable(KhatimError):
    """A part that must answer does not."""

    status = 503


class ClockUnreliable(Unavailable):
    """The clock of this machine cannot be trusted; nothing is signed by it."""

    advice = "Set the clock of the machine that signs, then try again; nothing was signed meanwhile."


class LedgerReadOnly(Unavailable):
    """The ledger is read-only: nothing that must be recorded can change now."""

    advice = (
        "Reading and serving go on. Tell your platform engineer: khatim ledger recover plan says what was lost and "
        "what can be done."
    )


class VerificationFailed(KhatimError):
    """A claim does not hold."""

    status = 422


class SignatureInvalid(VerificationFailed):
    """The signature does not verify."""


class LedgerInvalid(VerificationFailed):
    """The ledger does not re-derive."""


class NotWitnessed(VerificationFailed):
    """Too few witnesses have seen this checkpoint."""

    advice = "Wait for the witnesses, or look why they do not answer; until then it is the operator's word alone."


class LedgerForked(LedgerInvalid):
    """The ledger does not extend what was signed before."""


class Misconfigured(KhatimError):
    """The settings contradict each other."""


class Unsealed(KhatimError):
    """A change was about to be committed without its record."""


class UnrecordedChange(Unsealed):
    """A governed row changed without a recorded event."""


class UnauthorizedChange(Unsealed):
    """A governed row changed without a permission being asked."""
