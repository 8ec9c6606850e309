# SPDX-License-Identifier: Apache-2.0
"""Carrying a batch of messages to a receiver: until `send` has returned, nothing counts as delivered.

What "delivered" means differs, and each transport says so: a web receiver answers, a file is on the disk, but syslog
has no acknowledgement.  There, a batch counts when the receiver's kernel has acknowledged every byte, and as that says
nothing of the receiver itself, the last `RESENT` messages go out again after every new connection.
"""

from __future__ import annotations

import gzip
import os
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx

from audit.streams import writing
from audit.streams.messages import Format, Message
from audit.streams.sockets import Line
from khatim.errors import Malformed, Misconfigured, Unavailable
from khatim.settings import is_loopback

RESENT = 1000
"""How many messages syslog sends again after a new connection."""
_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class Places:
    """What the operator's machine gives to senders: where files go, and where keys and tokens lie, by name."""

    files: Path
    credentials: Path

    def credential(self, name: str) -> Path:
        """Return the file of a credential; raises `Misconfigured` when there is none."""
        path = self.credentials / name
        if "/" in name or name.startswith(".") or not path.is_file():
            raise Misconfigured(f"there is no credential {name!r} in {self.credentials}")
        return path


class Transport(Protocol):
    """A way to a receiver."""

    resent: int
    """How many messages before the cursor must be sent again after this was made."""

    def send(self, batch: Sequence[Message]) -> None:
        """Deliver *batch* whole; raises `Unavailable` when that is not known, and it is sent again."""
        ...

    def close(self) -> None:
        """Let go of the receiver."""
        ...


@dataclass
class FileTransport:
    """Appends lines to a file for a forwarder on this machine; delivered means written and synced."""

    path: Path
    form: Format
    resent: int = 0

    def send(self, batch: Sequence[Message]) -> None:
        """Append and sync; half a line that a crash left behind is ended first."""
        data = b"".join(writing.line(one, self.form) + b"\n" for one in batch)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab+") as file:
                if file.tell() and self._last(file) != b"\n":
                    data = b"\n" + data
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as wrong:
            raise Unavailable(f"{self.path} cannot be written: {wrong.strerror}") from wrong

    @staticmethod
    def _last(file: Any) -> bytes:
        file.seek(-1, os.SEEK_END)
        return bytes(file.read(1))

    def close(self) -> None:
        """Nothing is held open."""


@dataclass
class HttpsTransport:
    """Posts lines as compressed NDJSON; delivered means that the receiver answered 2xx."""

    url: str
    form: Format
    verify: ssl.SSLContext | bool = True
    token: str = ""
    resent: int = 0
    _client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        """Open the client; never follows a redirect, for the zone was judged by this address."""
        self._client = httpx.Client(verify=self.verify, timeout=_TIMEOUT_S, follow_redirects=False)

    def send(self, batch: Sequence[Message]) -> None:
        """Post *batch*; whatever is not 2xx is tried again by the sender."""
        lines = b"".join(writing.line(one, self.form) + b"\n" for one in batch)
        headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        try:
            answer = self._client.post(self.url, content=gzip.compress(lines, 5, mtime=0), headers=headers)
        except httpx.HTTPError as lost:
            raise Unavailable(f"{self.url} does not answer: {str(lost) or type(lost).__name__}") from lost
        if not answer.is_success:
            raise Unavailable(f"{self.url} answers {answer.status_code}", retry_after=answer.headers.get("retry-after"))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


@dataclass
class SyslogTransport:
    """RFC 5425: frames over TLS (plain TCP on loopback only); delivered means acknowledged by the receiver's kernel."""

    line: Line
    form: Format
    resent: int = RESENT

    def send(self, batch: Sequence[Message]) -> None:
        """Send the frames and wait until no byte of them is unacknowledged."""
        self.line.send(b"".join(writing.framed(one, self.form) for one in batch))

    def close(self) -> None:
        """Close the connection."""
        self.line.close()


def check_target(transport: str, target: Mapping[str, Any]) -> None:
    """Raise `Malformed` for an address that no transport would take; nothing is opened."""
    if transport == "file":
        name = str(target.get("file", ""))
        if not name or "/" in name or name.startswith("."):
            raise Malformed("a file sink has a name in the folder of streams, and no path")
        return
    parts = urlsplit(str(target.get("url", "")))
    schemes = {"https": ("https", "http"), "syslog": ("syslog+tls", "syslog")}[transport]
    try:
        is_whole = bool(parts.hostname) and parts.scheme in schemes and not parts.username and (parts.port or 1) > 0
    except ValueError:
        is_whole = False
    if not is_whole:
        raise Malformed(f"{transport} wants a URL with {' or '.join(schemes)} and a host, without credentials")
    if parts.scheme in ("http", "syslog") and not is_loopback(parts.hostname or ""):
        raise Malformed(f"{parts.scheme}: is for this machine only; elsewhere the stream is encrypted ({schemes[0]}:)")


def open_transport(transport: str, target: Mapping[str, Any], form: Format, places: Places) -> Transport:
    """Return the way to a sink's receiver; raises `Misconfigured` where a certificate or credential is missing."""
    check_target(transport, target)
    if transport == "file":
        return FileTransport(places.files / str(target["file"]), form)
    url = str(target["url"])
    parts = urlsplit(url)
    context = context_of(target, places)
    if transport == "https":
        name = str(target.get("token", ""))
        token = places.credential(name).read_text(encoding="utf-8").strip() if name else ""
        return HttpsTransport(url, form, context, token)
    tls = context if parts.scheme == "syslog+tls" else None
    return SyslogTransport(Line(str(parts.hostname), parts.port or 6514, tls), form)


def context_of(target: Mapping[str, Any], places: Places) -> ssl.SSLContext:
    """Return how the receiver is verified: by the given CA alone (*ca*, PEM), else by those of this machine."""
    ca, certificate = str(target.get("ca", "")), str(target.get("certificate", ""))
    try:
        context = ssl.create_default_context(cadata=ca or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if certificate:
            context.load_cert_chain(places.credential(certificate))
    except (ssl.SSLError, OSError, ValueError) as wrong:
        raise Misconfigured(f"the certificate of a sink cannot be used: {wrong}") from wrong
    return context
