"""``fewshotseg benchmark --speed``: the engine beside Slicer's two fillers, each measurement in a process of its own.

For every case and repeat the methods run one after another, so that a ratio compares times that were taken side by
side. Raw figures go to ``speed.jsonl`` as they come, and a run that is called again goes on with what is missing.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from FewShotSegLib.evaluation.engine import FAST_MODEL, MODEL
from FewShotSegLib.evaluation.report import number, table
from FewShotSegLib.evaluation.results import ResultsFile
from FewShotSegLib.evaluation.speed_cases import GROWTH, SpeedCase

Record = dict[str, Any]
"""One measurement: key, method, case, repeat, and what `speed_worker.measure` gives, or error."""

ENGINES = (MODEL, FAST_MODEL)
METHODS = (*ENGINES, "grow", "fill")
REPEATS = 5
FILE, TABLES = "speed.jsonl", "speed.md"
NOTES = """\
Median over repeats. First: seconds to the first result. Next: to a result with one more painted slice, with everything
kept that the method can keep; gap: until then the slices of the gap that it splits are shown. Ratio: the engine's
seconds by the other's in the same repeat, median over repeats; below 1 the engine is faster. Weights: the engine's, by
their checksum. MiB: the process's resident memory at most, with the volume and all packages; a process each.
"""


@dataclass(frozen=True)
class SpeedPlan:
    """What is measured.

    Attributes:
        data: Data folder, for cases of data sets.
        output: Folder of the raw figures and tables.
        cases: Volumes.
        weights: Weights file of the engine, None for the bundled ones.
        checksum: Of these weights.
        device: Of the engine.
        threads: Of each process.
        repeats: Measurements of each method on each case.
        methods: Names.
        run: Identifier of the run.
    """

    data: Path
    output: Path
    cases: Sequence[SpeedCase]
    weights: Path | None = None
    checksum: str = ""
    device: str = "cpu"
    threads: int = 2
    repeats: int = REPEATS
    methods: Sequence[str] = METHODS
    run: str = ""

    def key(self, method: str, case: SpeedCase, repeat: int) -> str:
        """What makes a measurement the same one."""
        weights = self.checksum[:16] if method in ENGINES else ""
        return "|".join([method, weights, self.device, str(self.threads), json.dumps(asdict(case)), str(repeat)])


def measure_all(plan: SpeedPlan, fresh: bool = False) -> tuple[list[Record], int]:
    """Runs what is missing.

    Args:
        plan: What to measure.
        fresh: Whether to measure again what is there.

    Returns:
        The records of the plan, and the number of measurements that failed.
    """
    results = ResultsFile(plan.output, FILE)
    results.start_new_line()
    done = {} if fresh else results.finished()
    order = [(r, case, method) for r in range(plan.repeats) for case in plan.cases for method in plan.methods]
    failed = 0
    for count, (repeat, case, method) in enumerate(order, start=1):
        key = plan.key(method, case, repeat)
        if key in done:
            continue
        about = {"key": key, "method": method, "case": case.name, "repeat": repeat, "run": plan.run}
        fixed = {"threads": plan.threads, "device": plan.device, "curve": case.curve, "at": case.at}
        record = about | fixed | in_a_process(plan, method, case)
        results.append(record)
        failed += "error" in record
        what = record.get("error") or f"first {record['first_s']:.2f} s, next {record['next_s']:.2f} s"
        print(f"[{count}/{len(order)}] {case.name}, {method}: {what}", file=sys.stderr, flush=True)
    wanted = {plan.key(method, case, repeat) for repeat, case, method in order}
    return [record for key, record in results.finished().items() if key in wanted], failed


def measured_alike(folder: Path) -> list[Record]:
    """Good measurements in a folder; of a method on a case only those with its last one's weights, device, threads."""
    found = ResultsFile(folder, FILE).finished()
    conditions = {key: key.split("|{", 1)[0] for key in found}
    last = {(record["method"], record["case"]): conditions[key] for key, record in found.items()}
    return [record for key, record in found.items() if conditions[key] == last[record["method"], record["case"]]]


