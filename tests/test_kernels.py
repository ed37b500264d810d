# SPDX-License-Identifier: GPL-3.0-or-later
"""No code of the audio path can allocate, take the GIL or report an error: read the machine code."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba import cfunc, njit
from numba.core.errors import NumbaError

from bridge.engine import Engine
from bridge.hearing import hear_step, hearing, room
from bridge.jack import client as jack
from bridge.loop import listen
from bridge.midi.port import NoMidi
from bridge.preset import load
from bridge.sources import device
from bridge.sources.base import feed
from dsp.kernel import KERNELS, kernel
from tests.contract import forbidden_calls, forbidden_in


def _compile_all():
    """Have every kernel compiled with the types it really meets."""
    preset, source, port = load("drums"), feed(), NoMidi()
    engine = Engine(preset, 48_000, source.control, source.audio, source.wake, port.box, port.leave)
    engine.compile()
    hear_step(hearing(preset, 44_100), np.zeros(0, np.float32), room())


def _callbacks():
    found = [device.on_block]
    if jack.library() is not None:
        from bridge import meter
        from bridge.jack import callbacks

        found += [value for value in vars(callbacks).values() if hasattr(value, "address")]
        found.append(meter.on_process)
    return found


def test_the_composed_loop_can_neither_allocate_nor_enter_the_interpreter():
    """Functions that are not inlined stand in the same module, so this reads all that the loop can reach."""
    _compile_all()
    shells = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    fresh = njit(nogil=True, error_model="numpy", _nrt=False, **shells)(listen.py_func)
    fresh.compile(listen.signatures[0])
    code = fresh.inspect_llvm(listen.signatures[0])
    for inside in ("hear_step", "ear_step", "drums_step", "line_step", "poly_step"):
        assert inside in code
    assert forbidden_in(code) == []
    assert "NRT_incref" not in code  # counting who owns an array takes as long as the sums


def test_no_kernel_can_allocate_or_enter_the_interpreter():
    """Each kernel that has been compiled here by itself; those within others stand in the test before."""
    _compile_all()
    for compiled in KERNELS:
        assert forbidden_calls(compiled) == [], compiled.__name__


def test_no_callback_can_allocate_or_enter_the_interpreter():
    for callback in _callbacks():
        fresh = cfunc(callback._sig, error_model="numpy")(callback._pyfunc)
        assert forbidden_in(fresh.inspect_llvm()) == [], callback._pyfunc.__name__


def test_the_check_sees_an_allocation_and_an_exception():
    @njit(nogil=True)
    def allocates(n):
        return np.zeros(n)[0]

    @njit(nogil=True)
    def raises(n):
        if n < 0:
            raise ValueError("negative")
        return n

    for compiled in (allocates, raises):
        compiled(3)
        assert forbidden_calls(compiled)


def test_a_kernel_that_allocates_does_not_compile():
    @kernel
    def allocates(x):
        return (x + x)[0]

    with pytest.raises(NumbaError, match="alloc"):
        allocates(np.zeros(3))
    KERNELS.remove(allocates)


@pytest.mark.parametrize("edit", ["callee", "caller"])
def test_the_cache_never_serves_stale_code(tmp_path, edit):
    """A kernel edited in one module changes what a caller in another one does, in a new process."""
    root = Path(__file__).resolve().parent.parent
    for floor in ("dsp", "models", "bridge"):
        (tmp_path / floor).mkdir()
        (tmp_path / floor / "__init__.py").write_text("")
    (tmp_path / "dsp" / "kernel.py").write_text((root / "dsp" / "kernel.py").read_text())
    inner, outer = tmp_path / "dsp" / "inner.py", tmp_path / "models" / "outer.py"
    inner.write_text("from dsp.kernel import kernel\n\n@kernel\ndef inner(x):\n    return x + 1\n")
    outer.write_text(
        "from dsp.kernel import kernel\nfrom dsp.inner import inner\n\n"
        "@kernel\ndef outer(x):\n    return 10 * inner(x)\n\nprint(outer(1))\n"
    )

    def run():
        command = [sys.executable, "-c", "import models.outer"]
        environment = {
            "PYTHONPATH": str(tmp_path),
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
            "HOME": str(tmp_path),
        }
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert run() == "20"
    assert run() == "20"
    if edit == "callee":
        inner.write_text(re.sub(r"x \+ 1", "x + 2", inner.read_text()))
        assert run() == "30"
    else:
        outer.write_text(re.sub(r"10 \*", "100 *", outer.read_text()))
        assert run() == "200"
