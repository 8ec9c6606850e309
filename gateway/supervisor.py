# SPDX-License-Identifier: Apache-2.0
"""``khatim up``: the embedded database, the ledger's sequencer and the server on one folder, and ``khatim down``."""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn

from audit import direct
from audit.sequencer import Safeguards, Sequencer
from gateway import children
from gateway.children import ROOT, Kept, environment
from gateway.embedded import EmbeddedDatabase
from gateway.instance import Instance
from gateway.keepers import clock_of, keepers_of
from gateway.publishing import publishing
from gateway.streaming import streaming
from khatim.errors import Misconfigured, Unavailable
from khatim.settings import Settings

_STATE = "server.json"
Say = Callable[[str], None]


def up(settings: Settings, *, say: Say) -> None:
    """Run everything until a signal ends it.  Raises `Misconfigured` when the folder is in use."""
    instance = Instance(settings.data)
    instance.prepare()
    signal.signal(signal.SIGTERM, _end)
    gc.disable()  # hundreds of thousands of objects that all stay: collecting between them costs a fifth of the start
    with instance.held():
        embedded = None if settings.database.url else EmbeddedDatabase(settings.data / "postgres")
        try:
            with ThreadPoolExecutor(max_workers=1) as pool:
                # The server's imports take as long as the database needs to start: do both at once.
                started = pool.submit(embedded.start) if embedded is not None else None
                importlib.import_module("gateway.app")
                if started is not None:
                    started.result()
                    say("database ready")
            _run(settings, instance, say)
        finally:
            if embedded is not None:
                embedded.stop()
            # Last of all: `down` has stopped the server when this is gone, the database included.
            (instance.folder / "run" / _STATE).unlink(missing_ok=True)


def _end(*_: object) -> NoReturn:
    """End by the way of every `finally`, the database's included; uvicorn raises the signal again when it has ended."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough
    raise SystemExit(0)


def _run(settings: Settings, instance: Instance, say: Say) -> None:
    from gateway import composition, custody, disks, schema, signing  # noqa: PLC0415

    apart = signing.is_apart(settings)
    if not apart:  # else only the signer may look at the keys, and it asks this itself
        custody.custody_of(settings, instance).require_ready()
    schema.migrate(composition.urls_of(settings).owner)
    composition.ledger_signer(settings, instance)
    with direct.translated():
        direct.connect(composition.urls_of(settings).sequencer).close()  # a proxy is refused here, and not in a log
    with ExitStack() as running:
        if apart:
            _await_signer(settings, instance, running)
            shared = "" if settings.authority.socket else f"; {signing.SHARED_NOTICE}"
            say(f"signing in a process of its own, on {signing.socket_of(settings)}{shared}")
        else:
            signing.local_office(settings, instance).close()  # founds the authority at the first start
            say(signing.LOCAL_NOTICE)
        running.enter_context(disks.Tending(settings))
        running.enter_context(Kept(settings, "sequence"))
        _serve(settings, instance, say)


def _await_signer(settings: Settings, instance: Instance, running: ExitStack) -> None:
    """Start the signer as a child, unless one elsewhere is named, and wait until it answers."""
    from gateway import signing  # noqa: PLC0415

    instance.token_key()  # made here, at the first start: the signer needs its public half
    child = None
    if settings.authority.socket is None:
        child = running.enter_context(Kept(settings, "signer"))
    try:
        signing.await_signer(settings, alive=[child.is_alive] if child else [])
    except Unavailable as silent:
        raise Misconfigured(
            "the signer does not start", advice="What it said stands above; khatim signer says it again."
        ) from silent


def detach(settings: Settings) -> str:
    """Start `khatim up` in the background and return its URL when it answers; its output goes to ``run/server.log``."""
    Instance(settings.data).prepare()
    log = settings.data / "run" / "server.log"
    command = [sys.executable, "-m", "khatim", "up", "--data", str(settings.data)]
    variables = {**os.environ, **environment(settings)}
    with log.open("ab") as file:
        child = subprocess.Popen(  # noqa: S603 - ourselves
            command, env=variables, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            start_new_session=True,
        )  # fmt: skip
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        state = state_of(settings.data)
        if state is not None and state["pid"] == child.pid:
            await_ready(state["url"])
            return str(state["url"])
        if child.poll() is not None:
            raise Misconfigured(f"the server did not start: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.05)
    raise Unavailable("the server did not start in a minute", advice=f"Look at {log}.")


def sequence(settings: Settings) -> None:
    """Run the sequencer until its parent ends or a signal comes: one process, holding the advisory lock."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    def watch() -> None:
        while not stop.wait(0.5):
            if children.is_orphan():
                stop.set()

    threading.Thread(target=watch, daemon=True).start()
    # Not through `composition`: this process needs neither FastAPI nor Sigstore, and should be there at once.
    instance = Instance(settings.data)
    signer = instance.ledger_signer(settings.instance, 1)
    url = settings.database.sequencer_url or EmbeddedDatabase(settings.data / "postgres").url("khatim_sequencer")
    safeguards = Safeguards(
        keepers=keepers_of(settings, instance),
        signer_of=lambda number: instance.ledger_signer(settings.instance, number),
        clock=clock_of(settings, url),
    )
    with publishing(settings, instance, url), streaming(settings, url, signer.name):
        Sequencer(url, signer.name, signer, safeguards).run(stop)


