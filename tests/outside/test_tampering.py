# SPDX-License-Identifier: Apache-2.0
"""Random tampering with a bundle: edit, delete, insert, reorder, truncate, sign anew.

Every change is refused, or the bundle says the very same thing by the very same signer at the very same time.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit.checkpoint import Checkpoint, sign_checkpoint
from audit.merkle import Tree, leaf_hash
from khatim.errors import SignatureInvalid
from registry.signing import bundle as bundles
from registry.signing import statements
from registry.signing.authority import Authority
from registry.signing.encoding import b64
from registry.signing.identity import IdentityPolicy
from registry.signing.signer import LocalSigner
from registry.signing.verification import verify_bundle
from tests.outside.office import AGENT, ISSUER, Office, edited, entry, passed, proof

SHARED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@pytest.fixture(scope="module")
def honest(office: Office) -> str:
    for _ in range(4):
        office.sign(passed(b"report"))
    return office.sign(passed(b"report"))


def same_or_refused(changed: str, honest: str, office: Office, policy: IdentityPolicy) -> None:
    try:
        found = verify_bundle(changed, office.root, policy)
    except SignatureInvalid:
        return
    assert found == verify_bundle(honest, office.root, policy)


# --- a bundle: its text ---


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")  # a negative serial number
@settings(max_examples=200, suppress_health_check=SHARED)
@given(data=st.data())
def test_no_cut_move_or_insertion_in_its_text_changes_what_a_bundle_says(
    office: Office, policy: IdentityPolicy, honest: str, data: st.DataObject
) -> None:
    first, second = sorted(data.draw(st.tuples(*[st.integers(0, len(honest))] * 2)))
    other = data.draw(st.text(st.characters(codec="utf-8"), min_size=1, max_size=20))
    changed = data.draw(
        st.sampled_from(
            [
                honest[:first] + honest[second:],
                honest[:first] + other + honest[second:],
                honest[:first] + honest[first:second] * 2 + honest[second:],
                honest[second:] + honest[first:second] + honest[:first],
                honest[:first],
            ]
        )
    )

    same_or_refused(changed, honest, office, policy)


# --- a bundle: its members ---


def places(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of every member and item below *value*."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inside in pairs:
        yield (*path, key)
        yield from places(inside, (*path, key))


ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(0, 2**40), st.text(max_size=8), st.binary(max_size=40).map(b64),
    st.lists(st.integers(), max_size=2), st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)  # fmt: skip


def tampered(body: Any, data: st.DataObject) -> Any:
    """Return *body* with one member or item edited, deleted, inserted, doubled, moved or cut short."""
    whole = copy.deepcopy(body)
    *way, last = data.draw(st.sampled_from(sorted(places(whole), key=str)))
    holder: Any = whole
    for key in way:
        holder = holder[key]
    how = data.draw(st.sampled_from(["edit", "delete", "insert", "exchange", "cut"]))
    if how == "delete":
        del holder[last]
    elif how == "insert" and isinstance(last, int):
        holder.insert(last, data.draw(st.one_of(ANYTHING, st.just(holder[last]))))
    elif how == "insert":
        holder[data.draw(st.text(min_size=1, max_size=8))] = data.draw(ANYTHING)
    elif how == "exchange":
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        other = data.draw(st.sampled_from(keys))
        holder[last], holder[other] = holder[other], holder[last]
    elif how == "cut" and isinstance(holder[last], str | list):
        holder[last] = holder[last][: data.draw(st.integers(0, len(holder[last])))]
    else:
        holder[last] = data.draw(ANYTHING)
    return whole


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@settings(max_examples=300, suppress_health_check=SHARED)
@given(data=st.data())
def test_a_bundle_of_which_any_member_changed_is_refused(
    office: Office, policy: IdentityPolicy, honest: str, data: st.DataObject
) -> None:
    """Stricter than its text: no member may change, go, come or move at all."""
    body = json.loads(honest)
    changed = tampered(body, data)
    if changed != body:
        with pytest.raises(SignatureInvalid):
            verify_bundle(bundles.dumps(changed), office.root, policy)


# --- a bundle: signed anew ---


@settings(max_examples=25, suppress_health_check=SHARED)
@given(content=st.binary(max_size=8))
def test_what_a_foreign_authority_signs_is_refused(
    office: Office, policy: IdentityPolicy, foreign: Authority, content: bytes
) -> None:
    """The same names and the same claims under other keys; also with the true log's id or certificate grafted on."""
    theirs = LocalSigner(foreign, AGENT, ISSUER, office.clock).sign(passed(content))
    ours = json.loads(office.sign(passed(content)))
    grafts: list[Callable[[dict[str, Any]], object]] = [
        lambda _: None,
        lambda body: entry(body).update(logId=entry(ours)["logId"]),
        lambda body: body["verificationMaterial"].update(certificate=ours["verificationMaterial"]["certificate"]),
        lambda body: body["verificationMaterial"].update(tlogEntries=ours["verificationMaterial"]["tlogEntries"]),
        lambda body: body.update(dsseEnvelope=ours["dsseEnvelope"]),
    ]
    for graft in grafts:
        with pytest.raises(SignatureInvalid):
            verify_bundle(edited(theirs, graft), office.root, policy)


@pytest.fixture(scope="module")
def foreign(office: Office, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    other = Authority.create(Path(tmp_path_factory.mktemp("foreign")) / "authority", "demo", office.clock)
    yield other
    other.close()


@settings(max_examples=25, suppress_health_check=SHARED)
@given(content=st.binary(min_size=1, max_size=8), before=st.integers(0, 6))
def test_a_stolen_log_key_vouches_for_no_other_statement(
    office: Office, policy: IdentityPolicy, honest: str, content: bytes, before: int
) -> None:
    """The thief logs a statement of their own under the agent's certificate, with a true proof and checkpoint.

    What they lack is the key of the certificate; whether the old or a new signature stands there does not matter.
    """
    parts, log = bundles.parse(honest), office.authority.log
    payload = passed(content)
    digest = sha256(statements.pae(payload)).digest()
    own = ec.generate_private_key(ec.SECP256R1()).sign(statements.pae(payload), ec.ECDSA(hashes.SHA256()))
    for signature in (parts.signature, own):
        leaf = bundles.entry_body(digest, signature, parts.certificate)
        tree = Tree()
        for one in (*(b"%d" % number for number in range(before)), leaf):
            tree.append(leaf_hash(one))
        body = json.loads(honest)
        body["dsseEnvelope"] |= {"payload": b64(payload), "signatures": [{"sig": b64(signature)}]}
        entry(body).update(logIndex=str(before), canonicalizedBody=b64(leaf))
        note = sign_checkpoint(Checkpoint(log.origin, tree.size, tree.root()), log._signer)
        path = [b64(one) for one in tree.inclusion_proof(before)]
        proof(body).update(
            logIndex=str(before), rootHash=b64(tree.root()), treeSize=str(tree.size), hashes=path,
            checkpoint={"envelope": note},
        )  # fmt: skip

        office.root.anchors.logs[log.id].check(bundles.parse(bundles.dumps(body)).entry)  # the forged log itself holds
        with pytest.raises(SignatureInvalid, match=r"not over this statement|timestamp"):
            verify_bundle(bundles.dumps(body), office.root, policy)
