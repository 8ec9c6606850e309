# SPDX-License-Identifier: Apache-2.0
"""The zone door over real HTTP: tickets, streaming both ways, clear errors, nothing half stored."""

from __future__ import annotations

import base64
import http.client
import os
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from khatim import tokens
from khatim.errors import Malformed, Misconfigured, Unavailable
from khatim.vocabulary import Digest
from runners.zone.door import build_door
from runners.zone.ranges import span_of
from runners.zone.store import StoredBlob, ZoneStore

MIB = 1 << 20
ZONE = "ae-health"


@dataclass
class House:
    """A door on loopback, the registry's key, and what the door told the agent."""

    url: str
    port: int
    store: ZoneStore
    key: Ed25519PrivateKey
    now: datetime
    stored: list[tuple[StoredBlob, Mapping[str, Any]]] = field(default_factory=list)
    read: list[tuple[Digest, Mapping[str, Any]]] = field(default_factory=list)
    failure: Exception | None = None

    def ticket(self, op: str, digest: Digest, *, zone: str = ZONE, max_size: int = 1 << 30, **claims: Any) -> str:
        return tokens.issue(
            self.key,
            kind=claims.pop("kind", "ticket"),
            subject="person:1",
            audience=f"zone:{zone}",
            issuer="registry",
            at=self.now,
            ttl=timedelta(minutes=5),
            op=op,
            digest=str(digest),
            max_size=max_size,
            **claims,
        )

    def header(self, op: str, digest: Digest, **claims: Any) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.ticket(op, digest, **claims)}"}

    def put(self, data: bytes | Iterator[bytes], digest: Digest, **claims: Any) -> httpx.Response:
        headers = self.header("put", digest, **claims)
        return httpx.put(f"{self.url}/blobs/{digest}", content=data, headers=headers, timeout=30)

    def get(self, digest: Digest, **headers: str) -> httpx.Response:
        return httpx.get(f"{self.url}/blobs/{digest}", headers={**self.header("get", digest), **headers}, timeout=30)

    def parts(self) -> list[Path]:
        return list((self.store.folder / "staging").glob("*"))

    def is_empty(self) -> bool:
        return list(self.store.digests()) == [] and self.parts() == []


@contextmanager
def opened(folder: Path, **options: Any) -> Iterator[House]:
    store = ZoneStore.ensure(folder, ZONE, capacity_bytes=options.pop("capacity_bytes", None))
    key = Ed25519PrivateKey.generate()
    house = House("", 0, store, key, datetime.now(UTC))

    def stored(blob: StoredBlob, claims: Mapping[str, Any]) -> None:
        assert store.has(blob.digest), "the agent is told after the rename"
        if house.failure:
            raise house.failure
        house.stored.append((blob, claims))

    def read(digest: Digest, claims: Mapping[str, Any]) -> None:
        if house.failure:
            raise house.failure
        house.read.append((digest, claims))

    keys = [Ed25519PrivateKey.generate().public_key(), key.public_key()]
    wired: dict[str, Any] = {"max_size": 1 << 30, "ticket_keys": keys} | options
    app = build_door(store, zone=ZONE, on_stored=stored, on_read=read, clock=lambda: house.now, **wired)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        house.port = listener.getsockname()[1]
        house.url = f"http://127.0.0.1:{house.port}"
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            until(lambda: server.started)
            yield house
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with opened(tmp_path / "store") as house:
        yield house


def until(claim: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)


def is_problem(answer: httpx.Response, status: int, kind: str) -> bool:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body = answer.json()
    assert (answer.status_code, body["status"], body["type"].rpartition("/")[2]) == (status, status, kind), body
    return bool(body["detail"])


def test_bytes_go_in_and_come_out(house: House) -> None:
    data = os.urandom(3 * MIB + 5)
    digest = Digest.of(data)
    answer = house.put(data, digest, jti="one")
    assert (answer.status_code, answer.json()) == (201, {"digest": str(digest), "size": len(data)})
    assert [(blob, claims["jti"]) for blob, claims in house.stored] == [(StoredBlob(digest, len(data)), "one")]
    got = house.get(digest)
    assert got.status_code == 200
    assert got.content == data
    assert got.headers["content-length"] == str(len(data))
    assert got.headers["repr-digest"] == f"sha-256=:{base64.b64encode(bytes.fromhex(digest.hex)).decode()}:"
    assert [digest for digest, _ in house.read] == [digest]
    assert house.parts() == []


def test_an_empty_blob_is_a_blob(house: House) -> None:
    digest = Digest.of(b"")
    assert house.put(b"", digest).status_code == 201
    assert house.get(digest).content == b""


def test_a_head_tells_the_size_and_is_no_read(house: House) -> None:
    digest = house.store.put([b"four"], max_size=4).digest
    answer = httpx.head(f"{house.url}/blobs/{digest}", headers=house.header("get", digest, media_type="text/csv"))
    assert (answer.status_code, answer.headers["content-length"]) == (200, "4")
    assert answer.headers["content-type"].startswith("text/csv")
    assert house.read == []


