# SPDX-License-Identifier: GPL-3.0-or-later
"""Train the drum ear: real drummers' performances on many kits, in many rooms, under much music.

    python -m models.train.drums render DATA WORK [--hours 8] [--seed 1] [--part 0 --of 2]
    python -m models.train.drums train WORK [--steps 8000] [--device cpu] [--warm] [--name A]
    python -m models.train.drums export WORK [--name A B]
    python -m models.train.drums test DATA OUT

DATA holds `drums/oneshots/KIT/...`, `midi/groove.zip` (Groove MIDI Dataset) and `midi/pop909.zip`
(POP909); further kits come with Debian's hydrogen-drumkits, fluid-soundfont-gm and
musescore-general-soundfont. Rendering and training can be stopped and go on where they were; every draw
is seeded. `export` writes the weights that ship; what corrects them is learned after (`models.train.hitnet`).
`test` writes what none of it has heard: other drummers on other kits, with what was struck and how hard
beside each file.
"""

from pathlib import Path
from typing import Any

import numpy as np

from dsp.bands import FRAME, INPUTS
from dsp.events import LABELS
from dsp.units import RATE
from models.train.drum_corpus import FRAMES, PRE, TIME, Corpus, render_shards
from models.train.kits import PIECES, shelf
from models.train.plan import Plan, command_line, options, paths, planned, rendering
from models.train.studio import FAMILIES, SECONDS, performances, rearranged, render

PLAN = Plan(steps=8000, rate=2e-3)
WARM = 64  # frames of an example that are not judged
LONGEST = (FRAMES - PRE) * FRAME / RATE  # of an example [s]
LOSSES = 1, 0.06, 0.3  # weights of what is struck, its label, its velocity
METAL = (FAMILIES.index("hat"), FAMILIES.index("cymbal"))
FAMILY_OF_LABEL = np.array([FAMILIES.index(label.family) for label in LABELS])


def _shipped() -> dict[str, Any]:
    """The weights that ship, by the names of the net in training."""
    import torch

    from models.drums import weights

    names = {
        "conv_s.w": "conv_s.weight", "conv_s.b": "conv_s.bias", "conv_l.w": "conv_l.weight", "conv_l.b": "conv_l.bias",
        "dense.w": "dense.weight", "dense.b": "dense.bias", "conv_t.w": "conv_t.weight", "conv_t.b": "conv_t.bias",
        "gru.w_ih": "gru.weight_ih_l0", "gru.w_hh": "gru.weight_hh_l0", "gru.b_ih": "gru.bias_ih_l0",
        "gru.b_hh": "gru.bias_hh_l0", "mu": "mu", "sd": "sd",
    }  # fmt: skip
    arrays = weights()
    state = {ours: torch.tensor(arrays[theirs]) for theirs, ours in names.items()}
    state["head.weight"] = torch.tensor(arrays["head.w"]).flatten(0, 1)
    state["head.bias"] = torch.tensor(arrays["head.b"]).flatten()
    return state


