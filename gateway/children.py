# SPDX-License-Identifier: Apache-2.0
"""Our own commands as child processes of `khatim up`: started again when they die, ending when their parent does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Final, Self

from khatim.settings import Settings

ROOT: Final = Path(__file__).parent.parent
_PARENT: Final = "KHATIM_PARENT"
_BORN: Final = os.getppid()
_RESTART_S, _RESTART_MOST_S = 0.25, 8.0
_LASTED_S = 5.0  # a child that ran so long had nothing wrong with it


def is_orphan() -> bool:
    """Whether the process that started this one is gone, also when it went before this one had its first line."""
    return os.getppid() != int(os.environ.get(_PARENT, _BORN))


def environment(settings: Settings) -> dict[str, str]:
    """Return the variables from which a child process reads the same settings."""
    values: dict[str, str] = {}
    for key, value in settings.model_dump(mode="json", exclude_none=True).items():
        if isinstance(value, dict):
            values.update({f"KHATIM_{key}__{inner}".upper(): _plain(one) for inner, one in value.items()})
        else:
            values[f"KHATIM_{key}".upper()] = str(value)
    return values


def _plain(value: object) -> str:
    return json.dumps(value) if isinstance(value, dict | list) else str(value)


class Kept:
    """One of our commands as a child process, started again when it dies."""

    def __init__(self, settings: Settings, command: str) -> None:
        """Take the settings that it reads, and its name (``sequence``); nothing runs yet."""
        self._command = command
        self._environment = {**os.environ, **environment(settings), _PARENT: str(os.getpid())}
        self._stop = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self) -> Self:
        self._start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._child is not None:
            self._child.terminate()
            self._child.wait(10)

    def is_alive(self) -> bool:
        """Whether it runs at this moment."""
        return self._child is not None and self._child.poll() is None

    def _start(self) -> None:
        command = [sys.executable, "-m", "khatim", self._command]
        self._child = subprocess.Popen(command, env=self._environment, cwd=str(ROOT))  # noqa: S603 - ourselves

    def _keep(self) -> None:
        patience, began = _RESTART_S, time.monotonic()
        while not self._stop.wait(patience):
            if self._child is not None and self._child.poll() is not None:
                # One that refuses at once again and again must not take a core from the server.
                refused = self._child.returncode > 0 and time.monotonic() - began < _LASTED_S
                patience, began = min(2 * patience, _RESTART_MOST_S) if refused else _RESTART_S, time.monotonic()
                self._start()
