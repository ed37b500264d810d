# SPDX-License-Identifier: GPL-3.0-or-later
"""Notes of all that sounds together, decided on what a net is made to say."""

from typing import Any

import numpy as np
import pytest

from dsp import endnet
from dsp.events import EVENT, NOTE_OFF, NOTE_ON
from dsp.hindsight import LET_GO
from dsp.notenet import note_weights
from dsp.notes import NoteSettings
from dsp.poly import ROOM, Poly, poly_frame, poly_params, poly_state, poly_step
from dsp.polynet import trusting
from dsp.stage import Spec
from dsp.tones import BINS, FRAME, LOWEST, PITCHES, WINDOWS
from dsp.touch import OVERTONES
from dsp.units import HOP, samples
from tests.contract import forbidden_calls, verify_contract
from tests.noteweights import EMBEDDING, LAGS, random_arrays
from tests.test_notenet import SPEC, hops

SOUNDING = len(LAGS)
SURE, NEVER = 6.0, -8.0  # logits
A4 = 69 - LOWEST


def weights() -> Any:
    return note_weights(random_arrays())


def ends() -> endnet.EndWeights:
    return endnet.trusting(len(LAGS), EMBEDDING, 0.3)


class Listener:
    """Lets `poly_frame` hear what a script says, frame by frame."""

    def __init__(self, level: float = -20.0, **settings: Any) -> None:
        given: dict[str, Any] = {"lines": "many", "low": 21, "high": 108, "decision_ms": 40} | settings
        self.settings = NoteSettings(**given)
        self.state = poly_state(
            self.settings, weights(), trusting(len(LAGS), EMBEDDING), ends(), np.zeros(1, np.int64)
        )
        self.power = np.full((WINDOWS, BINS), 10 ** (level / 10), np.float32)
        self.frame = 0
        self.events = np.zeros(0, EVENT)

    def hear(self, frames: int, *said: tuple[int, int, float]) -> np.ndarray:
        """Events of some frames at which the net says (row, pitch, logit) and nothing else."""
        first, out = len(self.events), np.zeros(4 * ROOM, EVENT)
        for _ in range(frames):
            self.frame += 1
            self.state.said[:] = NEVER
            for row, pitch, logit in said:
                self.state.said[row, pitch] = logit
            n = poly_frame(self.state, self.power, self.frame * FRAME, out, 1)
            self.events = np.append(self.events, out[1:n])
        return self.events[first:]

    def play(self, pitch: int, frames: int = 20) -> None:
        """A note as the net would tell it: each head in its time, that it sounds, a little too long, then nothing."""
        sounding = frames + LET_GO
        for frame in range(max(sounding + 1, LAGS[-1] + 2)):
            said = [(row, pitch, SURE) for row, lag in enumerate(LAGS) if frame in (lag, lag + 1)]
            sounds = (SOUNDING, pitch, SURE if 1 <= frame <= sounding else NEVER)
            self.hear(1, *said, sounds)


def kinds(events: np.ndarray) -> list[tuple[int, int]]:
    return [(int(e["kind"]), round(float(e["number"]))) for e in events]


@pytest.mark.parametrize(("decision", "lag"), [(10, 2), (24, 2), (32, 3), (40, 4), (60, 7), (120, 7)])
def test_the_decision_chooses_the_head(decision: float, lag: int) -> None:
    ear = Listener(decision_ms=decision)
    ear.hear(30)
    ear.play(A4)
    (on,) = ear.events[ear.events["kind"] == NOTE_ON]
    assert on["emitted"] == (30 + lag + 1) * FRAME  # the onset lay in the 31st frame
    late = samples(decision) - lag * FRAME - FRAME // 2
    assert on["time"] == 30 * FRAME + FRAME // 2 + max(0, -late)
    assert (on["number"], on["channel"]) == (69, 1)


@pytest.mark.parametrize("level", [-80, -40, -20, 10])
@pytest.mark.parametrize("told", [-2.0, 0.0, 1.0])
def test_velocity_is_what_the_head_that_decides_weighs(level: float, told: float) -> None:
    ear = Listener(level, sensitivity=0.9)
    row, own = LAGS.index(4), len(OVERTONES)  # of the middle window, the level at the pitch itself
    felt = ear.state.net.weights
    felt.touch[:], felt.touch_bias[:] = 0, 1
    felt.touch[row, own], felt.touch[row, -1], felt.touch_bias[row] = 0.1, 0.05, 0.6
    ear.hear(20)
    ear.hear(1, (row, A4, SURE), (SOUNDING + 1, A4, told))
    (on,) = ear.events
    np.testing.assert_allclose(on["value"], np.clip(0.6 + 0.01 * level + 0.05 * told, 0.01, 1), atol=1e-4)


