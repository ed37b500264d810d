# SPDX-License-Identifier: GPL-3.0-or-later
"""The small nets that correct an ear: weights as they were exported, and no others."""

from types import ModuleType

import numpy as np
import pytest

from dsp.net import perceptron
from models import ends, hits, line, poly
from models.archive import FOLDER, WeightsError, read, sums

NETS = pytest.mark.parametrize("net", [ends, hits, line, poly], ids=lambda net: net.__name__)
ARRAYS = {
    net: list(read(FOLDER / net.NAME)) for net in (ends, hits, line, poly)
}  # four of the layers, then what it asks
BOTH = pytest.mark.parametrize(("net", "name"), [(net, name) for net in ARRAYS for name in ARRAYS[net]])


@pytest.mark.parametrize("net", [ends, hits, poly], ids=lambda net: net.__name__)
def test_the_golden_pair_is_reproduced(net: ModuleType) -> None:
    weights = net.load()
    with np.load((FOLDER / net.NAME).with_suffix(".golden.npz"), allow_pickle=False) as golden:
        x, y = golden["x"], golden["y"]
    assert np.abs(y).max() > 0.5
    hidden, said = np.zeros(len(weights.hidden_bias), np.float32), np.zeros(len(weights.out_bias), np.float32)
    for row, expected in zip(x, y, strict=True):
        perceptron(weights, row, hidden, said)
        np.testing.assert_allclose(said, expected, atol=1e-4)


@NETS
def test_every_file_has_its_sum_and_a_card(net: ModuleType) -> None:
    path = FOLDER / net.NAME
    assert {path.name, f"{path.stem}.golden.npz"} <= set(sums())
    assert path.with_suffix(".md").is_file()


@BOTH
def test_every_array_is_needed(net: ModuleType, name: str) -> None:
    arrays = read(FOLDER / net.NAME)
    net.checked(dict(arrays))
    del arrays[name]
    with pytest.raises(WeightsError, match=name.replace(".", r"\.")):
        net.checked(arrays)


@BOTH
@pytest.mark.parametrize(
    "spoilt",
    [
        lambda array: array[..., :-1],
        lambda array: np.float32(0),
        lambda array: np.full_like(array, np.nan),
        lambda array: np.full(array.shape, "x"),
    ],
    ids=["short", "scalar", "nan", "text"],
)
def test_arrays_of_another_net_are_refused(net: ModuleType, name: str, spoilt) -> None:  # type: ignore[no-untyped-def]
    arrays = read(FOLDER / net.NAME)
    with pytest.raises(WeightsError):
        net.checked(arrays | {name: spoilt(arrays[name])})


@pytest.mark.parametrize(
    ("net", "name"), [(net, name) for net in ARRAYS for name in ARRAYS[net] if "." not in name]
)
@pytest.mark.parametrize("likelihood", [0, 1])
def test_what_is_asked_lies_between_never_and_always(net: ModuleType, name: str, likelihood: int) -> None:
    arrays = read(FOLDER / net.NAME)
    with pytest.raises(WeightsError):
        net.checked(arrays | {name: np.full_like(arrays[name], likelihood)})
