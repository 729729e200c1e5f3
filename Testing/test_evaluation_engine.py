"""The engine as a method: its ablations, and what a call costs."""

import inspect
import mmap
from dataclasses import fields

import numpy as np
import pytest
import torch

from FewShotSegLib import Segmenter, Volume
from FewShotSegLib.evaluation import engine, registry, resources
from FewShotSegLib.inference.steps import Steps
from FewShotSegLib.network.config import NetworkConfig


def test_every_switch_of_the_engine_has_its_ablation():
    parameters = inspect.signature(Segmenter.segment).parameters.values()
    steps = {p.name for p in parameters if p.default is True} | {field.name for field in fields(Steps)}
    modules = {name for name in NetworkConfig().to_dict() if name.startswith("use_")}
    assert set(engine.VARIANTS.values()) == steps | modules
    assert set(registry.METHOD_GROUPS["ablation"]) == {"model", *engine.VARIANTS}


class Recorder:
    """Stands in for the segmenter and keeps what it is made and called with."""

    seen: list

    def __init__(self, **options):
        self.seen.append(options)

    def segment(self, query, examples, progress, **options):
        self.seen.append(options)
        raise StopIteration


@pytest.mark.parametrize(
    ("name", "made", "called"),
    [
        ("model", {}, {"quality": "best"}),
        ("model-fast", {}, {"quality": "fast"}),
        ("model-without-self-learning", {"use_self_learning": False}, {"quality": "best"}),
        ("model-without-adapt", {"steps": Steps(adapt=False)}, {"quality": "best"}),
    ],
)
def test_an_ablation_switches_off_its_own_part_only(name, made, called, monkeypatch):
    Recorder.seen = []
    monkeypatch.setattr("FewShotSegLib.segmenter.Segmenter", Recorder)
    method = registry.make_method(name, registry.Ingredients(options={"refine": False}))
    with pytest.raises(StopIteration):
        method.segment(Volume(np.zeros((2, 2, 2), np.int16)), [])
    assert Recorder.seen == [{"device": "cpu", "steps": Steps(), **made}, {"refine": False, **called}]


def test_a_module_that_is_off_changes_the_networks_answer():
    whole, without = Segmenter(device="cpu"), Segmenter(device="cpu", use_interaction=False)
    assert whole.network.config.use_interaction
    assert not without.network.config.use_interaction


def test_multiply_accumulates_are_those_of_the_products():
    layer = torch.nn.Linear(1000, 2000, bias=False)
    with torch.inference_mode():
        cost = resources.gigamacs(lambda: layer(torch.zeros(50, 1000)))
    assert cost == pytest.approx(1000 * 2000 * 50 / 1e9)


def test_the_peak_of_a_call_is_what_it_held_at_most():
    # Pages of its own: the heap may hold as much already, freed by earlier tests.
    with resources.PeakMemory() as memory, mmap.mmap(-1, 64 * 1024**2) as block:
        for _ in range(64):
            block.write(bytes([1]) * 1024**2)
    if memory.peak is None or memory.before is None:
        pytest.skip("this system does not let a process set its high-water mark back")
    assert 60 < memory.peak - memory.before < 100
    with resources.PeakMemory() as later:
        pass
    assert later.peak is not None
    assert later.peak < memory.peak, "the mark was set back"


def test_a_process_knows_its_own_peak():
    peak = resources.process_peak()
    assert peak is None or peak > 20
