# SPDX-License-Identifier: Apache-2.0
"""The authority at the host root of the running app: unmodified clients sign there; wrong tokens earn nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
import uvicorn
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from gateway import app
from khatim import tokens
from khatim.errors import Unauthenticated, Unavailable
from khatim.vocabulary import Digest
from registry.signing import identity, oms, statements, trust
from registry.signing.desk import LocalOffice
from registry.signing.encoding import b64
from registry.signing.identity import IdentityPolicy
from registry.signing.outside_issuers import OutsideIssuer
from registry.signing.published_keys import AGAIN_S, PublishedKeys
from registry.signing.statements import OMS_SIGNATURE
from registry.signing.verification import verify_bundle
from tests.support.http import problem
from tests.support.people import SAMI
from tests.support.world import World

ISSUER = "https://test"
OUTSIDE = "https://accounts.example.org"


@pytest.fixture
def url(world: World) -> Iterator[str]:
    """Serve the app on a free port of loopback, as `khatim up` does."""
    config = uvicorn.Config(app.create(world.parts), host="127.0.0.1", port=0, log_level="error", lifespan="off")
    socket = config.bind_socket()
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{socket.getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def config(world: World, url: str, tmp_path: Path) -> Path:
    path = tmp_path / "client_trust_config.json"
    path.write_text(trust.dumps(trust.client_trust_config(world.parts.office.record, url)))
    return path


def run(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a module with a home of its own, as somebody does who has nothing of ours."""
    return subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        cwd=cwd, env={"HOME": str(cwd), "PATH": "", "NO_PROXY": "*"}, capture_output=True, text=True, check=False,
        timeout=120,
    )  # fmt: skip


def token(world: World, **ttl: float) -> str:
    life = timedelta(**(ttl or {"minutes": 10}))
    return world.parts.local_tokens.sigstore(SAMI.ref, at=world.clock(), ttl=life)


def person() -> str:
    return identity.person("test", SAMI.ref)


# --- unmodified clients ---


def test_the_sigstore_command_signs_and_verifies_with_a_local_token(world: World, config: Path) -> None:
    (config.parent / "report").write_bytes(b"report")
    signed = run(
        "sigstore", "--trust-config", config, "sign", "--identity-token", token(world), "report", cwd=config.parent
    )
    assert signed.returncode == 0, signed.stdout + signed.stderr
    verified = run(
        "sigstore", "--trust-config", config, "verify", "identity", "--cert-identity", person(),
        "--cert-oidc-issuer", ISSUER, "--offline", "report", cwd=config.parent,
    )  # fmt: skip
    assert verified.returncode == 0, verified.stderr
    assert "OK: report" in verified.stderr
    (config.parent / "report").write_bytes(b"changed")
    again = run(
        "sigstore", "--trust-config", config, "verify", "identity", "--cert-identity", person(),
        "--cert-oidc-issuer", ISSUER, "--offline", "report", cwd=config.parent,
    )  # fmt: skip
    assert again.returncode != 0


def test_the_model_signing_command_signs_and_verifies_with_a_local_token(world: World, config: Path) -> None:
    folder = config.parent / "malignancy"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"onnx")
    signed = run(
        "model_signing", "sign", "sigstore", "--trust_config", config, "--identity_token", token(world),
        "--signature", "model.sig", folder, cwd=config.parent,
    )  # fmt: skip
    assert signed.returncode == 0, signed.stdout + signed.stderr
    verified = run(
        "model_signing", "verify", "sigstore", "--trust_config", config, "--identity", person(),
        "--identity_provider", ISSUER, "--signature", "model.sig", folder, cwd=config.parent,
    )  # fmt: skip
    assert verified.returncode == 0, verified.stdout + verified.stderr

    theirs = IdentityPolicy.of_instance("test", ISSUER, {OMS_SIGNATURE: ("person/*",)})
    bundle = (config.parent / "model.sig").read_text()
    found = verify_bundle(bundle, world.parts.notary.root, theirs)
    oms.check_folder(statements.parse(json.dumps(found.statement).encode()), folder)


def test_the_discovery_document_names_what_clients_look_for(url: str) -> None:
    found = httpx.get(f"{url}/.well-known/openid-configuration").json()
    assert found["issuer"] == url
    assert found["authorization_endpoint"].startswith(url)
    assert found["token_endpoint"].startswith(url)


