# SPDX-License-Identifier: Apache-2.0
"""An agent's name belongs to the key that it enrolled with: a web worker with all its own keys signs as no agent."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from khatim import tokens
from khatim.errors import Conflict, Forbidden, KhatimError, Malformed, Misconfigured, Unauthenticated
from khatim.vocabulary import Digest
from registry.signing import identity, possession, statements, trust
from registry.signing.agent_book import AgentBook
from registry.signing.desk import LocalOffice
from registry.signing.encoding import b64
from registry.signing.possession import Enrolment
from registry.signing.verification import verify_bundle
from runners.agents import AUDIENCE
from runners.zone.connection import own_key
from tests.support.http import good, problem
from tests.support.world import ABROAD, ZONE, World

ISSUER = "https://test"
TESTED = statements.statement([("m", Digest.of(b"m"))], statements.TEST_RESULT, {"result": "PASSED"})


def csr() -> bytes:
    """Return a certificate request by a fresh key (PEM)."""
    made = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    signed = made.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM)


def asked(request: bytes) -> dict[str, Any]:
    return {"certificateSigningRequest": b64(request)}


def office_of(world: World) -> LocalOffice:
    assert isinstance(world.parts.office, LocalOffice)
    return world.parts.office


def voucher(world: World, agent: str, **changes: Any) -> str:
    """Return an enrolment token as the web server's key makes it, for any agent that it names."""
    said = {"kind": "enrolment", "subject": f"enrolment:{agent}", "audience": AUDIENCE, "issuer": ISSUER, "jti": agent,
            "at": world.clock(), "ttl": timedelta(minutes=5), "zone": ZONE, **changes}  # fmt: skip
    return tokens.issue(world.parts.issuer.key, **said)


# --- the ordinary path ---


def test_an_agent_signs_with_the_key_that_it_enrolled_with(enrolled: World) -> None:
    agent = enrolled.agent
    found = verify_bundle(agent.remote(enrolled.http).sign(TESTED), enrolled.parts.notary.root, policy(enrolled))
    assert found.identity == identity.agent("test", ZONE, agent.ref.removeprefix("agent:"))


def test_the_ledger_and_the_signers_book_name_the_same_key(world: World) -> None:
    world.told()
    agent = world.enrol()
    event = next(one for one in world.told() if one["kind"] == "agent.enrolled")
    name = agent.ref.removeprefix("agent:")
    known = office_of(world).agents.agents()[name]
    assert (known.zone, known.key) == (ZONE, event["payload"]["key"])
    assert known.key == possession.fingerprint(agent.key.public_key())
    last = list(office_of(world).journal.lines())[-1]
    assert (last["did"], last["who"], last["key"]) == ("enrolled", name, known.key)


# --- a web worker that was taken over: it has the key of the tokens, and the office to ask ---


@pytest.mark.parametrize("proof", ["none", "its own key", "another request", "another token", "old", "nonsense"])
def test_a_web_worker_with_all_its_own_keys_gets_no_agents_certificate(enrolled: World, proof: str) -> None:
    agent, now = enrolled.agent, enrolled.clock()
    elsewhere = enrolled.agent_token(agent.ref)
    minted, request = enrolled.agent_token(agent.ref), csr()
    # What it saw pass by: proofs by the agent's own key, for something else or of another time.
    proofs: dict[str, Callable[[], str]] = {
        "none": str,
        "its own key": lambda: possession.prove_request(enrolled.parts.issuer.key, request, minted, ISSUER, now),
        "another request": lambda: possession.prove_request(agent.key, csr(), minted, ISSUER, now),
        "another token": lambda: possession.prove_request(agent.key, request, elsewhere, ISSUER, now),
        "old": lambda: possession.prove_request(agent.key, request, minted, ISSUER, now - timedelta(minutes=2)),
        "nonsense": lambda: "a.b.c",
    }  # fmt: skip
    with pytest.raises(Unauthenticated):
        office_of(enrolled).signing_cert(asked(request), minted, proofs[proof]())
    last = list(office_of(enrolled).journal.lines())[-1]
    assert (last["did"], last["what"]) == ("refused", "certificate")
    right = possession.prove_request(agent.key, request, minted, ISSUER, now)
    assert office_of(enrolled).signing_cert(asked(request), minted, right), "the agent itself"


def test_nor_with_a_key_and_the_proof_of_possession_that_cosign_sends(enrolled: World) -> None:
    key, ref = ec.generate_private_key(ec.SECP256R1()), enrolled.memory.agent
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    proof = b64(key.sign(ref.encode(), ec.ECDSA(hashes.SHA256())))
    body = {"publicKeyRequest": {"publicKey": {"content": public.decode()}, "proofOfPossession": proof}}
    headers = {"Authorization": f"Bearer {enrolled.agent_token(ref)}"}
    told = problem(enrolled.http.post(trust.SIGNING_CERT_PATH, json=body, headers=headers), 401, "unauthenticated")
    assert "own key" in told["detail"]


def test_nor_by_asking_the_signer_to_sign_in_the_agents_name(enrolled: World) -> None:
    name = identity.agent("test", ZONE, enrolled.memory.agent.removeprefix("agent:"))
    with pytest.raises(Forbidden):
        office_of(enrolled).sign(name, TESTED)


