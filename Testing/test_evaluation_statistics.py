"""Intervals and paired tests against cases that can be worked out by hand."""

from itertools import product

import numpy as np
import pytest

from FewShotSegLib.evaluation.statistics import bootstrap_interval, paired_difference


def test_the_interval_of_a_mean_is_that_of_all_its_resamples():
    values = [0.0, 0.2, 1.0]
    # All 27 resamples of three, equally likely: the interval's ends are their 2.5th and 97.5th percentile.
    means = sorted(sum(chosen) / 3 for chosen in product(values, repeat=3))
    found = bootstrap_interval(values)
    assert found == pytest.approx((means[0], means[-1]))  # 1 of 27 is 3.7 %
    assert bootstrap_interval(values) == found, "the same data give the same interval"


def test_a_wide_sample_has_the_interval_of_the_normal_distribution():
    values = np.random.default_rng(1).normal(0.8, 0.1, 400)
    half = 1.96 * values.std() / 20
    expected = (values.mean() - half, values.mean() + half)
    assert bootstrap_interval(values.tolist()) == pytest.approx(expected, abs=0.1 * half)


def test_one_case_has_no_interval_and_equal_cases_have_an_empty_one():
    assert bootstrap_interval([0.5]) is None
    assert bootstrap_interval([0.5, 0.5, 0.5]) == (0.5, 0.5)


def test_a_difference_is_taken_on_shared_cases_only():
    found = paired_difference({"a": 0.9, "b": 0.5, "c": 0.1}, {"a": 0.7, "b": 0.4, "d": 1.0})
    assert found is not None
    assert found.cases == 2
    assert found.mean == pytest.approx((0.2 + 0.1) / 2)
    assert (found.low, found.high) == pytest.approx((0.1, 0.2))
    assert paired_difference({"a": 1.0}, {"b": 1.0}) is None


def test_the_significance_is_that_of_the_signed_rank_test():
    first = {str(i): 0.5 + 0.01 * i for i in range(1, 7)}
    second = dict.fromkeys(first, 0.5)
    # Six differences of one sign: 2 of the 2^6 assignments of signs are as extreme.
    found = paired_difference(first, second)
    assert found is not None
    assert found.p == pytest.approx(2 / 64)
    back = paired_difference(second, first)
    assert back is not None
    assert back.p == found.p
    assert back.mean == pytest.approx(-found.mean)


def test_methods_that_do_not_differ_are_not_told_apart():
    same = {"a": 0.3, "b": 0.4}
    found = paired_difference(same, same)
    assert found is not None
    assert (found.mean, found.p) == (0.0, 1.0)
    alone = paired_difference({"a": 0.4}, {"a": 0.3})
    assert alone is not None
    assert (alone.low, alone.p) == (None, None)
