# SPDX-License-Identifier: Apache-2.0
"""How a log speaks with a witness (C2SP tlog-witness): hands in a checkpoint, asks what the witness saw last."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from hashlib import sha256
from http import HTTPStatus

import httpx

from audit.checkpoint import Checkpoint, held_signatures
from audit.cosignatures import CosignatureVerifier
from khatim.errors import LedgerForked, LedgerInvalid, Unavailable

Prover = Callable[[int], Sequence[bytes]]
"""``prove(old)``: the consistency proof from the tree of size *old* to the checkpoint's; `NotFound` beyond it."""
_ANSWER_MAX = 131_072
_TIMEOUT_S = 10.0


class WitnessClient:
    """One witness as one log sees it; also a `heads.HeadKeeper`, whose word is signed by the log itself."""

    def __init__(
        self, url: str, verifiers: Sequence[CosignatureVerifier], origin: str, *, http: httpx.Client | None = None,
        must_answer: bool = False,
    ) -> None:  # fmt: skip
        """Take the witness's prefix, its keys, and the origin of the log."""
        self.verifiers = tuple(verifiers)
        self.must_answer = must_answer
        self.name = f"witness {verifiers[0].name}"
        self._url, self._origin = url.rstrip("/"), origin
        self._http = http or httpx.Client(timeout=_TIMEOUT_S, follow_redirects=False)

    def submit(self, note: str, known: int, prove: Prover) -> list[tuple[str, str]]:
        """Hand in the checkpoint *note*, from the size that the witness is thought to know; return vkeys and lines.

        A witness that knows another size says so, and is asked once more from there.  Raises `Unavailable` when it
        does not answer or refuses, `LedgerForked` when it has seen more than we have, or another history.
        """
        size = Checkpoint.parse(note.rpartition("\n\n")[0] + "\n").size
        answer = self._post(note, known, prove)
        if answer.status_code == HTTPStatus.CONFLICT:
            said = answer.text.strip()
            if not said.isascii() or not said.isdigit():
                raise Unavailable(f"{self.name} answers a conflict without its size")
            if int(said) > size:
                raise LedgerForked(
                    f"{self.name} has cosigned size {int(said)}, and the ledger has only {size} entries",
                    place=f"checkpoint {size}",
                )
            answer = self._post(note, int(said), prove)
        if answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY:
            raise LedgerForked(
                f"{self.name} says that the checkpoint of size {size} does not continue what it saw: "
                f"{answer.text[:200].strip()}",
                place=f"checkpoint {size}",
            )
        if answer.status_code != HTTPStatus.OK:
            raise Unavailable(f"{self.name} answers {answer.status_code}: {answer.text[:200].strip()}")
        return self._lines(note, answer.text)

    def highest(self) -> str | None:
        """Return the checkpoint that the witness shows for this log; None if it has seen none."""
        path = sha256(self._origin.encode()).hexdigest()
        answer = self._ask("GET", f"{self._url}/{path}/checkpoint", "")
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return None
        if answer.status_code != HTTPStatus.OK:
            raise Unavailable(f"{self.name} answers {answer.status_code}")
        return answer.text

    def keep(self, note: str) -> None:
        """Do nothing: the publisher hands checkpoints in, outside the way of whoever waits for an entry."""

    def close(self) -> None:
        """Give the connection back."""
        self._http.close()

    def _post(self, note: str, old: int, prove: Prover) -> httpx.Response:
        proof = "".join(f"{base64.b64encode(one).decode()}\n" for one in prove(old))
        return self._ask("POST", f"{self._url}/add-checkpoint", f"old {old}\n{proof}\n{note}")

    def _ask(self, method: str, url: str, body: str) -> httpx.Response:
        try:
            with self._http.stream(method, url, content=body.encode() or None) as answer:
                data = bytearray()
                for piece in answer.iter_bytes():
                    data += piece
                    if len(data) > _ANSWER_MAX:
                        raise Unavailable(f"{self.name} answers without end")
                return httpx.Response(answer.status_code, content=bytes(data))
        except (httpx.HTTPError, httpx.InvalidURL) as lost:
            raise Unavailable(f"{self.name} does not answer: {str(lost) or type(lost).__name__}") from lost

    def _lines(self, note: str, lines: str) -> list[tuple[str, str]]:
        try:
            _, held = held_signatures(note + lines, self.verifiers)
        except LedgerInvalid as wrong:
            raise Unavailable(f"{self.name} answers what is no cosignature: {wrong}") from wrong
        known = {(one.name, one.key_id): one.vkey for one in self.verifiers}
        if not held:
            raise Unavailable(f"{self.name} does not cosign with the key that it is known by")
        return [(known[one.name, one.key_id], one.line) for one in held]


def clients_of(
    witnesses: Sequence[tuple[CosignatureVerifier, str]], origin: str, *, must_answer: bool = False
) -> list[WitnessClient]:
    """Return one client for each witness that has an address; keys at the same address are one witness's."""
    at: dict[str, list[CosignatureVerifier]] = {}
    for verifier, url in witnesses:
        if url:
            at.setdefault(url, []).append(verifier)
    return [WitnessClient(url, verifiers, origin, must_answer=must_answer) for url, verifiers in at.items()]
