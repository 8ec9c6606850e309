# SPDX-License-Identifier: Apache-2.0
"""The agent's side of HTTP: its identity, and every call it makes to the registry.  The only way it learns anything."""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from pydantic import BaseModel

from khatim.errors import KhatimError, Misconfigured, Unavailable, from_problem
from khatim.wire import answers, proofs, work
from khatim.wire import revocations as wire_revocations
from registry.signing import possession

KEY = "identity.key"
RENEW_BEFORE = timedelta(minutes=7)
RETRIES = 5
GONE = (502, 503, 504)  # what a proxy says while the registry behind it is away
Answer = TypeVar("Answer", bound=BaseModel)


def now() -> datetime:
    """Return the present moment of this machine."""
    return datetime.now(UTC)


def own_key(path: Path) -> Ed25519PrivateKey:
    """Read the agent's own key (PEM, 0600), which never leaves it; made when it is not there yet.

    Raises `Misconfigured` when it cannot be read, or others may.
    """
    if not path.exists():
        made = Ed25519PrivateKey.generate()
        pem = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        durably(path, pem)
    try:
        if path.stat().st_mode & 0o077:
            raise Misconfigured(f"others may read the agent's key {path}", advice=f"chmod 600 {path}, and enrol anew.")
        found = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as wrong:
        raise Misconfigured(f"the agent's key {path} cannot be read", advice="Enrol the agent anew.") from wrong
    if not isinstance(found, Ed25519PrivateKey):
        raise Misconfigured(f"the agent's key {path} is not Ed25519", advice="Enrol the agent anew.")
    return found


