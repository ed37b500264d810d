# SPDX-License-Identifier: GPL-3.0-or-later
"""The weights of the ear for notes: what was exported is what is heard with, and nothing else is taken."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from bridge.errors import ModelError
from bridge.hearing import hearing
from bridge.preset import load as preset
from dsp.notenet import notenet_frame, notenet_state
from dsp.tones import PITCHES
from models.archive import FOLDER, WeightsError, sums
from models.notes import NAME, checked, load
from tests.noteweights import random_arrays


def test_the_golden_pair_is_reproduced() -> None:
    """What the net said when it was exported, by these kernels and by onnxruntime."""
    with np.load(FOLDER / "notes.golden.npz", allow_pickle=False) as golden:
        x, y = golden["x"], golden["y"]
    state, out = notenet_state(load()), np.zeros(y.shape, np.float32)
    session = onnxruntime.InferenceSession(FOLDER / "notes.onnx", providers=["CPUExecutionProvider"])
    first, *memory = session.get_inputs()
    states = {entry.name: np.zeros(entry.shape, np.float32) for entry in memory}
    for t, frame in enumerate(x):
        notenet_frame(state, frame, out[t])
        said, *new = session.run(None, {first.name: frame[None], **states})
        states = dict(zip(states, new, strict=True))
        np.testing.assert_allclose(said.reshape(y[t].shape), y[t], atol=2e-4)
    assert y.shape[1:] == (len(load().lags) + 2, PITCHES) and np.abs(y).max() > 1
    np.testing.assert_allclose(out, y, atol=2e-4)


def test_every_file_has_its_sum() -> None:
    assert {NAME, "notes.onnx", "notes.golden.npz"} <= set(sums())
    assert Path(FOLDER / "notes.md").is_file()


@pytest.mark.parametrize("name", random_arrays())
def test_every_array_is_needed(name: str) -> None:
    arrays = random_arrays()
    assert len(checked(arrays).lags) == len(arrays["lags"])
    del arrays[name]
    with pytest.raises(WeightsError, match=name.replace(".", r"\.")):
        checked(arrays)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mu", np.zeros(5, np.float32)),
        ("gru.w_hh", np.zeros((48, 15), np.float32)),
        ("conv.b", np.float32(0)),
        ("conv.b", np.full(16, np.nan, np.float32)),
        ("sd", np.zeros(6, np.float32)),
        ("over", np.ones(1, np.float32)),
        ("over", np.zeros(1, np.float32)),
        ("lags", np.array([2, 4, 3, 7])),
        ("harmonics", np.array([-12, 0, 12, 19, 24, 88])),
        ("mu", np.full(6, "x")),
    ],
)
def test_arrays_of_another_net_are_refused(name: str, value: np.ndarray) -> None:
    with pytest.raises(WeightsError):
        checked(random_arrays() | {name: value})


def test_a_daemon_without_its_weights_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise WeightsError("notes.npz is not there")

    monkeypatch.setattr("models.notes.load", refuse)
    with pytest.raises(ModelError, match="is not there") as caught:
        hearing(preset("piano"), 48_000)
    assert "again" in caught.value.hint
