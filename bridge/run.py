# SPDX-License-Identifier: GPL-3.0-or-later
"""One session: a source, the engine, a MIDI port and sinks, from start to end."""

import contextlib
import queue
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from bridge.conductor import REQUESTS, Conductor
from bridge.engine import Engine
from bridge.errors import KitError, PresetError
from bridge.kit.teacher import Teacher
from bridge.loop import NS_PATH, SLACK
from bridge.messages import family_of, labels_of
from bridge.midi.departure import declared
from bridge.midi.outbox import FRAMES, NANOSECONDS, UPSTREAM
from bridge.native import clock_ns, wait_semaphore
from bridge.preset import Preset, load
from bridge.sinks import Sink
from bridge.slow import SlowLane, SlowThread, stages
from bridge.sources.base import PERIOD, Source
from dsp.events import BEAT, DRUM, LEVEL, NOTE_ON, ONSET, REFINE
from dsp.units import RATE, ms

PLUGIN_SLACK = 0.003  # what the Python thread of a plugin chain may take [s]
TICK = 0.1  # longest that events which are not urgent wait to be passed on [s]
TEND = 0.25  # how often sources and ports are looked after [s]


@dataclass
class Meters:
    """What a player wants to see while it runs."""

    level_db: float = -120.0
    hits: int = 0
    notes: int = 0
    beat: np.ndarray | None = None  # the newest, () EVENT
    recent: deque = field(default_factory=lambda: deque(maxlen=12))  # (kind, label or note, velocity)
    load: float = 0.0
    reaction: tuple[float, float] = (0.0, 0.0)  # median and 99 % [ms]
    xruns: int = 0
    overruns: int = 0
    late: int = 0
    mended: int = 0
    realtime: bool = False


@dataclass
class Summary:
    seconds: float
    hits: int
    notes: int
    xruns: int
    overruns: int
    late: int
    ended: bool  # whether the source ended by itself


