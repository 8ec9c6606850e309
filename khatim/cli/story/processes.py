# SPDX-License-Identifier: Apache-2.0
"""The real processes of the story: a server on a fresh folder, and an agent in a zone.  Stopped in any case."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from khatim.cli.connection import address_in
from khatim.errors import Misconfigured, Unavailable

ROOT = Path(__file__).resolve().parents[3]
SETTINGS = {"KHATIM_INSTANCE": "demo", "KHATIM_ZONE": "ae-onshore"}
"""The installation's settings, for every process of the story and for the one that tells it."""
START_S = 60.0
STOP_S = 20.0
TAIL = 3000


class Process:
    """One program, in a session of its own so that Ctrl-C reaches us alone and everything ends in order."""

    def __init__(self, name: str, arguments: list[str], log: Path, variables: Mapping[str, str] | None = None) -> None:
        """Start ``python -m khatim`` with *arguments*; what it says goes to *log*."""
        self.name = name
        self._log = log
        with log.open("ab") as file:
            self._child = subprocess.Popen(  # noqa: S603 - ourselves, with words of our own
                [sys.executable, "-m", "khatim", *arguments],
                cwd=ROOT,
                env={**os.environ, **(variables or {})},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def require_alive(self) -> None:
        """Raise `Unavailable` with the end of its log when the program has ended."""
        if self._child.poll() is not None:
            raise Unavailable(f"the {self.name} ended: {self.tail()}")

    def tail(self) -> str:
        """Return the end of what the program said."""
        return self._log.read_text(errors="replace")[-TAIL:].strip() if self._log.exists() else ""

    def stop(self) -> None:
        """End the program: asked first, killed with all it started when it does not listen."""
        if self._child.poll() is None:
            self._child.send_signal(signal.SIGTERM)
            try:
                self._child.wait(STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(self._child.pid, signal.SIGKILL)
                self._child.wait()


def start_server(data: Path, logs: Path) -> Process:
    """Start ``khatim up`` on the folder *data* with the demo's policies, on a free port."""
    overlay = ROOT / "policies" / "overlays" / "demo"
    arguments = ["up", "--data", str(data), "--port", "0", "--policies", str(overlay)]
    return Process("server", arguments, logs / "server.log")


def await_server(server: Process, data: Path) -> str:
    """Return the server's address when it answers; raises `Unavailable`."""
    import httpx

    until = time.monotonic() + START_S
    while time.monotonic() < until:
        server.require_alive()
        try:
            url = address_in(data)
            if httpx.get(f"{url}/health", timeout=2).is_success:
                return url
        except (Misconfigured, httpx.HTTPError):
            pass
        time.sleep(0.02)
    raise Unavailable(f"the server does not answer after {START_S:g} s: {server.tail()}")


def start_agent(folder: Path, logs: Path, *, url: str, token: str) -> Process:
    """Start an agent that enrols with the one-time *token*, which travels in its environment, not in its arguments."""
    arguments = ["agent", "run", "--data", str(folder), "--server", url, "--name", "agent-1", "--port", "0"]
    return Process("agent", arguments, logs / "agent.log", {"KHATIM_ENROL_TOKEN": token})
