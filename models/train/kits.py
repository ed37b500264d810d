# SPDX-License-Identifier: GPL-3.0-or-later
"""Drum kits to train and to test with: single strokes, by what was struck.

Three kinds of source: folders of samples, kits of the Hydrogen drum machine, and the drums of
soundfonts. What may be trained on has a licence that goes with this
project's; kits with another one only ever test it.
"""

import html
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import mido
import numpy as np
import soundfile as sf
import soxr

from dsp.events import LABELS
from dsp.units import RATE

HYDROGEN = Path("/usr/share/hydrogen/data/drumkits")  # Debian's hydrogen-data and hydrogen-drumkits
LMMS = Path("/usr/share/lmms/samples/drums")  # lmms-common, GPL-2+ (T. Doerffel and others)
TRAIN = {
    "Audiophob": "CC0",
    "ColomboAcousticDrumkit": "GPL-2+ (M. Guglielmetti)",
    "ElectricEmpireKit": "GPL-2+ (A. Pavlov)",
    "GMRockKit": "GPL-2+ (G. MacArthur, S. Moors)",
    "HardElectro1": "GPL-2+ (A. Pavlov)",
    "TR808EmulationKit": "GPL-2+ (ArtemioLabs)",
    "The Black Pearl 1.0": "GPL of any version (G. MacArthur)",
    "VariBreaks": "GPL-2+ (A. Pavlov)",
    "rumpf_kit_z01_h2": "CC BY 3.0 (E. Rumpf)",
}
# Never trained on: kits whose licence is GPL-2 or CC BY-SA alone, and one for its percussion.
HELD_OUT = (
    "BJA_Pacific", "ForzeeStereo", "Gimme A Hand 1.0", "Millo-Drums_v.1", "Millo_MultiLayered2",
    "Millo_MultiLayered3",
)  # fmt: skip
SOUNDFONTS = {
    "fluid": Path("/usr/share/sounds/sf2/FluidR3_GM.sf2"),
    "musescore": Path("/usr/share/sounds/sf3/MuseScore_General.sf3"),
    "csound": Path("/usr/share/sounds/sf2/sf_GMbank.sf2"),
}  # MIT, MIT, public domain
PROGRAMS = (0, 8, 16, 24, 25, 32, 40, 48)  # standard, room, power, electronic, 808, jazz, brush, orchestra
# Acoustic kits by G. MacArthur in avldrums.lv2-soundfont. CC BY-SA 3.0 lets what is made of them go by its
# version 4.0, and that lets it go by the GPL 3, which is this project's.
AVL = {
    "Red Zeppelin": Path("/usr/share/sounds/sf2/Red_Zeppelin_4_LV2.sf2"),
    "Black Pearl": Path("/usr/share/sounds/sf2/Black_Pearl_4_LV2.sf2"),
}
ACOUSTIC = ("muldjord", "discord_gm_kit", "ColomboAcousticDrumkit", "The Black Pearl 1.0", "GMRockKit",
            "Red Zeppelin", "sonic_pi")  # fmt: skip
ELECTRONIC = ("TR-808", "LM-2", "MRK-2", "Casio-RZ1", "MFB-512", "ElectricEmpireKit", "HardElectro1",
              "TR808EmulationKit", "VariBreaks", "lmms", "fluid24", "fluid25", "musescore24", "musescore25",
              "csound24", "csound25")  # fmt: skip

