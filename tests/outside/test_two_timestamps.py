# SPDX-License-Identifier: Apache-2.0
"""Bundles with a second timestamp, of an authority outside: what verifiers that others wrote do with them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from registry.signing import bundle as bundles
from registry.signing import statements, trust
from registry.signing.arrangement import Arrangement, arrange
from registry.signing.authority import Authority
from registry.signing.binding import Window
from registry.signing.clocks import clock_of
from registry.signing.encoding import b64
from registry.signing.identity import IdentityPolicy
from registry.signing.keys import FolderKeys
from registry.signing.outside_clock import OutsideClock
from registry.signing.signer import LocalSigner
from registry.signing.verification import verify_bundle
from tests.outside import tools
from tests.outside.office import AGENT, INSTANCE, ISSUER, Office, now, passed, stamps
from tests.outside.tools import holds
from tests.support.stamps import by, founded, serving

CONTENT = b"report"


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    made = founded(Path(tmp_path_factory.mktemp("elsewhere")) / "authority")
    yield made
    made.close()


@pytest.fixture(scope="module")
def dated(elsewhere: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Office, str]]:
    """Yield an office whose trusted root names a clock outside, and a bundle with both timestamps."""
    folder = Path(tmp_path_factory.mktemp("dated"))
    authority = Authority.create(folder / "authority", INSTANCE, now)
    with serving(by(elsewhere)) as url, httpx.Client(timeout=10) as http:
        chain = elsewhere.record.timestamping[-1].certificates
        keys = FolderKeys(authority.folder / "keys")
        arrange(authority.folder, lambda: keys, Arrangement(address=url, chain=chain), now())
        outside = OutsideClock(clock_of(url, chain, Window(None, None)), http)
        bundle = LocalSigner(authority, AGENT, ISSUER, now, outside=outside).sign(passed(CONTENT))
    yield Office.opened(authority, folder, now), bundle
    authority.close()


def written(folder: Path, bundle: str) -> Path:
    (folder / "report").write_bytes(CONTENT)
    (folder / "bundle.json").write_text(bundle)
    return folder / "bundle.json"


def test_we_count_both(dated: tuple[Office, str]) -> None:
    office, bundle = dated
    policy = IdentityPolicy.of_instance(INSTANCE, ISSUER)
    assert len(bundles.parse(bundle).timestamps) == 2
    assert verify_bundle(bundle, office.root, policy).outside.startswith("http://127.0.0.1")
    assert len(trust.trusted_root(office.authority.record)["timestampAuthorities"]) == 2


def test_sigstore_accepts_two_timestamps(dated: tuple[Office, str], tmp_path: Path) -> None:
    office, bundle = dated
    holds(tools.sigstore(written(tmp_path, bundle), office.trust, office.who, str(tmp_path / "report")))


def test_cosign_accepts_two_timestamps(dated: tuple[Office, str], tmp_path: Path) -> None:
    office, bundle = dated
    path = written(tmp_path, bundle)
    holds(tools.cosign(path, office.trust, office.who, statements.TEST_RESULT, tmp_path / "report"))


def test_sigstore_js_accepts_two_timestamps(dated: tuple[Office, str], tmp_path: Path) -> None:
    office, bundle = dated
    holds(tools.sigstore_js(written(tmp_path, bundle), office.trust, office.who))


def test_sigstore_does_not_compare_two_clocks_and_we_do(
    dated: tuple[Office, str], elsewhere: Authority, tmp_path: Path
) -> None:
    """A clock outside that is three minutes off, inside the certificate's life: sigstore-python is content."""
    office, bundle = dated
    late = elsewhere.stamp(bundles.parse(bundle).signature, now() + timedelta(minutes=3))
    body = json.loads(bundle)
    stamps(body)[1]["signedTimestamp"] = b64(late)
    path = written(tmp_path, bundles.dumps(body))

    holds(tools.sigstore(path, office.trust, office.who, str(tmp_path / "report")))
    with pytest.raises(Exception, match="two timestamps disagree"):
        verify_bundle(path.read_text(), office.root, IdentityPolicy.of_instance(INSTANCE, ISSUER))
