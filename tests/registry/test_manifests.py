# SPDX-License-Identifier: Apache-2.0
"""Manifests: the order of files does not matter, every byte does, and no path leaves the model's folder."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khatim.errors import Malformed
from registry.manifests import digest_of, manifest_of
from tests.strategies import digests, files

unique = st.lists(files, min_size=1, max_size=5, unique_by=lambda one: one["path"])


@given(unique, st.randoms(use_true_random=False), st.lists(digests.map(str), max_size=3))
def test_the_order_of_files_and_bases_does_not_matter(
    listed: list[dict[str, Any]], chance: random.Random, bases: list[str]
) -> None:
    shuffled, turned = list(listed), list(bases)
    chance.shuffle(shuffled)
    chance.shuffle(turned)

    assert digest_of(manifest_of(shuffled, turned)) == digest_of(manifest_of(listed, bases))


@given(unique, st.sampled_from(["path", "digest", "size", "role"]))
def test_every_fact_about_a_file_changes_the_digest(listed: list[dict[str, Any]], fact: str) -> None:
    before = digest_of(manifest_of(listed))
    first = listed[0]
    other = {
        "path": first["path"] + "x",
        "digest": "sha256:" + "0" * 64,
        "size": first["size"] + 1,
        "role": "code" if first["role"] != "code" else "config",
    }

    assert digest_of(manifest_of([{**first, fact: other[fact]}, *listed[1:]])) != before


@given(unique)
def test_a_judgement_about_the_bytes_is_not_part_of_the_digest(listed: list[dict[str, Any]]) -> None:
    judged = [{**one, "format": "onnx", "verdict": "servable"} for one in listed]

    assert digest_of(manifest_of(judged)) == digest_of(manifest_of(listed))


@given(unique, digests.map(str))
def test_a_base_changes_the_digest(listed: list[dict[str, Any]], base: str) -> None:
    assert digest_of(manifest_of(listed, [base])) != digest_of(manifest_of(listed))


UNSAFE = ["/etc/passwd", "../x", "a/../../x", "a/..", "..", ".", "./a", "a//b", "a/", "a\\b", "a\x00", ""]


@pytest.mark.parametrize("path", UNSAFE)
def test_a_path_that_leaves_the_folder_or_is_spelt_oddly_is_refused(path: str) -> None:
    with pytest.raises(Malformed, match="not a relative path inside the model"):
        manifest_of([{"path": path, "digest": "sha256:" + "0" * 64, "size": 1, "role": "weights"}])


def test_a_path_stands_once() -> None:
    one = {"path": "model.onnx", "digest": "sha256:" + "0" * 64, "size": 1, "role": "weights"}
    with pytest.raises(Malformed, match="twice"):
        manifest_of([one, dict(one)])