# --- tokens that earn nothing, and those that do ---


def asked(challenge: str) -> dict[str, Any]:
    """Return a request for a certificate as cosign makes it: a key, and a signature over the token's subject."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    proof = key.sign(challenge.encode(), ec.ECDSA(hashes.SHA256()))
    return {"publicKeyRequest": {"publicKey": {"content": pem.decode()}, "proofOfPossession": b64(proof)}}


def ask(world: World, bearer: str, challenge: str) -> httpx.Response:
    return world.http.post(
        trust.SIGNING_CERT_PATH, json=asked(challenge), headers={"Authorization": f"Bearer {bearer}"}
    )


def test_a_key_with_its_proof_earns_a_certificate_that_starts_five_minutes_back(world: World) -> None:
    from cryptography import x509  # noqa: PLC0415

    at = world.clock().replace(microsecond=0)
    chain = ask(world, token(world), person()).json()["signedCertificateEmbeddedSct"]["chain"]["certificates"]
    leaf = x509.load_pem_x509_certificate(chain[0].encode())
    assert abs(leaf.not_valid_before_utc - (at - timedelta(minutes=5))) < timedelta(seconds=5)
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc == timedelta(minutes=10)
    assert office_of(world).journal.last is not None
    problem(ask(world, token(world), "somebody else"), 422, "malformed")


def local(world: World, **changes: Any) -> str:
    said = {"kind": "signing", "subject": person(), "audience": "sigstore", "issuer": ISSUER, "at": world.clock(),
            "ttl": timedelta(minutes=5), **changes}  # fmt: skip
    return tokens.issue(world.parts.issuer.key, **said)


@pytest.mark.parametrize(
    "changes",
    [
        {"audience": "khatim"},
        {"issuer": "https://stranger.example.org"},
        {"ttl": timedelta(minutes=-1)},
        {"ttl": timedelta(hours=2)},
        {"subject": identity.agent("test", "ae-health", "a-1")},
        {"subject": identity.service("test", "registry")},
        {"kind": "agent", "subject": "agent:a-1"},
        {"kind": "session"},
        {"kind": "link"},
    ],
    ids=["audience", "issuer", "expired", "too long", "an agent's name", "a service's name", "kind", "session", "link"],
)
def test_a_token_that_is_not_for_signing_earns_no_certificate(world: World, changes: dict[str, Any]) -> None:
    answer = ask(world, local(world, **changes), person())
    assert answer.status_code == 401, answer.text
    assert "certificate" not in answer.text.replace("for certificates", "")


def test_a_token_that_says_none_or_hmac_earns_no_certificate(world: World) -> None:
    claims = jwt.decode(local(world), options={"verify_signature": False})
    confused = [jwt.encode(claims, "x" * 64, "HS256"), jwt.encode(claims, "", "none")]
    for one in confused:
        problem(ask(world, one, person()), 401, "unauthenticated")


def test_what_is_refused_stands_in_the_signers_own_log(world: World) -> None:
    ask(world, local(world, audience="elsewhere"), person())
    last = list(office_of(world).journal.lines())[-1]
    assert (last["did"], last["why"], last["what"]) == ("refused", "unauthenticated", "certificate")


def test_a_persons_ordinary_token_is_refused_and_the_refusal_recorded(world: World) -> None:
    world.told()
    answer = ask(world, world.token(SAMI), SAMI.ref)
    assert answer.status_code in (403, 404)
    assert [one["kind"] for one in world.refusals()] == ["statement.refused"]


def office_of(world: World) -> LocalOffice:
    assert isinstance(world.parts.office, LocalOffice)
    return world.parts.office


# --- outside issuers ---


class Provider:
    """An identity provider: keys that it publishes, and tokens."""

    def __init__(self) -> None:
        self.keys = {"one": rsa.generate_private_key(65537, 2048)}
        self.asked = 0
        self.is_silent = False

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        if self.is_silent:
            raise httpx.ConnectError("no route")
        if request.url.path == "/.well-known/openid-configuration":
            return httpx.Response(200, json={"jwks_uri": f"{OUTSIDE}/keys"})
        found = [
            {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())), "kid": name, "use": "sig"}
            for name, key in self.keys.items()
        ]
        return httpx.Response(200, json={"keys": [*found, {"kty": "oct", "kid": "shared", "k": "A" * 86}]})

    def token(self, world: World, kid: str = "one", **claims: Any) -> str:
        at = int(world.clock().timestamp())
        said = {"iss": OUTSIDE, "sub": "https://accounts.example.org/u/7", "aud": "sigstore", "iat": at, "exp": at + 60,
                "email": "sami@example.org", "email_verified": True, **claims}  # fmt: skip
        return jwt.encode(said, self.keys["one" if kid not in self.keys else kid], "RS256", headers={"kid": kid})


@pytest.fixture
def provider() -> Provider:
    return Provider()


def with_issuer(world: World, provider: Provider, claim: Any = "email", **more: Any) -> LocalOffice:
    http = httpx.Client(transport=httpx.MockTransport(provider.handle))
    office = office_of(world)
    return replace(
        office,
        vouching=replace(office.vouching, outsiders=[OutsideIssuer(PublishedKeys(OUTSIDE, http, **more), claim)]),
    )


def test_an_allowed_issuers_token_earns_a_certificate_in_the_name_it_vouches_for(
    world: World, provider: Provider
) -> None:
    office = with_issuer(world, provider)
    vouched = office.vouching.vouch(provider.token(world), world.clock())
    assert (vouched.identity.name, vouched.identity.issuer) == ("sami@example.org", OUTSIDE)
    assert office.signing_cert(asked("sami@example.org"), provider.token(world))
    subject = with_issuer(world, provider, "sub").vouching.vouch(provider.token(world), world.clock())
    assert subject.identity.name == "https://accounts.example.org/u/7"


@pytest.mark.parametrize(
    "claims",
    [{"aud": "khatim"}, {"exp": 1}, {"email_verified": False}, {"email": None}, {"email_verified": "true"}],
    ids=["audience", "expired", "unverified", "no email", "text for true"],
)
def test_an_allowed_issuers_other_tokens_earn_nothing(world: World, provider: Provider, claims: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        with_issuer(world, provider).vouching.vouch(provider.token(world, **claims), world.clock())


def test_an_outside_issuer_cannot_vouch_for_our_names(world: World, provider: Provider) -> None:
    with pytest.raises(Unauthenticated, match="only this instance"):
        with_issuer(world, provider, "sub").vouching.vouch(provider.token(world, sub=person()), world.clock())


def test_the_key_and_not_the_token_decides_the_algorithm(world: World, provider: Provider) -> None:
    claims = jwt.decode(provider.token(world), options={"verify_signature": False})
    forged = jwt.encode(claims, b"\0" * 64, "HS256", headers={"kid": "shared"})
    with pytest.raises(Unauthenticated):
        with_issuer(world, provider).vouching.vouch(forged, world.clock())


def test_keys_are_fetched_once_and_again_for_a_new_one_but_not_for_every_stranger(
    world: World, provider: Provider
) -> None:
    now = [0.0]
    office = with_issuer(world, provider, monotonic=lambda: now[0])
    for _ in range(5):
        office.vouching.vouch(provider.token(world), world.clock())
    assert provider.asked == 2, "the discovery document and the keys"
    provider.keys["two"] = rsa.generate_private_key(65537, 2048)
    with pytest.raises(Unauthenticated, match="does not publish"):
        office.vouching.vouch(provider.token(world, kid="two"), world.clock())
    now[0] += AGAIN_S
    office.vouching.vouch(provider.token(world, kid="two"), world.clock())
    assert provider.asked == 4


def test_an_issuer_whose_keys_cannot_be_had_is_unavailable(world: World, provider: Provider) -> None:
    provider.is_silent = True
    with pytest.raises(Unavailable):
        with_issuer(world, provider).vouching.vouch(provider.token(world), world.clock())


def test_what_is_signed_here_is_an_approval_and_not_a_training(world: World) -> None:
    """The office of the app keeps its own policy, whatever the pen of a test may do."""
    said = statements.statement([("m", Digest.of(b"m"))], statements.TEST_RESULT, {"result": "PASSED"})
    with pytest.raises(Exception, match="does not sign statements of the kind"):
        world.parts.office.sign(identity.agent("test", "ae-health", "a-1"), said)
