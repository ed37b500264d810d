# SPDX-License-Identifier: GPL-3.0-or-later
"""Nets for notes that have learned nothing."""

import numpy as np

from dsp.notenet import shapes

SIZES = {"features": 16, "layer": 24, "near": 8, "mix": 24, "whole": 16, "told": 4, "memory": 16}
HARMONICS = (-12, 0, 12, 19, 24, 40)
NEIGHBOURS = (-24, -12, -1, 0, 1, 12, 28)
LAGS = (2, 3, 4, 7)


EMBEDDING = SIZES["memory"] + SIZES["mix"]


def random_arrays(seed: int = 0, **sizes: int) -> dict[str, np.ndarray]:
    """As training would export them; each layer keeps the size of what it is given."""
    rng = np.random.default_rng(seed)
    offsets = {"harmonics": HARMONICS, "neighbours": NEIGHBOURS, "lags": LAGS}
    sizes = SIZES | sizes | {name: len(values) for name, values in offsets.items()}
    arrays: dict[str, np.ndarray] = {}
    for name, shape in shapes(sizes).items():
        fan = max(4, int(np.prod(shape[1:])))
        spread = 0.1 if len(shape) == 1 or name == "local.b" else 1 / np.sqrt(fan)
        arrays[name] = (spread * rng.standard_normal(shape)).astype(np.float32)
    arrays["mu"] = rng.normal(-2, 0.5, arrays["mu"].shape).astype(np.float32)
    arrays["over"] = rng.uniform(0.4, 0.6, 1).astype(np.float32)
    arrays["sd"] = rng.uniform(0.5, 2, arrays["sd"].shape).astype(np.float32)
    return arrays | {name: np.array(values, np.int64) for name, values in offsets.items()}
