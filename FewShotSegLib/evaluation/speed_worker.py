"""One measurement in a process of its own: ``python -m FewShotSegLib.evaluation.speed_worker`` reads it as JSON.

A fresh process has no caches of an earlier method, and its memory high-water mark is the method's alone.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from FewShotSegLib import threads
from FewShotSegLib.evaluation.methods import Method
from FewShotSegLib.evaluation.peers import GrowFromSeeds
from FewShotSegLib.evaluation.registry import Ingredients, make_method
from FewShotSegLib.evaluation.resources import process_peak
from FewShotSegLib.evaluation.sessions import session_of
from FewShotSegLib.evaluation.speed_cases import SpeedCase, load


def measure(request: Mapping[str, Any]) -> dict[str, Any]:
    """Measures a method on a case.

    Args:
        request: method, case (fields of `SpeedCase`), data, weights (or None), device, threads.

    Returns:
        prepare_s: loading packages and weights; first_s: first result; next_s: result with one more example,
        everything kept that the method can keep; near_s: until then the slices of the gap that it splits were there,
        None where the method gives the whole alone; loaded_mib: process's peak with the volume and all packages;
        peak_mib: at the end.
    """
    fields = dict(request["case"])
    case = SpeedCase(**{**fields, "shape": tuple(fields["shape"])})
    volume, examples, more = load(case, Path(request["data"]))
    weights = None if request["weights"] is None else Path(request["weights"])
    start = time.perf_counter()
    method = _make(request["method"], Ingredients(weights, device=request["device"]))
    if method.is_network:
        threads.use(request["threads"])
    method.prepare()
    prepared = time.perf_counter()
    loaded = process_peak()
    session = session_of(method, volume)
    begin = time.perf_counter()
    for example in examples:
        session.add(example)
    session.predict()
    first = time.perf_counter()
    session.add(more)
    near: list[float] = []
    session.predict(near=lambda *_: near.append(time.perf_counter() - first))
    end = time.perf_counter()
    return {
        "prepare_s": prepared - start,
        "first_s": first - begin,
        "next_s": end - first,
        "near_s": near[0] if near else None,
        "loaded_mib": loaded,
        "peak_mib": process_peak(),
    }


def _make(name: str, ingredients: Ingredients) -> Method:
    """The method; Grow from seeds keeps its filter, as Slicer's effect does between updates."""
    return GrowFromSeeds(keep=True) if name == GrowFromSeeds.name else make_method(name, ingredients)


def main() -> int:
    """Reads a request from standard input, writes the outcome to standard output."""
    outcome = measure(json.load(sys.stdin))
    print(json.dumps(outcome))
    return 0


if __name__ == "__main__":
    sys.exit(main())
