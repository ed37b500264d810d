# SPDX-License-Identifier: GPL-3.0-or-later
"""How this house compiles: one decorator, one cache that cannot serve stale code."""

import hashlib
from collections.abc import Callable
from functools import update_wrapper
from pathlib import Path
from types import FunctionType
from typing import Any

import llvmlite
import numba
import numpy as np
from platformdirs import user_cache_path

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


class Kernel:
    """A compiled function of the audio path; `kernel` makes one.

    Numba lays a shell around what it compiles, for calls from Python and from C.
    Around a state of a hundred arrays a shell takes a second to compile, most
    functions in it a tenth of that. So there are two, each with a cache of its own:
    the one that Python calls, and a bare one that other kernels call and take in.
    """

    def __init__(self, function: Callable, options: dict[str, Any]) -> None:
        update_wrapper(self, function)
        self.py_func = function
        bare = FunctionType(function.__code__, function.__globals__, function.__name__)
        bare.__qualname__, bare.__module__ = f"{function.__qualname__}.bare", function.__module__
        options = options | {"cache": True, "no_cfunc_wrapper": True}
        self._bare = numba.njit(**options, no_cpython_wrapper=True)(bare)
        self._called = numba.njit(**options)(function)

    @property
    def _numba_type_(self) -> Any:
        return self._bare._numba_type_

    @property
    def targetoptions(self) -> dict[str, Any]:
        return dict(self._bare.targetoptions)

    @property
    def signatures(self) -> list[Any]:
        """Of all that has been compiled here, one for each set of types."""
        return list(dict.fromkeys([*self._called.signatures, *self._bare.signatures]))

    def __call__(self, *args: Any) -> Any:
        return self._called(*args)


KERNELS: list[Kernel] = []  # tests read the machine code of each


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

    def compile_(f: Callable) -> Kernel:
        options = {"nogil": True, "error_model": "numpy", "fastmath": fastmath, "_nrt": views}
        KERNELS.append(Kernel(f, options))
        return KERNELS[-1]

    return compile_(function) if function is not None else compile_
