# SPDX-License-Identifier: Apache-2.0
"""The registry's own pen and its judgement of others': who may attest what, in which zone.

Agents attest what happened in their zone, people approve, the registry itself seals engagements.  A person's approval
is signed with a ten-minute certificate that the embedded authority issued on the word of the person's session: it is
*server-attested*, and its predicate says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from audit.events import moment
from audit.transaction import Transaction
from khatim.errors import Malformed, SeparationOfDuties, SignatureInvalid
from khatim.vocabulary import PROGRAM, Digest
from registry import standing
from registry.events import StatementAdmitted
from registry.naming import namespace_of
from registry.signing import identity, predicates, statements
from registry.signing.attesters import ATTESTERS, attesters_in
from registry.signing.current import CurrentTrust
from registry.signing.identity import IdentityPolicy
from registry.signing.signer import Signer
from registry.signing.verification import TrustRoot, VerifiedStatement, verify_bundle
from registry.tables import Statement


@dataclass(frozen=True)
class Notary:
    """Signs the registry's statements and admits those of others.  Built once by the composition root."""

    instance: str
    issuer: str
    trust: CurrentTrust
    signer_for: Callable[[str], Signer]

    @property
    def root(self) -> TrustRoot:
        """Whom this instance believes now: a rotation of the authority's keys changes it."""
        return self.trust.root

    @property
    def trusted_root(self) -> Mapping[str, Any]:
        """The same, as outsiders get it."""
        return self.trust.document

    def policy(self, zone: str | None = None) -> IdentityPolicy:
        """Return the identity policy of the instance, narrowed to *zone*'s agents when one is given."""
        return IdentityPolicy.of_instance(self.instance, self.issuer, attesters_in(zone) if zone else ATTESTERS)

    def check(
        self, bundle: str, kind: str, subjects: Sequence[Digest], *, zone: str | None = None
    ) -> VerifiedStatement:
        """Verify a bundle; raises `SignatureInvalid` when it does not hold or is not a statement of *kind*."""
        verified = verify_bundle(bundle, self.root, self.policy(zone), list(subjects))
        if verified.kind != kind:
            raise SignatureInvalid(f"the statement is a {verified.kind}, not a {kind}")
        try:
            predicates.check(verified.predicate_type, verified.predicate)
        except Malformed as wrong:
            raise SignatureInvalid(f"the statement does not say what its type asks for: {wrong.detail}") from wrong
        return verified

    def admit(self, tx: Transaction, about: str, bundle: str, verified: VerifiedStatement) -> Statement:
        """Keep a verified bundle as a statement about *about*, and say so with the digest of its bytes.

        Raises `RevokedRefused` for what its signer, its key or its subjects may not say any more.
        """
        standing.require(tx, verified)
        row = Statement(
            id=tx.new_id(),
            about=about,
            predicate_type=verified.predicate_type,
            subjects=sorted(str(digest) for digest in verified.digests),
            identity=verified.identity,
            issuer=verified.issuer,
            signed_at=verified.signed_at,
            digest=str(Digest.of(bundle.encode())),
            bundle=bundle,
        )
        tx.add(row)
        tx.record(
            StatementAdmitted(
                about=about,
                namespace=namespace_of(about),
                zone=identity.zone_of(row.identity) or "",
                statement=str(row.id),
                digest=row.digest,
                predicate_type=row.predicate_type,
                identity=row.identity,
                signed_at=moment(row.signed_at),
            )
        )
        return row

    def attest(  # noqa: PLR0913, PLR0917 - who says what about which bytes
        self,
        tx: Transaction,
        about: str,
        who: str,
        kind: str,
        subjects: Sequence[tuple[str, Digest]],
        predicate: Mapping[str, Any],
    ) -> Statement:
        """Sign a statement in the name of *who* (a SPIFFE name of this instance), verify what came out, keep it.

        Raises `SeparationOfDuties` for a program: what is signed in somebody's name is a decision, and these are
        people's.
        """
        if who.startswith(self.person(PROGRAM)):
            raise SeparationOfDuties(
                "a program decides nothing that people sign",
                advice="Ask a person who holds the role.", rule="service-accounts/people-decide",
            )  # fmt: skip
        bundle = self.signer_for(who).sign(statements.statement(subjects, kind, predicate))
        return self.admit(tx, about, bundle, self.check(bundle, kind, [digest for _, digest in subjects]))

    def person(self, ref: str) -> str:
        """Return the name under which a person's statements are signed."""
        return identity.person(self.instance, ref)

    def agent(self, zone: str, name: str) -> str:
        """Return the name under which an agent's statements are signed."""
        return identity.agent(self.instance, zone, name)

    def service(self) -> str:
        """Return the name under which the registry itself signs."""
        return identity.service(self.instance, "registry")
