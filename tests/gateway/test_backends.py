# SPDX-License-Identifier: Apache-2.0
"""The app with every backend of ``signing.backend``: a verb signs, everybody verifies, and a change loses nothing."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from anyio.from_thread import BlockingPortal
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway import backends, composition
from gateway.console import addresses
from governance.reports import archive, bundle, manifest
from khatim.cli.judgements import Judgement
from khatim.cli.judging import judge
from khatim.errors import Misconfigured, SignatureInvalid, VerificationFailed
from khatim.settings import load
from khatim.vocabulary import Basis, Digest
from khatim.wire import proofs
from registry.signing import bundle as bundles
from registry.signing import identity, statements
from registry.signing.appointments import appointed, latest
from registry.signing.authority import Authority
from registry.signing.deputies import KEY_ONLY
from registry.signing.identity import Identity
from registry.signing.revocation import Book
from registry.signing.trust import client_trust_config, dumps
from registry.signing.verification import TrustRoot, verify_bundle
from runners.zone import verification
from tests.governance.reports.exported import export_to, meet_the_auditor
from tests.registry.signing.counter import TOKEN, served
from tests.support.http import good, problem
from tests.support.people import ADEL, VERA
from tests.support.postgres import Postgres
from tests.support.stamps import chain_in, founded
from tests.support.tokens import MODULE, PIN, make_token
from tests.support.world import MODEL, VERSION, ZONE, Step, World, Worlds

KINDS = ("embedded", "private-sigstore", "pkcs11", "key-only")
WORKLOAD, ELSEWHERE = "https://idp.partner.example/registry", "https://idp.partner.example"
NUMBERS = itertools.count()
DEPUTED = ("private-sigstore", "key-only")


@pytest.fixture(scope="module")
def own(postgres: Postgres, portal: BlockingPortal, tmp_path_factory: pytest.TempPathFactory) -> Worlds:
    """Return worlds with an authority of their own: a change of backend is for good in its record."""
    return Worlds(postgres, portal, Path(tmp_path_factory.mktemp("backends")))


def private(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def bare_key(folder: Path) -> Path:
    key = generate_private_key(SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private(folder / "bare.pem", pem.decode())


@contextlib.contextmanager
def told(kind: str, folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the settings of a backend; what it needs is there meanwhile."""
    if kind == "pkcs11":
        make_token(folder / "hsm", "statements")
        pin = private(folder / "pin", PIN)
        yield {"backend": kind, "module": MODULE, "token": "statements", "pin_file": pin}
    elif kind == "key-only":
        yield {"backend": kind, "key_file": bare_key(folder)}
    elif kind == "private-sigstore":
        other = Authority.create(folder / "partner", "partner", now)
        who = Identity(WORKLOAD, ELSEWHERE)
        with served(other, now, lambda token: (who, WORKLOAD) if token and TOKEN in token else None) as url:
            config = folder / "client_trust_config.json"
            config.write_text(dumps(client_trust_config(other.record, url)))
            token = private(folder / "token", TOKEN)
            yield {
                "backend": kind, "trust_config": config, "identity": WORKLOAD, "issuer": ELSEWHERE, "token_file": token
            }  # fmt: skip
        other.close()
    else:
        yield {"backend": kind}


def now() -> datetime:
    return datetime.now(UTC)


@contextlib.contextmanager
def at(own: Worlds, kind: str, folder: Path, step: Step = Step.EVALUATED) -> Iterator[World]:
    # A world keeps the parts of settings that it saw before; these are new each time, as after a restart.
    with told(kind, folder) as said, own.at(step, signing={**said, "key": f"k{next(NUMBERS)}"}) as world:
        yield world


def dossier_of(world: World) -> proofs.Dossier:
    return proofs.Dossier.model_validate(good(world.as_(ADEL).get(f"{VERSION}/dossier")))


