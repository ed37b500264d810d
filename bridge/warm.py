# SPDX-License-Identifier: GPL-3.0-or-later
"""The first start compiles the kernels: show how far it is, and keep the result."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba.core import event

from dsp.kernel import cache_path

KEEP = 3  # versions of compiled kernels kept, newest first
EXPECTED = 130  # functions compiled at the first start, until a start has counted them


def is_warm() -> bool:
    """Whether the kernels of exactly these sources are compiled already."""
    return (cache_path() / "compiled.json").is_file()


def warm(compile_: Callable[[], Any], quiet: bool = False) -> None:
    """Have the kernels compiled, with a progress bar where that takes a while."""
    if is_warm():
        compile_()
        return
    if quiet:
        _count(compile_, lambda: None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("Compiling for this processor, once", total=EXPECTED)
        _count(compile_, lambda: progress.advance(task))


def _count(compile_: Callable[[], Any], advance: Callable[[], Any]) -> None:
    class Listener(event.Listener):
        done = 0

        def on_start(self, started: Any) -> None: ...

        def on_end(self, ended: Any) -> None:
            Listener.done += 1
            advance()

    with event.install_listener("numba:compile", Listener()):
        compile_()
    _remember(Listener.done)


def _remember(compiled: int) -> None:
    """Mark this version as complete, and let go of the oldest ones."""
    path = cache_path()
    try:
        path.mkdir(parents=True, exist_ok=True)
        (path / "compiled.json").write_text(json.dumps({"functions": compiled}))
        versions = sorted(path.parent.iterdir(), key=_age, reverse=True)
        for old in versions[KEEP:]:
            shutil.rmtree(old, ignore_errors=True)
    except OSError:
        pass  # a read-only home compiles at every start, and runs all the same


def _age(path: Path) -> float:
    return path.stat().st_mtime