def down(data: Path, *, timeout_s: float = 30) -> bool:
    """Stop the server of *data*; False when none runs.  Raises `Unavailable` when it does not end in time."""
    state = state_of(data)
    if state is None:
        return False
    os.kill(state["pid"], signal.SIGTERM)
    deadline = time.monotonic() + timeout_s
    while state_of(data) is not None:
        if time.monotonic() > deadline:
            raise Unavailable(f"the server (pid {state['pid']}) does not end", advice=f"kill -9 {state['pid']}")
        time.sleep(0.05)
    return True


def state_of(data: Path) -> Mapping[str, Any] | None:
    """Return what runs on *data* (pid, url), or None."""
    try:
        state: Mapping[str, Any] = json.loads((data / "run" / _STATE).read_text())
        os.kill(state["pid"], 0)
        with (data / "run" / "lock").open() as lock:
            return state if _is_locked(lock.fileno()) else None
    except (OSError, ValueError):
        return None


def _is_locked(descriptor: int) -> bool:
    import fcntl  # noqa: PLC0415

    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


def _serve(settings: Settings, instance: Instance, say: Say) -> None:
    import uvicorn  # noqa: PLC0415

    variables = environment(settings)
    os.environ.update(variables)
    config = uvicorn.Config(
        "gateway.app:from_environment",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=5,
        # Nobody but the named proxy says from where a request comes; uvicorn itself would believe this machine.
        proxy_headers=bool(settings.proxy),
        forwarded_allow_ips=settings.proxy or None,
        ssl_certfile=settings.tls.certificate if settings.tls else None,
        ssl_keyfile=settings.tls.key if settings.tls else None,
    )
    socket = config.bind_socket()
    url = f"{'https' if settings.tls else 'http'}://{settings.host}:{socket.getsockname()[1]}"
    state = instance.folder / "run" / _STATE
    state.write_text(json.dumps({"pid": os.getpid(), "url": url, "instance": settings.instance}))
    say(f"listening on {url}")
    gc.enable()
    gc.freeze()
    if settings.workers > 1:
        uvicorn.supervisors.Multiprocess(config, [socket]).run()
    else:
        uvicorn.Server(config).run([socket])


def _written(value: object) -> str:
    """Return a value as its variable holds it: lists and nested settings as JSON."""
    return json.dumps(value) if isinstance(value, list | dict) else str(value)


def await_ready(url: str, *, timeout_s: float = 30) -> None:
    """Wait until a server answers; raises `Unavailable`."""
    import httpx  # noqa: PLC0415

    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/health", timeout=2).is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.05)
    raise Unavailable(f"{url} does not answer")


def require_running(data: Path) -> Mapping[str, Any]:
    """Return what runs on *data*; raises `Misconfigured` when nothing does."""
    state = state_of(data)
    if state is None:
        raise Misconfigured(f"no khatim runs on {data}", advice=f"Start one: khatim up --data {data}")
    return state
