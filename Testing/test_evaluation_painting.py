"""How people really paint, as episodes: which slices, what on them, and which voxels are scored."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import label as pieces_of

from FewShotSegLib import Example, Volume
from FewShotSegLib.evaluation import (
    brushes,
    engine,
    fillers,
    manifests,
    peers,
    protocols,
    registry,
    results,
    slice_rules,
)
from FewShotSegLib.evaluation.brushes import Strokes
from FewShotSegLib.evaluation.datasets import DATASETS, open_dataset
from FewShotSegLib.evaluation.episodes import Episode, Support, one_label_at_a_time
from FewShotSegLib.evaluation.examples import examples_of
from FewShotSegLib.evaluation.manifests import ManifestMismatchError
from FewShotSegLib.evaluation.painting_episodes import painting_episodes
from FewShotSegLib.evaluation.runner import CaseStore


@pytest.fixture
def a_label():
    """Label 1 on slices 2..13, label 2 beside it on 4..9, label 3 on 12 and 13 only; 16 x 40 x 50 voxels."""
    label = np.zeros((16, 40, 50), np.uint8)
    label[2:14, 8:30, 6:20], label[4:10, 8:30, 26:44], label[12:14, 32:37, 30:40] = 1, 2, 3
    return label


@pytest.fixture
def episodes(a_label):
    found = painting_episodes("CHAOS_T2", {"a": a_label}, 0.9)
    return {protocol: members[0] for protocol, members in found.items() if members}


@pytest.fixture
def a_store(a_label, tmp_path):
    """The store of a set with that one case, frozen."""
    folder = tmp_path / "data" / "benchmark" / "CHAOS_T2"
    folder.mkdir(parents=True)
    (folder / "dataset.json").write_text('{"labels": {"1": "one", "2": "two", "3": "three"}}')
    for case in "abc":
        Volume((a_label * 40 + ord(case)).astype(np.int16)).write(folder / f"{case}_image.nii.gz")
        Volume(a_label).write(folder / f"{case}_label.nii.gz")
    manifests.write(manifests.generate(open_dataset(tmp_path / "data", "CHAOS_T2"), 0), tmp_path / "manifests")
    return CaseStore(tmp_path / "data", tmp_path / "manifests")


def painted_slices(episode):
    return [(s.axis, s.slices, s.painted) for s in episode.supports]


def test_each_structure_has_slices_of_its_own_with_nothing_else_on_them(episodes):
    assert painted_slices(episodes["S-1"]) == [(0, (8,), (1,)), (0, (7,), (2,)), (0, (13,), (3,))]
    three = {support.painted[0]: set(support.slices) for support in episodes["S-3"].supports}
    assert three == {1: {4, 8, 12}, 2: {5, 7, 9}, 3: {13}}, "of label 3 only one slice was left"
    assert set(episodes["S-3"].scored) == set(range(16)) - {4, 5, 7, 8, 9, 12, 13}
    assert episodes["S-3"].labels == (1, 2), "nothing of label 3 is left to score"


def test_a_volume_of_which_next_to_nothing_would_be_left_unpainted_has_no_such_episode():
    label = np.zeros((9, 8, 8), np.uint8)
    label[3:6, 2:6, 2:4], label[3:6, 2:6, 4:6] = 1, 2
    found = painting_episodes("CHAOS_T2", {"a": label}, 0.9)
    assert {protocol for protocol, members in found.items() if members} == {"C"}


def test_a_slice_that_another_label_took_gives_way_to_the_nearest_free_one():
    assert slice_rules.own_slices({1: range(10), 2: range(10)}, 1) == {1: [5], 2: [4]}
    assert slice_rules.own_slices({1: [3], 2: [3]}, 1) == {1: [3], 2: []}


def test_structures_apart_are_the_same_slices_one_label_at_a_time(episodes):
    apart = one_label_at_a_time([episodes["S-3"]])
    assert [(e.name, e.labels, painted_slices(e)) for e in apart] == [
        ("a_label1", (1,), [(0, (4, 8, 12), (1,))]),
        ("a_label2", (2,), [(0, (5, 7, 9), (2,))]),
    ]
    assert {e.scored for e in apart} == {episodes["S-3"].scored}
    of_areas = Episode("CHAOS_T2", "S-1", "a", "a", (Support("a", (3,), painted=(1, 2)),), (1, 2), (0,))
    assert [painted_slices(e) for e in one_label_at_a_time([of_areas])] == [[(0, (3,), (1,))], [(0, (3,), (2,))]]


def test_three_planes_lie_in_the_middle_and_are_scored_where_none_of_their_rivals_paints(episodes, a_label):
    three, axial, besides = (episodes[name] for name in protocols.PLANES)
    assert [(s.axis, s.slices) for s in three.supports] == [(0, (8,)), (1, (21,)), (2, (28,))]
    assert [(s.axis, s.slices) for s in axial.supports] == [(0, (4, 8, 12))]
    assert [(s.axis, s.slices) for s in besides.supports] == [(0, (4, 8, 12)), (1, (14, 28))]
    assert three.labels == axial.labels == besides.labels == (1, 2)
    assert axial.supports[0].painted == (1, 2, 3), "painted are all labels, scored those that all three show"
    expected = np.ones(a_label.shape, bool)
    expected[[4, 8, 12]], expected[:, [14, 21, 28]], expected[:, :, 28] = False, False, False
    for episode in (three, axial, besides):
        assert (episode.region(a_label.shape) == expected).all()


def test_uneven_slices_are_at_their_percentages_of_the_labelled_ones(episodes):
    assert painted_slices(episodes["U-3-middle"]) == [(0, (5, 8, 10), None)]
    assert painted_slices(episodes["U-3-end"]) == [(0, (3, 4, 5), None)]
    assert episodes["U-3-end"].labels == (1, 2)


def test_an_evenly_spread_order_meets_every_slice_once_and_halves_the_gaps():
    order = slice_rules.spread_order(range(10, 26))
    assert order[:7] == [18, 14, 22, 12, 20, 16, 24]
    for count in (1, 2, 3, 11, 100):
        assert sorted(slice_rules.spread_order(range(count))) == list(range(count))


def test_strokes_are_centre_lines_inside_and_one_closed_line_around():
    labels = np.zeros((60, 60), np.int32)
    labels[20:31, 20:41], labels[31:41, 20:41] = 1, 2
    labels[45, 30:49] = 3  # nineteen pixels: too small to be painted
    strokes, elsewhere = brushes.strokes(labels)
    assert set(np.unique(strokes)) == {0, 1, 2}
    assert (labels[strokes > 0] == strokes[strokes > 0]).all(), "strokes stay inside"
    assert (strokes == 1).sum() < 0.5 * (labels == 1).sum()
    assert (strokes[24:27, 30] == 1).all()
    assert pieces_of(elsewhere, np.ones((3, 3)))[1] == 1
    around = ~elsewhere
    assert pieces_of(around)[1] == 2, "the line is closed: it parts what is inside from what is outside"
    assert not labels[elsewhere].any()
    gap = min(np.abs(np.argwhere(elsewhere)[:, None] - np.argwhere(labels)[None]).max(axis=2).min(axis=1))
    assert 5 <= gap <= 8


def test_a_slice_without_a_structure_worth_a_stroke_has_no_stroke_at_all():
    labels = np.zeros((30, 30), np.int32)
    labels[4:6, 4:8] = 1
    strokes, elsewhere = brushes.strokes(labels)
    assert not strokes.any()
    assert not elsewhere.any()


def test_a_hand_wavers_by_a_pixel_or_two_the_same_way_each_time():
    labels = np.zeros((200, 200), np.int32)
    labels[40:160, 40:100], labels[40:160, 100:160] = 1, 2
    drawn = brushes.drawn_by_hand(labels, "seed")
    assert (drawn == brushes.drawn_by_hand(labels, "seed")).all()
    assert (drawn != brushes.drawn_by_hand(labels, "another")).any()
    assert set(np.unique(drawn)) == {0, 1, 2}
    # Along a straight edge the outline's place has about the deviation that is promised.
    columns = (drawn[50:150, 20:70] == 1).sum(axis=1)
    assert 0.7 < columns.std() < 2.2
    assert columns.mean() == pytest.approx(30, abs=0.7)
    assert (drawn[60:140, 60:80] == 1).all()


def test_methods_get_what_is_painted_and_no_more(a_store, a_label):
    _, manifest = a_store.dataset("CHAOS_T2")
    apart = manifest.of_protocol("S-1-apart")[0]
    (example,) = a_store.examples(apart)
    assert set(np.unique(example.mask)) == {0, 1}
    planes = a_store.examples(manifest.of_protocol("O-3")[0])
    assert [(e.axis, e.mask.shape) for e in planes] == [(0, (40, 50)), (1, (16, 50)), (2, (16, 40))]
    query, _ = a_store.case("CHAOS_T2", "a")
    stroked = a_store.examples(manifest.of_protocol("B-3")[0])
    painted = peers.painted_labelmap(query, stroked)
    assert all(isinstance(example, Strokes) for example in stroked)
    assert (painted == fillers.UNKNOWN).mean() > 0.9
    assert (a_label[painted > 0] == painted[painted > 0]).all()
    assert not a_label[painted == 0].any()
    assert (painted == 0).any()
    whole = peers.painted_labelmap(query, planes)
    assert ((whole != fillers.UNKNOWN) == ~unplaned(a_label.shape, planes)).all()


def unplaned(shape, examples):
    region = np.ones(shape, bool)
    for example in examples:
        np.moveaxis(region, example.axis, 0)[example.index] = False
    return region


def test_no_background_is_painted_on_what_is_too_small_for_a_stroke(a_label, tmp_path):
    a_label[[4, 8, 12], 2, 30:40] = 3  # ten pixels, beside the line around the others
    a_label[12:14, 32:37, 30:40] = 0
    episode = painting_episodes("CHAOS_T2", {"a": a_label}, 0.9)["B-3"][0]
    assert episode.labels == (1, 2)
    painted = examples_of(episode, episode.supports[0], Volume(a_label), a_label, {})
    assert brushes.painting_checksum(painted) == episode.painting
    for example in painted:
        assert isinstance(example, Strokes)
        assert not a_label[example.index][example.elsewhere].any()


def test_another_painting_than_the_frozen_one_is_refused(a_store):
    episode = a_store.dataset("CHAOS_T2")[1].of_protocol("J-3")[0]
    assert episode.painting
    a_store.examples(episode)
    with pytest.raises(ManifestMismatchError, match=r"painted under J-3 on a .* expects 0123"):
        a_store.examples(replace(episode, painting="0123"))


def test_painting_episodes_read_back_as_written(a_store, tmp_path):
    manifest = a_store.dataset("CHAOS_T2")[1]
    made = manifests.generate(open_dataset(tmp_path / "data", "CHAOS_T2"), 0)
    assert manifest == made
    assert manifest.of_protocol("C-unsure") == manifest.of_protocol("C")
    assert manifest.of_protocol("C")[0].target == 0.9
    # Written down are the slices; what follows from them by rule is not.
    text = (tmp_path / "manifests" / "CHAOS_T2.json").read_text()
    line = next(line for line in text[text.index('"S-1"') :].splitlines() if '"query": "b"' in line)
    assert (
        line.strip(" ,")
        == '{"query": "b", "labels": [1, 2, 3], "painted": [[0, [8], [1]], [0, [7], [2]], [0, [13], [3]]]}'
    )


@pytest.mark.parametrize("protocol", protocols.PAINTING)
def test_every_painting_protocol_is_frozen_for_every_set(protocol):
    for dataset in DATASETS:
        manifest = manifests.read(dataset)
        found = manifest.of_protocol(protocol)
        assert found or (dataset == "CMR_bSSFP" and protocol.startswith("S-5")), "a heart has too few slices for S-5"
        for episode in found:
            assert {support.case for support in episode.supports} == {episode.query}
            assert set(episode.scored) <= set(range(manifest.cases[episode.query].shape[0]))
            assert episode.labels


def test_checksums_of_episodes_do_not_change_where_nothing_new_is_used():
    episode = Episode("CHAOS_T2", "W-1", "a", "a", (Support("a", (3,)),), (1,), (0, 1, 2))
    assert set(episode.identity()) == {"dataset", "protocol", "name", "query", "supports", "labels", "scored", "draw"}
    assert episode.identity()["supports"] == [{"case": "a", "slices": (3,)}]
    assert replace(episode, brush="strokes").identity() != episode.identity()


def test_kept_results_are_of_the_episodes_as_frozen(repository):
    sets = {name: manifests.read(name) for name in DATASETS}
    kept = results.ResultsFile(repository / "Testing" / "benchmark" / "results").finished()
    assert kept
    for key, record in kept.items():
        manifest = sets[record["dataset"]]
        episodes = {episode.name: episode for episode in manifest.of_protocol(record["protocol"])}
        digest = results.episode_digest(episodes[record["episode"]], record["protocol"], manifest)
        assert key.endswith(digest[:16]), f"{key} was measured on another episode"


@pytest.mark.parametrize(
    ("protocol", "served"),
    [
        ("S-3", {"nearest", "fill", "grow", "walker"}),
        ("O-3", {"fill", "grow"}),
        ("W-3+2", {"fill", "grow"}),
        ("W-3-on-O", {"nearest", "fill", "grow", "walker"}),
        ("B-3", {"fill", "grow"}),
        ("C", set()),
        ("C-spread", {"nearest", "fill", "grow", "walker"}),
        ("C-unsure", {"walker"}),
        ("EP1", {"register"}),
    ],
)
def test_peers_are_asked_where_they_can_take_what_is_painted(protocol, served):
    assert {name for name in peers.PEERS if registry.serves(name, protocol)} == served


# The engine's words for what is painted


@dataclass(frozen=True, eq=False)
class NewExample(Example):
    """An example that can be told what is complete, and which label is background."""

    complete: Any = None
    background: int | None = None
    extra: dict = field(default_factory=dict)


@pytest.fixture
def some_strokes():
    image = Volume(np.zeros((3, 4, 5), np.int16))
    mask, elsewhere = np.zeros((4, 5), np.int32), np.zeros((4, 5), bool)
    mask[1, 1], mask[2, 2], elsewhere[3] = 1, 6, True
    return Strokes(image=image, axis=0, index=1, mask=mask, names={1: "one", 6: "six"}, elsewhere=elsewhere)


def test_the_engine_gets_strokes_of_background_too(some_strokes, monkeypatch):
    monkeypatch.setattr(engine, "Example", NewExample)
    told: Any = engine.as_the_engine_takes_it(some_strokes)
    assert told.background == 7
    assert ((told.mask == 7) == some_strokes.elsewhere).all()
    assert (told.mask[told.mask != 7] == some_strokes.mask[told.mask != 7]).all()
    assert told.complete is None, "the protocols leave it to the engine to find out"


def test_what_is_complete_is_told_where_the_command_line_says_so(monkeypatch):
    monkeypatch.setattr(engine, "Example", NewExample)
    example = NewExample(image=Volume(np.zeros((3, 4, 5), np.int16)), axis=0, index=1, mask=np.ones((4, 5), int))
    for word, meaning in (("all", "all"), ("nothing", frozenset())):
        method = engine.Engine("model-fast", options={"complete": word})
        told: Any = method._as_painted([example])[0]
        assert told.complete == meaning
        assert "complete" not in method._options
    with pytest.raises(KeyError, match="some"):
        engine.Engine("model-fast", options={"complete": "some"})
