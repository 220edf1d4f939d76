"""Write the golden vectors: what a head holds and answers after every step of a fixed course of teaching.

    python tests/golden/make.py

Another implementation of the head, or a later version of this one, must reach the same bytes. The embeddings are
small whole numbers from a linear congruential generator, so that any language can make them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_imprint import ImprintHead, __version__, snapshot
from edge_imprint.head import codec

FOLDER = Path(__file__).parent
MULTIPLIER, INCREMENT = 6364136223846793005, 1442695040888963407
# Dimension, budgets of the two heads, number of steps.
COURSES = [(64, (6000, 8192), 200), (256, (20000, 65536), 160), (1024, (65536, 65536), 100)]
QUERIES = 4


class Numbers:
    """s = s * 6364136223846793005 + 1442695040888963407 modulo 2^64; each number is the top 8 bits, signed."""

    def __init__(self, seed: int) -> None:
        self.state = seed

    def next(self) -> int:
        self.state = (self.state * MULTIPLIER + INCREMENT) % (1 << 64)
        top = self.state >> 56
        return top - 256 if top > 127 else top

    def row(self, dim: int) -> NDArray[np.int64]:
        return np.array([self.next() for _ in range(dim)], np.int64)


def shots(dim: int, step: dict[str, Any]) -> NDArray[np.int16]:
    """The embeddings of a step: 2 * clump + noise, from the step's own seed; `spread` 0 repeats one shot."""
    numbers = Numbers(step["seed"])
    rows = []
    for _ in range(step["shots"]):
        clump = numbers.next() % step["clumps"]
        centre = Numbers(1000 * step["class"] + clump).row(dim)
        noise = numbers.row(dim) if step["spread"] else 0
        rows.append(2 * centre + noise)
    return np.array(rows, np.int16)


def run(dim: int, budgets: list[int], steps: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Do the steps and give, after each, the SHA-256 of the changed head's snapshot and what it answers."""
    heads = [ImprintHead(dim, budget, max_proxies=8) for budget in budgets]
    for step in steps:
        head = heads[step["head"]]
        if step["do"] == "learn":
            head.partial_fit(shots(dim, step), step["label"])
        elif step["do"] == "forget":
            head.forget(step["label"])
        elif step["do"] == "undo":
            head.undo()
        elif step["do"] == "merge":
            head.merge(heads[1 - step["head"]])
        elif step["do"] == "reload":
            parts = snapshot.decode(snapshot.encode(codec.sections(head, None)))
            heads[step["head"]] = head = codec.head_from(ImprintHead, parts)
        found: dict[str, Any] = {"sha256": hashlib.sha256(snapshot.encode(codec.sections(head, None))).hexdigest()}
        if step["do"] == "predict":
            x = shots(dim, step)
            found["labels"] = head.predict(x).tolist()
            # Cosines as whole 2^-20: float32 holds them, and the last bits of a division are no matter of bytes.
            found["cosines_q20"] = np.rint(head.decision_function(x).max(axis=1) * (1 << 20)).astype(int).tolist()
        yield found


def course(dim: int, count: int) -> list[dict[str, Any]]:
    """Mostly shots of classes old and new, and now and then something else."""
    numbers = Numbers(dim)
    pick = lambda n: (numbers.next() & 127) % n  # noqa: E731
    labels: list[set[Any]] = [set(), set()]
    steps: list[dict[str, Any]] = []
    fits = 6
    for number in range(count):
        head = int(pick(5) == 0)
        taught = labels[head]
        kind = pick(20)
        last = steps[-1] if steps else {}
        step: dict[str, Any] = {"do": "learn", "head": head}
        if last.get("do") == "learn" and last["head"] == head and kind < 4 and last["label"] in taught:
            step["do"] = "undo"
            if last["new"] and last["shots"] == 1:
                taught.discard(last["label"])
        elif kind == 4 and len(taught) > 2:
            step |= {"do": "forget", "label": sorted(taught, key=str)[pick(len(taught))]}
            taught.discard(step["label"])
        elif kind == 5 and head == 0 and len(labels[0] | labels[1]) <= fits:
            step["do"] = "merge"
            labels[0] |= labels[1]
        elif kind == 6:
            step["do"] = "reload"
        elif kind in (7, 8) and taught:
            step |= {"do": "predict", "class": pick(fits), "seed": number, "shots": QUERIES, "clumps": 6, "spread": 1}
        else:
            number_of_class = pick(fits)
            label: Any = number_of_class if number_of_class % 3 == 0 else f"class {number_of_class}"
            step |= {"label": label, "new": label not in taught, "class": number_of_class, "seed": 7919 * number}
            step |= {"shots": 1 + pick(8), "clumps": 1 + number_of_class, "spread": int(pick(6) > 0)}
            taught.add(label)
        steps.append(step)
    return steps


def main() -> None:
    for dim, budgets, count in COURSES:
        steps = course(dim, count)
        found = run(dim, list(budgets), steps)
        document = {
            "written_by": f"edge-imprint {__version__}",
            "dim": dim,
            "budgets": list(budgets),
            "max_proxies": 8,
            "steps": [step | {"expect": expect} for step, expect in zip(steps, found, strict=True)],
        }
        lines = ",\n".join(json.dumps(step) for step in document.pop("steps"))
        head = json.dumps(document)[:-1]
        (FOLDER / f"head_{dim}.json").write_text(f'{head}, "steps": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