def judged(world: World, dossier: proofs.Dossier | None = None) -> Judgement:
    """Judge the version as ``khatim verify`` does."""
    found = dossier or dossier_of(world)
    return judge(found, found.trusted_root, at=world.clock(), now=world.clock())


def approvals_in(found: Judgement) -> list[Any]:
    return [one for one in found.stations[0].statements if one.kind == statements.APPROVAL]


@pytest.mark.parametrize("kind", KINDS)
def test_the_app_signs_with_every_backend_and_everybody_verifies(own: Worlds, kind: str, tmp_path: Path) -> None:
    with at(own, kind, tmp_path) as world:
        world.approve()
        world.promote()
        dossier = dossier_of(world)
        found = judged(world, dossier)

        assert found.faults == ()
        assert all(one.counts for one in found.consents)
        signed = approvals_in(found)
        assert len(signed) == 3
        assert {Basis.SERVER_ATTESTED} <= set(signed[0].bases), "the registry's word, whoever certifies it"
        assert Basis.PERSON_BOUND not in signed[0].bases
        assert {one.identity for one in signed} == identities(world, kind, signed)
        # An agent with nothing but the trusted root of its enrolment judges alike.
        trust = verification.Trust(
            TrustRoot.load(dumps(world.parts.notary.trusted_root)), "test", "https://test", Book()
        )
        seats = [[one.role] for one in dossier.approvals]
        said = verification.verify(
            dossier, trust, digest=dossier.version.digest, zone=ZONE, seats=seats, at=world.clock(),
            policy=str(dossier.approvals[0].binding["policy"]),
        )  # fmt: skip
        assert len(said.said["approvals"]) == 3


def identities(world: World, kind: str, signed: list[Any]) -> set[str]:
    if kind == "private-sigstore":
        return {WORKLOAD}
    if kind == "key-only":
        said = latest(world.parts.office.record.appointments)
        assert said is not None
        return {said["identity"]}
    people = {identity.person("test", one.verified.predicate["approver"]) for one in signed}
    assert len(people) == 3
    return people


@pytest.mark.parametrize("kind", KINDS)
def test_an_engagement_of_every_backend_verifies_offline(own: Worlds, kind: str, tmp_path: Path) -> None:
    with at(own, kind, tmp_path) as world:
        world.approve()
        meet_the_auditor(world)
        export_to(world, tmp_path / "engagement.zip")
    report = bundle.verify_bundle_file(tmp_path / "engagement.zip")
    rests = [one.rests for one in report.statements_found if one.kind == statements.APPROVAL]

    assert len(rests) == 3
    assert all((KEY_ONLY in one) is (kind == "key-only") for one in rests), "the label stands in what is printed"


def test_statements_of_every_backend_before_stay_verifiable(own: Worlds, tmp_path: Path) -> None:
    """One approval by each, in one registry, one backend after the other; then the first again."""
    bundles_made: list[str] = []
    for number, kind in enumerate((*KINDS, "embedded")):
        folder = tmp_path / str(number)
        folder.mkdir()
        with at(own, kind, folder) as world:
            body = {"role": "validator", "meaning": "approved for triage"}
            good(world.as_(VERA).post(f"{VERSION}/approvals", body))
            found = [one for one in dossier_of(world).nodes[0].statements if one.predicate_type == statements.APPROVAL]
            bundles_made.append(found[0].bundle)
            notary = world.parts.notary
            for one in bundles_made:
                verified = notary.check(one, statements.APPROVAL, [])
                assert verified.speaker == notary.person(VERA.ref)
    assert len(set(bundles_made)) == 5


