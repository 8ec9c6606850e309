# SPDX-License-Identifier: Apache-2.0
"""Model signatures (OMS) before `model_signing`, cosign and sigstore, and the folders that each must refuse."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from khatim.errors import VerificationFailed
from khatim.vocabulary import Digest
from registry.signing import oms, statements
from registry.signing.identity import IdentityPolicy
from registry.signing.verification import verify_bundle
from tests.outside import tools
from tests.outside.forgeries import ACCEPTS
from tests.outside.office import AGENT, Office, bend, edited
from tests.outside.tools import holds, refuses

FILES = {"model.onnx": b"onnx", "a/b.json": b"{}", "a.txt": b"a", "a/c.bin": b"\0" * 300}
SIGNATURE = "model.sigstore.json"


@pytest.fixture
def model(office: Office, tmp_path: Path) -> Path:
    """Return a folder of model files; its signature lies beside it."""
    folder = tmp_path / "malignancy"
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    signed = office.sign(oms.oms_statement(folder.name, oms.read_folder(folder)))
    (tmp_path / SIGNATURE).write_text(signed)
    return folder


def beside(model: Path) -> Path:
    return model.parent / SIGNATURE


def test_model_signing_and_we_find_the_files_in_order(office: Office, policy: IdentityPolicy, model: Path) -> None:
    assert "Verification succeeded" in holds(tools.model_signing(beside(model), office.trust, office.who, model))
    oms.check_folder(verify_bundle(beside(model).read_text(), office.root, policy).parsed, model)


def test_cosign_and_sigstore_find_the_digest_of_the_model_in_order(office: Office, model: Path) -> None:
    """They read the statement, not the files: the subject is the digest over the files' digests."""
    whole = oms.root_digest(oms.read_folder(model))
    about = ("--digest", whole.hex, "--digestAlg", "sha256")

    holds(tools.cosign(beside(model), office.trust, office.who, statements.OMS_SIGNATURE, *about))
    holds(tools.sigstore(beside(model), office.trust, office.who, str(whole)))


def test_another_identity_or_issuer_is_refused(office: Office, model: Path) -> None:
    somebody = office.who._replace(identity=AGENT.replace("agent-1", "agent-2"))
    refuses(tools.model_signing(beside(model), office.trust, somebody, model), "SANs do not match")
    elsewhere = office.who._replace(issuer="https://other.test")
    refuses(tools.model_signing(beside(model), office.trust, elsewhere, model), "Issuer")


def test_a_flipped_payload_is_refused(office: Office, model: Path) -> None:
    bent = edited(beside(model).read_text(), bend(lambda body: body["dsseEnvelope"], "payload", 40))
    beside(model).write_text(bent)

    refuses(tools.model_signing(beside(model), office.trust, office.who, model), "signature")


def linked(model: Path) -> None:
    (model.parent / "same").write_bytes(FILES["a.txt"])
    (model / "a.txt").unlink()
    (model / "a.txt").symlink_to(model.parent / "same")


def hidden(model: Path) -> None:
    (model / ".git").mkdir()
    (model / ".git" / "hook").write_bytes(b"smuggled")


def swapped(model: Path) -> None:
    (model / "a.txt").write_bytes(FILES["a/b.json"])
    (model / "a/b.json").write_bytes(FILES["a.txt"])


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "changed": (lambda model: (model / "a/b.json").write_bytes(b"[]"), "a/b.json"),
    "one byte": (lambda model: (model / "a/c.bin").write_bytes(b"\0" * 299 + b"\1"), "a/c.bin"),
    "missing": (lambda model: (model / "a.txt").unlink(), "a.txt"),
    "extra": (lambda model: (model / "extra.bin").write_bytes(b"x"), "extra.bin"),
    "renamed": (lambda model: (model / "a.txt").rename(model / "b.txt"), "b.txt"),
    "swapped": (swapped, "a.txt"),
    "empty": (lambda model: shutil.rmtree(model / "a"), "a/b.json"),
    "linked to the same bytes": (linked, "a.txt"),
    # model_signing leaves .git and its like out of what it hashes, whoever signed; we do not.
    "hidden where git would be": (hidden, ACCEPTS),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_folder_that_is_not_the_signed_one_is_refused(
    office: Office, policy: IdentityPolicy, model: Path, name: str
) -> None:
    change, named = CHANGES[name]
    signed = verify_bundle(beside(model).read_text(), office.root, policy).parsed
    change(model)

    with pytest.raises(VerificationFailed):
        oms.check_folder(signed, model)
    done = tools.model_signing(beside(model), office.trust, office.who, model)
    if named == ACCEPTS:
        holds(done)
    else:
        refuses(done, named)


def test_who_may_sign_models_of_a_zone_is_asked_by_us_alone(office: Office, model: Path) -> None:
    """Whoever may sign what is our policy; the outside tool believes the identity that it is told to."""
    abroad = IdentityPolicy(
        {statements.OMS_SIGNATURE: (AGENT.replace("ae-health", "ext-de"),)}, frozenset({office.who.issuer})
    )
    holds(tools.model_signing(beside(model), office.trust, office.who, model))

    with pytest.raises(VerificationFailed, match="may not make statements of the kind"):
        verify_bundle(beside(model).read_text(), office.root, abroad)


def test_the_signature_of_another_model_is_refused(office: Office, model: Path) -> None:
    other = oms.oms_statement("malignancy", [("model.onnx", Digest.of(b"other"))])
    beside(model).write_text(office.sign(other))

    refuses(tools.model_signing(beside(model), office.trust, office.who, model), "model.onnx")


def test_files_that_the_signer_asks_to_ignore_pass_elsewhere_and_not_with_us(
    office: Office, policy: IdentityPolicy, model: Path
) -> None:
    """So the registry refuses such a statement when it comes in, whoever signed it."""
    body = json.loads(oms.oms_statement(model.name, oms.read_folder(model)))
    body["predicate"]["serialization"]["ignore_paths"] = ["extra.bin"]
    beside(model).write_text(office.sign(json.dumps(body).encode()))
    (model / "extra.bin").write_bytes(b"smuggled")

    holds(tools.model_signing(beside(model), office.trust, office.who, model))
    with pytest.raises(VerificationFailed, match=r"asks to ignore 'extra\.bin'"):
        oms.check_folder(verify_bundle(beside(model).read_text(), office.root, policy).parsed, model)
