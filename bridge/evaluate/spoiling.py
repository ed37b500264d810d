# SPDX-License-Identifier: GPL-3.0-or-later
"""What a bad day does to sound: too soft, dull, noisy. To measure how much of it is borne."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bridge.errors import UsageError
from dsp.units import gain

SLOPE = 4  # order of the low-pass: 24 dB an octave
SEED = 20  # the same noise for every file, every time


@dataclass(frozen=True, slots=True)
class Spoiling:
    """Gain first, then the low-pass, then noise over it."""

    gain_db: float = 0.0
    lowpass_hz: float | None = None
    noise_dbfs: float | None = None  # RMS; a full-scale square is 0

    def __post_init__(self) -> None:
        for option, value, low, high, unit in (
            ("--gain", self.gain_db, -120, 60, "dB"),
            ("--lowpass", self.lowpass_hz, 20, 384_000, "Hz"),
            ("--noise", self.noise_dbfs, -200, 0, "dBFS"),
        ):
            if value is not None and not low <= value <= high:
                raise UsageError(f"{option} {value:g} is outside {low}..{high} {unit}")

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def at(self, rate: int) -> "Spoiler":
        """What does it to sound of `rate` [Hz]."""
        return Spoiler(self, rate)


class Spoiler:
    """Spoils one stream, block after block; cuts cannot be heard."""

    def __init__(self, how: Spoiling, rate: int) -> None:
        self._gain = np.float32(gain(how.gain_db))
        self._noise = None if how.noise_dbfs is None else np.float32(gain(how.noise_dbfs))
        self._random = np.random.default_rng(SEED)
        self._filter = None
        if how.lowpass_hz is not None and how.lowpass_hz < rate / 2:
            from scipy.signal import butter

            self._filter = butter(SLOPE, how.lowpass_hz, fs=rate, output="sos")
            self._state = np.zeros((len(self._filter), 2))

    def __call__(self, block: np.ndarray) -> np.ndarray:
        """Blocks (n,) float32 of any length to the same, spoilt."""
        block = np.where(np.isfinite(block), block, np.float32(0)) * self._gain  # a filter never forgets NaN
        if self._filter is not None and len(block):
            from scipy.signal import sosfilt

            block, self._state = sosfilt(self._filter, block, zi=self._state)
        if self._noise is not None:
            block = block + self._noise * self._random.standard_normal(len(block), np.float32)
        return block.astype(np.float32)
