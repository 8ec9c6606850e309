# SPDX-License-Identifier: Apache-2.0
"""Clients that others wrote sign against our authority over HTTP, unchanged, and every verifier accepts the result."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import jwt
import pytest

from khatim.errors import SignatureInvalid
from khatim.vocabulary import Digest
from registry.signing import bundle as bundles
from registry.signing import statements, trust
from registry.signing.identity import Identity, IdentityPolicy
from registry.signing.verification import verify_bundle
from tests.outside import tools
from tests.outside.office import AGENT, ISSUER, Office
from tests.outside.tools import Done, holds, program, refuses, run
from tests.registry.signing.counter import served

SUBJECT, CONTENT = "agent-1", b"report"
Clock = Callable[[], datetime]


class Desk(NamedTuple):
    """A folder of a person who signs: a report, a predicate, a token in a file, and where to sign."""

    folder: Path
    config: Path

    def cosign(self, *command: str) -> Done:
        """Run a signing command of cosign; the token is a file, so that it stands in no list of processes."""
        return run(
            program("cosign"), *command, "--signing-config", self.config, "--trusted-root", "root.json",
            "--identity-token", "token", "--yes", cwd=self.folder, network=True,
        )  # fmt: skip

    def attest(self, kind: str) -> Done:
        """Let cosign attest *kind* of the report, as a statement of today's form."""
        said = statements.statement([("report", Digest.of(CONTENT))], kind, {"result": "PASSED"})
        (self.folder / "statement.json").write_bytes(said)
        return self.cosign("attest-blob", "--statement", "statement.json", "--bundle", "theirs.json")


def token(clock: Clock, subject: str = SUBJECT) -> str:
    claims = {"iss": ISSUER, "sub": subject, "aud": "sigstore", "iat": clock(), "exp": clock() + timedelta(minutes=5)}
    return jwt.encode(claims, "a secret between the instance and its tokens", algorithm="HS256")


def who(bearer: str | None) -> tuple[Identity, str] | None:
    claims = jwt.decode(bearer or "", options={"verify_signature": False})
    return (Identity(AGENT, ISSUER), SUBJECT) if claims["sub"] == SUBJECT else None


@pytest.fixture
def desk(office: Office, clock: Clock, tmp_path: Path) -> Iterator[Desk]:
    with served(office.authority, clock, who) as url:
        config = trust.client_trust_config(office.authority.record, url)
        (tmp_path / "signing.json").write_text(json.dumps(config["signingConfig"]))
        (tmp_path / "trust.json").write_text(json.dumps(config))
        (tmp_path / "root.json").write_bytes(office.trust.root.read_bytes())
        (tmp_path / "token").write_text(token(clock))
        (tmp_path / "report").write_bytes(CONTENT)
        (tmp_path / "predicate.json").write_text('{"result":"PASSED"}')
        yield Desk(tmp_path, tmp_path / "signing.json")


def test_cosign_attests_with_our_authority_and_all_verifiers_accept_it(
    office: Office, policy: IdentityPolicy, desk: Desk
) -> None:
    holds(desk.attest(statements.TEST_RESULT))
    bundle = desk.folder / "theirs.json"

    found = verify_bundle(bundle.read_text(), office.root, policy, {Digest.of(CONTENT)})
    assert (found.identity, found.kind) == (AGENT, statements.TEST_RESULT)
    holds(tools.cosign(bundle, office.trust, office.who, statements.TEST_RESULT, desk.folder / "report"))
    holds(tools.sigstore(bundle, office.trust, office.who, str(desk.folder / "report")))
    holds(tools.sigstore_js(bundle, office.trust, office.who))


def test_cosign_signs_a_file_with_our_authority_and_verifies_it(office: Office, desk: Desk) -> None:
    holds(desk.cosign("sign-blob", "--bundle", "theirs.json", "report"))
    asked = (
        program("cosign"), "verify-blob", "--bundle", "theirs.json", "--trusted-root", office.trust.root,
        "--certificate-identity", AGENT, "--certificate-oidc-issuer", ISSUER, "--use-signed-timestamps", "report",
    )  # fmt: skip

    holds(run(*asked, cwd=desk.folder))
    (desk.folder / "report").write_bytes(b"other")
    refuses(run(*asked, cwd=desk.folder), "invalid signature")


def test_a_signature_over_a_file_is_no_statement_and_we_refuse_it(
    office: Office, policy: IdentityPolicy, desk: Desk
) -> None:
    """It says nothing about the file: the registry keeps statements only."""
    holds(desk.cosign("sign-blob", "--bundle", "theirs.json", "report"))

    with pytest.raises(SignatureInvalid, match="no dsseEnvelope"):
        verify_bundle((desk.folder / "theirs.json").read_text(), office.root, policy)


def test_what_cosign_signs_is_believed_only_from_whoever_may_say_it(
    office: Office, policy: IdentityPolicy, desk: Desk
) -> None:
    """An agent with cosign gets a true signature under an approval; nobody takes it for one."""
    holds(desk.attest(statements.APPROVAL))

    with pytest.raises(SignatureInvalid, match="may not make statements of the kind"):
        verify_bundle((desk.folder / "theirs.json").read_text(), office.root, policy)


def test_a_statement_of_the_old_form_is_refused_although_cosign_still_writes_it(
    office: Office, policy: IdentityPolicy, desk: Desk
) -> None:
    """With --predicate, cosign 3.1 makes a Statement v0.1: one form is enough to get right."""
    asked = ("--type", statements.TEST_RESULT, "--predicate", "predicate.json", "--bundle", "theirs.json", "report")
    holds(desk.cosign("attest-blob", *asked))
    holds(tools.cosign(desk.folder / "theirs.json", office.trust, office.who, statements.TEST_RESULT, "report"))

    with pytest.raises(SignatureInvalid, match=r"not of type https://in-toto\.io/Statement/v1"):
        verify_bundle((desk.folder / "theirs.json").read_text(), office.root, policy)


def test_cosign_gets_no_certificate_without_a_token_of_somebody_known(desk: Desk, clock: Clock) -> None:
    (desk.folder / "token").write_text(token(clock, "nobody"))

    refuses(desk.attest(statements.TEST_RESULT), "401")
    assert not (desk.folder / "theirs.json").exists()


def test_the_sigstore_command_signs_with_our_authority_and_cosign_accepts_it(office: Office, desk: Desk) -> None:
    signed = run(
        tools.PYTHON, "-m", "sigstore", "--trust-config", "trust.json", "attest", "--predicate", "provenance.json",
        "--predicate-type", statements.SLSA_PROVENANCE, "--identity-token", (desk.folder / "token").read_text(),
        "--bundle", "theirs.json", "report", cwd=provenance(desk.folder), network=True,
    )  # fmt: skip
    holds(signed)
    bundle = desk.folder / "theirs.json"

    assert bundles.parse(bundle.read_text()).entry.index > 0
    holds(tools.cosign(bundle, office.trust, office.who, statements.SLSA_PROVENANCE, desk.folder / "report"))


def provenance(folder: Path) -> Path:
    """Write the predicate of a provenance; the sigstore command attests nothing else."""
    (folder / "provenance.json").write_text(
        json.dumps(
            {
                "buildDefinition": {"buildType": statements.TRAINING, "externalParameters": {}},
                "runDetails": {"builder": {"id": "https://demo.khatim/runner"}},
            }
        )
    )
    return folder
