# SPDX-License-Identifier: Apache-2.0
"""A PKCS#11 token of softhsm2 in a folder, with a user PIN.  Debian's package ``softhsm2`` must be there."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pkcs11
import pytest

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "123456"


def make_token(folder: Path, label: str) -> None:
    """Make a token in *folder* and let the module of this process see it."""
    if not MODULE.exists():
        pytest.fail("softhsm2 is not installed: apt-get install softhsm2")
    (folder / "tokens").mkdir(parents=True, exist_ok=True)
    configuration = folder / "softhsm2.conf"
    configuration.write_text(
        f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n"
    )
    os.environ["SOFTHSM2_CONF"] = str(configuration)
    subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "87654321"],
        check=True, capture_output=True, env={**os.environ},
    )  # fmt: skip
    pkcs11.lib(str(MODULE)).reinitialize()
