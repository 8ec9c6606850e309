# SPDX-License-Identifier: Apache-2.0
"""The sequencer behind a real PgBouncer: refused with advice, however the pool is set; direct it is accepted."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from audit import direct
from audit.sequencer import Sequencer
from khatim.errors import Misconfigured
from tests.audit.ledgers import ORIGIN, SIGNER, LedgerDatabase, event_body

BINARY = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
if BINARY is None:
    pytest.skip("needs PgBouncer (Debian: pgbouncer)", allow_module_level=True)


@contextmanager
def pooled(ledger: LedgerDatabase, mode: str, size: int) -> Iterator[str]:
    """Run PgBouncer before the database of *ledger*; yield the sequencer's URL through it."""
    target = urlsplit(ledger.url("khatim_sequencer"))
    host, database = parse_qs(target.query)["host"][0], target.path.lstrip("/")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="khatim-pool-"))
    folder.chmod(0o755)  # another user reads it
    users = folder / "users.txt"
    users.write_text(f'"{target.username}" "{target.password}"\n')
    users.chmod(0o644)
    config = folder / "pgbouncer.ini"
    config.write_text(
        f"[databases]\n{database} = host={host} dbname={database}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {users}\n"
        f"pool_mode = {mode}\ndefault_pool_size = {size}\nquery_wait_timeout = 3\n"
    )
    command = [str(BINARY), str(config)]
    # As root the embedded database runs as this user, whose socket it is; PgBouncer refuses to be root as well.
    user = "pgserver" if os.geteuid() == 0 else None
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, user=user)
    try:
        _await(port)
        yield f"postgresql://{target.username}:{target.password}@127.0.0.1:{port}/{database}"
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder)


def _await(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < deadline, "PgBouncer does not listen"
            time.sleep(0.05)
        else:
            return


@pytest.mark.parametrize("mode", ["transaction", "statement", "session"])
@pytest.mark.parametrize("size", [1, 4])
def test_a_pool_is_refused_with_advice(ledger: LedgerDatabase, mode: str, size: int) -> None:
    ledger.offer(event_body(1))
    with pooled(ledger, mode, size) as url:
        with psycopg.connect(url, autocommit=True) as conn:
            assert conn.execute("SELECT current_user").fetchone() == ("khatim_sequencer",), "the pool itself works"
        with pytest.raises(Misconfigured, match="proxy") as refused:
            Sequencer(url, ORIGIN, SIGNER).run_once()
        assert "KHATIM_DATABASE__SEQUENCER_URL" in refused.value.advice
    with ledger.connect() as conn:
        assert conn.execute("SELECT count(*) FROM ledger_entries").fetchone() == (0,)


def test_two_sessions_that_share_a_process_are_refused(ledger: LedgerDatabase) -> None:
    """The second line of defence, for a pool that does not show itself at the start of a session."""
    with pooled(ledger, "transaction", 1) as url:
        conn = psycopg.connect(url, autocommit=True)
        with pytest.raises(Misconfigured, match="shared"):
            direct.require_unshared(conn, url)
        conn.close()


def test_a_direct_connection_is_accepted(ledger: LedgerDatabase) -> None:
    with direct.connect(ledger.url("khatim_sequencer")) as conn:
        direct.require_unshared(conn, ledger.url("khatim_sequencer"))
        assert direct.take_lead(conn)
