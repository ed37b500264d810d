# SPDX-License-Identifier: GPL-3.0-or-later
"""What the native path needs of the processor and the C library: pointers, atomics, a clock, a semaphore."""

import ctypes
import sys

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from dsp.kernel import kernel

LINUX = sys.platform.startswith("linux")
WINDOWS = sys.platform == "win32"
SEMAPHORE_BYTES = 64  # room for a sem_t


@intrinsic
def pointer(typingctx, address):  # type: ignore[no-untyped-def]
    """An integer address as a pointer, for `carray`."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.inttoptr(args[0], cgutils.voidptr_t)

    return types.voidptr(types.uintp), codegen


@intrinsic
def load_acquire(typingctx, address):  # type: ignore[no-untyped-def]
    """The int64 at `address`; what was stored before it was released is visible after."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        word = builder.inttoptr(args[0], ir.PointerType(ir.IntType(64)))
        return builder.load_atomic(word, "acquire", 8)

    return types.int64(types.uintp), codegen


@intrinsic
def store_release(typingctx, address, value):  # type: ignore[no-untyped-def]
    """Store an int64 so that a reader who acquires it sees all that was stored before."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        word = builder.inttoptr(args[0], ir.PointerType(ir.IntType(64)))
        builder.store_atomic(args[1], word, "release", 8)
        return context.get_dummy_value()

    return types.void(types.uintp, types.int64), codegen


@kernel
def acquire(words, i):
    """``words[i]`` of an int64 array, read with acquire."""
    return load_acquire(words.ctypes.data + 8 * i)


@kernel
def release(words, i, value):
    """Write ``words[i]`` of an int64 array with release."""
    store_release(words.ctypes.data + 8 * i, np.int64(value))


if WINDOWS:
    # QueryPerformanceCounter ticks at 10 MHz on every Windows this runs on; perf_counter_ns reads the same.
    _ticks = types.ExternalFunction("QueryPerformanceCounter", types.int32(types.uintp))
    _sleep_ms = types.ExternalFunction("Sleep", types.void(types.uint32))

    @kernel
    def now_ns(scratch):
        _ticks(scratch.ctypes.data)
        return scratch[0] * 100

    thread_ns = now_ns

    @kernel
    def nap():
        _sleep_ms(np.uint32(1))
else:
    _CLOCK_MONOTONIC = np.int32(1 if LINUX else 6)
    _CLOCK_THREAD = np.int32(3 if LINUX else 16)
    _clock_gettime = types.ExternalFunction("clock_gettime", types.int32(types.int32, types.uintp))
    _usleep = types.ExternalFunction("usleep", types.int32(types.uint32))

    @kernel
    def now_ns(scratch):
        """Monotonic time [ns], the clock of `clock_ns`; `scratch` is (2,) int64."""
        _clock_gettime(_CLOCK_MONOTONIC, scratch.ctypes.data)
        return scratch[0] * 1_000_000_000 + scratch[1]

    @kernel
    def thread_ns(scratch):
        """Processor time of the calling thread [ns]; what others take meanwhile is not in it."""
        _clock_gettime(_CLOCK_THREAD, scratch.ctypes.data)
        return scratch[0] * 1_000_000_000 + scratch[1]

    @kernel
    def nap():
        """Sleep a third of a millisecond."""
        _usleep(np.uint32(300))


def clock_ns() -> int:
    """Monotonic time [ns] as the kernels read it."""
    import time

    if WINDOWS:
        return time.perf_counter_ns()
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC if LINUX else time.CLOCK_MONOTONIC_RAW)


if LINUX:
    _sem_post = types.ExternalFunction("sem_post", types.int32(types.uintp))
    _sem_wait = types.ExternalFunction("sem_wait", types.int32(types.uintp))
    _libc = ctypes.CDLL(None, use_errno=True)

    @kernel
    def post(semaphore):
        """Wake whoever waits on `semaphore`, (64,) uint8."""
        _sem_post(semaphore.ctypes.data)

    @kernel
    def wait(semaphore):
        """Sleep until `semaphore` is posted."""
        _sem_wait(semaphore.ctypes.data)

    def open_semaphore(semaphore: np.ndarray) -> None:
        """Make (64,) uint8 memory a semaphore, usable from every process that maps it."""
        _libc.sem_init(ctypes.c_void_p(semaphore.ctypes.data), 1, 0)

    def post_semaphore(semaphore: np.ndarray) -> None:
        _libc.sem_post(ctypes.c_void_p(semaphore.ctypes.data))

    class _Timespec(ctypes.Structure):
        _fields_ = [("sec", ctypes.c_long), ("nsec", ctypes.c_long)]

    def wait_semaphore(semaphore: np.ndarray, timeout: float) -> None:
        """Sleep until `semaphore` is posted or `timeout` [s] is over; other threads run meanwhile."""
        import time

        deadline = time.time() + timeout  # sem_timedwait counts on the wall clock
        spec = _Timespec(int(deadline), int(deadline % 1 * 1e9))
        _libc.sem_timedwait(ctypes.c_void_p(semaphore.ctypes.data), ctypes.byref(spec))
else:

    @kernel
    def post(semaphore):
        pass

    @kernel
    def wait(semaphore):
        """No semaphore can be shared here: look again after a nap."""
        nap()

    def open_semaphore(semaphore: np.ndarray) -> None:
        pass

    def post_semaphore(semaphore: np.ndarray) -> None:
        pass

    def wait_semaphore(semaphore: np.ndarray, timeout: float) -> None:
        import time

        time.sleep(min(timeout, 0.001))
