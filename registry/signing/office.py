# SPDX-License-Identifier: Apache-2.0
"""What signing asks of an authority, whichever process holds its keys: the protocol between pen and office.

`registry.signing.desk` answers in this process (local mode), `registry.signing.socket_office` asks the signer's
process.  Either way a statement is handed over whole, so that whoever holds the keys sees what it signs, and decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from registry.signing.record import PublicRecord


class Office(Protocol):
    """A signing authority with a policy of its own."""

    @property
    def is_apart(self) -> bool:
        """Whether the keys are held by another process than this one."""
        ...

    @property
    def has_own_account(self) -> bool:
        """Whether that process runs under another account than this one, which then cannot read its memory."""
        ...

    @property
    def record(self) -> PublicRecord:
        """The public record as it is now: one object until it changes."""
        ...

    def sign(self, identity: str, statement: bytes) -> str:
        """Return the bundle over *statement*, in the name of a person or a service of the instance.

        Raises `Forbidden` for any other name, or a kind of statement that the name may not make, `Malformed` for what
        is no statement, `ClockUnreliable` and `Unavailable`.
        """
        ...

    def enrol(self, voucher: str, proof: str) -> str:
        """Register the key of a new agent, for ever, under its one-time token; return the key's fingerprint.

        *proof* is by that key (`registry.signing.possession`).  Raises `Unauthenticated`, and `Conflict` for an agent
        that is known with another key.
        """
        ...

    def signing_cert(self, body: Mapping[str, Any], token: str, proof: str = "") -> dict[str, Any]:
        """Answer a certificate request (Fulcio v2) for whoever *token* stands for; raises `Unauthenticated`.

        In the name of an agent only with its *proof*, by the key that it enrolled with.
        """
        ...

    def timestamp(self, query: bytes) -> bytes:
        """Answer a TimeStampReq (RFC 3161) by the office's own clock."""
        ...

    def log_entry(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Log a signature by a certificate of this authority that is valid now (Rekor v2)."""
        ...

    def close(self) -> None:
        """Let go of files or connections."""
        ...


@dataclass(frozen=True, slots=True)
class OfficeSigner:
    """A `Signer` for one name: the office does the signing."""

    office: Office
    identity: str

    def sign(self, statement: bytes) -> str:
        """Return the bundle over *statement*; raises what `Office.sign` raises."""
        return self.office.sign(self.identity, statement)
