# SPDX-License-Identifier: GPL-3.0-or-later
"""How this house compiles: one decorator, one cache that cannot serve stale code."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from platformdirs import user_cache_path

KERNELS: list[Any] = []  # every compiled function; tests read the machine code of each
FLOORS = ("dsp", "models", "bridge")


def cache_path() -> Path:
    """Where compiled kernels live: one folder per version of all the sources together.

    Numba's own cache watches only the file of the outermost function, so a callee
    edited in another module would leave its caller's old machine code in use.
    """
    digest = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__} {np.__version__}".encode())
    root = Path(__file__).resolve().parent.parent
    for floor in FLOORS:
        for source in sorted((root / floor).rglob("*.py")):
            text = source.read_bytes()
            if b"numba" in text or b"kernel" in text or b"np." in text:
                digest.update(source.relative_to(root).as_posix().encode() + b"\0" + text)
    return user_cache_path("earwire") / "kernels" / digest.hexdigest()[:16]


numba.config.CACHE_DIR = str(cache_path())  # type: ignore[attr-defined]


def kernel(
    function: Callable | None = None, *, fastmath: bool | set[str] = False, views: bool = False
) -> Any:
    """Compile `function` for the audio path: no GIL, no allocation, no exception.

    ``error_model="numpy"`` keeps a division by zero out of Python's error
    reporting. Use `fastmath` only on leaf loops whose length never depends on
    the block, or block size could be heard.

    Numba's reference counting is off: whoever calls owns every array, counting
    them took half of the time, and without it an allocation does not compile.
    `views` has it on, for the few that make arrays of bare addresses with `carray`.
    """

    def compile_(f: Callable) -> Any:
        compiled = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=fastmath, _nrt=views)(f)
        KERNELS.append(compiled)
        return compiled

    return compile_(function) if function is not None else compile_
