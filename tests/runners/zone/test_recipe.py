# SPDX-License-Identifier: Apache-2.0
"""The specification of a run, the split by entity, and the digest of the code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khatim.errors import Malformed
from khatim.vocabulary import Digest
from runners.zone import recipe
from runners.zone.recipe import TrainingSpec, code_digest, is_held_out, split_digest

KEYS = st.lists(st.text(max_size=12), unique=True, max_size=40)


def _sides(keys: list[str], share: float = 0.3) -> list[bool]:
    return [is_held_out(key, salt="s", share=share) for key in keys]


@given(KEYS, st.randoms())
def test_the_split_depends_on_the_key_and_not_on_the_order(keys: list[str], random: object) -> None:
    shuffled = sorted(keys, key=lambda key: Digest.of(key.encode()).hex)
    assert dict(zip(keys, _sides(keys), strict=True)) == dict(zip(shuffled, _sides(shuffled), strict=True))
    assert split_digest(keys, _sides(keys), salt="s", share=0.3) == split_digest(
        shuffled, _sides(shuffled), salt="s", share=0.3
    )


@given(st.text(), st.floats(0.01, 0.98), st.floats(0.0, 0.01))
def test_a_greater_share_only_adds_to_the_held_out(key: str, share: float, more: float) -> None:
    assert is_held_out(key, salt="s", share=share) <= is_held_out(key, salt="s", share=share + more)


def test_the_share_is_kept_on_many_keys() -> None:
    held = sum(is_held_out(i, salt="khatim", share=0.25) for i in range(20_000))
    assert abs(held / 20_000 - 0.25) < 0.01


def test_the_split_digest_names_the_sides() -> None:
    one = split_digest(["a", "b"], [True, False], salt="s", share=0.5)
    assert one != split_digest(["a", "b"], [False, True], salt="s", share=0.5)
    assert one != split_digest(["a", "b"], [True, False], salt="t", share=0.5)
    expected = b'{"held_out":["a"],"salt":"s","share":0.5,"trained":["b"]}'
    assert one == Digest.of(expected)


def test_a_specification_survives_json() -> None:
    spec = TrainingSpec("sklearn-gradient-boosting", "f", "k", "y", "o", 1, ("a", "b"), params={"max_depth": 2})
    assert TrainingSpec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"recipe": "deep-magic"}, "no recipe"),
        ({"holdout_share": 0}, "held-out share"),
        ({"seed": -1}, "seed"),
        ({"runtime_env": {"pip": ["x"]}}, "unknown members: runtime_env"),
        ({"label": None, "out": None}, None),
    ],
)
def test_a_specification_that_cannot_be_is_refused(change: dict[str, object], words: str | None) -> None:
    body = json.loads(TrainingSpec("sklearn-gradient-boosting", "f", "k", "y", "o", 1).to_json())
    if words is None:
        body = {key: value for key, value in body.items() if key not in change}
        words = "incomplete"
    else:
        body |= change
    with pytest.raises(Malformed, match=words):
        TrainingSpec.from_json(json.dumps(body))


def test_text_that_is_no_json_object_is_refused() -> None:
    for text in ("{", "[]"):
        with pytest.raises(Malformed):
            TrainingSpec.from_json(text)


def test_the_code_digest_is_that_of_the_sources() -> None:
    folder = Path(recipe.__file__).parent
    lines = "".join(f"{Digest.of((folder / name).read_bytes())}  {name}\n" for name in sorted(recipe.SOURCES))
    assert code_digest() == Digest.of(lines.encode())
    assert set(recipe.SOURCES) == {"onnx_export.py", "recipe.py", "trainer.py", "training.py"}
