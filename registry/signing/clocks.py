# SPDX-License-Identifier: Apache-2.0
"""Whose clocks dated a signature: the timestamp authorities of a trust root.  The door of ``rfc3161_client``.

The operator's own timestamp must be there.  A second one, by an authority that the operator does not run, makes the
time the word of two; when they disagree, neither is believed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from rfc3161_client import TimeStampResponse, VerifierBuilder, decode_timestamp_response

from khatim.errors import Malformed, SignatureInvalid
from registry.signing.binding import ASK_ROOT, ASK_SIGNER, Window
from registry.signing.encoding import rfc3339, unb64

TOLERANCE = timedelta(seconds=60)
"""How far two timestamps of one signature may be apart: networks, queues and the accuracy of honest clocks."""


@dataclass(frozen=True, slots=True)
class Clock:
    """A timestamp authority: its address, certificates (its own first), time in office, and whether it is outside."""

    address: str
    chain: tuple[x509.Certificate, ...]
    office: Window
    is_outside: bool = False

    def verified(self, response: TimeStampResponse, message: bytes) -> datetime:
        """Return the time of a *response* of this authority over *message*; raises `SignatureInvalid`."""
        builder = VerifierBuilder().tsa_certificate(self.chain[0]).add_root_certificate(self.chain[-1])
        for one in self.chain[1:-1]:
            builder = builder.add_intermediate_certificate(one)
        try:
            builder.build().verify_message(response, message)
        except Exception as wrong:  # fed with hostile bytes: whatever it raises, the timestamp is not verified
            raise SignatureInvalid(
                f"the timestamp of {self.address or 'the timestamp authority'} does not hold",
                advice=ASK_SIGNER,
                cause=str(wrong)[:200],
            ) from wrong
        return self.read(response)

    def read(self, response: TimeStampResponse) -> datetime:
        """Return the time that a verified *response* says; raises `SignatureInvalid` when it is not of its office."""
        at = response.tst_info.gen_time.astimezone(UTC)
        if at not in self.office:
            raise SignatureInvalid(f"the timestamp authority was not in office at {rfc3339(at)}", advice=ASK_ROOT)
        return at


@dataclass(frozen=True, slots=True)
class Dated:
    """When a signature was made, by the operator's clock; whose it is; and the one outside that agrees, if any."""

    at: datetime
    clock: str
    outside: str = ""


@dataclass(frozen=True, slots=True)
class Clocks:
    """The timestamp authorities of a trust root by issuer and serial number of the certificates that sign."""

    known: Mapping[tuple[x509.Name, int], Clock]

    @classmethod
    def of(cls, trusted_root: Mapping[str, Any]) -> Clocks:
        """Read the timestamp authorities of a trusted root; raises `Malformed`, `KeyError` or `ValueError`.

        Those below the domain of the certificate authority are the operator's own; where none is, all are.
        """
        listed = trusted_root["timestampAuthorities"]
        domains = {_domain(str(one.get("uri", ""))) for one in trusted_root["certificateAuthorities"]} - {""}
        own = [any(_host(one).endswith(f".{domain}") for domain in domains) for one in listed]
        found = {}
        for one, is_own in zip(listed, own, strict=True):
            raw = [unb64(each["rawBytes"], "the certificate of a clock") for each in one["certChain"]["certificates"]]
            chain = tuple(x509.load_der_x509_certificate(each) for each in raw)
            clock = Clock(str(one.get("uri", "")), chain, Window.of(one.get("validFor")), any(own) and not is_own)
            found[chain[0].issuer, chain[0].serial_number] = clock
        return cls(found)

    def dated(self, responses: Sequence[bytes], message: bytes, *, is_verified: bool = False) -> Dated:
        """Return when *message* was signed, by its timestamps (TimeStampResp, DER); raises `SignatureInvalid`.

        Exactly one is the operator's.  One of an authority that the trust root does not name counts for nothing; one
        of an authority that it names must hold, and agree with the operator's to `TOLERANCE`.

        With *is_verified* sigstore-python found one that holds by this very trust root; where there is but one it is
        not verified again.  Whose it is still follows from its signer, which the verified signature covers.
        """
        named = [(clock, response) for response in map(_read, responses) if (clock := self._by(response))]
        own = [(clock, response) for clock, response in named if not clock.is_outside]
        if len(own) != 1:
            many = "more than one timestamp" if own else "no timestamp"
            raise SignatureInvalid(f"{many} by the operator's own timestamp authority vouches for it", advice=ASK_ROOT)
        clock, response = own[0]
        at = clock.read(response) if is_verified and len(responses) == 1 else clock.verified(response, message)
        for clock, response in named:
            if not clock.is_outside:
                continue
            other = clock.verified(response, message)
            if abs(other - at) > TOLERANCE:
                raise SignatureInvalid(
                    f"the two timestamps disagree: {rfc3339(at)} by {own[0][0].address}, {rfc3339(other)} by "
                    f"{clock.address}",
                    advice="One of the two clocks is wrong. Have it set, and the statement signed again.",
                )
            return Dated(at, own[0][0].address, clock.address)
        return Dated(at, own[0][0].address)

    def _by(self, response: TimeStampResponse) -> Clock | None:
        signers = ((one.issuer, one.serial_number) for one in response.signed_data.signer_infos)
        return next((self.known[one] for one in signers if one in self.known), None)


def clock_of(address: str, chain: Sequence[x509.Certificate], office: Window) -> Clock:
    """Return an authority outside; raises `Malformed` for a chain without an issuer."""
    if len(chain) < 2:  # noqa: PLR2004 - the authority's own certificate and its root
        raise Malformed("the chain of a timestamp authority has its own certificate first and its root last")
    return Clock(address, tuple(chain), office, is_outside=True)


def time_of(clock: Clock, response: bytes, message: bytes) -> datetime:
    """Return the time of a TimeStampResp (DER) of *clock*; raises `SignatureInvalid`, also for another's."""
    return clock.verified(_read(response), message)


def _read(response: bytes) -> TimeStampResponse:
    try:
        return decode_timestamp_response(response)
    except Exception as wrong:  # the parser of hostile bytes
        raise SignatureInvalid("a timestamp in the bundle cannot be read", advice=ASK_SIGNER) from wrong


def _host(body: Mapping[str, Any]) -> str:
    return urlsplit(str(body.get("uri", ""))).hostname or ""


def _domain(uri: str) -> str:
    """Return the domain above a host: that of the instance whose service it is."""
    return (urlsplit(uri).hostname or "").partition(".")[2]
