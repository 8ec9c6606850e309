# SPDX-License-Identifier: Apache-2.0
"""The console's own style sheet, scripts and pictures, and the headers that pages are sent with.

One hash over the whole folder stands in every address, so that scripts may import each other by relative names and all
of it can be cached for ever.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from gateway.console import addresses
from khatim.errors import NotFound

FOLDER = Path(__file__).parent / "static"

MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

# Nothing inline, nothing from elsewhere, no frames: a page can run only what stands in static/.
PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "Vary": "Accept-Language, Cookie",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """A static file as it is sent."""

    body: bytes
    media_type: str
    headers: dict[str, str]


@cache
def _files() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(FOLDER.iterdir()) if path.suffix in MEDIA_TYPES}


@cache
def content_hash() -> str:
    """Return the hash of all static files: 16 hexadecimal digits."""
    whole = hashlib.sha256()
    for name, body in _files().items():
        whole.update(f"{name}\n{len(body)}\n".encode())
        whole.update(body)
    return whole.hexdigest()[:16]


def asset_url(name: str) -> str:
    """Return the address of the static file *name*; raises `NotFound` for a name that does not exist."""
    if name not in _files():
        raise NotFound(f"There is no static file {name!r}.")
    return f"{addresses.STATIC}/{content_hash()}/{name}"


def static_asset(path: str) -> Asset:
    """Return the file at *path* (``<hash>/<name>``, what follows ``/console/static/``); raises `NotFound`.

    An old hash, from a page that a former release rendered, is answered with today's file, not to be cached.
    """
    asked, _, name = path.partition("/")
    body = _files().get(name)  # a look-up by name: no path of a request ever reaches the file system
    if body is None:
        raise NotFound("There is no such static file.")
    lasting = "public, max-age=31536000, immutable" if asked == content_hash() else "no-cache"
    headers = {"Cache-Control": lasting, "X-Content-Type-Options": "nosniff"}
    return Asset(body, MEDIA_TYPES[Path(name).suffix], headers)
