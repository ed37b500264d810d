# SPDX-License-Identifier: GPL-3.0-or-later
"""How a detector writes an event: one kernel, so that none of them forgets a field."""

from dsp.kernel import kernel


@kernel
def write_event(event, ids, ref, time, emitted, kind, channel, label, number, value, confidence):
    """Fill an EVENT record and give it the next id, which is returned; `ids` (1,) is shared by all detectors."""
    ids[0] += 1
    event.id = ids[0]
    event.ref = ref
    event.time = time
    event.emitted = emitted
    event.kind = kind
    event.channel = channel
    event.label = label
    event.number = number
    event.value = value
    event.confidence = confidence
    return ids[0]
