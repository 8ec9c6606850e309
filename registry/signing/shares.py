# SPDX-License-Identifier: Apache-2.0
"""A secret as k-of-n shares in words (SLIP-39): people write them down.  The door of ``shamir_mnemonic``."""

from __future__ import annotations

from collections.abc import Sequence

from shamir_mnemonic import MnemonicError, combine_mnemonics, generate_mnemonics

from khatim.errors import Malformed, Misconfigured

_MAX = 16  # SLIP-39: shares of one group
_SECRET_BYTES = 32


def split(secret: bytes, shares: int, threshold: int) -> list[str]:
    """Return *shares* lines of 33 words, of which any *threshold* give the secret of 32 bytes back.

    Fewer of them say nothing about it.  Raises `Malformed` for numbers that make no sense.
    """
    if len(secret) != _SECRET_BYTES or not 1 < threshold <= shares <= _MAX:
        raise Malformed(
            f"{threshold} of {shares} shares cannot be made: at least 2 are needed, at most {_MAX} made",
            advice="For one holder use a sealed file under a passphrase instead.",
        )
    return list(generate_mnemonics(1, [(threshold, shares)], secret)[0])


def combine(shares: Sequence[str]) -> bytes:
    """Return the secret; raises `Misconfigured` with what is wrong: too few, a mistyped word, of another kit."""
    try:
        return bytes(combine_mnemonics([" ".join(one.lower().split()) for one in shares]))
    except MnemonicError as wrong:
        raise Misconfigured(
            f"the shares do not open the kit: {wrong}",
            advice="Each share has a checksum: a mistyped word is found. Give exactly as many as the kit needs.",
        ) from wrong