def train(work: Path, name: str, plan: Plan, size: int, seconds: float, seed: int, warm: bool) -> None:
    """Fit the net to the corpus, from its last checkpoint on; `warm` begins with the weights that ship."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits as entropy

    from models.train.drumnet import DETECT, LAGS, DrumNet
    from models.train.fit import Fit, ahead

    fit = Fit(work / f"{name}.pt", DrumNet, plan, seed)
    corpus = Corpus(work, seed + fit.done, round(seconds * RATE / FRAME))
    print(f"{len(corpus.drums) * SECONDS / 3600:.1f} h", flush=True)
    if fit.done == 0 and warm:
        fit.net.load_state_dict(_shipped())
    elif fit.done == 0:
        fit.begin(np.concatenate([corpus.batch(32)[0] for _ in range(6)]).reshape(-1, INPUTS), 0.1)
    families = torch.tensor(FAMILY_OF_LABEL, device=plan.device)
    weight = torch.full((DETECT,), 2.5, device=plan.device)
    rarity = torch.tensor(corpus.rarity(), device=plan.device)

    def losses(net: Any, batch: tuple[np.ndarray, np.ndarray, np.ndarray]) -> list[Any]:
        x, onsets, velocity = (torch.from_numpy(part).to(plan.device) for part in batch)
        y = net(x)[:, WARM:].float()
        sums: list[Any] = [0.0, 0.0, 0.0]
        for i, lag in enumerate(LAGS):
            judged = (part[:, WARM:] for part in targets(onsets, velocity, lag, rarity))
            target, known, named, names, hard = judged
            out = y[:, :, i]
            sums[0] += entropy(out[..., :DETECT], target, weight=known, pos_weight=weight)
            raw = entropy(out[..., DETECT : -len(FAMILIES)], names, reduction="none")
            named = named[..., families]
            sums[1] += (raw * named).sum() / named.sum().clamp(min=1)
            struck = hard > 0
            told = (out[..., -len(FAMILIES) :] - hard) ** 2
            sums[2] += (told * struck).sum() / struck.sum().clamp(min=1)
        return sums

    fit.run(ahead(lambda: corpus.batch(size)), losses, LOSSES)


def targets(onsets, velocity, lag: int, rarity):  # type: ignore[no-untyped-def]
    """What the head of `lag` shall say: yes `lag` frames after an onset and one more; what lies beside is not judged.

    Returns detection (families and metal) and where it is judged, what labels weigh where they are
    known, by family, labels, velocities.
    """
    import torch

    from models.train.fit import later

    count = len(LABELS)
    families = onsets[..., count:]
    metal = families[..., list(METAL)].amax(-1, keepdim=True)
    hidden = torch.cat([families, families[..., list(METAL)].amin(-1, keepdim=True)], -1) < 0
    struck = torch.cat([families, metal], -1) > 0

    on = later(struck, lag) | later(struck, lag + 1)
    beside = later(struck, lag + 2) | later(struck, lag + 3)
    beside |= later(hidden, lag) | later(hidden, lag + 1) | later(hidden, lag + 2)
    if lag > 1:
        beside |= later(struck, lag - 1)
    names = later(onsets[..., :count] > 0, lag) | later(onsets[..., :count] > 0, lag + 1)
    labelled = torch.zeros_like(struck[..., : len(FAMILIES)], dtype=torch.float32)
    for family in range(len(FAMILIES)):
        rows = [i for i, f in enumerate(FAMILY_OF_LABEL) if f == family]
        labelled[..., family] = (names[..., rows] * rarity[rows]).amax(-1)
    hard = torch.maximum(later(velocity, lag), later(velocity, lag + 1))
    return on.float(), (~beside | on).float(), labelled, names.float(), hard


def render_test(data: Path, out: Path, count: int, harsh: bool) -> None:
    """Performances of drummers never trained on, played on kits never trained on, with their annotation."""
    import soundfile as sf

    out.mkdir(parents=True, exist_ok=True)
    kits = shelf(None, held_out=True)
    homes = sorted(set(kits["snare"]) | (set(kits["hat-closed"]) & set(kits["kick"])))
    for i in range(count):
        rng = np.random.default_rng([2, i])
        played = next(performances(data / "midi" / "groove.zip", rng, test=True))
        sound, hits = render(
            rearranged(played, rng), kits, rng, plain=True, harsh=harsh, kit=homes[i % len(homes)]
        )
        sf.write(out / f"{i:03d}.flac", sound, RATE)
        rows = [f"{h['start'] / RATE:.6f}\t{PIECES[h['piece']]}\t{h['velocity']:.3f}" for h in hits]
        (out / f"{i:03d}.txt").write_text("\n".join(rows) + "\n")


def main() -> None:
    parser, tasks = command_line(__doc__)
    rendering(tasks.add_parser("render"), hours=8, seed=1)
    task = tasks.add_parser("train")
    options(task, "drums", batch=8, plan=PLAN)
    task.add_argument("--seconds", type=float, default=TIME * FRAME / RATE, help="of an example")
    task.add_argument("--warm", action="store_true", help="begin with the weights that ship")
    task = paths(tasks.add_parser("export"), "work")
    task.add_argument("--name", nargs="+", default=["drums"], help="of several that began alike, their mean")
    task = paths(tasks.add_parser("test"), "data", "out")
    task.add_argument("--count", type=int, default=40)
    task.add_argument("--harsh", action="store_true", help="through a bad day at the desk as well")
    args = parser.parse_args()
    if args.verb == "train" and not WARM * FRAME / RATE < args.seconds < LONGEST:
        parser.error(f"--seconds {args.seconds:g}: an example lasts {WARM * FRAME / RATE:g} to {LONGEST:g} s")
    if args.verb == "render":
        render_shards(args.data, args.work, args.hours, args.seed, args.part, args.of)
    elif args.verb == "train":
        train(args.work, args.name, planned(args, PLAN), args.batch, args.seconds, args.seed, args.warm)
    elif args.verb == "test":
        render_test(args.data, args.out, args.count, args.harsh)
    else:
        from models.train.drum_export import export

        export(args.work, args.name)


if __name__ == "__main__":
    main()
