# SPDX-License-Identifier: Apache-2.0
"""The proof that a recovery kit works: it was restored, its keys signed, and what they signed verified.

A proof names the keys it is about, and is signed with the restored key of the signature log.  A rotation makes keys
that it does not name, so that it counts no more: production does not start without a proof for the keys in use.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from hashlib import sha256
from itertools import islice
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256

from audit.canonical import canonical
from audit.checkpoint import NoteVerifier, open_checkpoint
from audit.merkle import Tree, leaf_hash
from khatim.errors import LedgerInvalid, Misconfigured, SignatureInvalid
from khatim.vocabulary import Digest
from registry.signing import bundle, recovery_kit, statements, trust
from registry.signing.authority import Authority
from registry.signing.certificates import der
from registry.signing.encoding import b64, rfc3339, unb64
from registry.signing.identity import IdentityPolicy, service
from registry.signing.keys import KeyStore, flush
from registry.signing.record import PublicRecord
from registry.signing.recovery import Unpacked
from registry.signing.verification import TrustRoot, verify_bundle

_FORMAT = "khatim-recovery-proof/1"
_PROBE = "https://khatim.dev/attestations/recovery-probe/v1"
_ADVICE = "Make a kit (khatim authority backup) and prove it (khatim authority recovery-test)."


@dataclass(frozen=True, slots=True)
class Proof:
    """What a recovery test found: which keys signed, of which kit, how far its logs reached, when and for whom."""

    instance: str
    at: str
    by: str
    kit: str
    generations: Mapping[str, str]
    logs: Mapping[str, int]
    signature: str = ""

    @property
    def signed(self) -> bytes:
        """The bytes that the signature covers."""
        body = {key: value for key, value in asdict(self).items() if key != "signature"}
        return f"{_FORMAT}\n".encode() + canonical(body)


def prove(  # noqa: PLR0913, PLR0917 - which kit, against which authority, when and by whom
    found: Unpacked, kit: Path, live: Authority, live_keys: KeyStore, installation: Path, at: datetime, *, by: str
) -> Proof:
    """Sign and verify with what a kit gave back, compare it with the *live* authority, and return the signed proof.

    Raises `Misconfigured` with what the kit lacks: a newer generation, a key, entries of a log that differ.
    """
    record = live.record
    if found.record.current() != record.current():
        newer = sorted(set(record.current()) - set(found.record.current()))
        raise Misconfigured(f"the kit is older than the keys in use ({', '.join(newer)})", advice=_ADVICE)
    keys = live_keys if found.missing else found.keys
    restored = Authority.open(found.folder, keys=keys)
    try:
        sizes = {origin: _compared(restored, live, origin) for origin in map(record.origin_of, record.signature_log)}
        _compare_files(found.extras, installation)
        _probe(restored, record, at)
    finally:
        restored.close()
    proof = Proof(record.instance, rfc3339(at), by, recovery_kit.digest_of(kit), record.current(), sizes)
    signature = keys.ed25519(record.signature_log[-1].key).sign(proof.signed)
    return replace(proof, signature=b64(signature))


def write(proof: Proof, path: Path) -> None:
    """Write a proof in the place of an older one, durably."""
    draft = path.with_name(f"{path.name}.new")
    draft.write_text(json.dumps({"format": _FORMAT, **asdict(proof)}, indent=1) + "\n", "utf-8")
    flush(draft)
    draft.replace(path)
    flush(path.parent)


def read(path: Path, record: PublicRecord) -> Proof:
    """Return the proof in *path* if it holds for the keys in use; raises `Misconfigured` with advice otherwise."""
    try:
        body = json.loads(path.read_text("utf-8"))
        kind = body.pop("format")
        proof = Proof(**body)
        signature = unb64(proof.signature, "the signature of the proof")
    except FileNotFoundError as missing:
        raise Misconfigured("no recovery test has been passed yet", advice=_ADVICE) from missing
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as wrong:
        raise Misconfigured("the proof of the recovery test cannot be read", advice=_ADVICE) from wrong
    if proof.generations != record.current():
        raise Misconfigured(
            f"the recovery test of {proof.at} proved other keys than those in use: a rotation came after it",
            advice=_ADVICE,
        )
    try:
        record.signature_log[-1].public_key.verify(signature, proof.signed)
    except InvalidSignature as wrong:
        raise Misconfigured("the proof of the recovery test was changed", advice=_ADVICE) from wrong
    if kind != _FORMAT or proof.instance != record.instance:
        raise Misconfigured("the proof of the recovery test is that of another instance", advice=_ADVICE)
    return proof


def _compared(restored: Authority, live: Authority, origin: str) -> int:
    """Check that the live log extends the restored one; return the restored one's size."""
    copy, original = restored.log_of(origin), live.log_of(origin)
    try:
        known = open_checkpoint(copy.checkpoint(), origin, [NoteVerifier.parse(original.vkey)])
        tree = Tree()
        for body in islice(original.entries(), known.size):
            tree.append(leaf_hash(body))
        if (tree.size, tree.root()) != (known.size, known.root):
            raise Misconfigured(f"the log {origin} does not extend the kit's: one of them lost or changed entries")
    except LedgerInvalid as wrong:
        raise Misconfigured(f"the log {origin} in the kit does not verify: {wrong.detail}") from wrong
    finally:
        copy.close()
        original.close()
    return known.size


def _compare_files(extras: Path, installation: Path) -> None:
    """Check that the keys of the installation (ledger, tokens, people) are the ones in use."""
    for kept in sorted(one for one in (installation / "keys").glob("*") if one.suffix in (".pem", ".key")):
        copy = extras / "keys" / kept.name
        if not copy.is_file() or copy.read_bytes() != kept.read_bytes():
            raise Misconfigured(f"the kit lacks the present {kept.name} of the installation", advice=_ADVICE)


def _probe(restored: Authority, record: PublicRecord, at: datetime) -> None:
    """Sign a statement with the restored keys and verify it against the published trust root.

    The entry goes into the scratch copy of the log only, which nobody ever sees.
    """
    who, issuer = service(record.instance, "recovery-test"), f"https://{record.domain}"
    statement = statements.statement([("probe", Digest.of(at.isoformat().encode()))], _PROBE, {"at": rfc3339(at)})
    key, signed = generate_private_key(SECP256R1()), statements.pae(statement)
    leaf = der(restored.issue_certificate(key.public_key(), who, issuer, at)[0])
    signature = key.sign(signed, ECDSA(SHA256()))
    entry = restored.log.append(bundle.entry_body(sha256(signed).digest(), signature, leaf))
    made = bundle.build(statement, signature, leaf, entry, restored.stamp(signature, at))
    root = TrustRoot.load(trust.dumps(trust.trusted_root(record)))
    try:
        verify_bundle(bundle.dumps(made), root, IdentityPolicy({_PROBE: (who,)}, frozenset({issuer})))
    except SignatureInvalid as wrong:
        raise Misconfigured(f"what the restored keys signed does not verify: {wrong.detail}", advice=_ADVICE) from wrong