# What a piece may be: a label, or "other": percussion that has no label of its own.
GM = {
    35: "kick", 36: "kick", 37: "snare-side", 38: "snare", 39: "clap", 40: "snare", 41: "tom-low", 42: "hat-closed",
    43: "tom-low", 44: "hat-pedal", 45: "tom-low", 46: "hat-open", 47: "tom-mid", 48: "tom-mid", 49: "crash",
    50: "tom-high", 51: "ride", 52: "china", 53: "ride-bell", 54: "tambourine", 55: "splash", 56: "cowbell",
    57: "crash", 59: "ride", 60: "bongo", 61: "bongo", 62: "conga", 63: "conga", 64: "conga", 69: "shaker",
    70: "shaker", 75: "other", 76: "other", 77: "other", 82: "shaker",
}  # fmt: skip
AVL_KEYS = {
    36: "kick", 37: "snare-side", 38: "snare", 39: "clap", 40: "snare", 41: "tom-low", 42: "hat-closed", 43: "tom-low",
    44: "hat-pedal", 45: "tom-mid", 46: "hat-open", 47: "tom-mid", 48: "hat-open", 49: "crash", 51: "ride",
    53: "ride-bell", 54: "tambourine", 55: "splash", 56: "cowbell", 57: "crash", 59: "ride", 64: "shaker",
}  # fmt: skip
PATTERNS = (  # the first that a name matches says what it is
    (
        r"zap|fx|roll|loop|drone|whistle|beats_|choke|opaco|drum [12]$|drum_roll|swoosh|cuica|surdo|hat_cats",
        "",
    ),
    (
        r"elec_(?!.*(snare|kick))|perc_|tabla|guiro|triangle|belltree|vibraslap|sample:|redo|hat free|click$",
        "",
    ),
    (r"clap", "clap"),
    (r"tamb", "tambourine"),
    (r"cowb", "cowbell"),
    (r"shaker|marac|cabasa", "shaker"),
    (r"bongo", "bongo"),
    (r"conga|quinto", "conga"),
    (r"clave|wood|block|agogo|djembe|timbale|sleigh|castanet|cajon|glass|snap(?!.*snare)|slap", "other"),
    (r"side.?stick|x-?stick|rim click|^stick|c#3 - stick|lm-2/stick|rimshot/rs", "snare-side"),
    (r"rimshot|rim_?shot", "snare-rim"),
    (r"snare|/sn_|^sn_", "snare"),
    (r"kick|kdrum|bass ?drum|/bd|^bd|drum_bass", "kick"),
    (r"pedal(?!.*tamb)|stmp|hat.*\bpd\b", "hat-pedal"),
    (r"(hat|hh).*(op|semi|swish)|(op|open|side o).*(hat|hh)|op_|cymbal_open", "hat-open"),
    (r"hat|hh\b|hh |cl_|cymbal_closed", "hat-closed"),
    (r"bell|cup", "ride-bell"),
    (r"ride", "ride"),
    (r"splash", "splash"),
    (r"china", "china"),
    (r"crash|cymb", "crash"),
    (r"tom.?(low|lo|l\b|ll|floor)|floor|tom4|tom-1|low tom|lowtom", "tom-low"),
    (r"tom.?(hi|h\b|hh|1)|tom-3|high tom", "tom-high"),
    (r"tom", "tom-mid"),
)
LONGEST = {
    "kick": 0.8, "snare": 0.8, "snare-rim": 0.8, "snare-side": 0.4, "hat-closed": 0.5, "hat-pedal": 0.5,
    "hat-open": 2.0, "tom-low": 1.5, "tom-mid": 1.5, "tom-high": 1.2, "crash": 3.0, "ride": 2.2, "china": 2.5,
    "ride-bell": 2.2, "splash": 1.5, "clap": 0.6, "tambourine": 0.6, "cowbell": 0.6, "bongo": 0.6, "conga": 0.8,
    "shaker": 0.4, "other": 0.6,
}  # fmt: skip
PIECES = tuple(LONGEST)
assert {label.name for label in LABELS} | {"other"} == set(PIECES)

Takes = list[np.ndarray]  # of one voice, soft to loud, each of peak 1
Shelf = dict[str, dict[str, list[Takes]]]  # piece -> kit -> voices


def piece_of(name: str) -> str:
    """What a one-shot is, by its name; empty where it is of no use."""
    return next((piece for pattern, piece in PATTERNS if re.search(pattern, name.lower())), "")


