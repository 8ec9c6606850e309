# SPDX-License-Identifier: Apache-2.0
"""Every way to sign, by one contract; and what is weaker about a bare key, which says so itself."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.clock import ClockGuard
from khatim.errors import ClockUnreliable, Malformed, Misconfigured, SignatureInvalid, Unavailable
from khatim.vocabulary import Digest
from registry.signing import bundle as bundles
from registry.signing import identity, socket_server, statements, trust
from registry.signing.agent_book import AgentBook
from registry.signing.authority import Authority
from registry.signing.backends import private_sigstore
from registry.signing.backends.key_only import DEGRADED, KeyOnlySigner, hint_of, verify_key_only
from registry.signing.desk import LocalOffice
from registry.signing.encoding import b64
from registry.signing.identity import Identity, IdentityPolicy
from registry.signing.journal import Journal
from registry.signing.keys_pkcs11 import Pkcs11Keys
from registry.signing.office import OfficeSigner
from registry.signing.signer import RemoteSigner, Signer
from registry.signing.socket_office import SocketOffice
from registry.signing.verification import TrustRoot, verify_bundle
from registry.signing.vouching import Vouching
from tests.registry.signing.counter import TOKEN, client_of, served
from tests.support.tokens import MODULE, PIN, make_token

ISSUER = "https://demo"
PERSON = identity.person("demo", "p-1")
SUBJECT = Digest.of(b"model")
APPROVAL = statements.statement([("model", SUBJECT)], statements.APPROVAL, {"meaning": "approved"})
POLICY = IdentityPolicy.of_instance("demo", ISSUER)
KINDS = ("in process", "socket", "remote", "private sigstore", "pkcs11")
Clock = Callable[[], datetime]


@dataclass
class Backend:
    """A signer, the authority behind it, and whom its statements are verified with."""

    signer: Signer
    authority: Authority
    root: TrustRoot


def root_of(authority: Authority) -> TrustRoot:
    return TrustRoot.load(trust.dumps(trust.trusted_root(authority.record)))


def office_over(authority: Authority, clock: Clock, journal: Path, guard: ClockGuard | None = None) -> LocalOffice:
    vouching = Vouching("demo", ISSUER, Ed25519PrivateKey.generate().public_key())
    return LocalOffice(
        authority, ISSUER, vouching, clock, guard or ClockGuard(clock), Journal(journal),
        AgentBook(journal.with_name("agents.jsonl")),
    )  # fmt: skip


@contextlib.contextmanager
def made(kind: str, authority: Authority, clock: Clock, folder: Path) -> Iterator[Backend]:
    who = Identity(PERSON, ISSUER)
    if kind == "in process":
        office = office_over(authority, clock, folder / "signer.jsonl")
        yield Backend(OfficeSigner(office, PERSON), authority, root_of(authority))
        office.journal.close()
    elif kind == "socket":
        with counter(office_over(authority, clock, folder / "signer.jsonl")) as asked:
            yield Backend(OfficeSigner(asked, PERSON), authority, root_of(authority))
    elif kind == "remote":
        with client_of(authority, clock, who) as http:
            yield Backend(RemoteSigner(http, lambda: TOKEN), authority, root_of(authority))
    elif kind == "pkcs11":
        make_token(folder / "hsm", "signing")
        held = Pkcs11Keys(MODULE, "signing", lambda: PIN)
        held.create_p256("statements")
        with client_of(authority, clock, who) as http:
            signer = RemoteSigner(http, lambda: TOKEN, keys=lambda: held.p256("statements"))
            yield Backend(signer, authority, root_of(authority))
    else:  # another instance, on a port of its own, whose tokens come from a command
        other = Authority.create(folder / "other", "partner", clock)
        (folder / "token").write_text(TOKEN)
        with (
            served(other, clock, lambda token: (who, PERSON) if token and TOKEN in token else None) as url,
            httpx.Client(timeout=30) as http,
        ):
            config = trust.dumps(trust.client_trust_config(other.record, url))
            source = private_sigstore.token_in(folder / "token")
            signer = private_sigstore.private_signer(config, source, http)
            yield Backend(signer, other, private_sigstore.trust_root_of(config))
        other.close()


@contextlib.contextmanager
def counter(office: LocalOffice) -> Iterator[SocketOffice]:
    """Serve *office* on a socket in this process; its path must be short."""
    with tempfile.TemporaryDirectory() as folder:
        path, stop = Path(folder) / "s", threading.Event()
        thread = threading.Thread(
            target=socket_server.serve, args=(path, office, frozenset({os.getuid()}), stop), daemon=True
        )
        thread.start()
        with contextlib.closing(SocketOffice(path)) as asked:
            await_answer(asked)
            yield asked
        stop.set()
        thread.join()
        office.journal.close()


def await_answer(office: SocketOffice) -> None:
    """Wait until somebody listens: the socket is there a moment earlier."""
    for _ in range(500):
        with contextlib.suppress(Unavailable):
            assert office.record.instance
            return
        time.sleep(0.01)
    pytest.fail("the signer does not answer")


@pytest.fixture(params=KINDS)
def backend(request: pytest.FixtureRequest, authority: Authority, clock: Clock, tmp_path: Path) -> Iterator[Backend]:
    with made(request.param, authority, clock, tmp_path) as one:
        yield one


# --- the contract ---


def test_what_is_signed_verifies_and_says_who_and_when(backend: Backend) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    found = verify_bundle(backend.signer.sign(APPROVAL), backend.root, POLICY, {SUBJECT})
    assert (found.identity, found.issuer, found.kind) == (PERSON, ISSUER, statements.APPROVAL)
    assert before <= found.signed_at <= datetime.now(UTC)
    assert found.log_index == 1


def test_keys_are_ecdsa_p256_and_certificates_start_five_minutes_back(backend: Backend) -> None:
    parts = bundles.parse(backend.signer.sign(APPROVAL))
    leaf = x509.load_der_x509_certificate(parts.certificate)
    public = leaf.public_key()
    assert isinstance(public, EllipticCurvePublicKey)
    assert isinstance(public.curve, SECP256R1)
    assert 295 <= (datetime.now(UTC) - leaf.not_valid_before_utc).total_seconds() <= 330


def test_the_statement_is_signed_byte_for_byte(backend: Backend) -> None:
    assert bundles.parse(backend.signer.sign(APPROVAL)).payload == APPROVAL


def test_what_is_no_statement_is_neither_signed_nor_logged(backend: Backend) -> None:
    with pytest.raises(Malformed):
        backend.signer.sign(b'{"anything": "else"}')
    assert len(list(backend.authority.log.entries())) == 1


def test_another_trust_root_does_not_believe_it(backend: Backend, clock: Clock, tmp_path: Path) -> None:
    stranger = Authority.create(tmp_path / "stranger", "demo", clock)
    with pytest.raises(SignatureInvalid):
        verify_bundle(backend.signer.sign(APPROVAL), root_of(stranger), POLICY)
    stranger.close()


# --- PKCS#11 ---


def test_a_key_on_a_token_signs_again_and_again_with_a_new_certificate_each_time(
    authority: Authority, clock: Clock, tmp_path: Path
) -> None:
    with made("pkcs11", authority, clock, tmp_path) as token:
        one, two = (bundles.parse(token.signer.sign(APPROVAL)).certificate for _ in range(2))
    keys = [x509.load_der_x509_certificate(raw).public_key() for raw in (one, two)]
    assert one != two
    assert keys[0] == keys[1]


# --- private Sigstore ---


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"mediaType": "another"}'])
def test_what_is_no_trust_configuration_is_refused(text: str) -> None:
    with httpx.Client() as http, pytest.raises(Misconfigured):
        private_sigstore.private_signer(text, lambda: "", http)


@pytest.mark.parametrize("kind", ["caUrls", "rekorTlogUrls", "tsaUrls"])
def test_a_configuration_without_a_service_that_speaks_our_version_is_refused(authority: Authority, kind: str) -> None:
    config = trust.client_trust_config(authority.record, "https://sigstore.example.org")
    config["signingConfig"][kind][0] = {**config["signingConfig"][kind][0], "majorApiVersion": 9}
    with httpx.Client() as http, pytest.raises(Misconfigured, match=kind):
        private_sigstore.private_signer(json.dumps(config), lambda: "", http)


def test_a_token_comes_from_a_file_or_a_command_and_is_unavailable_otherwise(tmp_path: Path) -> None:
    assert private_sigstore.token_from([sys.executable, "-c", "print('t')"])() == "t"
    for source in (
        private_sigstore.token_in(tmp_path / "none"),
        private_sigstore.token_from([sys.executable, "-c", "raise SystemExit(1)"]),
        private_sigstore.token_from([str(tmp_path / "none")]),
    ):
        with pytest.raises(Unavailable):
            source()


def test_only_the_certificate_authority_sees_the_token(authority: Authority, clock: Clock) -> None:
    seen: dict[str, str | None] = {}
    inner = client_of(authority, clock, Identity(PERSON, ISSUER))

    def handle(request: httpx.Request) -> httpx.Response:
        seen[request.url.path] = request.headers.get("Authorization")
        return inner.send(request)

    with httpx.Client(transport=httpx.MockTransport(handle), base_url="https://a.test") as http:
        RemoteSigner(http, lambda: TOKEN).sign(APPROVAL)
    assert seen == {
        trust.SIGNING_CERT_PATH: f"Bearer {TOKEN}",
        trust.TIMESTAMP_PATH: None,
        trust.LOG_ENTRIES_PATH: None,
    }


# --- a bare key ---


def test_a_bare_key_signs_degraded_and_opens_no_gate(authority: Authority, clock: Clock) -> None:
    key = generate_private_key(SECP256R1())
    public = key.public_key()
    bundle = KeyOnlySigner(key, authority, clock).sign(APPROVAL)
    root = root_of(authority)
    found = verify_key_only(bundle, root.anchors, {hint_of(public): public})

    assert found.degraded == DEGRADED
    assert "no certificate: identity is the key only" in found.degraded
    assert found.statement.digests == {SUBJECT}
    with pytest.raises(SignatureInvalid):
        verify_bundle(bundle, root, POLICY)


def test_a_bare_key_that_is_not_known_or_a_changed_statement_is_refused(authority: Authority, clock: Clock) -> None:
    key = generate_private_key(SECP256R1())
    public = key.public_key()
    bundle, anchors = KeyOnlySigner(key, authority, clock).sign(APPROVAL), root_of(authority).anchors
    with pytest.raises(SignatureInvalid, match="not known"):
        verify_key_only(bundle, anchors, {})
    changed = json.loads(bundle)
    other = statements.statement([("model", SUBJECT)], statements.APPROVAL, {"meaning": "refused"})
    changed["dsseEnvelope"]["payload"] = b64(other)
    with pytest.raises(SignatureInvalid, match="not over this statement"):
        verify_key_only(json.dumps(changed), anchors, {hint_of(public): public})
    with pytest.raises(SignatureInvalid, match="log"):
        verify_key_only(bundle, type(anchors)({}, (), {}), {hint_of(public): public})


# --- the office's clock ---


def test_the_office_signs_nothing_behind_its_own_log(authority: Authority, tmp_path: Path) -> None:
    now = [datetime.now(UTC)]
    office = office_over(authority, lambda: now[0], tmp_path / "log", ClockGuard(lambda: now[0], booted=steady(now)))
    office.sign(PERSON, APPROVAL)
    office.journal.close()
    now[0] = now[0].fromtimestamp(now[0].timestamp() - 60, UTC)

    again = office_over(authority, lambda: now[0], tmp_path / "log", ClockGuard(lambda: now[0], booted=steady(now)))
    with pytest.raises(ClockUnreliable, match="behind the last thing"):
        again.sign(PERSON, APPROVAL)
    with pytest.raises(ClockUnreliable):
        again.timestamp(b"")
    assert len(list(authority.log.entries())) == 2, "and nothing was logged"
    assert [line["did"] for line in again.journal.lines()] == ["signed", "refused", "refused"]
    again.journal.close()


def steady(now: list[datetime]) -> Callable[[], float]:
    def seconds() -> float:
        return now[0].timestamp()

    return seconds
