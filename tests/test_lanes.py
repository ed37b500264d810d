# SPDX-License-Identifier: GPL-3.0-or-later
"""Sums held in lanes are the sums of a matrix product, wherever the blocks end."""

import numpy as np
import pytest
from numba.core.errors import TypingError

from dsp.lanes import add_rows
from tests.contract import forbidden_calls


@pytest.mark.parametrize("sums", [1, 3, 4, 6, 144])
@pytest.mark.parametrize(
    ("rows", "n", "first"), [(1, 1, 0), (7, 3, 2), (48, 88, 5), (126, 108, 0), (0, 20, 1)]
)
def test_rows_are_added_as_their_weights_say(sums: int, rows: int, n: int, first: int) -> None:
    rng = np.random.default_rng([sums, rows, n])
    x = rng.standard_normal((rows, first + n + 3)).astype(np.float32)
    weights = rng.standard_normal((sums, rows)).astype(np.float32)
    whole = rng.standard_normal((sums + 2, n)).astype(np.float32)
    before, out = whole.copy(), whole[1:-1]
    add_rows(x, first, weights, out)
    expected = before[1:-1] + np.float64(weights) @ x[:, first : first + n]
    np.testing.assert_allclose(out, expected, atol=1e-5 * np.sqrt(rows + 1))
    np.testing.assert_array_equal(whole[[0, -1]], before[[0, -1]])


def test_a_slice_of_wider_rows_is_taken_where_it_lies() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((9, 60)).astype(np.float32)[:, 5:]
    weights = rng.standard_normal((5, 20)).astype(np.float32)[:, 3:12]
    out = np.zeros((5, 40), np.float32)[:, 2:21]
    add_rows(x, 1, weights, out)
    np.testing.assert_allclose(out, np.float64(weights) @ x[:, 1:20], atol=1e-5)


@pytest.mark.parametrize("wrong", range(3))
def test_numbers_of_another_kind_are_refused(wrong: int) -> None:
    x, weights, out = (np.zeros((4, 4), np.float64 if i == wrong else np.float32) for i in range(3))
    with pytest.raises(TypingError, match="float32"):
        add_rows(x, 0, weights, out)


def test_nothing_is_allocated() -> None:
    assert add_rows.signatures, "the tests before have compiled it"
    assert forbidden_calls(add_rows) == []
