# SPDX-License-Identifier: GPL-3.0-or-later
"""The plugin chain: the plugin's own sound, a constant number of samples late, however it is cut."""

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pedalboard
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.errors import PluginError
from bridge.plugins import BLOCK, PluginChain, effects

RATE = 48_000


class Settings(NamedTuple):
    name: str = ""
    path: str = ""
    parameters: dict = {}  # noqa: RUF012


def noise(n=12_000, seed=3):
    return np.random.default_rng(seed).normal(0, 0.2, n).astype(np.float32)


def cut(chain, sound, edges):
    parts = np.split(sound, edges)
    out = [chain.process(part) for part in parts]
    assert [len(a) for a in out] == [len(a) for a in parts]
    return np.concatenate(out)


@pytest.fixture(scope="session")
def vst3(tmp_path_factory):
    """A real VST3 plugin of so many channels, which says that it is 100 samples late, and is."""
    built = {}

    def build(channels):
        if channels not in built:
            out = tmp_path_factory.mktemp("vst3")
            source = Path(__file__).parent / "vst3"
            subprocess.run(
                ["make", "-s", "-C", source, "vst3", f"OUT={out}", f"CHANNELS={channels}", "LATENCY=100"],
                check=True,
                capture_output=True,
            )
            built[channels] = str(out / "Lookahead.vst3")
        return built[channels]

    return build


CHAINS = {
    "gain": ([Settings("Gain", parameters={"gain_db": 6.0})], 0),
    "compressor": ([Settings("Compressor", parameters={"threshold_db": -30.0, "ratio": 4.0})], 0),
    "highpass": ([Settings("HighpassFilter", parameters={"cutoff_frequency_hz": 200.0})], 0),
    "limiter": ([Settings("Limiter", parameters={"threshold_db": -20.0})], 0),
    "gate": ([Settings("NoiseGate", parameters={"threshold_db": -20.0})], 0),
    "ladder": ([Settings("LadderFilter", parameters={"mode": "HPF24", "cutoff_hz": 300.0})], 0),
    "look-ahead": ([Settings("BrickwallLimiter", parameters={"lookahead_ms": 5.0})], 240),
    "three": ([Settings("Gain"), Settings("BrickwallLimiter"), Settings("Reverb")], 240),
    "none": ([], 0),
}


@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_is_the_plugins_own_sound_later_by_its_delay(name):
    items, late = CHAINS[name]
    chain = PluginChain(items, RATE)
    assert chain.delay == late + BLOCK - 1
    sound = noise()
    modes = pedalboard.LadderFilter
    direct = pedalboard.Pedalboard(
        [
            getattr(pedalboard, item.name)(
                **{k: getattr(modes, v) if isinstance(v, str) else v for k, v in item.parameters.items()}
            )
            for item in items
        ]
    ).process(sound[None], RATE, buffer_size=BLOCK)[0]  # the whole at once, lateness taken out
    heard = cut(chain, sound, [1, 65, 66, 700, 5000])
    assert not heard[: chain.delay].any()
    n = len(sound) - chain.delay
    assert n > 10_000
    np.testing.assert_allclose(heard[chain.delay :], direct[:n], atol=1e-6)
    assert chain.shortages == 0


@pytest.fixture(scope="module")
def squeezed():
    return PluginChain(
        [Settings("Compressor", parameters={"threshold_db": -30.0}), Settings("BrickwallLimiter")], RATE
    )


@settings(max_examples=25, deadline=None)
@given(edges=st.lists(st.integers(0, 4000), max_size=12).map(sorted))
def test_block_size_cannot_be_heard(squeezed, edges):
    sound = noise(4000)
    squeezed.reset()
    whole = squeezed.process(sound)
    squeezed.reset()
    np.testing.assert_array_equal(cut(squeezed, sound, edges), whole)


@pytest.mark.parametrize("name", ["compressor", "three"])
def test_reset_forgets_everything(name):
    chain, sound = PluginChain(CHAINS[name][0], RATE), noise()
    first = chain.process(sound)
    chain.process(noise(777, seed=9))
    chain.reset()
    np.testing.assert_array_equal(chain.process(sound), first)


@pytest.mark.parametrize("name", [*CHAINS, "vst3 1", "vst3 2"])
def test_a_click_comes_out_a_delay_after_it_went_in(name, vst3):
    items = [Settings(path=vst3(int(name[-1])))] if name.startswith("vst3") else CHAINS[name][0]
    chain = PluginChain(items, RATE)
    for at in (0, 63, 64, 1000):
        chain.reset()
        click = np.zeros(4000, np.float32)
        click[at] = 0.5
        heard = np.abs(cut(chain, click, [10, 900, 1001]))
        assert int(np.argmax(heard)) == at + chain.delay


