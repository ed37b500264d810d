# SPDX-License-Identifier: GPL-3.0-or-later
"""Train the note ear: written and real music through many instruments, in many rooms, under drums and talk.

    python -m models.train.notes render DATA WORK [--hours 4] [--seed 3] [--part 0 --of 1]
    python -m models.train.notes train WORK [--minutes 60] [--device cpu]
    python -m models.train.notes export WORK
    python -m models.train.notes test DATA OUT

DATA holds `midi/pop909.zip` (POP909), `midi/groove.zip` (Groove MIDI Dataset), `drums/oneshots/KIT/...`
and `pitched/` (multisamples); further instruments come with Debian's timgm6mb-soundfont, csound-soundfont
and freepats, further drums with hydrogen-drumkits, talk with espeak-ng. Rendering and training can be stopped
and go on where they were; every draw is seeded. `export` writes the weights that ship. `test` writes what
none of it has heard: other songs (ASAP in `midi/asap.zip`, the last of POP909) by other soundfonts, with
every note in a MIDI file beside each sound.
"""

from pathlib import Path
from typing import Any

import numpy as np

from dsp.tones import CHANNELS
from models.train.note_corpus import Batch, Corpus, render_shards
from models.train.plan import Plan, command_line, options, paths, planned, rendering
from models.train.studio import SECONDS

PLAN = Plan(steps=20_000, minutes=240, rate=3e-3, steady=0.7, warm=60, keep=0.997, steepest=0.5)
WARM = 20  # frames of an example that are not judged
LOSSES = 1, 0.5, 1  # weights of onsets, of what sounds, of velocity


def targets(struck: Any, sounding: Any, lags: tuple[int, ...]) -> tuple[Any, Any, Any]:
    """What the heads shall say, and where they are judged, shape (size, TIME, PITCHES, lags + 1); velocities.

    An onset's head says yes `lag` frames after it and one more; beside that it is not judged. A pitch sounds
    one frame late; the frames around an onset are not judged.
    """
    import torch

    from models.train.fit import later

    on = struck > 0
    wanted, judged = [], []
    for lag in lags:
        yes = later(on, lag) | later(on, lag + 1)
        beside = later(on, lag + 2) | later(on, lag + 3)
        for before in range(max(lag - 2, 0), lag):
            beside |= later(on, before)
        wanted.append(yes)
        judged.append(yes | ~beside)
    fresh = on | later(on, 1) | later(on, 2)
    wanted.append(later(sounding, 1))
    judged.append(~fresh)
    hard = torch.stack(
        [torch.maximum(later(struck, lag), later(struck, lag + 1)) for lag in (lags[0], lags[-1])], -1
    )
    return torch.stack(wanted, -1), torch.stack(judged, -1), hard.amax(-1)


def train(work: Path, name: str, plan: Plan, size: int, seed: int) -> None:
    """Fit the net to the corpus, from its last checkpoint on."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits as entropy

    from models.train.fit import Fit, ahead
    from models.train.notenet import LAGS, SOUNDING, VELOCITY, NoteNet

    fit = Fit(work / f"{name}.pt", NoteNet, plan, seed)
    corpus = Corpus(work, seed + fit.done)
    print(f"{len(corpus.scenes) * SECONDS / 3600:.2f} h", flush=True)
    if fit.done == 0:
        some = np.concatenate([corpus.batch(16).x for _ in range(4)])
        fit.begin(some.transpose(0, 1, 3, 2).reshape(-1, CHANNELS))
    weight = torch.ones(SOUNDING + 1, device=plan.device)
    weight[:SOUNDING] = 2

    def losses(net: Any, batch: Batch) -> list[Any]:
        x, struck, sounding = (torch.from_numpy(part).to(plan.device) for part in batch)
        wanted, judged, hard = (part[:, WARM:] for part in targets(struck, sounding, LAGS))
        y = net(x)[:, WARM:].float()
        raw = entropy(
            y[..., :VELOCITY], wanted.float(), weight=judged, pos_weight=weight, reduction="none"
        ).mean((0, 1, 2))
        known = hard > 0
        told = (torch.sigmoid(y[..., VELOCITY]) - hard) ** 2
        return [raw[:SOUNDING].sum(), raw[SOUNDING], (told * known).sum() / known.sum().clamp(min=1)]

    fit.run(ahead(lambda: corpus.batch(size), 3), losses, LOSSES)


def main() -> None:
    parser, tasks = command_line(__doc__)
    rendering(tasks.add_parser("render"), hours=4, seed=3)
    task = tasks.add_parser("train")
    options(task, "notes", batch=4, plan=PLAN)
    task = paths(tasks.add_parser("export"), "work")
    task.add_argument("--name", default="notes")
    task = paths(tasks.add_parser("test"), "data", "out")
    args = parser.parse_args()
    if args.verb == "render":
        render_shards(args.data, args.work, args.hours, args.seed, args.part, args.of)
    elif args.verb == "train":
        train(args.work, args.name, planned(args, PLAN), args.batch, args.seed)
    elif args.verb == "test":
        from models.train.recital import render_test

        render_test(args.data, args.out)
    else:
        from models.train.note_export import export

        export(args.work, args.name)


if __name__ == "__main__":
    main()
