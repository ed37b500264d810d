# SPDX-License-Identifier: GPL-3.0-or-later
"""Effects and plugins that the sound passes before it is heard."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from bridge.errors import PluginError

BLOCK = 64  # samples a plugin is given at once, whatever the device hands over
LATEST_MS = 100  # a chain that holds the sound back longer is of no use to a player

# In the library's list, but no effect by themselves.
_NOT_EFFECTS = {"Chain", "Mix", "Pedalboard", "Plugin", "PluginContainer", "ExternalPlugin", "IIRFilter"}


class Named(Protocol):
    """One plugin as a preset names it: a built-in effect by name, or another by path."""

    @property
    def name(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def parameters(self) -> Mapping[str, float | bool | str]: ...


class PluginChain:
    """Plugins one after the other, and a queue that makes their lateness one number.

    Parameters
    ----------
    settings
        The plugins, first to last.
    rate
        Of the sound [Hz].

    Attributes
    ----------
    delay : int
        How far the sound that comes out lags the sound that went in [samples].
    shortages : int
        How many samples of silence were put in because a plugin held more back than it did at first;
        what follows is later than `delay` by as many.

    Raises
    ------
    PluginError
        Where a plugin, a parameter or its value is not known, or a plugin does not load or play.

    Notes
    -----
    Delay: what the plugins say they add, measured, and BLOCK - 1 samples of queue.
    Realtime: no. A plugin is called through Python and may do what it likes.
    """

    def __init__(self, settings: Sequence[Named], rate: int) -> None:
        self._rate = rate
        self._name = " > ".join(item.name or Path(item.path).name for item in settings) or "no plugin"
        pedalboard = _pedalboard()
        self._board = pedalboard.Pedalboard([_load(pedalboard, item) for item in settings])
        self._channels = self._channels_it_takes()
        late = self._measure()
        self.delay = late + BLOCK - 1
        self._in = np.zeros((self._channels, BLOCK), np.float32)
        self._out = np.zeros(0, np.float32)
        self.reset()

    def reset(self) -> None:
        """Forget all sound."""
        self._board.reset()
        self._filled = 0
        self._out = np.zeros(self.delay, np.float32)
        self.shortages = 0

    def process(self, block: np.ndarray) -> np.ndarray:
        """Pass (n,) float32 on; return (n,) float32, the sound of `delay` samples ago."""
        parts, at = [self._out], 0
        while at < len(block):
            n = min(BLOCK - self._filled, len(block) - at)
            self._in[:, self._filled : self._filled + n] = block[at : at + n]
            self._filled, at = self._filled + n, at + n
            if self._filled == BLOCK:
                parts.append(self._play(self._in))
                self._filled = 0
        ready = np.concatenate(parts)
        if (short := len(block) - len(ready)) > 0:
            self.shortages += short
            ready = np.concatenate([ready, np.zeros(short, np.float32)])
        self._out = ready[len(block) :]
        return ready[: len(block)]

    def _play(self, sound: np.ndarray) -> np.ndarray:
        try:
            played = self._board.process(sound, self._rate, buffer_size=BLOCK, reset=False)
        except Exception as error:  # noqa: BLE001  whatever a plugin raises is its own
            raise PluginError(f"{self._name}: does not play: {_said(error)}") from None
        mono: np.ndarray = played.reshape(self._channels, -1).mean(axis=0, dtype=np.float32)
        return mono

    def _channels_it_takes(self) -> int:
        """1, or 2 where some plugin of the chain is stereo only."""
        for channels in (1, 2):
            self._channels = channels
            try:
                self._play(np.zeros((channels, BLOCK), np.float32))
            except PluginError:
                if channels == 2:
                    raise
            else:
                break
        return self._channels

    def _measure(self) -> int:
        """How many samples the plugins keep back [samples]."""
        self._board.reset()
        noise = np.random.default_rng(0).normal(0, 0.1, self._rate).astype(np.float32)
        kept = most = 0
        for start in range(0, len(noise) - BLOCK, BLOCK):
            sound = np.repeat(noise[None, start : start + BLOCK], self._channels, axis=0)
            kept += BLOCK - len(self._play(sound))
            most = max(most, kept)
        if 1000 * most > LATEST_MS * self._rate:
            ms = 1000 * most // self._rate
            raise PluginError(
                f"{self._name}: holds the sound back {ms} ms or more, too late to play with",
                f"take it out of the preset: at most {LATEST_MS} ms are accepted",
            )
        return most


def _pedalboard() -> Any:
    try:
        import pedalboard
    except (ImportError, OSError) as error:
        raise PluginError(
            f"plugins cannot be used here: {_said(error)}", "take [[plugins]] out of the preset"
        ) from None
    return pedalboard


def effects() -> list[str]:
    """Names of the built-in effects."""
    pedalboard = _pedalboard()
    return sorted(
        name
        for name, item in vars(pedalboard).items()
        if isinstance(item, type)
        and issubclass(item, pedalboard.Plugin)
        and not name.startswith("_")
        and not name.endswith("Plugin")
        and name not in _NOT_EFFECTS
    )


def _load(pedalboard: Any, item: Named) -> Any:
    return _hosted(pedalboard, item) if item.path else _built_in(pedalboard, item)


def _built_in(pedalboard: Any, item: Named) -> Any:
    if item.name not in (known := effects()):
        raise PluginError(
            f"no built-in effect is called {item.name!r}{_nearest(item.name, known)}",
            "built in: " + ", ".join(known),
        )
    effect = getattr(pedalboard, item.name)
    # The constructor's first docstring line is the only place where the names of parameters are listed.
    names = re.findall(r"(\w+): ", effect.__init__.__doc__.split("\n", 1)[0])[1:]
    for name in item.parameters:
        _known(item.name, name, names)
    values = {
        # A word stands for one of the effect's modes, such as LadderFilter's HPF24.
        name: getattr(effect, value, value) if isinstance(value, str) else value
        for name, value in item.parameters.items()
    }
    try:
        return effect(**values)
    except TypeError:
        said = ", ".join(f"{name} = {value!r}" for name, value in item.parameters.items())
        raise PluginError(f"{item.name}: cannot be set to {said or 'nothing'}") from None
    except Exception as error:  # noqa: BLE001
        raise PluginError(f"{item.name}: {_said(error)}") from None


def _hosted(pedalboard: Any, item: Named) -> Any:
    path = Path(item.path)
    if not path.exists():
        raise PluginError(f"{path}: there is no such plugin")
    try:
        plugin = pedalboard.load_plugin(str(path))
    except Exception as error:  # noqa: BLE001
        raise PluginError(
            f"{path}: does not load: {_said(error)}",
            "VST3 plugins of this system and processor are hosted, on macOS Audio Units too",
        ) from None
    if not plugin.is_effect:
        raise PluginError(f"{path}: is an instrument, not an effect")
    names = {_plain(name): name for name in plugin.parameters}
    names |= {_plain(parameter.name): name for name, parameter in plugin.parameters.items()}
    for name, value in item.parameters.items():
        _known(str(path), _plain(name), names)
        try:
            setattr(plugin, names[_plain(name)], value)
        except Exception as error:  # noqa: BLE001
            raise PluginError(f"{path}: {name} cannot be {value!r}: {_said(error)}") from None
    return plugin


def _known(where: str, name: str, names: Iterable[str]) -> None:
    if name not in names:
        raise PluginError(
            f"{where} has no parameter {name!r}{_nearest(name, names)}",
            "its parameters: " + (", ".join(sorted(set(names))) or "none"),
        )


def _nearest(name: str, names: Iterable[str]) -> str:
    plain = {_plain(known): known for known in names}
    near = difflib.get_close_matches(_plain(name), plain, n=1, cutoff=0.4)
    return f", did you mean {plain[near[0]]}?" if near else ""


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _said(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
