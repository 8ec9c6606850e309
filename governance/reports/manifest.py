# SPDX-License-Identifier: Apache-2.0
"""The manifest of a bundle: what it is about, at which point of the ledger, and the digest of every other file.

It is canonical JSON.  The registry signs its digest, so whoever trusts the registry's trust root and finds every file
as the manifest says has the whole bundle as it was exported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from audit.canonical import canonical
from audit.checkpoint import Checkpoint
from audit.events import moment
from khatim.errors import Malformed
from khatim.vocabulary import Digest
from registry.signing.encoding import b64, members, strict_json, text_of, unb64

FORMAT_1 = "https://khatim.dev/engagement/v1"
FORMAT = "https://khatim.dev/engagement/v2"
"""Written now; it adds the signed list of revocations.  Bundles of format 1 are still read."""
FORMATS = (FORMAT_1, FORMAT)
MANIFEST, SIGNATURE = "manifest.json", "manifest.sigstore.json"
APPOINTMENTS = "trust/appointments.json"  # there when others than the authority sign for the registry
TRUST_CONFIG, TRUSTED_ROOT, VKEY = "trust/client_trust_config.json", "trust/trusted_root.json", "trust/ledger.vkey"
POLICY, REPORT, REVOCATIONS = "policy/bundle.json", "report.html", "revocations.sigstore.json"
LEDGER, ATTESTATIONS, POPULATIONS = "ledger/", "attestations/", "populations/"

_MEMBERS = (
    "format", "instance", "issuer", "subject", "digest", "scope", "ledger", "policy", "createdAt", "createdBy", "files",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Listed:
    """What the manifest says of a file."""

    digest: Digest
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A manifest.

    *subject* is the version's reference and *digest* that of its manifest of files; *scope* are the references that
    the populations are about; *ledger* is the checkpoint; *instance* and *issuer* say whose statements these are.
    """

    instance: str
    issuer: str
    subject: str
    digest: str
    scope: tuple[str, ...]
    ledger: Checkpoint
    policy: Digest
    created_at: datetime
    created_by: str
    files: Mapping[str, Listed]
    format: str = FORMAT

    @property
    def namespace(self) -> str:
        """Return the namespace of the subject."""
        return self.subject.partition(":")[2].partition("/")[0]

    def predicate(self) -> dict[str, Any]:
        """Return what the registry attests of the manifest: all of it but the files, which its digest covers."""
        return {key: value for key, value in self._body().items() if key not in ("files", "scope")}

    def dumps(self) -> bytes:
        """Return the manifest as canonical JSON."""
        return canonical(self._body())

    def _body(self) -> dict[str, Any]:
        return {
            "format": self.format,
            "instance": self.instance,
            "issuer": self.issuer,
            "subject": self.subject,
            "digest": self.digest,
            "scope": list(self.scope),
            "ledger": {"origin": self.ledger.origin, "size": self.ledger.size, "root": b64(self.ledger.root)},
            "policy": str(self.policy),
            "createdAt": moment(self.created_at),
            "createdBy": self.created_by,
            "files": {name: {"sha256": one.digest.hex, "size": one.size} for name, one in self.files.items()},
        }

    @classmethod
    def loads(cls, data: bytes) -> Manifest:
        """Read `dumps`; raises `Malformed` for anything that it would not write."""
        body = members(strict_json(data, "the manifest"), _MEMBERS, (), "the manifest")
        if body["format"] not in FORMATS:
            raise Malformed(f"the manifest is of none of the formats {', '.join(FORMATS)}")
        ledger = members(body["ledger"], ("origin", "size", "root"), (), "the ledger of the manifest")
        try:
            found = cls(
                format=text_of(body["format"], "the format"),
                instance=text_of(body["instance"], "the instance"),
                issuer=text_of(body["issuer"], "the issuer"),
                subject=text_of(body["subject"], "the subject"),
                digest=str(Digest.parse(text_of(body["digest"], "the digest"))),
                scope=tuple(text_of(one, "a reference of the scope") for one in body["scope"]),
                ledger=Checkpoint(ledger["origin"], int(ledger["size"]), unb64(ledger["root"], "the root")),
                policy=Digest.parse(text_of(body["policy"], "the policy")),
                created_at=datetime.fromisoformat(text_of(body["createdAt"], "the time")),
                created_by=text_of(body["createdBy"], "who exported it"),
                files={str(name): _listed(one) for name, one in dict(body["files"]).items()},
            )
            rewritten = found.dumps()
        except (ValueError, TypeError, AttributeError) as wrong:
            raise Malformed("the manifest does not have the form of one") from wrong
        if rewritten != data:
            raise Malformed("the manifest is not canonical JSON")
        return found


def _listed(value: object) -> Listed:
    body = members(value, ("sha256", "size"), (), "a file of the manifest")
    return Listed(Digest(text_of(body["sha256"], "the sha256")), int(body["size"]))
