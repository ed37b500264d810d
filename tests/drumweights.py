# SPDX-License-Identifier: GPL-3.0-or-later
"""Drum nets that have learned nothing: one at random, and one made by hand that tells low from high."""

import numpy as np

from dsp.bands import SHORTS, band_frequencies
from dsp.drumnet import FAMILIES, FRAMES, METAL, NAMES, VOICES, DrumWeights, drum_weights, shapes
from dsp.events import LABEL_ROW
from dsp.hitnet import trusting

LAGS = (0, 1, 2, 5, 14)
TRUSTING = trusting(len(LAGS))  # what corrects nothing


def random_arrays(
    seed: int = 0, kernels: int = 12, layer: int = 96, memory: int = 96
) -> dict[str, np.ndarray]:
    """As training would export them; each layer keeps the size of what it is given."""
    rng = np.random.default_rng(seed)
    arrays: dict[str, np.ndarray] = {}
    for name, shape in shapes(kernels, layer, memory, len(LAGS)).items():
        fan = int(np.prod(shape[1:])) if name != "head.w" else shape[2]
        spread = 1 / np.sqrt(fan) if name.endswith(("w", "h")) else 0.1
        arrays[name] = (spread * rng.standard_normal(shape)).astype(np.float32)
    arrays["mu"] = rng.normal(-2, 0.5, arrays["mu"].shape).astype(np.float32)
    arrays["sd"] = rng.uniform(0.5, 2, arrays["sd"].shape).astype(np.float32)
    arrays["lags"] = np.array(LAGS, np.int64)
    return arrays


def random_weights(seed: int = 0) -> DrumWeights:
    return drum_weights(random_arrays(seed))


def plain_weights(
    later: dict[str, float] | None = None, later_names: dict[str, float] | None = None, hardness: float = 0.5
) -> DrumWeights:
    """A net that takes what rises below 400 Hz for a kick and what rises above 8 kHz for a closed hat.

    It hears rises of level and forgets them after three frames, so only the lags 0, 1 and 2
    can tell. The lag of refinement says the same whatever it hears: the logits `later` of
    families, `later_names` of labels, and `hardness`.
    """
    arrays = {name: np.zeros(shape, np.float32) for name, shape in shapes(12, 96, 96, len(LAGS)).items()}
    arrays["sd"] += 1
    arrays["lags"] = np.array(LAGS, np.int64)
    for name, width in (("conv_s", 5), ("conv_l", 7)):
        arrays[f"{name}.w"][0, 0, -2:, width // 2] = -1, 1
        arrays[f"{name}.b"][0] = -1
    hz = band_frequencies()
    low, high = np.flatnonzero(hz[SHORTS::3] < 400), np.flatnonzero(hz[:SHORTS:2] > 8000)
    arrays["dense.w"][0, 12 * len(hz[:SHORTS:2]) + low] = 1 / len(low)
    arrays["dense.w"][1, high] = 1 / len(high)
    for age in range(FRAMES):  # unit 2 * age + k rises where unit k did so many frames ago
        for k in range(2):
            arrays["conv_t.w"][2 * age + k, k, FRAMES - 1 - age] = 1
    head, bias = arrays["head.w"], arrays["head.b"]
    bias[:, :VOICES], bias[:, NAMES:] = -8, 0.5
    for row, lag in enumerate(LAGS[:3]):
        for k, voices in ((0, [0]), (1, [FAMILIES.index("hat"), METAL])):
            units = [96 + 2 * age + k for age in range(min(lag + 2, FRAMES))]
            head[row][np.ix_(voices, units)] = 24
    bias[:3, VOICES + LABEL_ROW["hat-closed"]] = 1
    for name, value in (later or {}).items():
        bias[-1, FAMILIES.index(name)] = value
    for name, value in (later_names or {}).items():
        bias[-1, VOICES + LABEL_ROW[name]] = value
    bias[-1, NAMES:] = hardness
    return drum_weights(arrays)
