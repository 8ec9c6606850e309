# SPDX-License-Identifier: Apache-2.0
"""Commands."""

from __future__ import annotations

import typer


def install(app: typer.Typer) -> None:
    """Add the commands."""
