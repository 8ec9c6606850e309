# SPDX-License-Identifier: Apache-2.0
"""The warden of one job: it starts a command, owns every process that comes of it, and leaves none behind.

``python -m runners.zone.warden FOLDER -- COMMAND...`` is started by the agent with a pipe as standard input.  On Linux
the warden is the *subreaper* of its tree (prctl(2), PR_SET_CHILD_SUBREAPER): daemons that detach themselves, as Ray's
do, become its children and not init's.  When the agent closes the pipe, asks with SIGTERM, or is killed (the kernel
closes the pipe then), the warden kills its descendants, and only those, and removes FOLDER.  ``ray stop`` cannot be
used for that: it stops every Ray cluster of the machine.

Standard library only, because it must start fast and must not fail.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

EXITED = "exited"
_PR_SET_CHILD_SUBREAPER = 36
_GRACE_S = 10.0
_PROC = Path("/proc")


def adopt_orphans() -> bool:
    """Become the subreaper of this process's tree; False where the system has no such thing."""
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


def descendants_of(root: int) -> list[int]:
    """Return the processes whose line of parents leads to *root*; zombies too, until their parent has reaped them."""
    children: dict[int, list[int]] = {}
    for folder in _PROC.iterdir() if _PROC.is_dir() else ():
        if not folder.name.isdigit():
            continue
        try:
            # proc(5): the command name stands in parentheses and may hold spaces; state and parent follow.
            parent = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[1]
        except (OSError, IndexError):
            continue  # it ended while we looked
        children.setdefault(int(parent), []).append(int(folder.name))
    found: list[int] = []
    waiting = [root]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def _reap() -> dict[int, int]:
    """Collect the ended children: pid -> exit code (negative: the signal that ended it)."""
    ended: dict[int, int] = {}
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            ended[pid] = os.waitstatus_to_exitcode(status)
    return ended


def _kill_all(group: int) -> None:
    """Kill the process group *group* (0: none) and every descendant, until none is left; they may fork meanwhile."""
    until = time.monotonic() + _GRACE_S
    if group:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    while time.monotonic() < until:
        _reap()
        left = descendants_of(os.getpid())
        if not left:
            return
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def watch(folder: Path, command: list[str]) -> int:
    """Run *command* until standard input closes or SIGTERM comes; then end its tree and remove *folder*.

    Writes one line, ``exited CODE``, to standard output when the command itself ends; its daemons may live on.
    """
    adopt_orphans()
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_read, False)
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: asked.append(number))
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the agent's to answer; it closes the pipe
    child: subprocess.Popen[bytes] | None = None
    try:
        with (folder / "output.log").open("wb") as output:
            # The agent composes the command from its own constants and a job's file names, never from a request.
            child = subprocess.Popen(  # noqa: S603
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        child.returncode = 0  # the warden reaps by itself: Popen must neither wait nor warn
        while not asked:
            ready, _, _ = select.select([0, wake_read], [], [])
            if wake_read in ready:
                os.read(wake_read, 4096)
                code = _reap().get(child.pid)
                if code is not None:
                    with contextlib.suppress(BrokenPipeError):
                        sys.stdout.write(f"{EXITED} {code}\n")
                        sys.stdout.flush()
            if 0 in ready and not os.read(0, 4096):
                break
    finally:
        _kill_all(0 if child is None else child.pid)
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def main(arguments: list[str]) -> int:
    """Read ``FOLDER -- COMMAND...`` and watch."""
    folder, dashes, *command = arguments
    if dashes != "--" or not command:
        raise SystemExit("usage: python -m runners.zone.warden FOLDER -- COMMAND...")
    return watch(Path(folder), command)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
