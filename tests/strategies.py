# SPDX-License-Identifier: Apache-2.0
"""Hypothesis strategies that tests of several floors share."""

from __future__ import annotations

from hypothesis import strategies as st

from khatim.vocabulary import Digest, FileRole

HOSTILE = [
    "", " ", ".", "..", "/", "//", "a/b", "../a", "a/../b", "a\x00b", "\x00", "A", "\u00e4", "a b", "a" * 65, "-a",
    "a-", "_", "%00", "a\nb", "a\n", "\ud800", "\u202e", "\u0661", "a@1", "'; DROP TABLE models; --", "{{7*7}}",
    "<script>",
]  # fmt: skip
"""Names that nothing may bear."""

NAME_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
names = st.builds(
    lambda first, middle, last: first + middle + last,
    st.sampled_from(NAME_LETTERS),
    st.text(alphabet=NAME_LETTERS + "._-", max_size=20),
    st.sampled_from(NAME_LETTERS),
)
digests = st.binary(max_size=8).map(Digest.of)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
files = st.fixed_dictionaries(
    {
        "path": paths,
        "digest": digests.map(str),
        "size": st.integers(0, 2**40),
        "role": st.sampled_from(FileRole).map(lambda role: role.value),
    }
)
