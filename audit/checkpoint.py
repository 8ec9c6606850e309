# SPDX-License-Identifier: Apache-2.0
"""Signed notes and checkpoints (C2SP signed-note, tlog-checkpoint): what a log says about itself, Ed25519-signed.

A note is text that ends in a newline, a blank line, and signature lines ``— <name> base64(key id || signature)``.
A checkpoint is a note of three lines: origin, tree size, base64 of the root.  Base64 is checked to be canonical, so
that no bit of a note can change unseen.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from khatim.errors import LedgerInvalid, Malformed

ED25519 = b"\x01"  # C2SP signed-note: signature type 1, Ed25519 over the note's text
_PLACE = "checkpoint"
_MAX_SIGNATURES = 100
_KEY_ID_SIZE = 4
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\ud800-\udfff]")  # control characters but LF, and what is not UTF-8
_SIZE = re.compile(r"(?:0|[1-9][0-9]{0,18})\Z")
_LINE = re.compile(r"\u2014 ([^ ]+) ([A-Za-z0-9+/=]+)\Z")


def key_id(name: str, public: bytes, kind: bytes = ED25519) -> bytes:
    """Return the four-byte key id: SHA-256(name || LF || kind || public key)[:4]."""
    return sha256(name.encode() + b"\n" + kind + public).digest()[:_KEY_ID_SIZE]


def _checked_name(name: str) -> str:
    if not name or "+" in name or any(c.isspace() for c in name) or _CONTROL.search(name):
        raise Malformed(f"not a key name: {name[:80]!r} (not empty, no spaces, no plus sign)")
    return name


def unbase64(text: str, what: str) -> bytes:
    """Return what *text* encodes; raises `LedgerInvalid` if it is not base64 in its one canonical form."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as wrong:
        raise LedgerInvalid(f"{what} is not base64", place=_PLACE) from wrong
    if base64.b64encode(data).decode() != text:
        raise LedgerInvalid(f"{what} is not canonical base64", place=_PLACE)
    return data


class Verifier(Protocol):
    """A named public key of any kind that checks notes: a log's (`NoteVerifier`) or a cosigner's."""

    @property
    def name(self) -> str:
        """The key's name."""
        ...

    @property
    def key_id(self) -> bytes:
        """The four bytes by which its signatures are found."""
        ...

    def verify(self, text: str, signature: bytes) -> bool:
        """Whether *signature* is this key's over *text*."""
        ...


def vkey_parts(vkey: str) -> tuple[str, bytes, bytes]:
    """Return name, kind and public key of ``name+key id+base64``; raises `Malformed` if they do not belong together."""
    name, _, rest = vkey.strip().partition("+")
    hex_id, _, encoded = rest.partition("+")
    try:
        blob = unbase64(encoded, "the verifier key")
    except LedgerInvalid as wrong:
        raise Malformed(f"not a verifier key: {vkey[:120]!r}") from wrong
    kind, public = blob[:1], blob[1:]
    if not kind or key_id(_checked_name(name), public, kind).hex() != hex_id:
        raise Malformed(f"the verifier key of {name[:80]} does not have the key id {hex_id[:16]!r}")
    return name, kind, public


def vkey_of(name: str, public: bytes, kind: bytes) -> str:
    """Write a verifier key."""
    return f"{_checked_name(name)}+{key_id(name, public, kind).hex()}+{base64.b64encode(kind + public).decode()}"


def signature_line(name: str, identity: bytes, blob: bytes) -> str:
    """Return the line of a note for the signature *blob* by the key of that name and id."""
    return f"\u2014 {name} {base64.b64encode(identity + blob).decode()}\n"


class NoteSigner:
    """A named Ed25519 key that signs notes.  One log, one key: never share it (trust.md A1, defect 2)."""

    def __init__(self, name: str, key: Ed25519PrivateKey) -> None:
        """Take the key's name (for a log: its origin) and the private key."""
        self.name = _checked_name(name)
        self._key = key
        self._public = key.public_key().public_bytes_raw()
        self.key_id = key_id(name, self._public)

    @property
    def vkey(self) -> str:
        """The verifier key, ``name+key id+base64(type || public key)``: give it to everyone who verifies."""
        return self.verifier.vkey

    @property
    def verifier(self) -> NoteVerifier:
        """The verifier of this signer's notes."""
        return NoteVerifier(self.name, self._public)

    def sign(self, text: str) -> str:
        """Return the signature line (with its newline) over a note's text."""
        return signature_line(self.name, self.key_id, self._key.sign(text.encode()))


class NoteVerifier:
    """A named Ed25519 public key that checks notes."""

    def __init__(self, name: str, public: bytes) -> None:
        """Take the name and the 32 bytes of the public key; raises `Malformed` if it is not one."""
        self.name = _checked_name(name)
        self.key_id = key_id(name, public)
        self.vkey = vkey_of(name, public, ED25519)
        try:
            self._key = Ed25519PublicKey.from_public_bytes(public)
        except ValueError as wrong:
            raise Malformed(f"the verifier key of {name} is not an Ed25519 public key") from wrong

    @classmethod
    def parse(cls, vkey: str) -> NoteVerifier:
        """Read ``name+key id+base64``; raises `Malformed` if its parts do not belong together."""
        name, kind, public = vkey_parts(vkey)
        if kind != ED25519:
            raise Malformed("the verifier key is not of type 1 (Ed25519)")
        return cls(name, public)

    def verify(self, text: str, signature: bytes) -> bool:
        """Whether *signature* (64 bytes) is this key's over *text*."""
        try:
            self._key.verify(signature, text.encode())
        except InvalidSignature:
            return False
        return True


