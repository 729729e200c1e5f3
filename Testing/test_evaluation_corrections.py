"""Corrections: which slice comes next, when it ends, and what is told of it."""

from types import SimpleNamespace

import numpy as np
import pytest

from FewShotSegLib import Example, Volume
from FewShotSegLib.evaluation import corrections, corrections_report, engine, plots, registry, tables
from FewShotSegLib.evaluation.episodes import Episode, Support
from FewShotSegLib.evaluation.peers import NearestSlice
from FewShotSegLib.evaluation.sessions import Repeated, session_of

DEPTH = 12


@pytest.fixture
def a_case():
    """A box on slices 2..9 whose width grows with the slice: copies of the nearest slice are right when it is near."""
    label = np.zeros((DEPTH, 8, 16), np.int32)
    for k in range(2, 10):
        label[k, 2:6, 1 : 3 + k] = 1
    return Volume(np.zeros(label.shape, np.int16)), label


def an_episode(target):
    return Episode("CHAOS_T2", "C", "a", "a", (Support("a", (6,)),), (1,), tuple(range(DEPTH)), target=target)


def painter(case):
    image, label = case

    def paint(support):
        return [
            Example(image=image, axis=support.axis, index=k, mask=label.take(k, support.axis)) for k in support.slices
        ]

    return paint


def run(case, session, protocol="C", target=2.0):
    strategy = corrections.strategy_of(protocol, case[1])
    return list(corrections.rounds(session, strategy, an_episode(target), case[1], painter(case)))


def test_slices_are_painted_until_the_target_is_reached(a_case):
    done = run(a_case, Repeated(NearestSlice(), a_case[0]), "C-spread", target=0.67)
    assert [r.painted[-1] for r in done] == [(0, 6), (0, 4)]
    dice = [r.dice for r in done]
    assert dice[-1] >= 0.67
    assert all(value < 0.67 for value in dice[:-1])


def test_no_more_than_fifteen_slices_are_painted():
    label = np.ones((40, 4, 4), np.int32)
    query = Volume(np.zeros(label.shape, np.int16))

    class Blind(Repeated):
        def predict(self, near=None):
            return np.zeros(label.shape, np.int32), None

    done = list(
        corrections.rounds(
            Blind(NearestSlice(), query), corrections.Spread(range(40)), an_episode(0.9), label, painter((query, label))
        )
    )
    assert len(done) == corrections.MOST_SLICES


def test_when_all_of_all_labels_is_painted_there_is_nothing_left_to_measure(a_case):
    done = run(a_case, Repeated(NearestSlice(), a_case[0]), "C-spread")
    assert len(done) == 8
    assert done[-1].dice is None
    record = {"rounds": [r.to_json() for r in done], "target": 0.9}
    assert corrections_report.slices_needed(record) == 8
    assert corrections_report.slices_needed_for_all(record) == 16, "copies reach too far at both ends"


def test_the_methods_suggestions_are_followed_along_any_axis(a_case):
    session = Suggesting(a_case[0], [(2, 4), (0, 3)])
    done = run(a_case, session)
    assert done[-1].painted == ((0, 6), (2, 4), (0, 3))
    assert [(e.axis, e.index) for e in session.seen] == [(0, 6), (2, 4), (0, 3)]


class Suggesting:
    """A session that suggests planes of a list, in order, and answers with background."""

    def __init__(self, query, planes):
        self.seen = []
        self._shape, self._planes = query.shape, list(planes)

    def suggest(self):
        return self._planes.pop(0) if self._planes else None

    def add(self, example):
        self.seen.append(example)

    def predict(self, near=None):
        return np.zeros(self._shape, np.int32), None


def test_a_suggestion_of_what_is_painted_already_is_an_error(a_case):
    with pytest.raises(ValueError, match="slice 6 along axis 0 is suggested, which is painted already"):
        run(a_case, Suggesting(a_case[0], [(0, 6)]))


def test_seconds_are_of_choosing_and_answering_not_of_painting_and_scoring(a_case):
    ticks = iter(range(100))

    def paint(support):
        next(ticks)  # painting takes a second, too
        return painter(a_case)(support)

    session, strategy = Suggesting(a_case[0], [(0, 3)]), corrections.Suggested()
    found = corrections.rounds(session, strategy, an_episode(0.9), a_case[1], paint, clock=lambda: float(next(ticks)))
    assert [r.seconds for r in found] == [1.0, 2.0]


