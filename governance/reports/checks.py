# SPDX-License-Identifier: Apache-2.0
"""The checks of a bundle's parts, each against the manifest.  All raise `VerificationFailed` with ``place``."""

from __future__ import annotations

from audit import verify
from audit.checkpoint import NoteVerifier
from audit.tiles import CHECKPOINT
from audit.verify import Demands, ZipSource
from audit.walk import LedgerReport
from governance.reports import manifest
from governance.reports.archive import Archive
from governance.reports.manifest import (
    APPOINTMENTS,
    LEDGER,
    MANIFEST,
    SIGNATURE,
    TRUST_CONFIG,
    TRUSTED_ROOT,
    VKEY,
    Manifest,
)
from khatim.errors import LedgerInvalid, Malformed, SignatureInvalid, VerificationFailed
from khatim.vocabulary import Digest
from registry.signing import bundle as bundles
from registry.signing import statements
from registry.signing.appointments import appointed
from registry.signing.attesters import ATTESTERS
from registry.signing.encoding import strict_json, text_of
from registry.signing.identity import IdentityPolicy
from registry.signing.verification import TrustRoot, VerifiedStatement, verify_bundle


def failed(place: str, detail: str) -> VerificationFailed:
    """Return the error that names *place*."""
    return VerificationFailed(f"{place}: {detail}", place=place)


def text(bundle: Archive, name: str) -> str:
    """Return a file as text."""
    try:
        return bundle.read(name).decode()
    except UnicodeDecodeError as wrong:
        raise failed(name, "it is not UTF-8") from wrong


def files(bundle: Archive, said: Manifest) -> None:
    """Check that the files are those of the manifest, with these digests and sizes, and no others."""
    found = bundle.members.keys() - {MANIFEST, SIGNATURE}
    for name in sorted(found ^ said.files.keys()):
        raise failed(name, "it is missing" if name in said.files else "the manifest does not list it")
    for name, listed in said.files.items():
        member = bundle.members[name]
        if (member.digest, member.size) != (listed.digest, listed.size):
            raise failed(name, "it is not the file that the manifest lists")


def appointments(bundle: Archive, said: Manifest, root: TrustRoot) -> TrustRoot:
    """Return the root with those whom its authority appointed to sign for the registry, when the bundle names some."""
    if APPOINTMENTS not in bundle.members:
        return root
    try:
        listed = strict_json(text(bundle, APPOINTMENTS), "the appointments")
        bundles_of = [text_of(one, "an appointment") for one in listed] if isinstance(listed, list) else [""]
        return appointed(root, bundles_of, said.instance)
    except (Malformed, SignatureInvalid) as wrong:
        raise VerificationFailed(f"{APPOINTMENTS}: {wrong.detail}", advice=wrong.advice, place=APPOINTMENTS) from wrong


def signature(bundle: Archive, said: Manifest, root: TrustRoot) -> VerifiedStatement:
    """Check that the registry of the manifest signed this manifest."""
    signed = text(bundle, SIGNATURE)
    try:
        rewritten = bundles.dumps(strict_json(signed, "the signature"))
        verified = verify_bundle(signed, root, policy_of(said.instance, said.issuer))
    except (Malformed, SignatureInvalid) as wrong:
        raise VerificationFailed(f"{SIGNATURE}: {wrong.detail}", advice=wrong.advice, place=SIGNATURE) from wrong
    if rewritten != signed:
        raise failed(SIGNATURE, "it is written in another way than the registry writes")
    if verified.kind != statements.ENGAGEMENT:
        raise failed(SIGNATURE, f"it is a {verified.kind}, not an engagement")
    if verified.subjects != ((MANIFEST, Digest.of(bundle.read(MANIFEST))),) or verified.predicate != said.predicate():
        raise failed(MANIFEST, "it is not the manifest that the registry signed")
    return verified


def policy_of(instance: str, issuer: str) -> IdentityPolicy:
    """Return who may sign what in the name of the manifest's registry."""
    try:
        return IdentityPolicy.of_instance(instance, issuer, ATTESTERS)
    except Malformed as wrong:
        raise failed(MANIFEST, wrong.detail) from wrong


def trust(bundle: Archive) -> None:
    """Check that the two documents of trust name the same root."""
    try:
        config = strict_json(text(bundle, TRUST_CONFIG), "the trust configuration")
        same = config["trustedRoot"] == strict_json(text(bundle, TRUSTED_ROOT), "the trusted root")
    except (Malformed, KeyError, TypeError) as wrong:
        raise failed(TRUST_CONFIG, "it has not the form of one") from wrong
    if not same:
        raise failed(TRUST_CONFIG, f"it names another trust root than {TRUSTED_ROOT}")


def key(bundle: Archive, known: str | None) -> str:
    """Return the verifier key of the ledger; it must be the one *known*, if one is."""
    found = text(bundle, VKEY).removesuffix("\n")
    try:
        NoteVerifier.parse(found)
    except Malformed as wrong:
        raise failed(VKEY, wrong.detail) from wrong
    if known is not None and known.strip() != found:
        raise failed(VKEY, "it is another key than the one that you know")
    return found


def ledger(bundle: Archive, said: Manifest, vkey: str, known: str | None) -> LedgerReport:
    """Derive the whole ledger; its checkpoint is the manifest's, and it continues the checkpoint *known* (a note)."""
    source = ZipSource(bundle.zip, LEDGER)
    try:
        report = verify.verify_ledger(source, vkey, Demands(since=known or ""))
    except LedgerInvalid as wrong:
        said_there = str(wrong.members.get("place", CHECKPOINT))
        place = LEDGER + (CHECKPOINT if said_there == "since" else said_there)
        raise LedgerInvalid(f"{place}: {wrong.detail}", place=place) from wrong
    if (report.origin, report.size, report.root) != (said.ledger.origin, said.ledger.size, said.ledger.root):
        raise failed(f"{LEDGER}checkpoint", "it is another checkpoint than the manifest's")
    return report


def policy(bundle: Archive, said: Manifest) -> None:
    """Check that the policy bundle is the one that the manifest names."""
    if bundle.members[manifest.POLICY].digest != said.policy:
        raise failed(manifest.POLICY, "it is another policy than the manifest names")
