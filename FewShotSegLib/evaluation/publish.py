"""Gathers finished runs into a folder to keep: ``python -m FewShotSegLib.evaluation.publish RUN ... --output DIR``.

Needs neither data nor weights. What the folder holds already is kept where no run has newer figures of the same
episode, so that a part can be measured again alone. Raw results are packed (``results.jsonl.xz``, JSON lines); pictures
go into a folder of their own, which stays out of git since this command draws them again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from FewShotSegLib.evaluation import engine, plots, registry, run_info, speed, speed_busy
from FewShotSegLib.evaluation.baselines import method as baselines
from FewShotSegLib.evaluation.requirements import MissingPackageError
from FewShotSegLib.evaluation.results import PACKED, Record, ResultsFile, pack
from FewShotSegLib.evaluation.tables import all_tables

DIGITS = 5
"""Decimals that are kept of every figure."""
FAMILIES = {
    "results": "The model and its peers",
    "ablation": "The model without its parts",
    "baselines": "Networks trained for an equal budget",
}
"""Name of each file of raw results and title of its tables."""
README = "README.md"
TIMED = "W-3"
"""Protocol of the plot of accuracy against time."""
PICTURES = "pictures"
"""Folder of plots and sheets beside the tables."""
TAKEN_OVER = "sheet_*.png"
"""What is taken over from the runs' folders as it is; of several the last one's."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses the command line and gathers.

    Returns:
        0; 1 where a folder is missing or there are no results at all.
    """
    parser = argparse.ArgumentParser(prog="python -m FewShotSegLib.evaluation.publish", description=__doc__)
    add = parser.add_argument
    add("runs", type=Path, nargs="*", metavar="RUN", help="output folders of the benchmark; the last one counts")
    add("--output", type=Path, required=True, metavar="DIR", help="folder to keep results, tables and plots in")
    args = parser.parse_args(arguments)
    missing = [folder for folder in args.runs if not folder.is_dir()]
    if missing:
        print(f"error: there is no folder {missing[0]}", file=sys.stderr)
        return 1
    records, runs = gather([args.output, *args.runs])
    if not records:
        print(f"error: there are no results in {', '.join(map(str, [args.output, *args.runs]))}", file=sys.stderr)
        return 1
    args.output.mkdir(parents=True, exist_ok=True)
    for folder in (run for run in args.runs if not run.samefile(args.output)):
        for file in sorted(folder.glob(TAKEN_OVER)):
            (args.output / PICTURES).mkdir(exist_ok=True)
            shutil.copyfile(file, args.output / PICTURES / file.name)
    gather_speed(args.runs, args.output)
    write_speed(args.output)
    write(records, runs, args.output)
    return 0


def gather(folders: Iterable[Path]) -> tuple[list[Record], dict[str, dict[str, Any]]]:
    """Reads results and the conditions of their runs.

    Args:
        folders: Output folders; the last one's figures of an episode count, and of a method with weights only those of
            its last weights on a set under a protocol.

    Returns:
        Records, sorted, and of every run that they name the entry of ``runs.jsonl``.
    """
    found: dict[str, Record] = {}
    runs: dict[str, dict[str, Any]] = {}
    weights: dict[tuple[str, ...], str] = {}
    for folder in folders:
        for family in FAMILIES:
            for key, record in (ResultsFile(folder, f"{family}.jsonl").finished() if folder.is_dir() else {}).items():
                found[key] = record
                weights[row_of(record)] = record["weights"]
        conditions = folder / run_info.FILE
        for line in conditions.read_text(encoding="utf-8").splitlines() if conditions.is_file() else ():
            entry = json.loads(line)
            runs[entry["run"]] = entry
    # The ablation's variants share the model's weights: those of other weights are of another model.
    for method, *where in weights:
        if engine.is_variant(method) and (engine.MODEL, *where) in weights:
            weights[method, *where] = weights[engine.MODEL, *where]
    kept = [rounded(record) for record in found.values() if record["weights"] == weights[row_of(record)]]
    kept.sort(key=lambda r: (r["dataset"], r["protocol"], registry_order(r["method"]), r["episode"]))
    named = {record["run"] for record in kept}
    return kept, {name: entry for name, entry in runs.items() if name in named}


def row_of(record: Record) -> tuple[str, ...]:
    """What a row of the tables is of, but for the weights: method, set and protocol."""
    return record["method"], record["dataset"], record["protocol"]


def registry_order(method: str) -> tuple[int, str]:
    """Sorts methods as the command line lists them, those of in-domain weights last."""
    names = registry.METHOD_NAMES
    return (names.index(method) if method in names else len(names)), method


def rounded(value: Any) -> Any:
    """The same structure with all floats rounded to `DIGITS` decimals."""
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, Mapping):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return value


def write(records: Sequence[Record], runs: Mapping[str, Mapping[str, Any]], folder: Path) -> None:
    """Writes raw results, conditions, tables and plots."""
    by_family: dict[str, list[Record]] = {family: [] for family in FAMILIES}
    for record in records:
        by_family[family_of(record["method"])].append(record)
    main_page = ""
    for family, members in by_family.items():
        if not members:
            continue
        plain = folder / f"{family}.jsonl"
        _replace(plain.with_name(plain.name + PACKED), pack(_lines(members)))
        plain.unlink(missing_ok=True)  # of a folder of before results were packed
        reference = baselines.METHOD_NAMES[0] if family == "baselines" else engine.MODEL
        shown = [*_same_episodes(by_family["results"], members), *members] if family == "ablation" else members
        page = f"{all_tables(shown, reference, FAMILIES[family])}\n{conditions_section(shown, runs)}"
        if family == "results":
            main_page = page.replace("# ", "## ", 1)
        else:
            _replace(folder / f"{family}.md", page)
    _replace(folder / run_info.FILE, _lines(sorted(runs.values(), key=lambda entry: str(entry["began"]))))
    try:
        pictures = folder / PICTURES
        plots.draw_against_slices(by_family["results"], pictures / "dice_against_slices.png")
        timed = [record for record in by_family["results"] if record["protocol"] == TIMED]
        plots.draw_against_time(timed, pictures / "dice_against_time.png")
        plots.draw_corrections(by_family["results"], pictures / plots.CORRECTIONS)
    except MissingPackageError as error:
        print(f"no plots: {error}", file=sys.stderr)
    _replace(folder / README, f"{contents(folder)}\n{main_page}")


def gather_speed(folders: Sequence[Path], output: Path) -> None:
    """Adds measurements of speed to those kept; a case that is measured again is replaced whole.

    Seconds of one case, of whichever method, are so of one machine, and its ratios of one run.
    """
    for file in (speed.FILE, speed_busy.FILE):
        kept = speed.by_case(ResultsFile(output, file).finished().values())
        found = kept
        for folder in folders:
            found = found | speed.by_case(ResultsFile(folder, file).finished().values())
        if found != kept:
            _replace(output / file, _lines(record for members in found.values() for record in members))


def write_speed(folder: Path) -> None:
    """Writes the table and the growth curves of all measurements of speed that a folder holds, of whichever repeat."""
    measured = speed.measured_alike(folder)
    if not measured:
        return
    measured.sort(key=lambda record: bool(record["curve"]))  # real cases first, else as they were measured
    beside = ResultsFile(folder, speed_busy.FILE).finished().values()
    _replace(folder / speed.TABLES, speed.to_markdown(measured) + speed_busy.to_markdown(beside))
    try:
        plots.draw_growth(measured, folder / PICTURES / "growth.png")
    except MissingPackageError as error:
        print(f"no plot of growth: {error}", file=sys.stderr)


def _same_episodes(records: Iterable[Record], others: Iterable[Record]) -> list[Record]:
    """The model as it is, on the episodes of others."""
    places = {(r["dataset"], r["protocol"], r["episode"]) for r in others}
    whole = (record for record in records if record["method"] == engine.MODEL)
    return [record for record in whole if (record["dataset"], record["protocol"], record["episode"]) in places]


def _lines(entries: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(entry, sort_keys=True) + "\n" for entry in entries)


def contents(folder: Path) -> str:
    """Markdown of what lies in a folder beside its README, and of how its pictures are made."""
    pages = [file.name for file in sorted(folder.glob("*.md")) if file.name != README]
    lines = ["Further tables: " + ", ".join(f"[{name}]({name})" for name in pages)] if pages else []
    lines.append(
        f"Raw figures: `*.jsonl{PACKED}`, JSON lines, one an episode. Plots and picture sheets are not kept in git: "
        f"`python -m FewShotSegLib.evaluation.publish --output` with this folder draws the plots into `{PICTURES}/`; "
        "sheets of worst and median cases come from `fewshotseg benchmark --pictures`."
    )
    return "\n\n".join(["# Results", *lines]) + "\n"


def family_of(method: str) -> str:
    """Key of `FAMILIES`."""
    if engine.is_variant(method):
        return "ablation"
    return "baselines" if method in baselines.METHOD_NAMES else "results"


def conditions_section(records: Iterable[Record], runs: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown that says when and how the records were measured, a line a run."""
    methods: dict[str, set[str]] = {}
    protocols: dict[str, set[str]] = {}
    for record in records:
        methods.setdefault(record["run"], set()).add(record["method"])
        protocols.setdefault(record["run"], set()).add(record["protocol"])
    lines = []
    for name in sorted(methods, key=lambda name: str(runs.get(name, {}).get("began", ""))):
        entry = runs.get(name)
        what = f"{', '.join(sorted(methods[name]))}: {', '.join(sorted(protocols[name]))}"
        how = f"{entry['began'][:10]}, {entry['jobs']} x {entry['threads']} threads" if entry else "conditions unknown"
        code = f", engine {str(entry['engine'])[:8]}" if entry else ""
        lines.append(f"* `{name}` ({how}{code}): {what}")
    return "## Runs\n\n" + "\n".join(lines) + "\n"


def _replace(path: Path, content: str | bytes) -> None:
    part = path.with_name(path.name + ".part")
    part.write_bytes(content.encode() if isinstance(content, str) else content)
    os.replace(part, path)


if __name__ == "__main__":
    sys.exit(main())