@pytest.mark.parametrize("channels", [1, 2])
def test_a_real_vst3_is_hosted_and_its_latency_declared(vst3, channels):
    chain = PluginChain([Settings(path=vst3(channels), parameters={"gain": -6.0})], RATE)
    assert chain.delay == 100 + BLOCK - 1
    sound = noise()
    heard = cut(chain, sound, [3, 500, 564, 9000])
    np.testing.assert_allclose(
        heard[chain.delay :],
        sound[: -chain.delay] * 10 ** (-6 / 20),
        rtol=3e-3,  # hosts set parameters in steps
    )
    chain.reset()
    np.testing.assert_array_equal(chain.process(sound), heard)


def test_a_vst3_between_effects(vst3):
    items = [
        Settings("Gain", parameters={"gain_db": 6.0}),
        Settings(path=vst3(2)),
        Settings("BrickwallLimiter"),
    ]
    assert PluginChain(items, 44_100).delay == 100 + round(0.005 * 44_100) + BLOCK - 1


def refused(item, *words):
    with pytest.raises(PluginError) as caught:
        PluginChain([item], RATE)
    said = f"{caught.value} | {caught.value.hint}"
    assert "\n" not in said
    for word in words:
        assert word in said
    return said


def test_what_is_not_known_is_refused_with_the_nearest(vst3):
    refused(Settings("NoiseGait"), "'NoiseGait'", "did you mean NoiseGate?")
    refused(Settings("compressor"), "did you mean Compressor?")
    refused(Settings("Chain"), "no built-in effect")
    refused(
        Settings("Gain", parameters={"gain": 3.0}), "Gain has no parameter 'gain'", "did you mean gain_db?"
    )
    refused(Settings("Gain", parameters={"gain_db": "loud"}), "gain_db", "'loud'")
    refused(Settings("LadderFilter", parameters={"mode": "HPF96"}), "HPF96")
    refused(Settings("Invert", parameters={"x": 1.0}), "Invert has no parameter 'x'", "none")
    path = vst3(1)
    refused(Settings(path=path, parameters={"gian": 1.0}), path, "'gian'", "did you mean gain")
    refused(Settings(path=path, parameters={"gain": 1000.0}), path, "gain cannot be 1000.0")
    refused(Settings(path=path, parameters={"gain": "loud"}), path, "gain cannot be 'loud'")


def test_what_does_not_load_is_refused(tmp_path):
    refused(Settings(path=str(tmp_path / "none.vst3")), "none.vst3", "no such plugin")
    for name in ("text.vst3", "text.so", "text"):
        (tmp_path / name).write_text("not a plugin")
        refused(Settings(path=str(tmp_path / name)), name, "does not load")
    (tmp_path / "folder.vst3").mkdir()
    refused(Settings(path=str(tmp_path / "folder.vst3")), "folder.vst3", "does not load")


def test_what_holds_the_sound_too_long_is_refused():
    said = refused(Settings("PitchShift", parameters={"semitones": 2.0}), "PitchShift", "too late")
    assert "100 ms" in said


def test_every_built_in_effect_plays_or_says_why_not():
    assert {"Gain", "Compressor", "NoiseGate", "HighpassFilter", "Limiter", "Reverb"} <= set(effects())
    refused(Settings("Convolution"), "Convolution: cannot be set to nothing")
    sound = noise(2000)
    for name in set(effects()) - {"Convolution", "PitchShift"}:
        assert np.isfinite(PluginChain([Settings(name)], RATE).process(sound)).all()


def test_a_plugin_that_starts_to_dawdle_leaves_one_gap_and_is_counted():
    class Dawdler:
        """Holds 32 samples more back from its third block on."""

        def reset(self):
            self.held = np.zeros((1, 0), np.float32)
            self.calls = 0

        def process(self, sound, rate, buffer_size, reset):
            self.calls += 1
            most = np.concatenate([self.held, sound], axis=1)
            end = most.shape[1] - (32 if self.calls > 2 else 0)
            self.held = most[:, end:]
            return most[:, :end]

    chain = PluginChain([], RATE)
    chain._board = Dawdler()
    chain.reset()
    sound = np.arange(1, 1001, dtype=np.float32)
    heard = cut(chain, sound, range(1, 1000))
    assert chain.shortages == 32
    gap = heard[chain.delay + 1 :] == 0
    assert gap.sum() == 32
    np.testing.assert_array_equal(heard[chain.delay :][np.r_[True, ~gap]], sound[: -chain.delay - 32])


def test_a_plugin_that_breaks_is_named():
    class Broken:
        def reset(self): ...

        def process(self, *_args, **_kwargs):
            raise RuntimeError("boom\nboom")

    chain = PluginChain([Settings("Gain")], RATE)
    chain._board = Broken()
    with pytest.raises(PluginError, match=r"Gain: does not play: boom boom"):
        chain.process(noise(64))


def test_plugins_cost_nothing_until_they_are_asked_for():
    done = subprocess.run(
        [sys.executable, "-c", "import bridge.plugins, sys; print('pedalboard' in sys.modules)"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "False"
