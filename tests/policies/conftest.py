# SPDX-License-Identifier: Apache-2.0
"""The shipped bundle, read once."""

from __future__ import annotations

import pytest

from policies.loading import PolicyBundle


@pytest.fixture(scope="session")
def bundle() -> PolicyBundle:
    return PolicyBundle.load()
