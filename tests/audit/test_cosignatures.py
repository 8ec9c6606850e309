# SPDX-License-Identifier: Apache-2.0
"""Cosignatures: those that public witnesses gave to public logs verify, ours verify, and no bit of them changes."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.checkpoint import Checkpoint, sign_checkpoint
from audit.cosignatures import SIZES, CosignatureVerifier, Cosigner, cosigned_by, ed25519_message, mldsa44_message
from audit.merkle import leaf_hash
from khatim.errors import LedgerInvalid, Malformed
from tests.audit.cosigning import ED25519, MLDSA44, ed25519, mldsa44
from tests.audit.ledgers import ORIGIN, SIGNER

NOW = datetime(2026, 11, 23, 6, 0, 0, tzinfo=UTC)
CHECKPOINT = Checkpoint(ORIGIN, 3, leaf_hash(b"root"))
NOTE = sign_checkpoint(CHECKPOINT, SIGNER)
PUBLISHED = json.loads((Path(__file__).parents[1] / "goldens" / "cosigned.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("kind", ["ed25519", "ml-dsa-44"])
def test_cosignatures_of_public_witnesses_verify(kind: str) -> None:
    """Logs of Let's Encrypt's and Google's staging, cosigned by witnesses that know nothing of us."""
    found: dict[str, Any] = PUBLISHED[kind]
    moments = cosigned_by(found["note"], map(CosignatureVerifier.parse, found["cosigners"]))
    assert list(moments) != []
    assert set(moments) == set(found["cosigners"])
    assert {moment.year for moment in moments.values()} == {2026}


@pytest.mark.parametrize("kind", ["ed25519", "ml-dsa-44"])
def test_cosignatures_of_public_witnesses_hold_for_their_checkpoint_only(kind: str) -> None:
    found: dict[str, Any] = PUBLISHED[kind]
    size = found["note"].split("\n")[1]
    other = found["note"].replace(f"\n{size}\n", f"\n{int(size) + 1}\n")
    for vkey in found["cosigners"]:
        with pytest.raises(LedgerInvalid, match="does not verify"):
            cosigned_by(other, [CosignatureVerifier.parse(vkey)])


@pytest.mark.parametrize("cosigner", [ED25519, MLDSA44], ids=["ed25519", "ml-dsa-44"])
def test_a_checkpoint_is_cosigned(cosigner: Cosigner) -> None:
    line = cosigner.cosign(CHECKPOINT.text(), NOW)
    assert cosigned_by(NOTE + line, [cosigner.verifier]) == {cosigner.vkey: NOW}
    assert CosignatureVerifier.parse(cosigner.vkey).key_id == cosigner.verifier.key_id
    blob = base64.b64decode(line.split(" ")[2])
    assert len(blob) == 4 + 8 + SIZES[cosigner.verifier.kind]


def test_the_messages_are_those_of_the_specification() -> None:
    assert ed25519_message("o\n1\nr\n", 1679315147) == b"cosignature/v1\ntime 1679315147\no\n1\nr\n"
    message = mldsa44_message("w", 1679315147, Checkpoint("log", 3, bytes(range(32)), ("more",)))
    stamp, size = (1679315147).to_bytes(8, "big"), (3).to_bytes(8, "big")
    assert message == b"subtree/v1\n\0\x01w" + stamp + b"\x03log" + bytes(8) + size + bytes(range(32))


@pytest.mark.parametrize("cosigner", [ED25519, MLDSA44], ids=["ed25519", "ml-dsa-44"])
@given(data=st.data())
def test_no_bit_of_a_cosignature_changes_unseen(cosigner: Cosigner, data: st.DataObject) -> None:
    blob = bytearray(base64.b64decode(cosigner.cosign(CHECKPOINT.text(), NOW).split(" ")[2])[4:])
    blob[data.draw(st.integers(0, len(blob) - 1))] ^= data.draw(st.sampled_from([1, 2, 4, 8, 16, 32, 64, 128]))
    assert not cosigner.verifier.verify(CHECKPOINT.text(), bytes(blob))
    assert not cosigner.verifier.verify(CHECKPOINT.text(), bytes(blob[:-1]))


@pytest.mark.parametrize("make", [ed25519, mldsa44])
def test_a_cosignature_is_of_its_checkpoint_its_key_and_never_of_no_time(make: Any) -> None:
    mine, other = make("witness.test/a"), make("witness.test/b")
    blob = base64.b64decode(mine.cosign(CHECKPOINT.text(), NOW).split(" ")[2])[4:]
    assert mine.verifier.verify(CHECKPOINT.text(), blob)
    assert not other.verifier.verify(CHECKPOINT.text(), blob)
    assert not mine.verifier.verify(Checkpoint(ORIGIN, 4, CHECKPOINT.root).text(), blob)
    timeless = base64.b64decode(mine.cosign(CHECKPOINT.text(), datetime.fromtimestamp(0, UTC)).split(" ")[2])[4:]
    assert not mine.verifier.verify(CHECKPOINT.text(), timeless)


def test_only_ml_dsa_commits_to_the_cosigners_name_and_ed25519_to_extensions() -> None:
    renamed = Cosigner("witness.test/other", mldsa44("witness.test/w1")._key)
    blob = base64.b64decode(MLDSA44.cosign(CHECKPOINT.text(), NOW).split(" ")[2])[4:]
    assert not renamed.verifier.verify(CHECKPOINT.text(), blob)
    extended = Checkpoint(ORIGIN, 3, CHECKPOINT.root, ("an extension",)).text()
    assert MLDSA44.verifier.verify(extended, blob)
    plain = base64.b64decode(ED25519.cosign(CHECKPOINT.text(), NOW).split(" ")[2])[4:]
    assert not ED25519.verifier.verify(extended, plain)


def test_an_unknown_cosigner_is_ignored() -> None:
    note = NOTE + ED25519.cosign(CHECKPOINT.text(), NOW)
    assert cosigned_by(note, [MLDSA44.verifier]) == {}


@pytest.mark.parametrize("wrong", ["", "w", "w+00000000+", "w+00000000+BOvN", SIGNER.vkey, "w +x+BA=="])
def test_what_is_no_cosigners_key_is_malformed(wrong: str) -> None:
    with pytest.raises(Malformed):
        CosignatureVerifier.parse(wrong)


def test_a_name_that_does_not_fit_into_the_message_is_malformed() -> None:
    with pytest.raises(Malformed, match="does not fit"):
        mldsa44("w" * 256).cosign(CHECKPOINT.text(), NOW)
