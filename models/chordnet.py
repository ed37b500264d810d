# SPDX-License-Identifier: GPL-3.0-or-later
"""The net that hears chords, and what it says of the key: numpy at work on weights that were trained elsewhere.

Twelve copies of one net, each of which hears the music as if its own pitch were the root: so what is learned in
one key is known in all.
"""

from functools import cache

import numpy as np

from dsp.events import CHORDS, KEYS, QUALITIES
from models.archive import FOLDER, between, fitting, measured, read
from models.chroma import HIGH, LOW, PITCHES

NAME = "chords.npz"
LAG = 5  # looks until a chord is named
ROOTS = 12
FIRST = (HIGH[0] % 12, LOW[0] % 12)  # pitch class that either range begins with
VIEW = HIGH[1] - HIGH[0] - ROOTS + 1, LOW[1] - LOW[0] - ROOTS + 1  # pitches that each copy hears of either
INPUTS = sum(VIEW)
SAID = len(CHORDS) + ROOTS + 1  # chords, bass notes, and no bass


def views() -> np.ndarray:
    """Which pitches of a look each root hears, shape (ROOTS, INPUTS)."""
    high, low = HIGH[1] - HIGH[0], np.arange(VIEW[1])
    return np.array(
        [
            np.concatenate([(root - FIRST[0]) % 12 + np.arange(VIEW[0]), high + (root - FIRST[1]) % 12 + low])
            for root in range(ROOTS)
        ]
    )


def shapes(layer: int, memory: int, key_layer: int) -> dict[str, tuple[int, ...]]:
    """Shape of each array of the weights, as exported from training."""
    kinds = len(QUALITIES)
    return {
        "mu": (), "sd": (), "dense.w": (layer, INPUTS), "dense.b": (layer,),
        "gru.w_ih": (3 * memory, 2 * layer), "gru.w_hh": (3 * memory, memory),
        "gru.b_ih": (3 * memory,), "gru.b_hh": (3 * memory,),
        "head.w": (kinds + 1, memory), "head.b": (kinds + 1,), "none.w": (2, memory), "none.b": (2,),
        "key.w": (key_layer, KEY_INPUTS), "key.b": (key_layer,), "mode.w": (2, key_layer), "mode.b": (2,),
    }  # fmt: skip


KEY_INPUTS = len(QUALITIES) * ROOTS + 2 * ROOTS + 1  # chords, basses and levels by degree, how long it heard


def degrees(chords: np.ndarray, bass: np.ndarray, levels: np.ndarray, heard: float) -> np.ndarray:
    """What each tonic hears of the music so far, shape (12, KEY_INPUTS).

    Parameters
    ----------
    chords : (len(CHORDS) - 1,)
        How much of the time each sounded.
    bass, levels : (12,)
        The same of each bass note; mean level of each pitch class.
    heard
        For how long music has sounded [s].
    """
    level = levels - levels.mean()
    parts = [*chords.reshape(len(QUALITIES), ROOTS), bass, level / (np.linalg.norm(level) + 1e-6)]
    turned = [np.concatenate([np.roll(part, -tonic) for part in parts]) for tonic in range(ROOTS)]
    return np.hstack([turned, np.full((ROOTS, 1), np.log1p(heard))]).astype(np.float32)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _softmax(x: np.ndarray) -> np.ndarray:
    y = np.exp(x - x.max())
    return y / y.sum()


class ChordNet:
    """The net at work.

    Parameters
    ----------
    arrays
        Of `shapes`.
    """

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self._w = {name: np.asarray(array, np.float32) for name, array in arrays.items()}
        self._views = views()
        self.reset()

    def reset(self) -> None:
        self._memory = np.zeros((ROOTS, self._w["gru.w_hh"].shape[1]), np.float32)

    def look(self, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How likely each chord sounded LAG looks ago, (len(CHORDS),), and each bass note or none, (13,)."""
        w, memory = self._w, self._memory
        x = (levels[self._views] - w["mu"]) / w["sd"]
        own = np.maximum(x @ w["dense.w"].T + w["dense.b"], 0)
        x = np.hstack([own, np.broadcast_to(own.mean(0), own.shape)])
        gates, held = x @ w["gru.w_ih"].T + w["gru.b_ih"], memory @ w["gru.w_hh"].T + w["gru.b_hh"]
        n = memory.shape[1]
        reset, update = (
            _sigmoid(gates[:, :n] + held[:, :n]),
            _sigmoid(gates[:, n : 2 * n] + held[:, n : 2 * n]),
        )
        new = np.tanh(gates[:, 2 * n :] + reset * held[:, 2 * n :])
        self._memory = memory = (1 - update) * new + update * memory
        said = memory @ w["head.w"].T + w["head.b"]
        none = memory.mean(0) @ w["none.w"].T + w["none.b"]
        return _softmax(np.append(said[:, :-1].T.ravel(), none[0])), _softmax(np.append(said[:, -1], none[1]))

    def key(self, inputs: np.ndarray) -> np.ndarray:
        """How likely each of KEYS is, (24,), by `degrees`."""
        w = self._w
        x = np.maximum(inputs @ w["key.w"].T + w["key.b"], 0) @ w["mode.w"].T + w["mode.b"]
        return _softmax(x.T.ravel())


def checked(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays, if they are of this net."""
    measured(arrays, ("dense.b", "gru.w_hh", "key.b"), NAME)
    sizes = arrays["dense.b"].size, arrays["gru.w_hh"].shape[-1], arrays["key.b"].size
    fitting(arrays, shapes(*sizes), NAME)
    between(arrays, ["sd"], NAME, np.inf)
    return arrays


@cache
def load() -> dict[str, np.ndarray]:
    """The weights that are shipped."""
    return checked(read(FOLDER / NAME))


assert HIGH[1] - HIGH[0] + LOW[1] - LOW[0] == PITCHES and len(KEYS) == 2 * ROOTS
