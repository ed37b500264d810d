# SPDX-License-Identifier: GPL-3.0-or-later
"""The sustain pedal: what shows it, when it is said, and how it leaves."""

from pathlib import Path
from typing import Any

import mido
import numpy as np
import pytest

from bridge.midi.departure import declared, depart_step
from bridge.midi.outbox import HELD, LENGTH, MESSAGE, PANIC, PANIC_DONE, SUSTAIN, collect, deliver
from bridge.preset import load
from bridge.sinks.smf import SmfSink
from dsp.events import NOTE_OFF, NOTE_ON, PEDAL
from dsp.notes import NoteSettings
from dsp.pedal import (
    AGAIN,
    BEGUN,
    COUNT,
    CROWD,
    ENDED,
    FEATURES,
    HANDS,
    LATE,
    LEFT,
    NEXT,
    REST,
    PedalWeights,
    pedal_believe,
    pedal_forget,
    pedal_look,
    pedal_notice,
    pedal_state,
    pedal_weights,
    shapes,
    unlearned,
)
from dsp.poly import Poly, poly_params
from dsp.polynet import trusting
from dsp.tones import BINS, PITCHES, WINDOWS
from dsp.units import RATE, samples
from models import pedal as trained
from models.archive import FOLDER, WeightsError
from tests.contract import forbidden_calls, verify_contract
from tests.noteweights import EMBEDDING, LAGS
from tests.test_departure import leaving, left, said
from tests.test_notenet import SPEC, hops
from tests.test_poly import SOUNDING, SURE, Listener, ends, weights

CONTROL = 0xB0
C4 = 60 - 21


def believing(*against: int) -> PedalWeights:
    """Keys that are struck speak for the pedal, what is seen `against` it against it; it is remembered."""
    arrays = {name: np.zeros(shape, np.float32) for name, shape in shapes(1).items()}
    arrays["b_ih"][1] = 10.0  # the gate that keeps what is believed
    for row, weight in ((BEGUN, 8.0), *((row, -40.0) for row in against)):
        arrays["w_ih"][1:, row] = -20.0, weight
    arrays["head.w"][:] = 6.0
    return pedal_weights(arrays)


class Notes:
    """Keys pressed and let go, frame by frame."""

    def __init__(self, level: float = -30.0) -> None:
        self.state = pedal_state(unlearned())
        self.power = np.full((WINDOWS, BINS), 10 ** (level / 10), np.float32)
        self.id, self.sounded = np.zeros(PITCHES, np.int64), np.ones(PITCHES, np.float32)
        self.ids = 0

    def frames(self, count: int = 1) -> np.ndarray:
        for _ in range(count):
            pedal_notice(self.state, self.power, self.id, self.sounded)
        return self.state.x

    def press(self, *pitches: int) -> np.ndarray:
        for pitch in pitches:
            self.ids += 1
            self.id[pitch] = self.ids
        return self.frames()

    def release(self, *pitches: int) -> np.ndarray:
        for pitch in pitches:
            self.id[pitch] = 0
        return self.frames()


def test_a_note_is_crowded_once_its_hand_has_moved_on() -> None:
    keys = Notes()
    keys.press(C4)
    keys.frames(20)
    assert keys.press(C4 + 2)[BEGUN] == 1
    x = keys.frames().copy()
    assert x[COUNT] == 2 and x[CROWD] == 1 and x[NEXT] == 0
    x = keys.frames(12).copy()
    assert x[CROWD] == 0 and x[CROWD + 1] == 1 and x[NEXT] == 1  # beside it, and still not let go
    x = keys.frames(60).copy()
    assert x[CROWD + 3] == 1
    x = keys.release(C4)
    assert x[ENDED] == x[LEFT] == x[LATE] == 1
    assert keys.frames()[COUNT] == 1


def test_a_chord_does_not_crowd_itself_nor_a_far_hand() -> None:
    keys = Notes()
    keys.press(C4)
    keys.frames(3)
    keys.press(C4 + 4, C4 + 7)
    keys.frames(30)
    keys.press(C4 - 24)
    assert keys.frames()[CROWD : CROWD + 4].sum() == 0


