# SPDX-License-Identifier: GPL-3.0-or-later
"""Kits on disk: a page that says which pads there are, and the strokes' features beside it.

What is kept of a stroke is what the ear makes of it, a few hundred numbers, never its sound.
"""

import os
import re
import tomllib
import zipfile
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from platformdirs import user_config_path

from bridge.errors import KitError
from dsp.events import LABEL_ROW
from dsp.pads import PADS
from models.kit import ECHO, MOST, Kit, Pad, labels_of_pads

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
MOST_PAGE, MOST_STROKES = 64 * 1024, 32 * 1024 * 1024  # bytes read of a kit
LARGEST = 4096  # numbers in an embedding
FREE_NOTE = 75  # of a pad whose page says none
NOTES = (*range(71, 82), *range(64, 70), *range(82, 128), *range(24, 35))  # for new pads, in this order


def folder() -> Path:
    """Where kits live."""
    return user_config_path("earwire") / "kits"


def check(name: str, what: str = "kit") -> str:
    """`name`, if a kit or pad may be called so."""
    if not NAME.fullmatch(name):
        raise KitError(
            f"{name[:60]!a} cannot be the name of a {what}", "up to 40 letters, digits, - and _, no blanks"
        )
    if name.startswith(ECHO):
        raise KitError(f"{name}: names with {ECHO} are kept for what a kit shall not answer", "take another")
    return name


def names() -> list[str]:
    """Kits there are."""
    try:
        found = sorted(path.stem for path in folder().glob("*.toml"))
    except OSError:
        return []
    return [name for name in found if NAME.fullmatch(name)]


def page(name: str) -> Kit:
    """A kit without its strokes."""
    path = folder() / f"{check(name)}.toml"

    def refuse(why: str) -> NoReturn:
        raise KitError(f"{path}: {why}", f"learn it anew: earwire kit learn {name}")

    if not path.is_file():
        close = get_close_matches(name.lower(), names(), n=1, cutoff=0.5)
        raise KitError(
            f"no kit is called {name!a}" + (f"; did you mean {close[0]}?" if close else ""),
            f"earwire kit list shows those there are; earwire kit learn {name} makes one",
        )
    try:
        with path.open("rb") as file:
            data = file.read(MOST_PAGE + 1)
        if len(data) > MOST_PAGE:
            refuse("is too long to be a kit")
        table = tomllib.loads(data.decode("utf-8-sig"))
    except OSError as error:
        refuse(f"cannot be read: {error.strerror or error}")
    except (ValueError, RecursionError):
        refuse("is not TOML")
    return _kit(name, table, refuse)


def _kit(name: str, table: dict[str, Any], refuse: Callable[[str], NoReturn]) -> Kit:
    rows = table.get("pads", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows) or len(rows) > PADS:
        refuse(f"pads is no list of at most {PADS} tables")
    pads = []
    for row in rows:
        pad, note = row.get("name"), row.get("note")
        if not isinstance(pad, str) or not NAME.fullmatch(pad):
            refuse("a pad has no name, or one with other signs than letters, digits, - and _")
        if note is not None and (isinstance(note, bool) or not isinstance(note, int) or not 0 <= note <= 127):
            refuse(f"the note of {pad} is not within 0..127")
        pads.append(Pad(pad, note))
    if len({pad.name for pad in pads}) < len(pads):
        refuse("two pads have one name")
    decision, ear = table.get("decision_ms", 12.0), table.get("ear", "")
    if isinstance(decision, bool) or not isinstance(decision, int | float) or not 1 <= decision <= 1000:
        refuse("decision_ms is no time")
    corrections = table.get("corrections", False) is True
    if corrections and any(pad.name not in LABEL_ROW for pad in pads):
        refuse("corrections name a drum that is no label")
    return Kit(name, tuple(pads), float(decision), str(ear)[:64], corrections)


