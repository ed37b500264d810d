# SPDX-License-Identifier: GPL-3.0-or-later
"""What it means to be a stage, as one function."""

import gc
import re
import sys
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise, repeat
from typing import Any

import numpy as np
from numba import njit

from dsp.events import BEAT, EVENT
from dsp.stage import Spec

# What compiled code must not be able to reach: an allocator, the GIL, Python's error reporting.
# A raise of its own leaves a pickled exception behind, which is how we know it has none.
FORBIDDEN = re.compile(
    r"call[^@\n]*@\"?(NRT_\w*(?:lloc|MemInfo_new)\w*|malloc|calloc|realloc"
    r"|PyGILState_\w+|PyErr_\w+|numba_(?:do_raise|gil_ensure|unpickle)\w*|Py\w*_(?:New|Alloc)\w*)|(picklebuf)"
)
_FUNCTION = re.compile(r"^define [^@]*@\"?([^\"( ]+)\"?\((?:.|\n)*?^}", re.MULTILINE)


def forbidden_in(llvm: str) -> list[str]:
    """What the functions in an LLVM module must never do on the audio path.

    The shells through which Python or C enters are left out: they report an
    exception, and the functions inside have none to report.
    """
    found = []
    for function in _FUNCTION.finditer(llvm):
        if not function[1].startswith(("cfunc.", "cpython.")):
            found += [call[1] or call[2] for call in FORBIDDEN.finditer(function[0])]
    return found


def run(stage: Any, xs: Sequence[np.ndarray], cuts: Sequence[int], spec: Spec) -> np.ndarray:
    """All that `stage` says of `xs`, given in blocks cut at `cuts`."""
    out, got = spec.empty(), [spec.empty()[:0]]
    edges = [0, *cuts, len(xs[0])]
    for start, stop in pairwise(edges):
        n = stage.process(*(x[start:stop] for x in xs), out=out)
        got.append(out[:n].copy())
    return np.concatenate(got)


def forbidden_calls(compiled: Any) -> list[str]:
    """Calls in the machine code of a kernel that the audio path must never make."""
    options = {
        k: compiled.targetoptions[k]
        for k in ("error_model", "fastmath", "_nrt")
        if k in compiled.targetoptions
    }
    # Cached code cannot be inspected; the wrappers that Python enters through are not the path.
    fresh = njit(nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, **options)(compiled.py_func)
    found = []
    for signature in compiled.signatures:
        fresh.compile(signature)
        found += forbidden_in(fresh.inspect_llvm(signature))
    return found


def forget() -> None:
    """Have the interpreter let go of what it keeps at hand: free lists, and the names it last looked up."""
    gc.collect()
    sys._clear_type_cache()


def verify_contract(
    make: Callable[[], Any],
    xs: np.ndarray | Sequence[np.ndarray],
    specs: Spec | Sequence[Spec],
    cuts: Sequence[int],
    measured_delay: Callable[[np.ndarray, Spec], float] | None = None,
    delay_tolerance: float = 0.0,
) -> np.ndarray:
    """Check the five clauses on a stage; return what it says of the whole signal.

    `measured_delay` tells, from the output, how far items lag their cause
    [samples]; it is compared with the delay the stage declares. For events no
    such function is needed: each must exist once the input up to `emitted` is in.
    """
    xs = [xs] if isinstance(xs, np.ndarray) else list(xs)
    specs = [specs] if isinstance(specs, Spec) else list(specs)
    specs = [replace(s, capacity=max(s.capacity, len(xs[0]))) for s in specs]
    hop = specs[0].hop
    stage = make()
    spec = stage.prepare(*specs)
    whole = run(stage, xs, [], spec)
    assert whole.dtype == spec.dtype and whole.shape[1:] == spec.shape
    assert len(whole), "a stage that says nothing proves nothing"

    # Block size cannot be heard, and reset forgets everything.
    for blocks in (sorted(cuts), range(1, len(xs[0]), max(1, 7 // hop)), range(0, len(xs[0]), 64)):
        stage.reset()
        np.testing.assert_array_equal(run(stage, xs, list(blocks), spec), whole)

    # The future cannot be heard: what follows a cut is replaced by loud noise.
    rng = np.random.default_rng(0)
    points = {len(xs[0]) // 3, len(xs[0]) // 2}
    if spec.dtype == EVENT:
        points |= {int(e) // hop for e in whole["emitted"][:: max(1, len(whole) // 12)]}
    for point in sorted(points):
        stage.reset()
        before = run(stage, [x[:point] for x in xs], [], spec)
        np.testing.assert_array_equal(before, whole[: len(before)])
        if spec.dtype == EVENT:
            due = whole[(whole["emitted"] <= point * hop)]
            np.testing.assert_array_equal(before, due)
        futures = []
        for x in xs:
            future = x.copy()
            if np.issubdtype(x.dtype, np.floating):
                future[point:] = rng.uniform(-1, 1, future[point:].shape)
            futures.append(future)
        stage.reset()
        np.testing.assert_array_equal(run(stage, futures, [], spec)[: len(before)], before)

    # Declared delay is measured delay.
    if spec.dtype == EVENT:
        heard = whole[whole["kind"] != BEAT]  # which is foretold
        assert (heard["time"] <= heard["emitted"]).all() and (np.diff(whole["emitted"]) >= 0).all()
    elif measured_delay is not None:
        assert abs(measured_delay(whole, spec) - spec.delay) <= delay_tolerance

    # `process` keeps nothing.
    out = spec.empty()
    blocks = [x[: max(1, 64 // hop)] for x in xs]

    def kept(calls: int) -> int:
        forget()
        tracemalloc.start()
        for _ in repeat(None, calls):
            stage.process(*blocks, out=out)
        forget()
        size = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        return size

    kept(200)
    more = [kept(800) - kept(200) for _ in range(3)]  # the least: another thread may keep what it likes
    assert min(more) <= 0, f"process kept {more} bytes in 600 calls"
    stage.reset()
    return whole