def trimmed(x: np.ndarray, longest: float) -> np.ndarray | None:
    """A stroke from its first sample, peak 1; None where nothing sounds."""
    peak = np.abs(x).max() if len(x) else 0
    if peak < 1e-4 or len(x) < 200:
        return None
    x = x[max(0, int(np.argmax(np.abs(x) > 0.02 * peak)) - 8) :][: int(longest * RATE)].copy() / peak
    fade = min(len(x) // 4, 2000)
    x[len(x) - fade :] *= np.linspace(1, 0, fade)
    x[:8] *= np.linspace(0, 1, 8)[: len(x)]
    return x.astype(np.float32)


def _load(path: Path) -> np.ndarray:
    x, rate = sf.read(path, dtype="float32", always_2d=True)
    return soxr.resample(x.mean(1), rate, RATE) if rate != RATE else x.mean(1)


def _voices(found: dict[tuple[str, str], list[np.ndarray]]) -> Iterator[tuple[str, Takes]]:
    """Pieces and their takes, soft to loud, from samples that kept their level."""
    for (piece, _), sounds in found.items():
        loud = [float(np.sqrt(np.mean(x[:4000] ** 2))) if len(x) else 0.0 for x in sounds]
        takes = [trimmed(sounds[i], LONGEST[piece]) for i in np.argsort(loud)]
        kept = [take for take in takes if take is not None]
        if kept:
            yield piece, kept


def folder_kit(folder: Path, *, apart: bool) -> Iterator[tuple[str, Takes]]:
    """A folder of samples, each a voice of its own or, not `apart`, takes that differ in their last digits."""
    found: dict[tuple[str, str], list[np.ndarray]] = {}
    for path in sorted(p for p in folder.rglob("*") if p.suffix in (".flac", ".ogg", ".wav")):
        name = path.relative_to(folder.parent).as_posix()
        piece = piece_of(name)
        if piece:
            voice = name if apart else re.sub(r"\d+\.\w+$|_[LR]\.\w+$", "", name)
            try:
                found.setdefault((piece, voice), []).append(_load(path))
            except sf.LibsndfileError as error:
                print(f"passed over: {error}")  # one of lmms's is broken
    yield from _voices(found)


def hydrogen_kit(folder: Path) -> Iterator[tuple[str, Takes]]:
    """A drum kit of the Hydrogen drum machine."""
    text = (folder / "drumkit.xml").read_text(errors="replace")
    found: dict[tuple[str, str], list[np.ndarray]] = {}
    piece_with: dict[str, str] = {}  # one sample is one piece, whatever else is called so as well
    for instrument in re.findall(r"<instrument>(.*?)</instrument>", text, re.DOTALL):
        name = re.search(r"<name>(.*?)</name>", instrument)
        title = html.unescape(name.group(1)) if name else ""
        piece = piece_of(title)
        for file in re.findall(r"<filename>(.*?)</filename>", instrument) if piece else ():
            path = folder / html.unescape(file)
            if path.is_file() and piece_with.setdefault(file, piece) == piece:
                found.setdefault((piece, title), []).append(_load(path))
    yield from _voices(found)


def soundfont_kit(
    path: Path, program: int, keys: dict[int, str], channel: int, velocities: tuple[int, ...]
) -> Iterator[tuple[str, Takes]]:
    """The drums of a soundfont's program, each key struck soft to loud."""
    midi, track = mido.MidiFile(ticks_per_beat=500), mido.MidiTrack()
    midi.tracks.append(track)
    track.append(mido.Message("program_change", channel=channel, program=program))
    strokes, clock, last = [], 0.5, 0.0
    for key, piece in keys.items():
        for velocity in velocities:
            strokes.append((clock, key, piece))
            for kind, at in (("note_on", clock), ("note_off", clock + 0.3)):
                wait = round((at - last) * 1000)
                track.append(mido.Message(kind, channel=channel, note=key, velocity=velocity, time=wait))
                last = at
            clock += LONGEST[piece] + 0.4
    track.append(mido.MetaMessage("end_of_track", time=3000))
    with tempfile.TemporaryDirectory() as folder:
        score, sound = Path(folder) / "kit.mid", Path(folder) / "kit.wav"
        midi.save(score)
        command = ["fluidsynth", "-ni", "-q", "-R", "0", "-C", "0", "-g", "0.6", "-r", str(RATE)]
        subprocess.run([*command, "-F", sound, path, score], check=True, capture_output=True)
        x = _load(sound)
    found: dict[tuple[str, str], list[np.ndarray]] = {}
    for at, key, piece in strokes:
        cut = x[int(at * RATE) : int((at + LONGEST[piece] + 0.2) * RATE)]
        found.setdefault((piece, str(key)), []).append(cut)
    yield from _voices(found)


def shelf(oneshots: Path | None, *, held_out: bool = False, soundfonts: bool = True) -> Shelf:
    """All kits to train on (`oneshots`: the folder of sample folders), or all that only test."""
    kits: dict[str, Iterator[tuple[str, Takes]]] = {}
    for folder in sorted(HYDROGEN.iterdir()) if HYDROGEN.is_dir() else ():
        if folder.name in (HELD_OUT if held_out else TRAIN):
            kits[folder.name] = hydrogen_kit(folder)
    if not held_out:
        for folder in sorted(p for p in oneshots.iterdir() if p.is_dir()) if oneshots else ():
            # A machine's knobs make voices of their own.
            kits[folder.name] = folder_kit(folder, apart=folder.name in ("TR-808", "sonic_pi"))
        if LMMS.is_dir():
            kits["lmms"] = folder_kit(LMMS, apart=True)
        for name, path in SOUNDFONTS.items() if soundfonts else ():
            for program in PROGRAMS if path.exists() else ():
                kits[f"{name}{program}"] = soundfont_kit(path, program, GM, 9, (45, 85, 122))
        for name, path in AVL.items():
            if path.exists():
                kits[name] = soundfont_kit(path, 0, AVL_KEYS, 0, (20, 40, 65, 90, 120))
    found: Shelf = {}
    for kit, voices in kits.items():
        for piece, takes in voices:
            found.setdefault(piece, {}).setdefault(kit, []).append(takes)
    return found
