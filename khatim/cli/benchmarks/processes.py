# SPDX-License-Identifier: Apache-2.0
"""Processes of a benchmark: each is a module run by name, told what to do in one line of JSON on its standard input.

One that works prints one line of JSON and ends; one that serves prints ``ready`` and ends when its input is closed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from khatim.errors import Unavailable

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = "khatim.cli.benchmarks"
READY = "ready"


def told() -> dict[str, Any]:
    """Return what this process was told."""
    plan: dict[str, Any] = json.loads(sys.stdin.readline())
    return plan


def answer(body: Mapping[str, Any]) -> None:
    """Print what this process found."""
    sys.stdout.write(json.dumps(body) + "\n")
    sys.stdout.flush()


def until_closed(server: Any) -> None:
    """Run a uvicorn *server*, say ``ready`` when it listens, and end it when the standard input is closed."""
    sockets = [server.config.bind_socket()]

    def watch() -> None:
        while not server.started:  # until then the port is taken, but nobody answers
            time.sleep(0.01)
        sys.stdout.write(f"{READY} {sockets[0].getsockname()[1]}\n")
        sys.stdout.flush()
        sys.stdin.read()
        server.should_exit = True

    threading.Thread(target=watch, daemon=True).start()
    server.run(sockets)


def side_by_side(module: str, plans: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Run *module* once for each plan, all at the same time; return the answers in order.  Raises `Unavailable`."""
    running = [_start(module, plan) for plan in plans]
    answers = []
    for process in running:
        said, _ = process.communicate()
        if process.returncode != 0 or not said:
            raise Unavailable(f"{module} ended with status {process.returncode}")
        answers.append(json.loads(said.splitlines()[-1]))
    return answers


@contextmanager
def serving(module: str, plan: Mapping[str, Any]) -> Iterator[int]:
    """Run *module* as a server while the block lasts; gives its port.  Raises `Unavailable`."""
    process = _start(module, plan)
    if process.stdin is None or process.stdout is None:
        raise Unavailable(f"{module} has no pipes")
    try:
        word, _, port = process.stdout.readline().partition(" ")
        if word != READY:
            raise Unavailable(f"{module} did not start: status {process.poll()}")
        yield int(port)
    finally:
        process.stdin.close()
        process.wait(20)
        process.stdout.close()


def _start(module: str, plan: Mapping[str, Any]) -> subprocess.Popen[str]:
    process = subprocess.Popen(  # noqa: S603 - a module of this package
        [sys.executable, "-m", f"{PACKAGE}.{module}"],
        cwd=ROOT,
        env=dict(os.environ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    if process.stdin is not None:
        process.stdin.write(json.dumps(plan) + "\n")
        process.stdin.flush()
    return process
