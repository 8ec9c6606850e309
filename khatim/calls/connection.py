# SPDX-License-Identifier: Apache-2.0
"""Speaking with the registry over HTTP: the token, safe retries, pages, and errors raised again as what they were.

Every writing call carries an ``Idempotency-Key``, so that a call whose answer was lost may be repeated: the registry
gives the first answer again and does nothing twice.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from http import HTTPStatus
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from khatim.errors import KhatimError, Malformed, Unavailable, from_problem
from khatim.wire import answers

ATTEMPTS = 6
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 3.0
PAGE = 200
AWAY = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})

_NOTED: ContextVar[list[str] | None] = ContextVar("khatim.events", default=None)
Answer = TypeVar("Answer", bound=BaseModel)
Request = TypeVar("Request", bound=BaseModel)
Parameters = Mapping[str, str | int | None]


def body(kind: type[Request], /, **fields: Any) -> Request:
    """Build a request body; raises `Malformed` naming every field that does not fit, before anything is sent."""
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        places = [{"at": ".".join(map(str, one["loc"])), "says": one["msg"]} for one in error.errors()]
        told = "; ".join(f"{place['at']}: {place['says']}" for place in places)
        raise Malformed(told, places=places) from error


class Connection:
    """Calls one registry as one actor.  Thread-safe, as far as `httpx.Client` is."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        transport: httpx.BaseTransport | None = None,
        timeout: float = 30.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Speak to *url* (scheme, host, port) with the bearer *token*; *timeout* in seconds, for each attempt.

        The token goes to *url* only, never to a zone door and never after a redirect.
        """
        self.url = url.rstrip("/")
        self.http = httpx.Client(transport=transport, timeout=timeout, follow_redirects=False)
        self.sleep = sleep
        self._token = token

    def ask(self, kind: type[Answer], path: str, parameters: Parameters | None = None) -> Answer:
        """Read one thing."""
        return understood(kind, self._call("GET", path, parameters=parameters))

    def send(self, kind: type[Answer], path: str, given: BaseModel | None = None, *, method: str = "POST") -> Answer:
        """Ask for a change; the answer says what became of it."""
        return understood(kind, self._call(method, path, given=given))

    def pages(
        self, kind: type[Answer], path: str, parameters: Parameters | None = None, *, cursor: str = "cursor"
    ) -> Iterator[Answer]:
        """Yield every item of a listing, page after page; *cursor* names the parameter that takes the next page."""
        following: str | None = None
        while True:
            asked = {**(parameters or {}), **({cursor: following} if following else {})}
            page = self.ask(answers.Page[kind], path, asked)  # type: ignore[valid-type]  # a page of a given kind
            yield from page.items
            following = page.next
            if not following:
                return

    def read(self, path: str) -> bytes:
        """Read bytes as they are: a checkpoint, a tile, a policy."""
        return self._call("GET", path).content

    @contextmanager
    def streamed(self, method: str, path: str, parameters: Parameters | None = None) -> Iterator[httpx.Response]:
        """Call once and hand out the answer as a stream; the call is not repeated when it fails."""
        request = self._request(method, path, parameters, None)
        with answering(self.url), self.http.stream(**request) as response:
            raise_for_problem(response)
            yield response

    @contextmanager
    def noting(self) -> Iterator[list[str]]:
        """Collect the events that answers name (``Khatim-Events``) in this thread or task while the block lasts."""
        events: list[str] = []
        token = _NOTED.set(events)
        try:
            yield events
        finally:
            _NOTED.reset(token)

    def close(self) -> None:
        """Close the connections."""
        self.http.close()

    def _call(
        self, method: str, path: str, *, parameters: Parameters | None = None, given: BaseModel | None = None
    ) -> httpx.Response:
        request = self._request(method, path, parameters, given)
        last = ATTEMPTS - 1
        for attempt in range(ATTEMPTS):
            try:
                response = self.http.request(**request)
            except httpx.TransportError as error:
                if attempt == last:
                    raise unreachable(self.url, error) from error
            else:
                if response.status_code not in AWAY or attempt == last:
                    raise_for_problem(response)
                    _note(response)
                    return response
            self.sleep(pause(attempt))
        raise Unavailable(f"{self.url} does not answer")

    def _request(
        self, method: str, path: str, parameters: Parameters | None, given: BaseModel | None
    ) -> dict[str, Any]:
        headers = {"Accept": "application/json, */*;q=0.5"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        if method != "GET":
            headers["Idempotency-Key"] = uuid.uuid4().hex  # one key for all attempts of one call
        content = None if given is None else given.model_dump_json().encode()
        if content is not None:
            headers["Content-Type"] = "application/json"
        params = {key: value for key, value in (parameters or {}).items() if value not in ("", None)}
        return {
            "method": method,
            "url": self.url + path,
            "params": params or None,
            "content": content,
            "headers": headers,
        }


def _note(response: httpx.Response) -> None:
    noted = _NOTED.get()
    if noted is not None:
        noted += [one for one in response.headers.get("khatim-events", "").split(", ") if one]


def pause(attempt: int) -> float:
    """Return how many seconds to wait after the failed *attempt* (0, 1, …); chance keeps clients out of step."""
    longest = min(FIRST_PAUSE_S * 2**attempt, LONGEST_PAUSE_S)
    return random.uniform(longest / 2, longest)  # noqa: S311 - spreads calls, keeps no secret


@contextmanager
def answering(url: str) -> Iterator[None]:
    """Turn what httpx raises into `Unavailable`, naming *url*."""
    try:
        yield
    except httpx.TransportError as error:
        raise unreachable(url, error) from error


def unreachable(url: str, error: httpx.TransportError) -> Unavailable:
    """Say that *url* does not answer."""
    why = str(error) or type(error).__name__
    return Unavailable(f"{url} does not answer: {why}", advice="Is the server running, and is this its address?")


def understood(kind: type[Answer], response: httpx.Response) -> Answer:
    """Read an answer; one of another shape means that client and server are of different versions."""
    try:
        return kind.model_validate_json(response.content)
    except ValidationError as error:
        raise KhatimError(
            f"the answer of {response.request.url.path} cannot be read: {error.error_count()} members differ",
            advice="Use the same version of khatim on both sides.",
        ) from error


def raise_for_problem(response: httpx.Response) -> None:
    """Raise the error that a problem+json answer describes, as the very class that the server raised."""
    if response.is_success:
        return
    response.read()
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if isinstance(problem, dict) and "type" in problem:
        raise from_problem(problem, response.status_code)
    cls = Unavailable if response.status_code in AWAY else KhatimError
    raise cls(
        f"{response.request.url} answered with status {response.status_code} and no explanation",
        status=response.status_code,
        advice="Is this the address of a Khatim server?",
    )
