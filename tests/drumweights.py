# SPDX-License-Identifier: GPL-3.0-or-later
"""A drum net that has learned nothing: weights of the right shapes, at random."""

import numpy as np

from dsp.drumnet import DrumWeights, drum_weights, shapes

LAGS = (0, 1, 2, 5, 14)


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
    arrays["threshold"] = rng.uniform(0.4, 0.6, arrays["threshold"].shape).astype(np.float32)
    arrays["lags"] = np.array(LAGS, np.int64)
    return arrays


def random_weights(seed: int = 0) -> DrumWeights:
    return drum_weights(random_arrays(seed))