def test_a_key_struck_again_is_neither_an_end_nor_a_crowd() -> None:
    keys = Notes()
    keys.press(C4)
    keys.frames(30)
    x = keys.press(C4)
    assert x[AGAIN] == x[BEGUN] == 1 and x[ENDED] == 0
    assert keys.frames()[CROWD : CROWD + 4].sum() == 0


@pytest.mark.parametrize(
    "pitches, hands", [((0, 12), 0), ((0, 14, 28), 1), (tuple(range(30, 41)), 1), ((0, 20, 40, 60), 2)]
)
def test_more_keys_than_two_hands_hold(pitches: tuple[int, ...], hands: int) -> None:
    keys = Notes()
    keys.press(*pitches)
    assert keys.frames()[HANDS] == hands


def test_a_fall_is_told_from_a_decay() -> None:
    keys = Notes()
    keys.press(C4)
    keys.frames(30)
    keys.power *= 10**-0.7
    assert keys.frames()[6:10].tolist() == [0, 1, 0, 1]
    keys.power *= 10**-0.7
    assert keys.frames()[6:10].tolist() == [1, 0, 1, 0]
    assert keys.release(C4)[12] == pytest.approx(1.4, abs=1e-3)


class Foot(Listener):
    """`Listener` with a pedal that believes in strikes and ends."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"pedal": True} | settings)
        self.state = self.state._replace(pedal=pedal_state(believing(ENDED)))

    @property
    def said(self) -> list[tuple[float, int, int]]:
        return [
            (float(e["value"]), int(e["time"]), int(e["emitted"])) for e in self.events if e["kind"] == PEDAL
        ]


def test_down_and_up_are_said_once_and_as_late_as_was_promised() -> None:
    ear = Foot()
    ear.play(C4, 30)
    ear.hear(10)
    assert [value for value, *_ in ear.said] == [1.0, 0.0]
    for _, time, emitted in ear.said:
        assert emitted - time == samples(40)


def test_in_silence_it_is_up() -> None:
    arrays = {name: np.zeros(shape, np.float32) for name, shape in shapes(1).items()}
    arrays["head.b"][:] = 5.0  # believes in it whatever is heard
    ear = Foot()
    ear.state = ear.state._replace(pedal=pedal_state(pedal_weights(arrays)))
    ear.hear(200)
    assert ear.said == []
    ear.play(C4, 30)
    assert [value for value, *_ in ear.said] == [1.0]
    ear.hear(REST + 5)
    assert [value for value, *_ in ear.said] == [1.0, 0.0]


def test_it_is_not_followed_unless_asked_for() -> None:
    ear = Foot(pedal=False)
    ear.play(C4, 30)
    assert ear.said == []


def test_a_pedal_that_is_down_comes_up_where_it_is_no_longer_wanted() -> None:
    ear = Foot()
    ear.play(C4, 8)
    assert [value for value, *_ in ear.said] == [1.0]
    ear.state.params[...] = poly_params(NoteSettings(lines="many", low=21, high=108, decision_ms=40))
    ear.hear(3, (SOUNDING, C4, SURE))
    assert [value for value, *_ in ear.said] == [1.0, 0.0]


def test_contract() -> None:
    settings = NoteSettings(lines="many", low=21, high=108, decision_ms=40, early=True, pedal=True)
    judge = trusting(len(LAGS), EMBEDDING, 0.45, 0.5)
    make = lambda: Poly(weights(), judge, ends(), settings, believing(ENDED, AGAIN))  # noqa: E731
    events = verify_contract(make, hops(), SPEC, [1, 2, 7, 100, 101])
    assert {0.0, 1.0} == set(events[events["kind"] == PEDAL]["value"].tolist())


def test_it_allocates_nothing() -> None:
    state = pedal_state(unlearned())
    power, id, sounded = (
        np.ones((WINDOWS, BINS), np.float32),
        np.zeros(PITCHES, np.int64),
        np.zeros(PITCHES, np.float32),
    )
    pedal_look(state, power, id, sounded)
    pedal_forget(state)
    assert forbidden_calls(pedal_look) == [] and forbidden_calls(pedal_forget) == []


def test_the_golden_pair_is_reproduced() -> None:
    golden = np.load(FOLDER / "pedal.golden.npz")
    state = pedal_state(trained.load())
    for x, y in zip(golden["x"], golden["y"], strict=True):
        state.x[:] = x
        pedal_believe(state)
        assert state.likely[0] == pytest.approx(y, abs=1e-4)
    assert np.ptp(golden["y"]) > 0.2 and golden["x"].shape[1] == FEATURES


@pytest.mark.parametrize("spoil", ["lost", "shape", "nan"])
def test_weights_of_another_net_are_refused(spoil: str) -> None:
    arrays = {name: np.zeros(shape, np.float32) for name, shape in shapes(4).items()}
    trained.checked(arrays)
    if spoil == "lost":
        del arrays["w_hh"]
    elif spoil == "shape":
        arrays["b_ih"] = np.zeros(3, np.float32)
    else:
        arrays["head.b"][:] = np.nan
    with pytest.raises(WeightsError):
        trained.checked(arrays)


def pressed(value: float, at: int) -> np.ndarray:
    event = said(PEDAL, 0.0, at)
    event["value"] = value
    return event


PIANO = ('notes.lines="many"', "notes.pedal=true")


def test_it_leaves_as_controller_64_on_every_channel_of_notes() -> None:
    state, box = leaving(*PIANO)
    depart_step(state, pressed(1.0, 1000), box)
    depart_step(state, pressed(0.0, 2000), box)
    collect(box, 0, 0, 0, RATE)
    queue = box.queue[: box.words[LENGTH]]
    assert [(int(m["status"]), int(m["data1"]), int(m["data2"])) for m in queue] == [
        (CONTROL, SUSTAIN, 127),
        (CONTROL, SUSTAIN, 0),
    ]
    assert queue["due"][1] - queue["due"][0] == 1000
    for settings, channels in ((("midi.split=C3", "midi.low_channel=5"), [5, 1]), (("midi.mpe=true",), [1])):
        state, box = leaving(*PIANO, *settings)
        depart_step(state, pressed(1.0, 1000), box)
        assert [channel for _, channel, _ in left(box)] == channels


def test_no_panic_leaves_a_pedal_down() -> None:
    state, box = leaving(*PIANO)
    out = np.zeros(64, MESSAGE)
    depart_step(state, np.concatenate([said(NOTE_ON, 60, 100), pressed(1.0, 200)]), box)
    collect(box, 0, 0, 0, RATE)
    deliver(box, 0, 1 << 40, out)
    assert box.words[HELD] == 1
    box.words[PANIC] += 1
    n = deliver(box, 0, 64, out)
    ends = [(int(m["status"]), int(m["data1"]), int(m["data2"])) for m in out[:n]]
    assert (CONTROL, SUSTAIN, 0) in ends and (0x80, 60, 0) in ends
    assert box.words[HELD] == 0 and box.words[PANIC_DONE] == box.words[PANIC]


def test_its_constant_is_declared_where_it_is_followed() -> None:
    assert "pedal" in declared(load("piano", ("notes.pedal=true",)))
    assert "pedal" not in declared(load("guitar", ("notes.pedal=true",)))


@pytest.mark.parametrize("mpe", [False, True])
def test_a_file_has_the_pedal_and_ends_with_it_up(tmp_path: Path, mpe: bool) -> None:
    sink = SmfSink(tmp_path / "a.mid", load("piano", (f"midi.mpe={str(mpe).lower()}",)))
    sink.open({})
    off = said(NOTE_OFF, 60, 96_000, ref=24_000)
    sink.write(
        np.concatenate(
            [said(NOTE_ON, 60, 24_000), pressed(1.0, 30_000), pressed(0.0, 60_000), pressed(1.0, 70_000), off]
        )
    )
    sink.close({})
    now, found = 0.0, []
    for message in mido.MidiFile(tmp_path / "a.mid"):
        now += message.time
        if message.is_cc(SUSTAIN):
            found.append((round(now * RATE), message.value, message.channel))
    assert [(at, value) for at, value, _ in found] == [(30_000, 127), (60_000, 0), (70_000, 127), (96_000, 0)]
    assert {channel for *_, channel in found} == {0}