@pytest.mark.parametrize("shift", [-2, -1, 0, 1])
def test_the_earliest_head_says_when_a_note_began(shift: int) -> None:
    """A later head that speaks out of turn decides sooner or later, and moves nothing."""
    ear = Listener(decision_ms=60)
    ear.hear(20)
    for frame in range(12):
        said = [(0, A4, SURE)] if frame in (LAGS[0], LAGS[0] + 1) else []
        said += [(3, A4, SURE)] if frame in (LAGS[3] + shift, LAGS[3] + shift + 1) else []
        ear.hear(1, *said, (SOUNDING, A4, SURE))
    (on,) = ear.events
    assert on["emitted"] == (20 + LAGS[3] + shift + 1) * FRAME
    assert on["time"] == max(20 * FRAME + FRAME // 2, on["emitted"] - samples(60))


def test_a_note_lasts_as_long_as_it_sounds() -> None:
    ear = Listener()
    ear.hear(10)
    ear.play(A4, frames=30)
    ear.hear(20)
    assert kinds(ear.events) == [(NOTE_ON, 69), (NOTE_OFF, 69)]
    on, off = ear.events
    assert off["ref"] == on["id"]
    assert abs((off["time"] - on["time"]) - 30 * FRAME) <= FRAME
    assert 0 <= off["emitted"] - off["time"] <= samples(40)


def test_a_note_that_is_over_before_it_is_decided_is_short() -> None:
    ear = Listener(decision_ms=60)
    ear.hear(10)
    ear.play(A4, frames=4)
    ear.hear(20)
    on, off = ear.events
    watched = samples(60) // FRAME - LET_GO
    assert off["time"] - on["time"] == 4 * FRAME
    assert off["emitted"] == (10 + 1 + 4 + LET_GO + watched) * FRAME
    assert off["emitted"] - off["time"] <= samples(60)


@pytest.mark.parametrize(
    ("decision", "dip", "ends"), [(40, 1, False), (40, 2, True), (60, 3, False), (60, 4, True)]
)
def test_a_dip_ends_no_note_while_the_decision_leaves_time(decision: float, dip: int, ends: bool) -> None:
    ear = Listener(decision_ms=decision)
    ear.hear(10)
    ear.play(A4, frames=30)
    ear.hear(dip)
    ear.hear(10, (SOUNDING, A4, SURE))
    assert (NOTE_OFF, 69) in kinds(ear.events) if ends else kinds(ear.events) == [(NOTE_ON, 69)]


def test_a_key_struck_again_ends_and_begins_at_once() -> None:
    ear = Listener()
    ear.hear(10)
    for _ in range(2):
        for frame in range(15):
            struck = [(row, A4, SURE) for row, lag in enumerate(LAGS) if frame in (lag, lag + 1)]
            ear.hear(1, *struck, (SOUNDING, A4, SURE))
    assert kinds(ear.events) == [(NOTE_ON, 69), (NOTE_OFF, 69), (NOTE_ON, 69)]
    first, off, second = ear.events
    assert off["ref"] == first["id"] and off["time"] == second["time"]
    assert second["time"] - first["time"] == 15 * FRAME


def test_a_head_in_doubt_does_not_chatter() -> None:
    ear = Listener()
    row = LAGS.index(4)
    for k in range(40):
        ear.hear(1, (row, A4, 0.3 * (-1) ** k), (SOUNDING, A4, SURE))
    assert kinds(ear.events) == [(NOTE_ON, 69)]


def test_early_heads_that_are_sure_need_not_wait() -> None:
    for early, lag in ((False, 7), (True, 2)):
        ear = Listener(decision_ms=60, early=early)
        ear.hear(20)
        ear.play(A4)
        (on,) = ear.events[ear.events["kind"] == NOTE_ON]  # and no later head says it again
        assert on["emitted"] == (20 + lag + 1) * FRAME
    ear = Listener(decision_ms=60, early=True)
    ear.hear(20, (0, A4, 1.0))  # likely, yet not sure
    assert len(ear.events) == 0


@pytest.mark.parametrize("early", [False, True])
def test_nobody_asks_of_a_note_whether_it_sounded_before_it_began(early: bool) -> None:
    ear = Listener(decision_ms=60, early=early)
    ear.hear(20)
    ear.state.ends.weights.out_bias[:] = -100  # nothing ever sounded
    ear.play(A4)
    on, off = ear.events
    assert off["time"] > on["time"] and off["emitted"] - on["time"] > LAGS[-1] * FRAME


def test_only_the_range_is_listened_to() -> None:
    ear = Listener(low=60, high=72)
    ear.hear(10)
    row = LAGS.index(4)
    ear.hear(3, *((row, pitch, SURE) for pitch in (59 - LOWEST, 60 - LOWEST, 72 - LOWEST, 73 - LOWEST)))
    assert {round(float(e["number"])) for e in ear.events} == {60, 72}
    params = poly_params(NoteSettings(low=21, high=108))[0]
    assert (params["lowest"], params["highest"]) == (0, PITCHES - 1)


def test_what_lies_beside_the_scale_is_drawn_to_it() -> None:
    ear, row, c4 = Listener(scale="C major"), LAGS.index(4), 60 - LOWEST
    ear.hear(10)
    ear.play(c4 + 1)  # C#
    ear.hear(20)
    assert kinds(ear.events) == [(NOTE_ON, 60), (NOTE_OFF, 60)]
    both = ear.hear(1, (row, c4, SURE), (row, c4 + 1, SURE))
    assert kinds(both) == [(NOTE_ON, 60)]  # struck together they are one
    ear.hear(10, (SOUNDING, c4, SURE))
    again = ear.hear(1, (row, c4 + 1, SURE), (SOUNDING, c4, SURE))
    assert kinds(again) == [(NOTE_OFF, 60), (NOTE_ON, 60)]  # and one that sounds is struck anew
    assert again[0]["ref"] == both[0]["id"]
    assert again[0]["time"] == again[1]["time"]


def test_a_note_ends_as_it_began_though_the_scale_has_changed() -> None:
    ear, row = Listener(scale="C major"), LAGS.index(4)
    ear.hear(10)
    (on,) = ear.hear(1, (row, 61 - LOWEST, SURE), (SOUNDING, 61 - LOWEST, SURE))
    ear.state.params[...] = poly_params(NoteSettings(lines="many", decision_ms=40))
    (off,) = ear.hear(20)
    assert (off["ref"], off["number"]) == (on["id"], 60)


def test_nothing_begins_in_silence() -> None:
    ear = Listener(level=-100)
    ear.hear(10)
    ear.play(A4)
    assert len(ear.events) == 0


def test_sensitivity_moves_the_threshold() -> None:
    row = LAGS.index(4)
    for sensitivity, notes in ((0.1, 0), (0.5, 1), (0.9, 1)):
        ear = Listener(sensitivity=sensitivity)
        ear.hear(5, (row, A4, 0.4))
        assert (ear.events["kind"] == NOTE_ON).sum() == notes


def test_all_keys_at_once_find_room() -> None:
    ear, row = Listener(), LAGS.index(4)
    most = 0
    for _ in range(8):
        got = ear.hear(1, *((row, pitch, SURE) for pitch in range(PITCHES)), *_sounding())
        most = max(most, len(got))
    assert (ear.events["kind"] == NOTE_ON).sum() == PITCHES and 0 < most <= ROOM
    ear.hear(20)
    assert (ear.events["kind"] == NOTE_OFF).sum() == PITCHES


def _sounding() -> list[tuple[int, int, float]]:
    return [(SOUNDING, pitch, SURE) for pitch in range(PITCHES)]


def test_notes_end_when_the_preset_no_longer_wants_them() -> None:
    state = poly_state(
        NoteSettings(lines="many"), weights(), trusting(len(LAGS), EMBEDDING), ends(), np.zeros(1, np.int64)
    )
    out = np.zeros(ROOM * 200, EVENT)
    state.id[40], state.id[50] = 7, 8
    state.params[...] = poly_params(NoteSettings(lines="one"))
    n = poly_step(state, np.zeros((4, HOP), np.float32), out)
    assert kinds(out[:n]) == [(NOTE_OFF, 40 + LOWEST), (NOTE_OFF, 50 + LOWEST)]
    assert out["ref"][:n].tolist() == [7, 8] and (out["emitted"][:n] == HOP).all()
    state.params[...] = poly_params(NoteSettings(lines="many"))
    x = hops(1.0)
    fresh = poly_state(
        NoteSettings(lines="many"), weights(), trusting(len(LAGS), EMBEDDING), ends(), np.zeros(1, np.int64)
    )
    expected = np.zeros(ROOM * len(x), EVENT)
    m = poly_step(fresh, np.concatenate([np.zeros((2, HOP), np.float32), x]), expected)
    state.ids[0] = 0
    n = poly_step(state, np.concatenate([np.zeros((2, HOP), np.float32), x]), out)
    assert n == m > 4
    np.testing.assert_array_equal(out[:n]["number"], expected[:m]["number"])  # what was before is forgotten


def test_contract() -> None:
    settings = NoteSettings(lines="many", low=21, high=108, decision_ms=40, early=True)
    events = verify_contract(
        lambda: Poly(weights(), trusting(len(LAGS), EMBEDDING, 0.45, 0.5), ends(), settings),
        hops(),
        SPEC,
        [1, 2, 7, 100, 101],
    )
    assert (events["emitted"] - events["time"] <= samples(40)).all()
    on, off = (events[events["kind"] == kind] for kind in (NOTE_ON, NOTE_OFF))
    assert len(on) > 5 and len(off) > 5
    assert set(off["ref"]) <= set(on["id"])
    ended: dict[float, int] = {}
    for event in events:
        if event["kind"] == NOTE_OFF:
            ended[float(event["number"])] = event["time"]
        elif event["kind"] == NOTE_ON:
            assert event["time"] >= ended.get(float(event["number"]), 0), (
                "no note begins before its last ended"
            )


def test_it_allocates_nothing() -> None:
    Poly(weights(), trusting(len(LAGS), EMBEDDING), ends(), NoteSettings(lines="many")).prepare(
        Spec(hop=HOP, shape=(HOP,))
    )
    assert forbidden_calls(poly_step) == []
