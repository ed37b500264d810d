# SPDX-License-Identifier: GPL-3.0-or-later
"""Notes beside basic-pitch: the same files, the same scorer, one run.

    python bench/peers.py DIR [-p piano] [--set KEY=VALUE ...]

DIR is what `earwire evaluate notes` takes. It needs basic-pitch, whose package asks for TensorFlow and does
without: `pip install --no-deps basic-pitch pretty_midi resampy six importlib_resources`. basic-pitch sees
each file as a whole and so has no delay; earwire decides as it hears, and its delay is printed.
"""

import argparse
import contextlib
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bridge.errors import EarwireError
from bridge.evaluate import Pair, Score, known_notes, pairs, pooled, readable, score_notes
from bridge.preset import Preset, load
from bridge.transcribe import transcribe_file
from dsp.events import EVENT, NOTE_OFF, NOTE_ON
from dsp.units import RATE

Heard = tuple[np.ndarray, float]  # (n,) EVENT, length of the sound [s]


def ours(preset: Preset) -> Callable[[Path], Heard]:
    def hear(path: Path) -> Heard:
        heard = transcribe_file(path, preset)
        return heard.events, heard.seconds

    return hear


def theirs() -> Callable[[Path], Heard]:
    """basic-pitch as it comes, through onnxruntime."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import basic_pitch
        import librosa
        from basic_pitch.inference import Model, predict

    folder = Path(basic_pitch.__file__).parent / "saved_models" / "icassp_2022"
    model = Model(folder / "nmp.onnx")

    def hear(path: Path) -> Heard:
        with warnings.catch_warnings(), contextlib.redirect_stdout(None):
            warnings.simplefilter("ignore")
            notes = predict(path, model)[2]
        seconds = librosa.get_duration(path=path)
        events = np.zeros(2 * len(notes), EVENT)
        for k, (start, end, pitch, amplitude, _) in enumerate(sorted(notes)):
            on, off = events[2 * k : 2 * k + 2]
            on["id"], on["kind"], on["time"] = 2 * k + 1, NOTE_ON, round(start * RATE)
            off["id"], off["ref"], off["kind"], off["time"] = (
                2 * k + 2,
                2 * k + 1,
                NOTE_OFF,
                round(end * RATE),
            )
            events["number"][2 * k : 2 * k + 2], on["value"] = pitch, amplitude
        events["emitted"] = round(seconds * RATE)
        return events, seconds

    return hear


def scored(found: list[Pair], hear: Callable[[Path], Heard]) -> tuple[dict[str, Any], float]:
    """Each folder and all of them, and the processor time for a second of sound."""
    folders: dict[str, list[Score]] = {}
    hear(found[0].audio)  # compiles, loads
    began, seconds = time.process_time(), 0.0
    for pair in found:
        events, length = hear(pair.audio)
        seconds += length
        folders.setdefault(pair.name.rpartition("/")[0] or ".", []).append(score_notes(pair.truth, events))
    took = (time.process_time() - began) / seconds
    every = [score for scores in folders.values() for score in scores]
    return {name: pooled(scores) for name, scores in folders.items()} | {"all": pooled(every)}, took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("-p", "--preset", default="piano")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()
    try:
        found, _ = readable(pairs(args.folder, "notes"), known_notes)
        listeners = {"earwire": ours(load(args.preset, args.set)), "basic-pitch": theirs()}
    except EarwireError as error:
        raise SystemExit(str(error)) from None
    except ImportError as error:
        raise SystemExit(f"{error}; see --help") from None
    results = {name: scored(found, hear) for name, hear in listeners.items()}
    print(f"{'':<14}{'':<14}{'F':>7}{'offset':>8}{'velocity':>10}{'quiet':>7}{'again':>7}{'delay ms':>10}")
    for folder in results["earwire"][0]:
        for name, (result, _) in results.items():
            one = result[folder]
            scores, measures, delay = one["scores"], one["measures"], one["delay_ms"]
            figures = [scores["notes"]["f"], scores["notes with offset"]["f"]]
            figures += [
                scores.get("notes with offset and velocity", {}).get("f", np.nan),
                measures.get("recall of quiet notes", np.nan),
                measures.get("recall of notes struck again", np.nan),
            ]
            waited = f"{delay['median']:10.1f}" if name == "earwire" and delay else f"{'whole file':>10}"
            widths = (7, 8, 10, 7, 7)
            text = "".join(f"{f:{w}.3f}" for f, w in zip(figures, widths, strict=True))
            print(f"{folder:<14}{name:<14}{text}{waited}")
    for name, (_, took) in results.items():
        print(f"{name}: {100 * took:.1f} % of a core")


if __name__ == "__main__":
    main()
