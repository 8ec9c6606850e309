# SPDX-License-Identifier: Apache-2.0
"""Signed notes and checkpoints: the published vectors, and no bit of them changes unseen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.checkpoint import (
    Checkpoint,
    NoteVerifier,
    key_id,
    open_checkpoint,
    open_note,
    sign_checkpoint,
    sign_note,
)
from audit.merkle import EMPTY_ROOT
from khatim.errors import KhatimError, LedgerInvalid, Malformed
from tests.audit.ledgers import ORIGIN, SIGNER, signer_named

C2SP_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
# The example of the package documentation of golang.org/x/mod/sumdb/note.
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
CHECKPOINT = Checkpoint(ORIGIN, 17, EMPTY_ROOT)
NOTE = sign_checkpoint(CHECKPOINT, SIGNER)


def test_the_verifier_key_of_the_specification_is_read() -> None:
    verifier = NoteVerifier.parse(C2SP_KEY)
    assert verifier.name == "example.com/foo"
    assert verifier.key_id.hex() == "530d903a"
    assert verifier.vkey == C2SP_KEY


def test_the_note_of_another_implementation_is_opened() -> None:
    text = open_note(GO_NOTE, [NoteVerifier.parse(GO_KEY)])
    assert text == GO_NOTE.rpartition("\n\n")[0] + "\n"


def test_a_signed_checkpoint_is_opened() -> None:
    assert NOTE.startswith(f"{ORIGIN}\n17\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n\u2014 {ORIGIN} ")
    assert open_checkpoint(NOTE, ORIGIN, [SIGNER.verifier]) == CHECKPOINT
    assert open_checkpoint(NOTE, ORIGIN, [NoteVerifier.parse(SIGNER.vkey)]) == CHECKPOINT


def test_extension_lines_are_signed_too() -> None:
    extended = Checkpoint(ORIGIN, 17, EMPTY_ROOT, ("zone ae-health",))
    note = sign_checkpoint(extended, SIGNER)
    assert open_checkpoint(note, ORIGIN, [SIGNER.verifier]) == extended
    with pytest.raises(LedgerInvalid):
        open_checkpoint(note.replace("ae-health", "ext-de"), ORIGIN, [SIGNER.verifier])


@given(st.integers(0, len(NOTE.encode()) - 1), st.integers(1, 255))
def test_no_byte_of_a_checkpoint_changes_unseen(at: int, flip: int) -> None:
    data = bytearray(NOTE.encode())
    data[at] ^= flip
    with pytest.raises(LedgerInvalid) as refused:
        open_checkpoint(data.decode(errors="surrogateescape"), ORIGIN, [SIGNER.verifier])
    assert refused.value.members["place"] == "checkpoint"


def test_the_unused_bits_of_base64_are_not_free() -> None:
    """A lax decoder takes both spellings of the last character before the padding."""
    head, last = NOTE[: NOTE.rindex("=") - 1], NOTE[NOTE.rindex("=") - 1]
    twin = chr(ord(last) + 1)
    with pytest.raises(LedgerInvalid, match="canonical"):
        open_note(f"{head}{twin}=\n", [SIGNER.verifier])


def test_a_checkpoint_of_another_log_is_refused_even_if_the_key_is_right() -> None:
    """trust.md A1, defect 2: verifiers that do not bind the origin were seen."""
    evil = sign_note(Checkpoint("evil.example", 999_999, EMPTY_ROOT).text(), SIGNER)
    with pytest.raises(LedgerInvalid, match=r"evil\.example"):
        open_checkpoint(evil, ORIGIN, [SIGNER.verifier])


def test_signatures_of_unknown_keys_are_ignored_and_wrong_ones_of_known_keys_are_not() -> None:
    witness = signer_named("witness.test")
    both = sign_checkpoint(CHECKPOINT, witness, SIGNER)
    assert open_checkpoint(both, ORIGIN, [SIGNER.verifier]) == CHECKPOINT
    other = sign_checkpoint(Checkpoint(ORIGIN, 18, EMPTY_ROOT), witness)
    mixed = NOTE + other.rpartition("\n\n")[2]
    assert open_checkpoint(mixed, ORIGIN, [SIGNER.verifier]) == CHECKPOINT
    with pytest.raises(LedgerInvalid, match=r"witness\.test does not verify"):
        open_checkpoint(mixed, ORIGIN, [SIGNER.verifier, witness.verifier])
    with pytest.raises(LedgerInvalid, match="none of the expected keys"):
        open_checkpoint(NOTE, ORIGIN, [witness.verifier])


@pytest.mark.parametrize(
    "note",
    [
        "",
        "text\n",
        "text\n\n",
        NOTE.rstrip("\n"),
        NOTE.replace("\u2014", "-"),
        NOTE + "\n",
        NOTE.replace("17", "1\t7"),
        NOTE.rpartition("\n\n")[0] + "\n\n" + NOTE.rpartition("\n\n")[2] * 101,
    ],
    ids=["empty", "unsigned", "no signature", "no end", "hyphen", "blank end", "control character", "too many"],
)
def test_what_is_not_a_note_is_refused(note: str) -> None:
    with pytest.raises(LedgerInvalid):
        open_note(note, [SIGNER.verifier])


@pytest.mark.parametrize(
    "text",
    [
        f"{ORIGIN}\n17\n",
        f"{ORIGIN}\n017\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
        f"{ORIGIN}\n-1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
        f"{ORIGIN}\n\u0661\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
        f"{ORIGIN}\n17\nAAAA\n",
        f"{ORIGIN}\n17\nno base64!\n",
        "\n17\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
    ],
    ids=["no root", "leading zero", "negative", "another script's digit", "short root", "no base64", "no origin"],
)
def test_what_is_not_a_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(LedgerInvalid):
        Checkpoint.parse(text)


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "name",
        C2SP_KEY.replace("530d903a", "530d903b"),
        C2SP_KEY.replace("example.com/foo", "example.com/bar"),
        C2SP_KEY.replace("+Aek", "+Bek"),
        C2SP_KEY[:-4],
        "a b" + C2SP_KEY[len("example.com/foo") :],
    ],
)
def test_a_verifier_key_whose_parts_do_not_belong_together_is_malformed(vkey: str) -> None:
    with pytest.raises(Malformed):
        NoteVerifier.parse(vkey)


def test_what_may_not_be_signed_is_malformed() -> None:
    for sign in (
        lambda: sign_note("no end", SIGNER),
        lambda: sign_note("tab\t\n", SIGNER),
        lambda: sign_note("nobody\n"),
        lambda: signer_named("a+b"),
        lambda: signer_named("a b"),
        lambda: signer_named(""),
    ):
        with pytest.raises(KhatimError):
            sign()


def test_one_key_under_two_names_has_two_ids() -> None:
    assert key_id("one", bytes(32)) != key_id("two", bytes(32))
