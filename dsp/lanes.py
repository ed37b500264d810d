# SPDX-License-Identifier: GPL-3.0-or-later
"""Weighted sums of rows, held in the lanes of the processor until all rows are in.

Of a loop over rows the compiler keeps one sum at a time, and spends most of it on fetching the same rows again.
Here four sums of sixteen columns are held at once, which is about twice as fast.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic

from dsp.kernel import kernel

FLOAT, INT = ir.FloatType(), ir.IntType(64)
FAST = ("contract", "nsz", "reassoc")


def _block(sums: int, columns: int) -> Callable:
    """Adds to ``out[k : k + sums, p : p + columns]`` the rows of x from column `at` on, as `weights` weigh them.

    All have a last axis that lies in one piece. Nothing is checked but that they are float32.
    """
    vector = ir.VectorType(FLOAT, columns)

    @intrinsic
    def block(typingctx, x, at, weights, k, out, p):  # type: ignore[no-untyped-def]
        if any(array.dtype != types.float32 for array in (x, weights, out)):
            raise TypingError("sums of rows are sums of float32")

        def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
            def array(i: int) -> Any:
                return context.make_array(signature.args[i])(context, builder, args[i])

            def address(array: Any, row: Any, column: Any, kind: ir.Type) -> Any:
                """Of an element, as a pointer to what is read there."""
                pitch = cgutils.unpack_tuple(builder, array.strides)[0]
                offset = builder.add(builder.mul(row, pitch), builder.mul(column, INT(4)))
                return builder.bitcast(
                    builder.gep(builder.bitcast(array.data, cgutils.voidptr_t), [offset]), kind.as_pointer()
                )

            def everywhere(number: Any) -> Any:
                """A number in every lane."""
                nothing = ir.Constant(vector, ir.Undefined)
                zeros = ir.Constant(ir.VectorType(ir.IntType(32), columns), [0] * columns)
                first = builder.insert_element(nothing, number, ir.IntType(32)(0))
                return builder.shuffle_vector(first, nothing, zeros)

            x, weights, out = array(0), array(2), array(4)
            at, k, p = args[1], args[3], args[5]
            rows = cgutils.unpack_tuple(builder, x.shape)[0]
            places = [address(out, builder.add(k, INT(i)), p, vector) for i in range(sums)]
            held = [cgutils.alloca_once_value(builder, builder.load(place, align=4)) for place in places]
            with cgutils.for_range(builder, rows) as loop:
                row = builder.load(address(x, loop.index, at, vector), align=4)
                for i in range(sums):
                    weight = builder.load(address(weights, builder.add(k, INT(i)), loop.index, FLOAT))
                    product = builder.fmul(everywhere(weight), row, flags=FAST)
                    builder.store(builder.fadd(builder.load(held[i]), product, flags=FAST), held[i])
            for place, total in zip(places, held, strict=True):
                builder.store(builder.load(total), place, align=4)
            return context.get_dummy_value()

        return types.void(x, at, weights, k, out, p), codegen

    return block


_4_by_16, _1_by_16 = _block(4, 16), _block(1, 16)
_4_by_8, _1_by_8 = _block(4, 8), _block(1, 8)
_4_by_1, _1_by_1 = _block(4, 1), _block(1, 1)


@kernel
def add_rows(x, first, weights, out):
    """Add weighted sums of rows.

    Parameters
    ----------
    x : array, shape (rows, m)
    first : int
        Column of x that goes to column 0.
    weights : array, shape (sums, rows)
    out : array, shape (sums, n), n <= m - first

    Notes
    -----
    Realtime: O(sums * rows * n), no allocation.
    """
    sums, n = out.shape
    fours, wide, narrow = sums - sums % 4, n - n % 16, n - n % 8
    for p in range(0, wide, 16):
        for k in range(0, fours, 4):
            _4_by_16(x, first + p, weights, k, out, p)
        for k in range(fours, sums):
            _1_by_16(x, first + p, weights, k, out, p)
    for p in range(wide, narrow, 8):
        for k in range(0, fours, 4):
            _4_by_8(x, first + p, weights, k, out, p)
        for k in range(fours, sums):
            _1_by_8(x, first + p, weights, k, out, p)
    for p in range(narrow, n):
        for k in range(0, fours, 4):
            _4_by_1(x, first + p, weights, k, out, p)
        for k in range(fours, sums):
            _1_by_1(x, first + p, weights, k, out, p)
