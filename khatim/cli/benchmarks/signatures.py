# SPDX-License-Identifier: Apache-2.0
"""Signing and verifying: a whole Sigstore bundle, beside the bare signature inside it."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING

from khatim.cli.benchmarks.figures import Section, longer, timed
from khatim.cli.benchmarks.installation import ZONE, Installation, parts_of
from khatim.vocabulary import Digest
from khatim.wire import requests
from khatim.wire import work as wire

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

TIMES = 200
TIMES_OVER_HTTP = 100


def measure(here: Installation) -> Section:
    """Measure signing in the server's process and from an agent's, and verifying offline."""
    import httpx
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from registry.signing import possession, statements
    from registry.signing.signer import RemoteSigner
    from registry.signing.verification import verify_bundle

    parts = parts_of(here.data)
    notary = parts.notary
    here_signer = notary.signer_for(notary.service())

    def statement(number: int, kind: str = statements.ENGAGEMENT) -> bytes:
        subject = ("benchmark", Digest.of(str(number).encode()))
        return statements.statement([subject], kind, {"number": number, "what": "a benchmark"})

    bundles: list[str] = []
    signed = timed("sign in the server's process", lambda n: bundles.append(here_signer.sign(statement(n))), TIMES)
    with httpx.Client(base_url=here.url, timeout=30) as http:
        own = Ed25519PrivateKey.generate()
        agent = _enrolled(here, http, own)

        def prove(csr: bytes, token: str) -> str:
            return possession.prove_request(own, csr, token, agent.issuer, datetime.now(UTC))

        away = RemoteSigner(http, lambda: agent.token, prove=prove)
        remote = timed(
            "sign from an agent, three calls over HTTP",
            lambda n: away.sign(statement(n, statements.TEST_RESULT)),
            TIMES_OVER_HTTP,
        )
    policy = notary.policy()
    verified = timed("verify a bundle offline", lambda n: verify_bundle(bundles[n], notary.root, policy), TIMES)
    parts.office.close()
    parts.engine.dispose()

    key = generate_private_key(SECP256R1())
    public = key.public_key()
    made: list[bytes] = []
    algorithm = ECDSA(hashes.SHA256())
    bare = timed(
        "*anchor:* bare ECDSA P-256 signature", lambda n: made.append(key.sign(statement(n), algorithm)), TIMES
    )
    checked = timed(
        "*anchor:* bare ECDSA P-256 verification",
        lambda n: public.verify(made[n], statement(n), algorithm),
        TIMES,
    )
    digested = timed("*anchor:* SHA-256 of the bundle", lambda n: sha256(bundles[n].encode()).digest(), TIMES)
    return Section(
        "Signing and verifying",
        "To sign is: a fresh P-256 key, a ten-minute certificate with an embedded SCT, the signature, an RFC 3161 "
        "timestamp, an entry in the signature log that is flushed to disk before it answers, and the Sigstore bundle "
        "v0.3 over it all. To verify is everything that sigstore-python checks, and what Khatim checks beyond it. "
        f"One caller, one after the other, {TIMES} times ({TIMES_OVER_HTTP} over HTTP).",
        (signed, remote, verified, bare, checked, digested),
        (
            longer("time of a whole bundle ÷ a bare signature", signed, bare),
            longer("time of verifying a bundle ÷ a bare verification", verified, checked),
        ),
    )


def _enrolled(here: Installation, http: object, own: Ed25519PrivateKey) -> wire.Identity:
    """Enrol an agent, as `khatim agent run` does at its first start."""
    import httpx

    from khatim.wire import answers
    from registry.signing import possession

    if not isinstance(http, httpx.Client):
        raise TypeError(type(http).__name__)
    engineer = here.issue("Pavel", "platform-engineer")
    asked = requests.Invite(zone=ZONE).model_dump()
    invited = http.post("/v1/agents/invitations", json=asked, headers={"Authorization": f"Bearer {engineer}"})
    token = answers.Invitation.model_validate(invited.raise_for_status().json()).token
    proof = possession.prove_enrolment(own, token, datetime.now(UTC))
    body = wire.Enrol(name="bench", door="http://127.0.0.1:1", proof=proof).model_dump()
    enrolled = http.post("/v1/agent/enrolment", json=body, headers={"Authorization": f"Bearer {token}"})
    return wire.Identity.model_validate(enrolled.raise_for_status().json())
