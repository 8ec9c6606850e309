# SPDX-License-Identifier: Apache-2.0
"""What Khatim changes in ``ray start``, through Ray's own start hook (``RAY_START_HOOK``)."""

from __future__ import annotations

from typing import Any


def without_client_server(parameters: Any, _head: bool) -> None:  # noqa: FBT001 - Ray calls it so
    """Leave the Ray Client server out: a second way into the cluster, and the command line cannot turn it off."""
    parameters.ray_client_server_port = None
