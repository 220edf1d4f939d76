"""known, uncertain, unknown: the rate that the user names is the rate that comes out."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from heads import digits, reload
from scipy import stats

from edge_imprint import ImprintHead
from edge_imprint.errors import ValueRangeError
from edge_imprint.head import reject

SEEDS = range(12)


def taught_half(seed: int, shots: int = 20) -> tuple[ImprintHead, np.ndarray, np.ndarray]:
    """A head that knows five digits, pictures of the other five, and unseen pictures of its own."""
    x, y = digits()
    rng = np.random.default_rng(seed)
    known = rng.permutation(10)[:5]
    mine = rng.permutation(np.flatnonzero(np.isin(y, known)))
    taught = np.concatenate([mine[y[mine] == k][:shots] for k in known])
    taught = rng.permutation(taught)
    head = ImprintHead(64, "16KB").partial_fit(x[taught], y[taught])
    return head, x[~np.isin(y, known)], x[np.setdiff1d(mine, taught)]


@pytest.mark.parametrize(("shots", "most"), [(5, 0.10), (10, 0.10), (20, 0.10), (40, 0.20)])
def test_the_false_accept_rate_comes_out_near_what_was_asked(shots, most):
    """At 40 shots the class mean has just begun to weigh less and thresholds lag: README states 16 %."""
    rates, recalls = [], []
    for seed in SEEDS:
        head, strangers, own = taught_half(seed, shots)
        rates.append((head.verdicts(strangers) == "known").mean())
        recalls.append((head.verdicts(own) == "known").mean())
    assert 0.01 <= np.mean(rates) <= most, rates
    # A head that accepts nothing would pass the line above at 1 %: taught digits must be accepted far more often.
    assert np.mean(recalls) > 3 * np.mean(rates), recalls


@pytest.mark.parametrize("seed", [0, 1])
def test_a_lower_rate_never_accepts_more(seed):
    head, strangers, own = taught_half(seed)
    both = np.concatenate([strangers, own])
    accepted = []
    for rate in (0.001, 0.01, 0.05, 0.1, 0.25, 0.5):
        head.false_accept_rate = rate
        assert head.false_accept_rate == rate
        accepted.append(set(np.flatnonzero(head.verdicts(both) == "known")))
    assert all(few <= many for few, many in pairwise(accepted))
    assert len(accepted[0]) < len(accepted[-1])


def test_the_verdict_follows_the_thresholds():
    head, strangers, own = taught_half(3)
    x = np.concatenate([strangers, own])
    limits = head.thresholds()
    assert limits is not None
    assert limits.unknown <= limits.known <= 1
    best = head.decision_function(x).max(axis=1)
    verdicts = head.verdicts(x)
    assert (best[verdicts == "known"] >= limits.known).all()
    assert (best[verdicts == "unknown"] < limits.unknown).all()
    between = best[verdicts == "uncertain"]
    assert ((between < limits.known) & (between >= limits.unknown)).all()
    assert set(verdicts) == {"known", "uncertain", "unknown"}
    assert (reload(head).verdicts(x) == verdicts).all()


@pytest.mark.parametrize("labels", [[0, 1, 2], ["a", "b", "c"], [0, "b", 2]])
def test_reject_says_unknown_exactly_where_the_verdict_is_not_known(labels):
    x, y = digits()
    rows = np.flatnonzero(y < 3)
    head = ImprintHead(64, "16KB").partial_fit(x[rows[:120]], [labels[k] for k in y[rows[:120]]])
    plain, verdicts, answers = head.predict(x), head.verdicts(x), head.predict(x, reject=True)
    assert answers.dtype == object
    assert 0 < (verdicts == "known").sum() < len(x)
    for answer, label, verdict in zip(answers, plain.tolist(), verdicts, strict=True):
        assert answer == (label if verdict == "known" else "unknown")
        assert type(answer) in (str, int)


def test_one_class_leaves_everything_uncertain():
    x, _ = digits()
    head = ImprintHead(64, "16KB").partial_fit(x[:20], "digit")
    assert head.thresholds() is None
    assert set(head.verdicts(x)) == {"uncertain"}
    assert set(head.predict(x, reject=True)) == {"unknown"}
    assert set(head.predict(x)) == {"digit"}


def test_thresholds_follow_forget_and_undo():
    x, y = digits()
    head = ImprintHead(64, "16KB").partial_fit(x[:60], y[:60])
    before = head.thresholds()
    head.partial_fit(x[60:61], y[60:61])
    head.undo()
    assert head.thresholds() == before
    for label in head.classes_.tolist()[1:]:
        head.forget(label)
    assert head.thresholds() is None


@pytest.mark.parametrize("rate", [0, 0.0009, 0.51, 1, -1, np.nan, np.inf, "5%", None, True])
def test_a_rate_out_of_range_is_refused(rate):
    head = ImprintHead(4, "2KB")
    with pytest.raises(ValueRangeError, match="false_accept_rate must be from"):
        head.false_accept_rate = rate
    assert head.false_accept_rate == 0.05
    with pytest.raises(ValueRangeError):
        ImprintHead(4, "2KB", false_accept_rate=rate)


@pytest.mark.parametrize("dof", [3, 4, 5, 7.5, 10, 20, 50, 1000])
@pytest.mark.parametrize("p", [0.5, 0.6, 0.75, 0.9, 0.95, 0.975, 0.99])
def test_student_t_agrees_with_scipy_within_two_percent(p, dof):
    z = reject.normal_quantile(round((1 - p) * (1 << 31)))
    found = np.sqrt(reject.student_t2(z, round((1 << 30) / dof)) / (1 << 20))
    assert found == pytest.approx(stats.t.ppf(p, dof), rel=0.02, abs=1e-3)


def test_normal_quantiles_are_off_by_less_than_a_thousandth():
    tails = np.geomspace(0.0005, 0.5, 500)
    found = [reject.normal_quantile(int(u * (1 << 31))) / (1 << 28) for u in tails]
    assert np.abs(np.array(found) - stats.norm.isf(tails)).max() < 0.0008


@pytest.mark.parametrize("rate", [0.001, 0.02, 0.05, 0.31, 0.5])
@pytest.mark.parametrize("classes", [2, 3, 10, 1000, 65535])
def test_the_tail_of_one_class_follows_from_that_of_all(classes, rate):
    exact = 1 - (1 - rate) ** ((classes - 1) / classes)
    assert reject.upper_tail(classes, round(rate * 1e6)) / (1 << 31) == pytest.approx(exact, abs=1e-7)


def float_thresholds(head: ImprintHead) -> tuple[float, float]:
    """The prediction interval in double precision, with scipy's quantiles."""
    arena, classes = head._arena, len(head.classes_)
    records = zip(arena.other_count[:classes].tolist(), arena.other_mean[:classes].tolist(), strict=True)
    seen = arena.other_count[:classes] > 0
    count = arena.other_count[:classes][seen].astype(float)
    mean = np.array([m for n, m in records if n]) / (1 << 23)
    variance = arena.other_variance[:classes][seen] / (1 << 30)
    groups, total = len(count), count.sum()
    dof_within = total - groups
    within = (count * variance).sum() / dof_within if dof_within else 0.0
    spread = mean.var(ddof=1) if groups > 1 else 0.0
    between = max(spread - within * (1 / count).mean(), 0.0)
    prior = within / groups if within else max(spread, 1e-4)
    between = (prior + (groups - 1) * between) / groups
    share = between / (within + between)
    dof = max(1 / (share**2 / groups + (1 - share) ** 2 / max(dof_within, 1.0)), 2.0)
    z = stats.norm.isf(1 - (1 - head.false_accept_rate) ** ((classes - 1) / classes))
    t = np.sqrt(dof * np.expm1(z * z * (1 + 31 / 64 / dof) / dof))
    known = min(mean.mean() + t * np.sqrt(between * (1 + 1 / groups) + within * (1 + 1 / total)), 1.0)
    count, own_mean, _ = arena.own
    own = own_mean / (1 << 23) if count else known
    return known, min(known, (mean.mean() + own) / 2)


