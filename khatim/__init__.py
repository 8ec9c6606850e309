# SPDX-License-Identifier: Apache-2.0
"""Khatim (Arabic: *seal*): what everyone who talks with the registry shares.

The words (`khatim.vocabulary`), the bodies on the wire (`khatim.wire`), the errors (`khatim.errors`) and the
client (`khatim.client`).  ``khatim.Client`` is the SDK's front door.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from khatim.client import Client

__all__ = ["Client"]


def __getattr__(name: str) -> Any:
    # The client brings httpx and pydantic; the server's floors import `khatim` without wanting them.
    if name == "Client":
        from khatim.client import Client  # noqa: PLC0415

        return Client
    raise AttributeError(f"module 'khatim' has no attribute {name!r}")
