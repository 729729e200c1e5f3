"""Scores of several answers beside each other, as a table for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from FewShotSegLib.demo.yardsticks import Answer
from FewShotSegLib.evaluation.runner import score_labels
from FewShotSegLib.volume import Volume

NOT_ACCURACY = (
    "The reference is another network's output, not an expert's contours: the figures tell how well the methods agree "
    "with it on the unpainted slices, not how accurate they are."
)


@dataclass(frozen=True)
class Score:
    """One structure, one method; None where there is nothing to measure.

    Attributes:
        dice: Overlap, 0 to 1.
        hd95: 95th percentile of the distances between the surfaces, mm.
    """

    dice: float | None
    hd95: float | None


@dataclass(frozen=True)
class MethodScores:
    """All scores of one method.

    Attributes:
        method: Its name.
        seconds: Time for all structures together.
        scores: By label value.
    """

    method: str
    seconds: float
    scores: dict[int, Score]

    @property
    def mean(self) -> Score:
        """Means over the structures that could be measured."""
        return Score(
            _mean([score.dice for score in self.scores.values()]), _mean([score.hd95 for score in self.scores.values()])
        )

    @property
    def seconds_per_structure(self) -> float:
        """Time shared out evenly: the methods treat all structures together."""
        return self.seconds / len(self.scores)


def score_answer(answer: Answer, reference: Volume, painted: Sequence[int]) -> MethodScores:
    """Compare an answer with the reference on the slices that were not painted."""
    unpainted = sorted(set(range(reference.array.shape[0])) - set(painted))
    figures = score_labels(answer.labels, reference.array, reference.names, unpainted, reference.spacing)
    scores = {value: Score(found["dice"], found["hd95_mm"]) for value, found in figures.items()}
    return MethodScores(answer.method, answer.seconds, scores)


def as_table(methods: Sequence[MethodScores], names: Mapping[int, str]) -> str:
    """A Markdown table that also reads well in a terminal: a row per structure, a column per method."""
    header = ["Dice / HD95 (mm)", *(method.method for method in methods)]
    rows = [[name, *(_cell(method.scores[value]) for method in methods)] for value, name in names.items()]
    rows.append(["mean", *(_cell(method.mean) for method in methods)])
    rows.append(["seconds per structure", *(f"{method.seconds_per_structure:.2f}" for method in methods)])
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    lines = [_line(header, widths), "|" + "|".join(_rule(width, column) for column, width in enumerate(widths)) + "|"]
    return "\n".join([*lines, *(_line(row, widths) for row in rows)])


def as_json(methods: Sequence[MethodScores], names: Mapping[int, str], painted: Sequence[int]) -> dict[str, Any]:
    """The same figures, unrounded, for programs."""
    return {
        "note": NOT_ACCURACY,
        "painted_slices": list(painted),
        "methods": [
            {
                "name": method.method,
                "seconds": method.seconds,
                "mean": asdict(method.mean),
                "structures": {names[value]: asdict(score) for value, score in method.scores.items()},
            }
            for method in methods
        ],
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _cell(score: Score) -> str:
    overlap = "–" if score.dice is None else f"{score.dice:.3f}"
    distance = "–" if score.hd95 is None else f"{score.hd95:.1f}"
    return f"{overlap} / {distance:>4}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cells[0].ljust(widths[0]),
        *(cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)),
    ]
    return "| " + " | ".join(padded) + " |"


def _rule(width: int, column: int) -> str:
    """The line under the header; a colon at its end aligns numbers to the right."""
    return "-" * (width + 2) if column == 0 else "-" * (width + 1) + ":"
