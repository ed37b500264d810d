# SPDX-License-Identifier: GPL-3.0-or-later
"""Ground floor: streaming kernels. No I/O, clock, thread or logging."""