def test_the_degraded_label_stands_in_health_api_and_console(own: Worlds, tmp_path: Path) -> None:
    with at(own, "key-only", tmp_path) as world:
        assert world.nobody().get("/health").json()["signing"] == "degraded"
        said = good(world.as_(VERA).get("/v1/signing"))
        assert (said["backend"], said["degraded"]) == ("key-only", KEY_ONLY)
        assert said["identity"].startswith("key:sha256:")
        world.approve()
        rows = dossier_of(world).nodes[0].statements
        assert {one.degraded for one in rows if one.predicate_type == statements.APPROVAL} == {KEY_ONLY}
        assert {one.degraded for one in rows if one.predicate_type != statements.APPROVAL} == {""}
        assert "Degraded signatures." in world.http.get(addresses.SIGN_IN).text
    with at(own, "embedded", tmp_path) as world:
        assert "signing" not in world.nobody().get("/health").json()
        assert good(world.as_(VERA).get("/v1/signing"))["degraded"] == ""
        assert "Degraded signatures." not in world.http.get(addresses.SIGN_IN).text


# --- what a deputy may not ---


@pytest.mark.parametrize("kind", DEPUTED)
def test_without_its_appointment_nobody_believes_a_deputy(own: Worlds, kind: str, tmp_path: Path) -> None:
    with at(own, kind, tmp_path) as world:
        world.approve()
        dossier = dossier_of(world)
    alone = judged(world, dossier.model_copy(update={"appointments": []}))
    assert not any(one.counts for one in alone.consents)
    forged = json.loads(dossier.appointments[-1])
    forged["dsseEnvelope"]["payload"] = forged["dsseEnvelope"]["payload"][:-8] + "AAAAfQ=="
    changed = [*dossier.appointments[:-1], bundles.dumps(forged)]
    told_so = judged(world, dossier.model_copy(update={"appointments": changed}))
    assert any(one.about == "appointments" for one in told_so.faults)
    assert not any(one.counts for one in told_so.consents)


def test_a_deputy_signs_neither_for_agents_nor_for_the_authority(own: Worlds, tmp_path: Path) -> None:
    """Whoever runs the other Sigstore gets approvals believed, as the operator chose, and nothing more."""
    with at(own, "private-sigstore", tmp_path) as world:
        office, notary = world.parts.office, world.parts.notary
        root = appointed(notary.root, office.record.appointments, "test")
        pen = world.parts.office.pen.remote  # type: ignore[attr-defined]  # the office is in this process
        subject = ("m", dossier_of(world).version.digest)
        for kind in (statements.TEST_RESULT, statements.REVOCATIONS, statements.DEPLOYMENT):
            said = statements.statement([(subject[0], Digest.parse(subject[1]))], kind, {"result": "PASSED"})
            with pytest.raises(SignatureInvalid, match="may not make statements"):
                verify_bundle(pen.sign(said), root, notary.policy())
        # The list of revocations, on which agents rely, stays the authority's own.
        listed = world.parts.office.sign(
            notary.service(), statements.statement([("l", Digest.parse(subject[1]))], statements.REVOCATIONS, {})
        )
        assert verify_bundle(listed, TrustRoot.load(dumps(notary.trusted_root)), notary.policy()).identity


def test_what_a_deputy_signs_after_its_time_counts_no_more(own: Worlds, tmp_path: Path) -> None:
    with at(own, "key-only", tmp_path) as world:
        pen = world.parts.office.pen  # type: ignore[attr-defined]  # the office is in this process
        authority = world.parts.office.authority  # type: ignore[attr-defined]
        notary = world.parts.notary
        subject = Digest.parse(dossier_of(world).version.digest)
        said = statements.statement([("m", subject)], statements.APPROVAL, {"approver": VERA.ref})
        late = world.clock().replace(year=world.clock().year + 1)
        made = pen.signer(authority, statements.APPROVAL, (notary.service(), "https://test"), late).sign(said)
        verify_bundle(made, notary.root, notary.policy())
    with at(own, "embedded", tmp_path) as world:
        notary = world.parts.notary
        with pytest.raises(SignatureInvalid, match="did not sign for the registry at"):
            verify_bundle(made, notary.root, notary.policy())


