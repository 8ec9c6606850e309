# SPDX-License-Identifier: Apache-2.0
"""Random tampering with an engagement, by everybody from a clumsy mail server to a registry with all its keys.

The auditor has what the guide tells them to have: trust root, verifier key, and a checkpoint from before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit.canonical import canonical
from audit.checkpoint import Checkpoint, sign_checkpoint
from audit.merkle import Tree, leaf_hash
from audit.tiles import bundles_of, decode_bundle, tiles_of
from audit.verify import FolderSource, verify_ledger
from gateway import composition
from governance.reports import archive, bundle, manifest
from governance.reports.archive import Draft
from khatim.errors import VerificationFailed
from khatim.vocabulary import Digest
from registry.signing import identity, statements, trust
from registry.signing.authority import Authority
from registry.signing.signer import LocalSigner
from tests.governance.reports.exported import Exported

Files = dict[str, bytes]
SHARED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
FEW = settings(max_examples=40, suppress_health_check=SHARED)


def refused(exported: Exported, path: Path) -> str:
    """See that the auditor refuses a file; return the place that is named."""
    with pytest.raises(VerificationFailed) as refusal:
        bundle.verify_bundle_file(path, trusted_root=exported.root, vkey=exported.vkey, checkpoint=exported.checkpoint)
    return str(refusal.value.members["place"])


def files_of(exported: Exported) -> Files:
    with archive.opened(exported.path) as opened:
        return {name: opened.read(name) for name in opened.members}


def packed(files: Files, to: Path) -> Path:
    """Write a zip in the one spelling that is accepted."""
    with Draft() as draft:
        for name, data in files.items():
            draft.add(name, data)
        with draft.write() as file:
            to.write_bytes(file.read())
    return to


def tamper(files: Files, data: st.DataObject) -> None:
    """Edit, delete, insert, exchange or cut short one file."""
    names = sorted(name for name, content in files.items() if content)
    name, other = data.draw(st.tuples(st.sampled_from(names), st.sampled_from(names)))
    content = files[name]
    at = data.draw(st.integers(0, len(content) - 1))
    how = data.draw(st.sampled_from(["edit", "delete", "insert", "exchange", "cut", "lengthen"]))
    if how == "edit":
        files[name] = content[:at] + bytes([content[at] ^ data.draw(st.integers(1, 255))]) + content[at + 1 :]
    elif how == "delete":
        del files[name]
    elif how == "insert":
        files[f"{name}.{data.draw(st.sampled_from(['bak', 'old', 'json']))}"] = content
    elif how == "exchange":
        files[name], files[other] = files[other], content
    elif how == "cut":
        files[name] = content[:at]
    else:
        files[name] = content + data.draw(st.binary(min_size=1, max_size=4))


@FEW
@given(data=st.data())
def test_a_file_that_is_cut_doubled_or_moved_as_bytes_is_refused(
    exported: Exported, tmp_path: Path, data: st.DataObject
) -> None:
    whole = exported.path.read_bytes()
    first, second = sorted(data.draw(st.tuples(*[st.integers(1, len(whole) - 1)] * 2)))
    bent = data.draw(
        st.sampled_from(
            [
                whole[:first],
                whole[second:],
                whole[:first] + whole[second:],
                whole[:first] + b"\0" + whole[first:],
                whole[second:] + whole[first:second] + whole[:first],
                whole + whole[first:second],
            ]
        )
    )
    if bent != whole:
        (tmp_path / "bent.zip").write_bytes(bent)
        assert refused(exported, tmp_path / "bent.zip")


@FEW
@given(data=st.data())
def test_any_file_changed_by_somebody_without_a_pen_is_refused(
    exported: Exported, tmp_path: Path, data: st.DataObject
) -> None:
    files, before = files_of(exported), files_of(exported)
    tamper(files, data)
    if files != before:
        assert refused(exported, packed(files, tmp_path / "bent.zip"))


@pytest.fixture(scope="module")
def foreign(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    other = Authority.create(Path(tmp_path_factory.mktemp("foreign")) / "authority", "test", exported.world.clock)
    yield other
    other.close()


@settings(max_examples=15, suppress_health_check=SHARED)
@given(data=st.data())
def test_an_engagement_signed_anew_by_a_foreign_authority_is_refused(
    exported: Exported, foreign: Authority, tmp_path: Path, data: st.DataObject
) -> None:
    """Of the same name, with its own trust root inside: it agrees with itself as far as its manifest goes."""
    files = files_of(exported)
    said = manifest.Manifest.loads(files.pop(manifest.MANIFEST))
    del files[manifest.SIGNATURE]
    if data.draw(st.booleans()):
        tamper(files, data)
    files[manifest.TRUSTED_ROOT] = trust.dumps(trust.trusted_root(foreign.record)).encode()
    listed = {name: manifest.Listed(Digest.of(content), len(content)) for name, content in files.items()}
    new = replace(said, files=listed)
    digest = Digest.of(new.dumps())
    pen = LocalSigner(foreign, identity.service("test", "registry"), said.issuer, exported.world.clock)
    signed = pen.sign(statements.statement([(manifest.MANIFEST, digest)], statements.ENGAGEMENT, new.predicate()))
    files |= {manifest.MANIFEST: new.dumps(), manifest.SIGNATURE: signed.encode()}

    place = refused(exported, packed(files, tmp_path / "bent.zip"))
    assert place == manifest.SIGNATURE


# --- the operator, with all keys ---


def rewritten(files: Files, exported: Exported, at: int, how: str) -> Checkpoint:
    """Write another history into the ledger of *files*, with chain, tiles and a true signature by the ledger's key."""
    under = [name for name in files if name.startswith(f"{manifest.LEDGER}tile/")]
    named = sorted(name for name in under if "/entries/" in name)
    entries = [entry for name in named for entry in decode_bundle(files[name])]
    for name in under:
        del files[name]
    story = [json.loads(entry) for entry in entries]
    if how == "edit":
        story[at]["event"]["actor"] = "p-somebody"
    elif how == "delete":
        del story[at]
    elif how == "insert":
        story.insert(at, json.loads(entries[at]))
    elif how == "reorder":
        story[at], story[at - 1] = story[at - 1], story[at]
    else:
        del story[at:]
    tree, prev, written = Tree(), "0" * 64, []
    for index, said in enumerate(story):
        said |= {"index": index, "prev": prev}
        written.append(canonical(said))
        prev = sha256(written[-1]).hexdigest()
        tree.append(leaf_hash(written[-1]))
    parts = exported.world.parts
    signer = composition.ledger_signer(parts.settings, parts.instance)
    head = Checkpoint(signer.verifier.name, tree.size, tree.root())
    files |= {f"{manifest.LEDGER}{path}": data for path, data in (*bundles_of(written), *tiles_of(tree))}
    files[f"{manifest.LEDGER}checkpoint"] = sign_checkpoint(head, signer).encode()
    return head


