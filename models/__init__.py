# SPDX-License-Identifier: GPL-3.0-or-later
"""First floor: what the kernels are composed into, and learned stages."""