def load(name: str) -> Kit:
    """A kit with its strokes."""
    kit = page(name)
    path = folder() / f"{name}.npz"
    hint = f"learn it anew: earwire kit learn {name}"
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(part.file_size for part in archive.infolist()) > MOST_STROKES:
                raise KitError(f"{path}: is too large to be a kit", hint)
        with np.load(path, allow_pickle=False) as arrays:
            strokes, pad_of, taken_for = (arrays[key] for key in ("strokes", "pad_of", "taken_for"))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        why = getattr(error, "strerror", None) or "no strokes of a kit"
        raise KitError(f"{path}: cannot be read: {why}", hint) from None
    m = len(pad_of) if pad_of.ndim == 1 else -1
    whole = all(array.dtype.kind == "i" and array.shape == (m,) for array in (pad_of, taken_for))
    fits = strokes.dtype == np.float32 and strokes.ndim == 2 and len(strokes) == m <= MOST
    if not (whole and fits and strokes.shape[1] <= LARGEST and np.isfinite(strokes).all()):
        raise KitError(f"{path}: holds no strokes of a kit", hint)
    if m and not (pad_of.min() >= 0 and pad_of.max() < len(kit.pads) and taken_for.min() >= -1):
        raise KitError(f"{path}: speaks of pads that {name}.toml does not have", hint)
    return Kit(
        kit.name,
        kit.pads,
        kit.decision_ms,
        kit.ear,
        kit.corrections,
        strokes,
        pad_of.astype(np.int64),
        taken_for.astype(np.int64),
    )


def save(kit: Kit) -> Path:
    """Keep a kit; each of its two files is replaced in one move. The page's path."""
    place = folder()
    path = place / f"{check(kit.name)}.toml"
    try:
        place.mkdir(parents=True, exist_ok=True)
        beside = place / f".{kit.name}.{os.getpid()}"
        with beside.open("wb") as file:
            np.savez_compressed(
                file,
                strokes=kit.strokes.astype(np.float32),
                pad_of=kit.pad_of.astype(np.int16),
                taken_for=kit.taken_for.astype(np.int16),
            )
        beside.replace(path.with_suffix(".npz"))
        beside.write_text(text(kit), "utf-8")
        beside.replace(path)
    except OSError as error:
        raise KitError(f"{path}: the kit cannot be kept: {error.strerror or error}") from None
    return path


def text(kit: Kit) -> str:
    """The page of a kit."""
    what = "corrections of single hits" if kit.corrections else "a kit of your own"
    lines = [
        f"# {kit.name}: {what}. Play it with  earwire run --set drums.kit={kit.name}",
        f"# The strokes are in {kit.name}.npz beside this page, as numbers that no sound can be made of.",
        "# A pad's note may be changed here; its name belongs to the strokes.",
        f"decision_ms = {kit.decision_ms:g}      # how long after each stroke it was looked at",
        f'ear = "{kit.ear}"  # which ear heard them',
    ]
    if kit.corrections:
        lines.append("corrections = true")
    for pad, count in zip(kit.pads, kit.counts(), strict=True):
        note = [f"note = {pad.note}"] if pad.note is not None else []
        lines += ["", "[[pads]]", f'name = "{pad.name}"', *note, f"strokes = {count}"]
    return "\n".join([*lines, ""])


def remove(name: str) -> None:
    """Forget a kit."""
    page(name)
    for suffix in (".toml", ".npz"):
        try:
            (folder() / f"{name}{suffix}").unlink(missing_ok=True)
        except OSError as error:
            raise KitError(f"{name}: cannot be removed: {error.strerror or error}") from None


def notes(name: str) -> dict[str, int | None]:
    """Pads of a kit in the order of their labels, with the notes its page gives them."""
    kit = page(name)
    if kit.corrections:
        return {}
    labels = labels_of_pads(kit.pads)
    order = sorted((row for row, label in enumerate(labels) if label >= 0), key=lambda row: labels[row])
    return {kit.pads[row].name: kit.pads[row].note for row in order}


def new_pad(kit: Kit, name: str) -> Pad:
    """A pad called `name`, with a note that no other has where the instruments have none for it."""
    if name.startswith(ECHO) or check(name, "pad") in LABEL_ROW:
        return Pad(name)
    taken = {pad.note for pad in kit.pads}
    return Pad(name, next(note for note in NOTES if note not in taken))