@pytest.mark.parametrize("rate", [0.001, 0.05, 0.5])
@pytest.mark.parametrize("shots", [2, 3, 8, 50, 300])
def test_thresholds_in_whole_numbers_follow_those_in_double_precision(shots, rate):
    x, y = digits()
    rows = np.random.default_rng(shots).permutation(len(x))[:shots]
    head = ImprintHead(64, "16KB", false_accept_rate=rate).partial_fit(x[rows], y[rows])
    assert head.thresholds() == pytest.approx(float_thresholds(head), abs=2e-3)


@pytest.mark.parametrize("window", [32, 128])
def test_running_statistics_follow_float64(window):
    rng = np.random.default_rng(window)
    cosines = np.clip(rng.normal(0.4, 0.1, 400), -1, 1)
    state, mean, variance = (0, 0, 0), 0.0, 0.0
    for n, cosine in enumerate(cosines, 1):
        state = reject.update(*state, round(cosine * 32768), window)
        weight = min(n, window)
        delta = cosine - mean
        mean += delta / weight
        variance += (delta**2 * (weight - 1) / weight - variance) / weight
        if n <= window:
            assert mean == pytest.approx(cosines[:n].mean())
            assert variance == pytest.approx(cosines[:n].var(), abs=1e-12)
    # Mean in 2^-23 from cosines in 2^-15; rounding errors stay within half a unit per step of the window.
    assert state[0] == window
    assert state[1] / 2**23 == pytest.approx(mean, abs=2.0**-15)
    assert state[2] / 2**30 == pytest.approx(variance, rel=0.01)
