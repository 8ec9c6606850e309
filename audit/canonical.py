# SPDX-License-Identifier: Apache-2.0
"""Canonical JSON (RFC 8785, JCS): one value, one sequence of bytes.  The door of the package ``rfc8785``.

What is hashed is written once and stored; verifying never serialises again, it hashes the stored bytes.
"""

from __future__ import annotations

from typing import Any

import rfc8785

from khatim.errors import Malformed


def canonical(value: Any) -> bytes:
    """Return the canonical JSON of *value* (dict, list, tuple, str, int within 2**53, finite float, bool, None).

    Raises `Malformed` for everything JCS cannot say: other types, NaN, huge integers, lone surrogates, cycles.
    """
    try:
        return rfc8785.dumps(value)
    except (ValueError, RecursionError) as wrong:  # its CanonicalizationError is a ValueError
        raise Malformed(f"this value has no canonical JSON: {wrong}") from wrong