def durably(path: Path, content: bytes) -> None:
    """Replace a file of the agent at once, readable for its account alone."""
    draft = path.with_suffix(".new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class Connection:
    """Calls as one agent.  Renews its identity in time and keeps it on disk (0600), so a restart needs no token."""

    def __init__(self, server: str, folder: Path) -> None:
        """Speak to *server* (scheme, host, port); keep the identity in *folder*."""
        self.http = httpx.Client(base_url=server.rstrip("/"), timeout=httpx.Timeout(30, connect=5))
        self._file = folder / "identity.json"
        self.key = own_key(folder / KEY)
        self._lock = threading.Lock()
        self._identity: work.Identity | None = None
        self._door = ""
        if self._file.exists():
            self._identity = work.Identity.model_validate_json(self._file.read_bytes())

    @property
    def identity(self) -> work.Identity:
        """Return the agent's identity; raises `Unavailable` before it is enrolled."""
        if self._identity is None:
            raise Unavailable("this agent is not enrolled", advice="Give it a token: --enrol-token.")
        return self._identity

    @property
    def is_enrolled(self) -> bool:
        """Whether the agent has an identity, valid or to be renewed."""
        return self._identity is not None

    def enrol(self, token: str, name: str, door: str) -> work.Identity:
        """Redeem a one-time token."""
        self._door = door
        body = work.Enrol(name=name, door=door, proof=possession.prove_enrolment(self.key, token, now()))
        self._keep(self._call(work.Identity, "POST", "/v1/agent/enrolment", body, token=token))
        return self.identity

    def open(self, door: str) -> None:
        """Say where the door is after a restart, renewing the identity; raises what the registry answers."""
        self._door = door
        with self._lock:
            self._renew()

    def token(self) -> str:
        """Return a valid identity token, renewed when it is about to end."""
        with self._lock:
            if self.identity.expires_at - now() < RENEW_BEFORE:
                self._renew()
            return self.identity.token

    def prove(self, csr: bytes, token: str) -> str:
        """Return this agent's proof for a certificate request."""
        return possession.prove_request(self.key, csr, token, self.identity.issuer, now())

    def claim(self) -> work.Work | None:
        """Claim the next job, or None."""
        found = self._raw("POST", "/v1/agent/jobs/claim", None, token=self.token())
        return None if found is None else work.Work.model_validate(found)

    def heartbeat(self, job: str, fence: int) -> work.Lease:
        """Renew a lease."""
        return self._call(work.Lease, "POST", f"/v1/agent/jobs/{job}/heartbeat", work.Heartbeat(fence=fence))

    def complete(self, job: str, fence: int, outcome: work.Outcome) -> answers.Job:
        """Bring a job's outcome."""
        body = work.Complete(fence=fence, outcome=outcome)
        return self._call(answers.Job, "POST", f"/v1/agent/jobs/{job}/completion", body)

    def fail(self, job: str, fence: int, error: KhatimError, *, retry: bool = False) -> answers.Job:
        """Say why a job could not be done."""
        body = work.Failed(fence=fence, error=error.detail[:8000], problem=error.as_problem(), retry=retry)
        return self._call(answers.Job, "POST", f"/v1/agent/jobs/{job}/failure", body)

    def placed(self, body: work.Placed) -> answers.Placement:
        """Report a blob that came through the door."""
        return self._call(answers.Placement, "POST", "/v1/agent/artifacts", body)

    def orders(self) -> work.Orders:
        """Ask what every endpoint must do."""
        return self._call(work.Orders, "GET", "/v1/agent/orders")

    def revocations(self) -> str:
        """Fetch the signed list of revocations."""
        return self._call(wire_revocations.SignedList, "GET", "/v1/agent/revocations").bundle

    def status(self) -> work.SignedStatus:
        """Fetch the signed status of the zone's endpoints."""
        return self._call(work.SignedStatus, "GET", "/v1/agent/status")

    def paused(self, deployment: str, body: work.Paused) -> answers.Deployment:
        """Report that an endpoint did not answer, by what was agreed for it."""
        return self._call(answers.Deployment, "POST", f"/v1/agent/deployments/{deployment}/pause", body)

    def trust(self, after: int) -> work.TrustSteps:
        """Fetch the steps from the trusted root number *after* to the present one."""
        return self._call(work.TrustSteps, "GET", f"/v1/agent/trust?after={after}")

    def halted(self, deployment: str, because: str, number: int) -> answers.Deployment:
        """Report that this agent took an endpoint down by itself."""
        body = work.Halted(because=because[:8000], number=number)
        return self._call(answers.Deployment, "POST", f"/v1/agent/deployments/{deployment}/halt", body)

    def dossier(self, path: str) -> proofs.Dossier:
        """Fetch everything needed to judge a version (``namespace/name@number``)."""
        model, _, number = path.partition("@")
        return self._call(proofs.Dossier, "GET", f"/v1/models/{model}/versions/{number}/dossier")

    def close(self) -> None:
        """Close the connections."""
        self.http.close()

    def _call(  # noqa: PLR0913 - a call, and with what it is made
        self,
        kind: type[Answer],
        method: str,
        path: str,
        body: BaseModel | None = None,
        *,
        token: str = "",
        proof: str = "",
    ) -> Answer:
        return kind.model_validate(self._raw(method, path, body, token=token or self.token(), proof=proof))

    def _raw(self, method: str, path: str, body: BaseModel | None, *, token: str, proof: str = "") -> Any:
        """Call; what may be repeated is repeated under one Idempotency-Key, so that nothing happens twice."""
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": uuid.uuid4().hex}
        content = body.model_dump_json().encode() if body is not None else b""
        if proof:
            headers[possession.HEADER] = proof
        if content:
            headers["Content-Type"] = "application/json"
        for attempt in range(RETRIES):
            try:
                response = self.http.request(method, path, content=content, headers=headers)
            except httpx.TransportError as error:
                if attempt == RETRIES - 1:
                    raise Unavailable(f"the registry does not answer: {type(error).__name__}") from error
            else:
                if response.status_code not in GONE or attempt == RETRIES - 1:
                    return _read(response)
            time.sleep(0.1 * 2**attempt)
        raise Unavailable("the registry does not answer")

    def _renew(self) -> None:
        body, token = work.Renew(door=self._door), self.identity.token
        # The registry looks at the proof only when the identity has ended: after an outage the key is what remains.
        proof = possession.prove_renewal(self.key, token, self.identity.issuer, now())
        self._keep(self._call(work.Identity, "POST", possession.RENEWAL_PATH, body, token=token, proof=proof))

    def _keep(self, identity: work.Identity) -> None:
        durably(self._file, identity.model_dump_json().encode())
        self._identity = identity


def _read(response: httpx.Response) -> Any:
    if response.is_success:
        return response.json() if response.content else None
    try:
        problem: Mapping[str, Any] = response.json()
    except json.JSONDecodeError:
        if response.status_code in GONE:
            raise Unavailable(f"no registry stands behind this address now ({response.status_code})") from None
        problem = {"detail": f"the registry answered with status {response.status_code}"}
    raise from_problem(problem, response.status_code)
