# SPDX-License-Identifier: GPL-3.0-or-later
"""The figures for a person."""

import os
import sys
from collections.abc import Iterable
from typing import Any

from bridge.evaluate.pooling import order
from bridge.evaluate.truth import FAMILIES

MOST_MISTAKES = 6  # worth a line each
PIPED = 240  # columns where there is no terminal
COUNTS = ("hit", "extra", "missed")


def show(result: dict[str, Any], confusion: bool = False) -> None:
    """What was scored, on stdout; with the whole confusion where asked for."""
    console = _console()
    refined = result.get("refined")
    if result["scores"]:
        main = "micro of five" if "micro of five" in result["scores"] else next(iter(result["scores"]))
        _scores(console, "", result["scores"], refined and refined["scores"], main)
        songs = ", ".join(f"{f['name']} {f['scores'][main]['f']:.3f}" for f in result["files"])
        console.print(f"F of {main} by file: {songs}", soft_wrap=True)
    if result.get("sets"):
        console.print()
        _sets(console, result["sets"])
    if result.get("labels"):
        console.print()
        _scores(console, "label, 50 ms", result["labels"], refined and refined["labels"])
        struck = sum(s["hit"] + s["missed"] > 0 for s in result["labels"].values())
        console.print(f"macro F of {struck} labels: {_pair(result, refined, 'macro')}")
    if result.get("confusion"):
        told = result["confusion"]["labels"] or result["confusion"]["families"]
        console.print(_confusion(told) if confusion else _mistakes(told), soft_wrap=True)
    if result.get("velocity"):
        _velocity(console, result, refined)
    for name, value in result["measures"].items():
        console.print(f"{name:<30}{value:.3f}")
    if delay := result["delay_ms"]:
        console.print(
            f"delay: median {delay['median']:.1f} ms, 10 % within {delay['p10']:.1f} ms, "
            f"90 % within {delay['p90']:.1f} ms, most {delay['max']:.1f} ms"
        )
    if error := result.get("error_ms"):
        console.print(
            f"times less the true ones: median {error['median']:+.1f} ms, 90 % within {error['p90']:.1f} ms"
        )
    later = f"; no refinement longer than {refined['waited_ms']:.1f} ms" if refined else ""
    console.print(f"no decision waited longer than {result['waited_ms']:.1f} ms{later}", soft_wrap=True)
    console.print(heard(result["files"], result["preset"], result.get("sound")))


def show_curve(result: dict[str, Any]) -> None:
    """F against delay, on stdout."""
    from rich.table import Table

    console = _console()
    rows = result["curve"]
    if result["task"] == "notes":
        _note_curve(console, rows)
        console.print("times in ms; p10 to p90: from the beginning of a note until it is known")
        console.print(heard(result["files"], result["preset"], result.get("sound")))
        return
    struck = [
        f for f in FAMILIES if any(row["scores"][f]["hit"] + row["scores"][f]["missed"] for row in rows)
    ]
    named = [row for row in rows if row["macro"] is not None]
    more = ["labels"] if named else []
    table = Table("decision", "p10", "median", "p90", "F", *struck, *more, box=None, pad_edge=False)
    _in_columns(table)
    for row in rows:
        figures = [f"{row['scores'][name]['f']:.3f}" for name in ("micro of five", *struck)]
        macro = [_text(row["macro"])] if named else []
        table.add_row(f"{row['decision_ms']:g}", *_delays(row), *figures, *macro)
    console.print(table)
    labels = "; labels: macro F" if named else ""
    console.print(f"times in ms; p10 to p90: from the stroke until it is named{labels}")
    console.print(heard(result["files"], result["preset"], result.get("sound")))


def _delays(row: dict[str, Any]) -> list[str]:
    delay = row["delay_ms"]
    return [f"{delay[key]:.1f}" if delay else "-" for key in ("p10", "median", "p90")]


def _in_columns(table: Any) -> None:
    """Figures below each other; F, the fifth, stands out."""
    for column in table.columns:
        column.justify = "right"
    table.columns[4].style = "bold"


