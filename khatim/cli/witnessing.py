# SPDX-License-Identifier: Apache-2.0
"""Whether the ledger that names each statement of a dossier was seen by witnesses: receipts fetched, and checked here.

The registry only says where an entry stands.  That it stands there, that it names this very statement and who cosigned
the checkpoint follows from bytes, the ledger's verifier key and the keys of the witnesses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from khatim.cli.demands import policy_of
from khatim.errors import LedgerInvalid
from khatim.vocabulary import Digest
from khatim.wire import proofs

if TYPE_CHECKING:
    from audit.witness_policy import WitnessPolicy
    from khatim.client import Client
    from registry.signing.bases import Circumstances

ADMITTED = "statement.admitted"


def circumstances_of(
    client: Client, dossier: proofs.Dossier, vkey: str, witnesses: Sequence[str], quorum: int
) -> dict[str, Circumstances]:
    """Return by the digest of each statement of *dossier* what a ledger with the key *vkey* and *witnesses* say of it.

    Without witnesses nothing is fetched.  Raises `LedgerInvalid` for a receipt that does not hold or is of another
    statement, `Malformed` for a quorum that these witnesses cannot meet.
    """
    from registry.signing.bases import Circumstances

    if not witnesses:
        return {}
    policy_of(list(witnesses), quorum, None)  # the quorum can be met
    everybody = policy_of(list(witnesses), 0, None)
    key = vkey or str(client.ledger.get(0).body.get("payload", {}).get("vkey", ""))
    return {
        digest: Circumstances(is_in_ledger=True, witnesses=_seen(client, digest, index, key, everybody), quorum=quorum)
        for digest, index in _places(client, dossier)
    }


def _places(client: Client, dossier: proofs.Dossier) -> Iterator[tuple[str, int]]:
    """Yield the digest of each statement with the index of the entry that the registry names for it, if any."""
    for node in dossier.nodes:
        wanted = {str(Digest.of(one.bundle.encode())) for one in node.statements}
        if not wanted:
            continue
        for entry in client.ledger.list(kind=ADMITTED, resource=node.ref):
            digest = str(entry.body.get("payload", {}).get("digest", ""))
            if digest in wanted:
                yield digest, entry.index


def _seen(client: Client, digest: str, index: int, key: str, everybody: WitnessPolicy) -> frozenset[str]:
    """Return the names of the witnesses who cosigned the ledger in which the entry at *index* names *digest*."""
    from audit import receipts

    found = receipts.check(client.ledger.receipt(index), key, everybody)
    event = found.entry.event
    payload = event.get("payload")
    named = payload.get("digest") if isinstance(payload, dict) else None
    if (event.get("kind"), named) != (ADMITTED, digest):
        raise LedgerInvalid(f"the receipt of entry {index} is not about the statement {digest}", place=f"entry {index}")
    return frozenset(vkey.partition("+")[0] for vkey in found.witnessed.by)