def sign_note(text: str, *signers: NoteSigner) -> str:
    """Return the note of *text* with a signature line per signer; raises `Malformed` if the text may not be a note."""
    if not text.endswith("\n") or _CONTROL.search(text):
        raise Malformed("a note's text ends with a newline and has no control characters")
    if not signers:
        raise Malformed("a note needs a signer")
    return text + "\n" + "".join(signer.sign(text) for signer in signers)


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line of a note: whose it says it is, the key id, and what follows it."""

    name: str
    key_id: bytes
    blob: bytes

    @property
    def line(self) -> str:
        """The line, with its newline."""
        return signature_line(self.name, self.key_id, self.blob)


def split_note(note: str) -> tuple[str, list[Signature]]:
    """Return text and signatures of *note*, unverified; raises `LedgerInvalid` if it does not have the form."""
    head, blank, tail = note.rpartition("\n\n")
    if not blank or not tail.endswith("\n") or _CONTROL.search(note):
        raise LedgerInvalid("this is not a signed note", place=_PLACE)
    lines = tail[:-1].split("\n")
    if len(lines) > _MAX_SIGNATURES:
        raise LedgerInvalid("the note has too many signatures", place=_PLACE)
    found = []
    for line in lines:
        parts = _LINE.match(line)
        if parts is None:
            raise LedgerInvalid("the note has a malformed signature line", place=_PLACE)
        blob = unbase64(parts[2], "the signature")
        found.append(Signature(parts[1], blob[:_KEY_ID_SIZE], blob[_KEY_ID_SIZE:]))
    return head + "\n", found


def held_signatures(note: str, verifiers: Iterable[Verifier]) -> tuple[str, list[Signature]]:
    """Return the text of *note* and those signatures that are of the given keys, each verified.

    Signatures by unknown keys are left out; one wrong signature by a known key rejects the note (C2SP signed-note).
    """
    text, signatures = split_note(note)
    known = {(v.name, v.key_id): v for v in verifiers}
    held = []
    for one in signatures:
        verifier = known.get((one.name, one.key_id))
        if verifier is None:
            continue
        if not verifier.verify(text, one.blob):
            raise LedgerInvalid(f"the note's signature by {verifier.name} does not verify", place=_PLACE)
        held.append(one)
    return text, held


def open_note(note: str, verifiers: Iterable[Verifier]) -> str:
    """Return the text of *note*; raises `LedgerInvalid` unless a given verifier signed it, as `held_signatures`."""
    text, held = held_signatures(note, verifiers)
    if not held:
        raise LedgerInvalid("the note is signed by none of the expected keys", place=_PLACE)
    return text


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log's claim: under this origin, *size* leaves have this root.  `extensions` are further signed lines."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def text(self) -> str:
        """Return the note text (C2SP tlog-checkpoint)."""
        lines = (self.origin, str(self.size), base64.b64encode(self.root).decode(), *self.extensions)
        return "".join(f"{line}\n" for line in lines)

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Read a checkpoint's text; raises `LedgerInvalid` if it is not in the one form that `text` writes."""
        lines = text.split("\n")
        if len(lines) < 4 or lines[-1] or not all(lines[:-1]):  # noqa: PLR2004 - three lines and the end
            raise LedgerInvalid("a checkpoint has three lines: origin, size, root", place=_PLACE)
        origin, size, root, *extensions = lines[:-1]
        if not _SIZE.match(size):
            raise LedgerInvalid(f"not a tree size: {size[:40]!r}", place=_PLACE)
        decoded = unbase64(root, "the root")
        if len(decoded) != sha256().digest_size:
            raise LedgerInvalid("the root is not 32 bytes long", place=_PLACE)
        return cls(origin, int(size), decoded, tuple(extensions))

    @classmethod
    def of_note(cls, note: str) -> Checkpoint:
        """Read the checkpoint in a signed note whose signatures are verified elsewhere, or trusted."""
        return cls.parse(note.rpartition("\n\n")[0] + "\n")


def sign_checkpoint(checkpoint: Checkpoint, *signers: NoteSigner) -> str:
    """Return the signed note of *checkpoint*."""
    return sign_note(checkpoint.text(), *signers)


def open_checkpoint(note: str, origin: str, verifiers: Iterable[NoteVerifier]) -> Checkpoint:
    """Return the checkpoint in *note*; raises `LedgerInvalid` unless it verifies and is of the log *origin*."""
    checkpoint = Checkpoint.parse(open_note(note, verifiers))
    if checkpoint.origin != origin:
        raise LedgerInvalid(
            f"the checkpoint is of the log {checkpoint.origin!r}, not of {origin!r}", place=_PLACE, expected=origin
        )
    return checkpoint