@settings(max_examples=20, suppress_health_check=SHARED)
@given(data=st.data())
def test_another_history_under_all_the_keys_is_refused_by_whoever_kept_a_checkpoint(
    exported: Exported, tmp_path: Path, data: st.DataObject
) -> None:
    """Chain, tiles, checkpoint and manifest are the registry's own work: the ledger by itself holds."""
    kept = Checkpoint.parse(exported.checkpoint.read_text().partition("\n\n")[0] + "\n")
    at = data.draw(st.integers(2, kept.size - 1))
    how = data.draw(st.sampled_from(["edit", "delete", "insert", "reorder", "truncate"]))
    files = files_of(exported)
    head = rewritten(files, exported, at, how)

    folder = tmp_path / f"{head.root.hex()}"
    for name, content in files.items():
        if name.startswith(manifest.LEDGER):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
    assert verify_ledger(FolderSource(folder / "ledger"), exported.vkey).size == head.size

    def put(there: Files) -> None:
        for name in [name for name in there if name.startswith(manifest.LEDGER)]:
            del there[name]
        there |= {name: content for name, content in files.items() if name.startswith(manifest.LEDGER)}

    path = exported.forged(tmp_path / "bent.zip", put, ledger=head)
    assert refused(exported, path).startswith("ledger/checkpoint")