def test_the_least_confident_slice_is_the_next_one(a_case):
    sure = np.ones((DEPTH, 8, 16), np.float32)
    sure[6], sure[3], sure[10] = 0, 0.4, 0.5
    answer, session = (np.zeros(sure.shape, np.int32), sure), Suggesting(a_case[0], [])
    assert corrections.Unsure().next(session, answer, [(0, 6)]) == (0, 3)
    with pytest.raises(ValueError, match="no confidence"):
        corrections.Unsure().next(session, (answer[0], None), [(0, 6)])


def test_grow_from_seeds_keeps_its_filter_through_a_session(a_case):
    pytest.importorskip("slicer")
    session = session_of(registry.make_method("grow"), a_case[0])
    for example in painter(a_case)(Support("a", (6, 3))):
        session.add(example)
        labels, _ = session.predict()
    assert (labels[[3, 6]] == a_case[1][[3, 6]]).all()


# The engine


class NewSegmenter:
    """A stand-in of the engine with sessions."""

    calls: list = []  # noqa: RUF012

    def __init__(self, **options):
        pass

    def session(self, query):
        self.query = query
        return self

    def add(self, example):
        self.calls.append(("add", example.index))
        return len(self.calls)

    def predict(self, progress=None, quality="best", near=None):
        self.calls.append(("predict", quality))
        zeros = np.zeros(self.query.shape)
        return SimpleNamespace(labelmap=SimpleNamespace(array=zeros), confidence=SimpleNamespace(array=zeros + 0.5))

    def suggest(self, count):
        return [SimpleNamespace(axis=1, index=3, segments=[1], reason="unsure")][:count]


def test_an_engine_with_sessions_is_asked_through_one(a_case, monkeypatch):
    monkeypatch.setattr("FewShotSegLib.segmenter.Segmenter", NewSegmenter)
    monkeypatch.setattr(NewSegmenter, "calls", [])
    assert registry.serves("model-fast", "C")
    session = session_of(engine.Engine("model-fast"), a_case[0])
    session.add(painter(a_case)(Support("a", (6,)))[0])
    labels, confidence = session.predict()
    assert confidence is not None
    assert labels.shape == confidence.shape == a_case[1].shape
    assert session.suggest() == (1, 3)
    assert NewSegmenter.calls == [("add", 6), ("predict", "fast")]


def a_record(protocol, query, dice, target=0.9):
    rounds = [
        {"axis": 0, "index": n, "dice": value, "whole": 0.9 if n > 1 else 0.8, "seconds": 2.0 if n == 0 else 0.5}
        for n, value in enumerate(dice)
    ]
    fixed = {"dataset": "CHAOS_T2", "method": "grow", "options": {}, "weights": "", "seconds": 1.0, "confidence": None}
    labels = {"1": {"name": "box", "dice": dice[-1], "hd95_mm": 1.0, "mean_distance_mm": 1.0}}
    return fixed | {"protocol": protocol, "query": query, "episode": query, "labels": labels, "rounds": rounds,
                    "target": target}  # fmt: skip


def test_the_table_tells_slices_until_the_target_and_what_is_saved():
    records = [
        a_record("C-spread", "a", [0.5, 0.6, 0.7, 0.92]),
        a_record("C-spread", "b", [0.1] * 15),
        a_record("C", "a", [0.5, 0.91]),
        a_record("C", "b", [0.5, 0.6, 0.95]),
    ]
    section = corrections_report.corrections_section(records)
    assert "| CHAOS_T2 | C | grow | 2 | 0.90 | 2 | 2.5 | 75 % | 9.5 | -217 % | 0.800 | 0.850 |" in section
    assert "| CHAOS_T2 | C-spread | grow | 2 | 0.90 | 1 | 10.0 | 0 % | 3.0 | 0 % | 0.800 | 0.900 |" in section
    assert section.splitlines()[-1].endswith("| 2.00 | 0.50 |")
    assert corrections_report.corrections_section([]) == ""


def test_corrections_stand_in_no_table_of_means_and_in_a_plot_of_their_own(tmp_path):
    pytest.importorskip("matplotlib")
    records = [a_record("C-spread", "a", [0.5, 0.92]), a_record("C-spread", "b", [0.5, None])]
    text = tables.all_tables(records, "grow")
    assert "## Corrections" in text
    assert text.count("C-spread | grow") == 1
    assert plots.draw_corrections(records, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert not plots.draw_corrections([], tmp_path / "none.png")
    assert not plots.draw_against_time(records, tmp_path / "none.png")