def test_a_range_is_a_part(house: House) -> None:
    data = os.urandom(2 * MIB)
    digest = house.store.put([data], max_size=len(data)).digest
    answer = house.get(digest, Range="bytes=1048570-1048599")
    assert (answer.status_code, answer.content) == (206, data[1048570:1048600])
    assert answer.headers["content-range"] == f"bytes 1048570-1048599/{len(data)}"
    assert house.get(digest, Range="bytes=-7").content == data[-7:]
    assert house.get(digest, Range="bytes=0-1,5-6").content == data
    assert is_problem(house.get(digest, Range=f"bytes={len(data)}-"), 422, "malformed")


@given(first=st.integers(0, 30), last=st.integers(0, 30), size=st.integers(0, 20))
def test_a_span_never_leaves_the_blob(first: int, last: int, size: int) -> None:
    for header in (f"bytes={first}-{last}", f"bytes={first}-", f"bytes=-{last}", "bytes=-", "lines=1-2", ""):
        try:
            span = span_of(header, size)
        except Malformed:
            continue
        assert span is None or 0 <= span[0] < span[1] <= size


def test_health_needs_no_ticket(house: House) -> None:
    assert httpx.get(f"{house.url}/health").json() == {"status": "ok", "zone": ZONE}


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer x", "Bearer a.b.c", "Basic eDp5"])
def test_without_a_ticket_nobody_learns_anything(house: House, header: str) -> None:
    known = house.store.put([b"known"], max_size=9).digest
    for name in (str(known), str(Digest.of(b"unknown")), "nonsense"):
        for method in ("GET", "PUT"):
            answer = httpx.request(method, f"{house.url}/blobs/{name}", headers={"Authorization": header}, content=b"")
            assert is_problem(answer, 401, "unauthenticated")
            assert answer.headers["www-authenticate"] == "Bearer"


def test_an_expired_ticket_is_refused(house: House) -> None:
    digest = house.store.put([b"known"], max_size=9).digest
    header = house.header("get", digest)
    house.now += timedelta(minutes=6)
    assert is_problem(httpx.get(f"{house.url}/blobs/{digest}", headers=header), 401, "token-expired")


def test_a_ticket_of_another_zone_kind_or_key_is_refused(house: House) -> None:
    digest = house.store.put([b"known"], max_size=9).digest
    good = house.header("get", digest)
    for header in (house.header("get", digest, zone="ext-de"), house.header("get", digest, kind="access")):
        assert is_problem(httpx.get(f"{house.url}/blobs/{digest}", headers=header), 401, "unauthenticated")
    house.key = Ed25519PrivateKey.generate()
    assert is_problem(house.get(digest), 401, "unauthenticated")
    assert httpx.get(f"{house.url}/blobs/{digest}", headers=good).status_code == 200


def test_a_ticket_is_for_one_operation_and_one_blob(house: House) -> None:
    one, other = Digest.of(b"one"), Digest.of(b"two")
    house.store.put([b"one"], max_size=9)
    for method, header in (
        ("GET", house.header("put", one)),
        ("GET", house.header("get", other)),
        ("PUT", house.header("get", one)),
        ("PUT", house.header("put", other)),
        ("GET", house.header("delete", one)),
        ("GET", house.header("", one)),
    ):
        answer = httpx.request(method, f"{house.url}/blobs/{one}", headers=header, content=b"one")
        assert is_problem(answer, 403, "ticket-refused")
    assert (house.stored, house.read) == ([], [])


def test_a_put_ticket_is_good_once_and_the_door_remembers_after_a_restart(tmp_path: Path) -> None:
    data = b"once"
    digest = Digest.of(data)
    with opened(tmp_path) as house:
        header = house.header("put", digest)
        assert httpx.put(f"{house.url}/blobs/{digest}", headers=header, content=data).status_code == 201
        assert is_problem(httpx.put(f"{house.url}/blobs/{digest}", headers=header, content=data), 403, "ticket-refused")
        now, key = house.now, house.key
    with opened(tmp_path, ticket_keys=[key.public_key()]) as house:
        house.now, house.key = now, key
        assert is_problem(httpx.put(f"{house.url}/blobs/{digest}", headers=header, content=data), 403, "ticket-refused")
        assert len(list((tmp_path / "tickets").iterdir())) == 1
        house.now += timedelta(minutes=30)
        assert house.put(data, digest).status_code == 201
        assert len(list((tmp_path / "tickets").iterdir())) == 1, "expired tickets are forgotten"


