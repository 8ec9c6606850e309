# SPDX-License-Identifier: Apache-2.0
"""Reading what people write as JSON into a pydantic model: strictly, and with every problem named at its place."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from khatim.errors import ContractUnreadable

MAX_PROBLEMS = 20
Body = TypeVar("Body", bound=BaseModel)


def repeated(items: Iterable[str]) -> list[str]:
    """Return what occurs more than once in *items*, sorted."""
    return sorted(item for item, count in Counter(items).items() if count > 1)


def read(kind: type[Body], what: str, source: str | bytes | Mapping[str, Any]) -> Body:
    """Read *what* (words for people) from JSON or a mapping; raises `ContractUnreadable` naming every problem.

    Stricter than JSON: no name twice in one object, no NaN and no infinity.
    """
    try:
        return kind.model_validate(_mapping_of(source))
    except ValidationError as error:
        raise _refusal(what, error) from error


def _mapping_of(source: str | bytes | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(source, Mapping):
        return source
    try:
        found = json.loads(source, object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ContractUnreadable(f"this is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise ContractUnreadable("a contract is a JSON object")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if twice := repeated(name for name, _ in pairs):
        raise ValueError(f"named twice: {', '.join(twice)}")
    return dict(pairs)


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")


def _refusal(what: str, error: ValidationError) -> ContractUnreadable:
    found = error.errors(include_url=False, include_input=False, include_context=False)
    problems = [
        {"at": ".".join(str(part) for part in one["loc"]), "problem": one["msg"].removeprefix("Value error, ")}
        for one in found
        # pydantic counts a tuple whose items were refused as too short: the items' own problems say it better.
        if not any(one is not other and other["loc"][: len(one["loc"])] == one["loc"] for other in found)
    ][:MAX_PROBLEMS]
    first = problems[0]
    place = f" at {first['at']}" if first["at"] else ""
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return ContractUnreadable(f"the {what} is wrong{place}: {first['problem']}{more}", problems=problems)