def test_every_change_stands_in_the_authoritys_history_once(own: Worlds, tmp_path: Path) -> None:
    with at(own, "key-only", tmp_path) as world:
        record = world.parts.office.record
        again = composition.build(world.parts.settings, engine=world.parts.engine)
        assert again.office.record == record, "a second process finds it said already"
        again.office.close()
        changes = [one for one in record.history if one.kind == "signing_changed"]
        assert changes[-1].details["backend"] == "key-only"
        assert len(changes) == len(record.appointments)


# --- settings ---


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"backend": "private-sigstore"}, "needs signing.trust_config, signing.identity, signing.issuer"),
        ({"backend": "pkcs11", "token": "t"}, "needs signing.module, signing.pin_file"),
        ({"backend": "key-only"}, "needs signing.key_file"),
        ({"backend": "embedded", "key_file": "/k"}, "has no use for signing.key_file"),
        ({"backend": "vault"}, "signing.backend"),
    ],
)
def test_a_backend_that_lacks_something_or_has_too_much_is_refused(said: dict[str, Any], why: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        load(data=Path("/nowhere"), signing=said)
    assert why in str(refused.value)
    assert "configuration.md" in refused.value.advice


def test_files_that_cannot_be_used_are_named_with_what_to_do(tmp_path: Path) -> None:
    def fault(said: dict[str, Any]) -> Misconfigured:
        with pytest.raises(Misconfigured) as refused:
            backends.backend_of(load(data=tmp_path, signing=said))
        assert refused.value.advice
        return refused.value

    assert "the key for signing cannot be read" in str(fault({"backend": "key-only", "key_file": tmp_path / "none"}))
    open_to_all = bare_key(tmp_path)
    open_to_all.chmod(0o644)
    assert "may be read by others" in str(fault({"backend": "key-only", "key_file": open_to_all}))
    assert "does not hold a private key" in str(
        fault({"backend": "key-only", "key_file": private(tmp_path / "x.pem", "no key")})
    )


def test_an_identity_provider_that_is_away_refuses_the_verb_and_changes_nothing(own: Worlds, tmp_path: Path) -> None:
    with at(own, "private-sigstore", tmp_path) as world:
        (tmp_path / "token").unlink()
        body = {"role": "validator", "meaning": "approved for triage"}
        answer: httpx.Response = world.as_(VERA).post(f"{VERSION}/approvals", body)
        assert answer.status_code == 503
        assert dossier_of(world).approvals == []


def test_a_clock_outside_that_is_away_refuses_the_verb_with_advice_and_changes_nothing(
    own: Worlds, tmp_path: Path
) -> None:
    elsewhere = founded(tmp_path / "elsewhere")
    away = {"url": "http://127.0.0.1:9/tsr", "chain": chain_in(elsewhere, tmp_path / "chain.pem")}
    signing = {"backend": "embedded", "key": f"k{next(NUMBERS)}", "outside_tsa": away}
    with own.at(Step.EVALUATED, signing=signing) as world:
        body = {"role": "validator", "meaning": "approved for triage"}
        told = problem(world.as_(VERA).post(f"{VERSION}/approvals", body), 503, "unavailable")
        assert "REQUIRED=false" in told["advice"]
        assert dossier_of(world).approvals == []


def test_an_engagement_whose_appointments_are_taken_out_does_not_verify(own: Worlds, tmp_path: Path) -> None:
    with at(own, "key-only", tmp_path) as world:
        world.approve()
        meet_the_auditor(world)
        export_to(world, tmp_path / "e.zip")
    with archive.opened(tmp_path / "e.zip") as opened, archive.Draft() as draft:
        for name in opened.members:
            if name != manifest.APPOINTMENTS:
                draft.add(name, opened.read(name))
        with draft.write() as file:
            (tmp_path / "cut.zip").write_bytes(file.read())
    with pytest.raises(VerificationFailed):
        bundle.verify_bundle_file(tmp_path / "cut.zip")
    assert MODEL in bundle.verify_bundle_file(tmp_path / "e.zip").subject