def test_the_key_of_an_agent_is_never_replaced(enrolled: World) -> None:
    name, thief = enrolled.memory.agent.removeprefix("agent:"), Ed25519PrivateKey.generate()
    before = office_of(enrolled).agents.agents()[name]
    for zone in (ZONE, ABROAD):
        forged = voucher(enrolled, name, zone=zone)
        with pytest.raises(Conflict, match="another key"):
            office_of(enrolled).enrol(forged, possession.prove_enrolment(thief, forged, enrolled.clock()))
    assert office_of(enrolled).agents.agents()[name] == before
    assert list(office_of(enrolled).journal.lines())[-1]["why"] == "conflict"


def test_an_agents_key_is_no_key_in_another_zone(enrolled: World) -> None:
    token, request = enrolled.agent_token(enrolled.memory.agent, ABROAD), csr()
    proof = possession.prove_request(enrolled.agent.key, request, token, ISSUER, enrolled.clock())
    with pytest.raises(Unauthenticated, match="another zone"):
        office_of(enrolled).signing_cert(asked(request), token, proof)


def test_a_new_agent_that_a_web_worker_makes_up_stands_in_the_book_and_not_in_the_ledger(world: World) -> None:
    made, thief = str(uuid.uuid4()), Ed25519PrivateKey.generate()
    forged = voucher(world, made)
    world.told()
    key = office_of(world).enrol(forged, possession.prove_enrolment(thief, forged, world.clock()))
    assert office_of(world).agents.agents()[made] == Enrolment(made, ZONE, key)
    assert "agent.enrolled" not in world.kinds(), "what the book has and the ledger has not is what to look for"


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "agent"}, {"audience": "sigstore"}, {"issuer": "https://other"}, {"zone": ""},
        {"subject": "enrolment:another"}, {"ttl": timedelta(minutes=-1)},
    ],
    ids=["kind", "audience", "issuer", "no zone", "another id", "expired"],
)  # fmt: skip
def test_another_token_is_no_voucher(world: World, changes: dict[str, Any]) -> None:
    forged = voucher(world, str(uuid.uuid4()), **changes)
    with pytest.raises(Unauthenticated):
        office_of(world).enrol(forged, possession.prove_enrolment(Ed25519PrivateKey.generate(), forged, world.clock()))


def test_an_enrolment_without_the_proof_of_a_key_makes_no_agent(world: World) -> None:
    token = world.invite()
    body = {"name": "a", "door": "http://127.0.0.1:9", "proof": world.proof(world.invite())}
    problem(world.bearer(token).post("/v1/agent/enrolment", body), 401, "unauthenticated")
    assert world.sql("SELECT count(*) FROM agents") == [(0,)]
    good(world.bearer(token).post("/v1/agent/enrolment", {**body, "proof": world.proof(token)}))


# --- the book ---


def test_the_book_outlives_its_process_and_a_line_that_a_crash_cut_short(tmp_path: Path, world: World) -> None:
    path, at = tmp_path / "agents" / "agents.jsonl", world.clock()
    one, two = Enrolment("a-1", ZONE, "11"), Enrolment("a-2", ZONE, "22")
    first = AgentBook(path)
    assert first.register(one, at)
    assert not first.register(one, at), "again is no news"
    with path.open("ab") as file:
        file.write(b'{"agent":"a-2","zone":"ae-hea')
    second = AgentBook(path)
    assert second.register(two, at)
    first.require("a-2", ZONE, "22")  # registered by another process meanwhile
    with pytest.raises(Conflict):
        first.register(Enrolment("a-2", ZONE, "33"), at)
    assert AgentBook(path).agents() == {"a-1": one, "a-2": two}
    path.write_bytes(b"")
    with pytest.raises(Misconfigured, match="shortened"):
        first.agents()
    assert path.stat().st_mode & 0o077 == 0


def test_the_agents_own_key_is_made_once_and_kept_from_others(tmp_path: Path) -> None:
    path = tmp_path / "identity.key"
    made = own_key(path)
    assert own_key(path).private_bytes_raw() == made.private_bytes_raw()
    path.chmod(0o644)
    with pytest.raises(Misconfigured, match="others may read"):
        own_key(path)
    path.chmod(0o600)
    path.write_bytes(b"nonsense")
    with pytest.raises(Misconfigured, match="cannot be read"):
        own_key(path)


@pytest.mark.parametrize("body", [{}, {"certificateSigningRequest": "%"}])
def test_a_request_that_cannot_be_read_is_refused(enrolled: World, body: dict[str, Any]) -> None:
    token = enrolled.agent_token(enrolled.memory.agent)
    proof = possession.prove_request(enrolled.agent.key, csr(), token, ISSUER, enrolled.clock())
    with pytest.raises(KhatimError) as refused:
        office_of(enrolled).signing_cert(body, token, proof)
    assert isinstance(refused.value, Unauthenticated | Malformed)


def policy(world: World) -> identity.IdentityPolicy:
    return world.parts.notary.policy(ZONE)