def by_case(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Measurements by the name of their case, in their order."""
    cases: dict[str, list[Record]] = {}
    for record in records:
        cases.setdefault(record["case"], []).append(record)
    return cases


def weights_of(records: Iterable[Record]) -> str:
    """The beginnings of the checksums of the weights that measurements are of, as their keys have them."""
    found = {record["key"].split("|")[1][:8] for record in records if "key" in record}
    return ", ".join(sorted(found - {""})) or "–"


def in_a_process(plan: SpeedPlan, method: str, case: SpeedCase) -> Record:
    """One measurement; "error" with the process's last words where it failed."""
    weights = None if plan.weights is None else str(plan.weights)
    request: dict[str, Any] = {"method": method, "case": asdict(case), "data": str(plan.data), "weights": weights}
    request |= {"device": plan.device, "threads": plan.threads}
    done = subprocess.run(
        [sys.executable, "-m", "FewShotSegLib.evaluation.speed_worker"],
        input=json.dumps(request), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        return {"error": lines[-1] if lines else f"exit code {done.returncode}"}
    return json.loads(done.stdout.strip().splitlines()[-1])


def to_markdown(records: Iterable[Record], methods: Sequence[str] = METHODS) -> str:
    """A table of all cases and points of growth curves, and one of the engine's ratios to the others."""
    times = (("first", "first_s"), ("next", "next_s"))
    pairs = [(ours, other) for ours in ENGINES if ours in methods for other in methods if other not in ENGINES]
    header = ["Case", "Weights", "Repeats"]
    header += [f"{name}, {what}" for what in ("first s", "gap s", "next s", "MiB") for name in methods]
    ratio_header = ["Case", *(f"{what}: {ours} / {other}" for what, _ in times for ours, other in pairs)]
    rows, ratio_rows = [], []
    for case, measured in by_case(records).items():
        found: dict[str, list[Record]] = {}
        for record in measured:
            found.setdefault(record["method"], []).append(record)
        repeats = max(len(members) for members in found.values())
        row = [case, weights_of(measured), str(repeats)]
        for field, digits in (("first_s", 2), ("near_s", 2), ("next_s", 2), ("peak_mib", 0)):
            row += [number(middle(found.get(name, []), field), digits) for name in methods]
        rows.append(row)
        ratios = [ratio(found.get(a, []), found.get(b, []), field) for _, field in times for a, b in pairs]
        ratio_rows.append([case, *(number(value, 2) for value in ratios)])
    text = f"# Speed\n\n{NOTES}\n{table(header, rows)}\n"
    return f"{text}\n## Ratios\n\n{table(ratio_header, ratio_rows)}\n" if pairs else text


def middle(records: Sequence[Record], field: str) -> float | None:
    """Median of a figure; None where it was not measured."""
    values = [record[field] for record in records if record.get(field) is not None]
    return median(values) if values else None


def ratio(first: Sequence[Record], second: Sequence[Record], field: str) -> float | None:
    """Median over repeats of the first's figure by the second's in the same repeat; None without a common repeat."""
    others = {record["repeat"]: record[field] for record in second}
    ratios = [record[field] / others[record["repeat"]] for record in first if others.get(record["repeat"])]
    return median(ratios) if ratios else None


def growth_points(records: Iterable[Record]) -> dict[tuple[str, str], list[tuple[int, float, float | None]]]:
    """Points of the growth curves.

    Returns:
        (curve, method) -> (place on the curve, median seconds of the first result, median peak MiB), by place.
    """
    groups: dict[tuple[str, str, int], list[Record]] = {}
    for record in records:
        if record["curve"] in GROWTH:
            groups.setdefault((record["curve"], record["method"], record["at"]), []).append(record)
    points: dict[tuple[str, str], list[tuple[int, float, float | None]]] = {}
    for (curve, method, at), members in sorted(groups.items()):
        seconds = middle(members, "first_s")
        if seconds is not None:
            points.setdefault((curve, method), []).append((at, seconds, middle(members, "peak_mib")))
    return points
