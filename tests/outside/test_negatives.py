# SPDX-License-Identifier: Apache-2.0
"""What each outside tool must refuse, and does, and what it lets pass; ours refuses all of it, by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from khatim.errors import SignatureInvalid
from khatim.vocabulary import Digest
from registry.signing import statements
from registry.signing.identity import IdentityPolicy
from registry.signing.verification import verify_bundle
from tests.outside import tools
from tests.outside.forgeries import ACCEPTS, CONTENT, FORGERIES
from tests.outside.office import AGENT, Office, founded, passed
from tests.outside.tools import Done, holds, refuses

TOOLS = ("sigstore-python", "cosign", "sigstore-js")


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """Yield an office of this module's own: how a tool names a forged proof depends on where in the log it stands."""
    with founded(Path(tmp_path_factory.mktemp("forged"))) as office:
        yield office


@pytest.fixture(scope="module")
def honest(office: Office) -> str:
    for _ in range(5):  # to entry 6 of 7: its proof has two hashes, that of entry 1 three
        office.sign(passed(CONTENT))
    return office.sign(passed(CONTENT))


def ask(office: Office, folder: Path, bundle: str, content: bytes = CONTENT) -> dict[str, Callable[[], Done]]:
    """Return how to put one bundle before each tool."""
    path, report = folder / "report.sigstore.json", folder / "report"
    path.write_text(bundle)
    report.write_bytes(content)
    return {
        "sigstore-python": lambda: tools.sigstore(path, office.trust, office.who, str(report)),
        "cosign": lambda: tools.cosign(path, office.trust, office.who, statements.TEST_RESULT, report),
        "sigstore-js": lambda: tools.sigstore_js(path, office.trust, office.who),
    }


@pytest.mark.parametrize("tool", TOOLS)
def test_the_honest_bundle_holds(office: Office, honest: str, tmp_path: Path, tool: str) -> None:
    holds(ask(office, tmp_path, honest)[tool]())


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("name", FORGERIES)
def test_each_tool_refuses_the_forgery_or_is_known_to_accept_it(
    office: Office, honest: str, tmp_path: Path, name: str, tool: str
) -> None:
    forge, said = FORGERIES[name]
    words = said[TOOLS.index(tool)]
    done = ask(office, tmp_path, forge(office, honest, tmp_path))[tool]()
    if words == ACCEPTS:
        holds(done)
    else:
        refuses(done, words)


@pytest.mark.parametrize("name", FORGERIES)
def test_our_verifier_refuses_every_forgery_by_name(
    office: Office, policy: IdentityPolicy, honest: str, tmp_path: Path, name: str
) -> None:
    forge, said = FORGERIES[name]
    with pytest.raises(SignatureInvalid) as refusal:
        verify_bundle(forge(office, honest, tmp_path), office.root, policy, {Digest.of(CONTENT)})
    assert said.ours in refusal.value.detail


@pytest.mark.parametrize(
    ("tool", "identity", "issuer", "content"),
    [
        ("sigstore-python", "SANs do not match", "Issuer", "no subject for digest"),
        ("cosign", "no matching CertificateIdentity", "no matching CertificateIdentity", "do not match digests"),
        # sigstore-js leaves subjects to whoever calls it.
        ("sigstore-js", "certificate identity error", "invalid certificate extension", ACCEPTS),
    ],
)
def test_each_tool_refuses_another_identity_issuer_or_file(
    office: Office, honest: str, tmp_path: Path, tool: str, identity: str, issuer: str, content: str
) -> None:
    somebody = dataclasses.replace(office, who=office.who._replace(identity=AGENT.replace("agent-1", "agent-2")))
    elsewhere = dataclasses.replace(office, who=office.who._replace(issuer="https://other.test"))
    refuses(ask(somebody, tmp_path, honest)[tool](), identity)
    refuses(ask(elsewhere, tmp_path, honest)[tool](), issuer)
    other = ask(office, tmp_path, honest, b"other")[tool]()
    if content == ACCEPTS:
        holds(other)
    else:
        refuses(other, content)