def _note_curve(console: Any, rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    names = [name for name in rows[0]["scores"] if name != "notes"]
    sets = list(rows[0]["sets"] or [])
    table = Table(
        "decision", "p10", "median", "p90", "F", *(name.removeprefix("notes ") for name in names), *sets,
        box=None, pad_edge=False,
    )  # fmt: skip
    _in_columns(table)
    for row in rows:
        figures = [f"{row['scores'][name]['f']:.3f}" for name in ("notes", *names)]
        figures += [f"{row['sets'][name]['scores']['notes']['f']:.3f}" for name in sets]
        table.add_row(f"{row['decision_ms']:g}", *_delays(row), *figures)
    console.print(table)


def _sets(console: Any, sets: dict[str, dict[str, Any]]) -> None:
    """F of each folder, and how long it took."""
    from rich.table import Table

    names = list(next(iter(sets.values()))["scores"])
    measures = list(dict.fromkeys(name for one in sets.values() for name in one["measures"]))
    table = Table("F by folder", *names, *measures, "median delay", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for folder, one in sets.items():
        figures = [f"{one['scores'][name]['f']:.3f}" if name in one["scores"] else "-" for name in names]
        figures += [f"{one['measures'][m]:.3f}" if m in one["measures"] else "-" for m in measures]
        delay = f"{one['delay_ms']['median']:.1f}" if one["delay_ms"] else "-"
        table.add_row(folder or ".", *figures, delay)
    console.print(table)


def heard(files: list[dict[str, Any]], preset: str, sound: dict[str, Any] | None = None) -> str:
    """What was scored, in a line."""
    seconds, count = sum(f["seconds"] for f in files), len(files)
    sound = sound or {}
    spoilt = [f"{sound['gain_db']:+g} dB"] if sound.get("gain_db") else []
    if sound.get("lowpass_hz") is not None:
        spoilt.append(f"below {sound['lowpass_hz']:g} Hz")
    if sound.get("noise_dbfs") is not None:
        spoilt.append(f"noise at {sound['noise_dbfs']:g} dBFS")
    return ", ".join([f"{count} file{'s'[: count != 1]}", f"{seconds:.0f} s", f"preset {preset}", *spoilt])


def _console() -> Any:
    from rich.console import Console

    piped = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(file=sys.stdout, highlight=False, width=PIPED if piped else None)


def _scores(
    console: Any, head: str, scores: dict[str, Any], refined: dict[str, Any] | None, bold: str = ""
) -> None:
    from rich.table import Table

    after = ["refined F"] if refined else []
    table = Table(head, "F", "precision", "recall", "right", "extra", "missed", *after, box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, s in scores.items():
        cells = [f"{s[k]:.3f}" for k in ("f", "precision", "recall")] + [str(s[k]) for k in COUNTS]
        if refined:
            cells.append(f"{refined[name]['f']:.3f}" if name in refined else "-")
        table.add_row(name, *cells, style="bold" if name == bold else None)
    console.print(table)


def _pair(result: dict[str, Any], refined: dict[str, Any] | None, key: str) -> str:
    return _text(result[key]) + (f", refined {_text(refined[key])}" if refined else "")


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _mistakes(told: dict[str, dict[str, int]]) -> str:
    """The commonest, in a line."""
    mistakes = [
        (n, struck, said)
        for struck, row in told.items()
        for said, n in row.items()
        if said not in (struck, "missed") and struck != "extra"
    ]
    most = sorted(mistakes, key=lambda row: -row[0])[:MOST_MISTAKES]
    return "taken for another: " + (
        ", ".join(f"{struck} as {said} {n}" for n, struck, said in most) or "none"
    )


def _confusion(told: dict[str, dict[str, int]]) -> str:
    """What was struck, a row each, and what was said; as wide as it must be."""
    said = {name for row in told.values() for name in row}
    columns = [*sorted(said - {"missed"}, key=order), "missed"]
    wide = max(len(name) for name in ("struck \\ said", *told))

    def text(first: str, cells: Iterable[Any]) -> str:
        placed = (f"{cell:>{len(column)}}" for cell, column in zip(cells, columns, strict=True))
        return "  ".join([f"{first:<{wide}}", *placed])

    rows = (text(struck, (row.get(name, "") for name in columns)) for struck, row in told.items())
    return "\n".join([text("struck \\ said", columns), *rows])


def _velocity(console: Any, result: dict[str, Any], refined: dict[str, Any] | None) -> None:
    def text(velocity: dict[str, Any]) -> str:
        ranks = [(velocity["spearman"], "rank correlation"), (velocity["within"], "within one drum")]
        told = [f"{what} {value:.3f}" for value, what in ranks if value is not None]
        return ", ".join([*told, f"median error {velocity['error']:.3f}"])

    line = f"velocity of {result['velocity']['n']} hits: {text(result['velocity'])}"
    if refined and refined["velocity"]:
        line += f"; refined {text(refined['velocity'])}"
    console.print(line, soft_wrap=True)