def test_of_twenty_uses_of_one_ticket_at_once_one_is_accepted(house: House) -> None:
    data = os.urandom(MIB)
    digest = Digest.of(data)
    header = house.header("put", digest)
    answers: list[int] = []

    def use() -> None:
        answers.append(httpx.put(f"{house.url}/blobs/{digest}", headers=header, content=data, timeout=30).status_code)

    threads = [threading.Thread(target=use) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [201] + [403] * 19


def test_the_wrong_bytes_are_refused_and_not_kept(house: House) -> None:
    assert is_problem(house.put(b"other", Digest.of(b"one")), 422, "verification-failed")
    assert house.is_empty()
    assert house.stored == []


@pytest.mark.parametrize("announced", ["announced", ""])
def test_too_many_bytes_are_refused_and_not_kept(house: House, announced: str) -> None:
    data = os.urandom(5 * MIB)
    body = data if announced else iter([data[start : start + 65536] for start in range(0, len(data), 65536)])
    answer = house.put(body, Digest.of(data), max_size=MIB)
    assert is_problem(answer, 413, "too-large")
    assert answer.json()["max_size"] == MIB
    assert house.is_empty()


def test_the_doors_own_limit_holds_whatever_the_ticket_says(tmp_path: Path) -> None:
    with opened(tmp_path, max_size=10) as house:
        assert is_problem(house.put(b"eleven byte", Digest.of(b"eleven byte")), 413, "too-large")


def test_a_full_store_answers_507_and_keeps_nothing(tmp_path: Path) -> None:
    with opened(tmp_path, capacity_bytes=2 * MIB) as house:
        data = os.urandom(20 * MIB)
        assert is_problem(house.put(data, Digest.of(data)), 507, "store-full")
        assert house.is_empty()
        assert house.put(b"small", Digest.of(b"small")).status_code == 201


def test_an_unknown_blob_is_not_found_and_other_paths_are_problems_too(house: House) -> None:
    assert is_problem(house.get(Digest.of(b"unknown")), 404, "not-found")
    assert is_problem(httpx.get(f"{house.url}/elsewhere"), 404, "about:blank")
    assert is_problem(httpx.post(f"{house.url}/health"), 405, "about:blank")
    header = house.header("get", Digest.of(b""))
    assert is_problem(httpx.get(f"{house.url}/blobs/sha256:ABC", headers=header), 422, "malformed")


def test_a_refusal_of_the_agent_is_the_answer(house: House) -> None:
    house.failure = Unavailable("the registry does not answer")
    digest = Digest.of(b"one")
    assert is_problem(house.put(b"one", digest), 503, "unavailable")
    assert house.store.has(digest)
    assert is_problem(house.get(digest), 503, "unavailable")


def test_an_unknown_failure_says_nothing_of_the_inside(house: House) -> None:
    house.failure = RuntimeError("password=1234")
    answer = house.put(b"one", Digest.of(b"one"))
    assert is_problem(answer, 500, "khatim-error")
    assert "1234" not in answer.text


def half_sent(house: House, data: bytes, sent: int) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection("127.0.0.1", house.port)
    digest = Digest.of(data)
    connection.putrequest("PUT", f"/blobs/{digest}")
    connection.putheader("Content-Length", str(len(data)))
    for name, value in house.header("put", digest).items():
        connection.putheader(name, value)
    connection.endheaders()
    connection.send(data[:sent])
    return connection


def test_a_client_that_goes_away_leaves_nothing(house: House) -> None:
    data = os.urandom(8 * MIB)
    connection = half_sent(house, data, 5 * MIB)
    until(lambda: bool(house.parts()))
    assert list(house.store.digests()) == []
    connection.close()
    until(house.is_empty)
    assert house.stored == []
    assert house.put(data, Digest.of(data)).status_code == 201


def test_a_client_that_stands_still_is_given_up(tmp_path: Path) -> None:
    with opened(tmp_path, patience=timedelta(seconds=0.3)) as house:
        connection = half_sent(house, os.urandom(4 * MIB), 2 * MIB)
        assert connection.getresponse().status == 422
        connection.close()
        until(house.is_empty)


def test_a_spoiled_blob_is_an_error_or_a_broken_transfer_never_other_bytes(house: House) -> None:
    small, large = os.urandom(1000), os.urandom(4 * MIB)
    for data in (small, large):
        digest = house.store.put([data], max_size=len(data)).digest
        path = house.store.folder / "blobs" / digest.hex[:2] / digest.hex
        cipher = bytearray(path.read_bytes())
        cipher[-5] ^= 1
        path.write_bytes(cipher)
    assert is_problem(house.get(Digest.of(small)), 422, "verification-failed")
    with pytest.raises(httpx.RemoteProtocolError):
        house.get(Digest.of(large))


def test_large_bodies_are_not_held_in_memory(house: House) -> None:
    piece = os.urandom(MIB)
    digest = Digest.of(piece * 150)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert house.put((piece for _ in range(150)), digest).status_code == 201
    with httpx.stream("GET", f"{house.url}/blobs/{digest}", headers=house.header("get", digest)) as answer:
        assert sum(len(chunk) for chunk in answer.iter_bytes()) == 150 * MIB
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 80_000  # KiB


def test_a_door_opens_only_on_the_store_of_its_zone(house: House) -> None:
    with pytest.raises(Misconfigured):
        build_door(
            house.store,
            zone="ext-de",
            ticket_keys=[],
            on_stored=lambda *_: None,
            on_read=lambda *_: None,
            clock=lambda: house.now,
            max_size=1,
        )