class Session:
    """A running earwire.

    Parameters
    ----------
    preset
        What to listen for and how to answer.
    source
        Where sound comes from, opened but not started.
    port
        A `MidiPort`, or `NoMidi`.
    say
        Tells the user one line, once.
    jack_midi
        Whether `port` is JACK's, so that a JACK source counts in its frames.
    ahead
        What a recorded take already waited for [samples at 48 kHz].
    raw
        Whether the preset's gain and plugins are still to be applied.
    reload
        Reads the preset again when its file has changed.
    """

    def __init__(
        self,
        preset: Preset,
        source: Source,
        port: Any,
        say: Callable[[str], None],
        jack_midi: bool = False,
        ahead: int = 0,
        raw: bool = True,
        reload: Callable[[], Preset] | None = None,
    ) -> None:
        self.preset, self.source, self.port, self.say = preset, source, port, say
        self.sinks: list[Sink] = []
        self.record: Any = None  # a sink among them that takes the sound too
        self.meters = Meters()
        self.commands: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
        self._reload = reload
        self._in_use = self._seen = 0  # when the preset's file was written, as of its last readings
        self._stop = threading.Event()
        self._connections = 0
        self._last_stroke: list[np.ndarray] = []  # its hits, () EVENT each
        self._extra_id = 1 << 40  # ids of what a person says, apart from what the engine hears
        self._extra: list[np.ndarray] = []
        feed, chain = source.feed, None
        if raw and preset.plugins:
            from bridge.plugin_lane import PluginLane

            chain = PluginLane(feed, preset.plugins, source.rate)
            feed = chain.feed
        self._chain = chain
        self._slow: SlowThread | None = None
        both_jack = source.clock == FRAMES and jack_midi
        self.engine = Engine(
            preset,
            source.rate,
            feed.control,
            feed.audio,
            feed.wake,
            port.box,
            port.leave,
            clock=FRAMES if both_jack else NANOSECONDS,
            path_ns=source.path_ns or self._jack_path_ns(),
            lag=chain.delay if chain else 0,
            slack=round(PLUGIN_SLACK * source.rate) if chain else 0,
            ahead=ahead,
            raw=raw,
        )
        self.teacher = Teacher(self.engine.pads, preset)
        self.conductor = Conductor(self.engine.listening.hearing.ear.beat, lambda: self.preset.beat.enabled)

    def _jack_path_ns(self) -> int:
        """Time a block takes to be heard where JACK feeds a port of another system."""
        period = int(self.source.feed.control[PERIOD])
        return 2 * period * 1_000_000_000 // self.source.rate + 2_000_000

    @property
    def path_ms(self) -> float:
        clock = self.engine.listening.departure.clock
        if clock["kind"][0] == FRAMES:
            period = int(self.source.feed.control[PERIOD] + self.engine.words[SLACK])
            return ms(period, self.source.rate)
        return float(self.engine.words[NS_PATH]) / 1e6

    def header(self) -> dict[str, Any]:
        """The start line: what a script needs to know."""
        ports = {"source": getattr(self.source, "ports", [self.source.name])}
        if self.port.name:
            ports["midi"] = self.port.name
        return {
            "rate": RATE,
            "preset": self.preset.name,
            "mode": self.preset.mode,
            "constant": declared(self.preset, self.path_ms, self.engine.beyond),
            "ports": ports,
        }

    def compile(self) -> None:
        self.engine.compile()

    def stop(self, *_: Any) -> None:
        self._stop.set()

    def run(self) -> Summary:
        """Listen until the source ends or `stop` is called; end every note and close every sink."""
        self.port.wait()  # may compile: a signal ends that at once, there is nothing to end calmly yet
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            if threading.current_thread() is threading.main_thread() and hasattr(signal, name):
                signal.signal(getattr(signal, name), self.stop)
        with contextlib.ExitStack() as closing:
            closing.callback(self._close_sinks)
            closing.callback(self.port.close)
            priority = getattr(self.source, "priority", 0) or 60
            self.engine.publish()
            if slow := stages(self.preset):
                self._slow = SlowThread(SlowLane(slow, self.engine.ahead))
                closing.callback(self._slow.close)
            patient = getattr(self.source, "patient", False)
            self.engine.start(priority, self.record is not None or self._slow is not None, patient)
            closing.callback(self.engine.stop)
            if hasattr(self.source, "tail"):
                self.source.tail = self.engine.tail
            self.source.start()
            if self._chain:
                self._chain.start()
                closing.callback(self._chain.close)
            closing.callback(self.source.close)
            self.meters.realtime = self.engine.realtime
            header = self.header()
            for sink in self.sinks:
                sink.open(header)
            self._listen()
            # The source first, then what it has left behind, then the port.
            self.source.close()
            if self._chain:
                self._chain.close()
            self.engine.stop()
            self._pass_on()
            if self._slow:
                self._slow.close()
                self._write(self._slow.events(self.engine.samples))
            self._write(self.engine.ending())
            if self.source.ended:
                self._await_departure()
        m = self.meters
        return Summary(
            self.engine.samples / RATE, m.hits, m.notes, **self._counted(), ended=self.source.ended
        )

    def _counted(self) -> dict[str, int]:
        return {
            "xruns": self.source.xruns,
            "overruns": self.engine.overruns,
            "late": self.port.late + (self._slow.late if self._slow else 0),
        }

    def _close_sinks(self) -> None:
        end = self._counted()
        for sink in self.sinks:
            sink.close(end)

    def _await_departure(self) -> None:
        """Let what is already on its way leave before the port closes."""
        from bridge.midi.outbox import LENGTH

        deadline = time.monotonic() + 3.0
        words = self.port.box.words
        while self.port.name and words[LENGTH] and time.monotonic() < deadline and not self._stop.is_set():
            time.sleep(0.01)

    def _listen(self) -> None:
        """Pass events on as they come; look after source, port and preset four times a second."""
        tended = time.monotonic()
        while not self._stop.is_set():
            wait_semaphore(self.engine.listening.tell, TICK)
            self._pass_on()
            while not self.commands.empty():
                self._obey(*self.commands.get())
            if time.monotonic() - tended >= TEND:
                tended = time.monotonic()
                self._tend()
                if any(getattr(s, "gone", False) and getattr(s, "path", "") == "-" for s in self.sinks):
                    return  # whoever read the event lines has left
                if self.source.ended and self.engine.idle():
                    self._tend()
                    self._pass_on()
                    return

    def _tend(self) -> None:
        for part in (self.source, self.port):
            if told := part.look():
                self.say(told)
        if upstream := getattr(self.source, "upstream", None):
            self.port.box.words[UPSTREAM : UPSTREAM + 2] = upstream
        connections = self.port.connections
        if connections > self._connections:
            self.engine.announce()
        self._connections = connections
        self.engine.publish()
        m = self.meters
        m.load, m.xruns, m.overruns = self.engine.load(), self.source.xruns, self.engine.overruns
        m.reaction = self.engine.reaction()
        m.late, m.mended, m.realtime = self.port.late, self.engine.mended, self.engine.realtime
        self._reload_if_changed()

    def _pass_on(self) -> None:
        while True:
            sound = self.engine.heard()
            if len(events := self.engine.events()):  # after the sound, so that none of it is unspoken of
                self._write(events)
                if self._slow:
                    self._slow.put(events)
            if not len(sound):
                break
            if self.record is not None:
                self.record.sound(sound)
            if self._slow:
                self._slow.put(sound)
        if self._slow:
            said = self._slow.events(self.engine.samples)
            self.engine.play(said)
            self._write(said)

    def _write(self, events: np.ndarray) -> None:
        if not len(events):
            return
        m = self.meters
        for event in events:
            kind = event["kind"]
            if kind == LEVEL:
                m.level_db = float(event["number"])
            elif kind == DRUM:
                m.hits += 1
                if self._last_stroke and self._last_stroke[-1]["ref"] != event["ref"]:
                    self._last_stroke = []
                self._last_stroke.append(event.copy())
                m.recent.append(event.copy())
            elif kind == BEAT:
                m.beat = event.copy()
            elif kind == NOTE_ON:
                m.notes += event["ref"] == 0  # and not one that corrects another
                m.recent.append(event.copy())
            elif kind == ONSET and not self.preset.drums.enabled:
                m.recent.append(event.copy())
        for sink in self.sinks:
            sink.write(events)

    def _reload_if_changed(self) -> None:
        """Read the preset again once its file has changed and rested: editors write in pieces."""
        file = self.preset.file
        if file is None or self._reload is None:
            return
        try:
            stamp = Path(file).stat().st_mtime_ns
        except OSError:
            return
        if self._in_use == 0:
            self._in_use = stamp
        if stamp != self._in_use and stamp == self._seen:
            self._in_use = stamp
            self._load(self._reload, f"{file} has changed and is in use")
        self._seen = stamp

    def _load(self, get: Callable[[], Preset], told: str) -> None:
        try:
            preset = get()
            if told_of_kit := self.teacher.use(preset):
                self.say(told_of_kit)
        except (KitError, PresetError) as error:
            self.say(f"{error} - the earlier preset stays in use")
            return
        for what in ("plugins", "source.channels", "osc", "key", "chord"):
            part = attrgetter(what)
            if part(preset) != part(self.preset):
                self.say(f"{what} has changed too, which is used from the next start on")
        self.preset = preset
        self.engine.adopt(preset)
        for sink in self.sinks:
            if rename := getattr(sink, "rename", None):
                rename(preset.drum_notes)
        self.say(told)

    def _obey(self, command: str, argument: str) -> None:
        """What a person asks for by key, OSC or MIDI while it runs."""
        if command == "panic":
            self.port.panic()
            self.say("panic: every note is ended")
        elif command == "preset":
            self._load(lambda: load(argument), f"preset {argument} is in use")
        elif command == "correct":
            self._correct(argument)
        elif command in REQUESTS:
            self.say(self.conductor.request(command, argument, self._when(command, argument)))
        elif command == "undo":
            event, told = self.teacher.undo()
            if event is not None:
                self._refine(event, int(event["label"]))
            self.say(told)
        else:
            self.say(f"{command!r} is not understood")

    def _when(self, command: str, argument: str) -> int:
        """The newest sample that was heard when something was asked for."""
        ago = clock_ns() - int(argument) if command == "tap" and argument.isdecimal() else 0
        return self.engine.samples - ago * RATE // 1_000_000_000

    def _correct(self, name: str) -> None:
        """The last hit was really `name`; of several at once, the one of its family."""
        if not self._last_stroke:
            self.say("no hit to correct yet")
            return
        labels = labels_of(self.preset.drum_notes)
        families = [labels[int(hit["label"])].family for hit in self._last_stroke]
        family = family_of(name)
        hit = self._last_stroke[families.index(family) if family in families else -1]
        put = self.teacher.correct(hit, name)
        if put.label >= 0:
            self._refine(hit, put.label)
        self.say(put.told)

    def _refine(self, hit: np.ndarray, label: int) -> None:
        event = np.array([hit])
        self._extra_id += 1
        event["ref"], event["id"], event["kind"] = event["id"], self._extra_id, REFINE
        event["label"], event["confidence"] = label, 1.0
        event["emitted"] = self.engine.samples
        self._write(event)
