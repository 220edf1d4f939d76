"""What `plan` and `compare` say is what heads do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_imprint.errors import BudgetError, CapacityError, ValueRangeError
from edge_imprint.head import ImprintHead, compare, plan
from edge_imprint.head.ridge.layout import RidgeLayout

METHODS = st.sampled_from(["proxies", "ridge", "auto"])


@given(dim=st.integers(1, 64), classes=st.integers(1, 40), undo=st.booleans())
def test_the_budget_for_so_many_classes_holds_them(dim, classes, undo):
    budget = RidgeLayout(dim, 1 << 24, undo).budget_for(classes)
    assert RidgeLayout(dim, budget, undo).max_classes >= classes


@settings(max_examples=40, deadline=None)
@given(
    dim=st.integers(2, 24), budget=st.integers(500, 6_000), method=METHODS, undo=st.sampled_from([None, True, False])
)
def test_a_plan_is_what_a_head_holds(dim, budget, method, undo):
    try:
        said = plan(dim, budget, method=method, undo=undo)
    except BudgetError:
        with pytest.raises(BudgetError):
            ImprintHead(dim, budget, method=method, undo=undo)
        return
    head = ImprintHead(dim, budget, method=method, undo=undo)
    assert head.method == said.method
    assert head.nbytes == said.fixed_bytes
    assert said.fixed_bytes + said.proxies * said.proxy_bytes + said.classes * said.class_bytes == said.used_bytes
    assert said.used_bytes <= budget
    assert (said.second_moment_bytes > 0) == (said.method == "ridge")
    x = np.random.default_rng(0).normal(size=(said.max_classes + 1, dim))
    head.partial_fit(x[:-1], np.arange(said.max_classes))
    assert head.nbytes <= budget
    with pytest.raises(CapacityError):
        head.partial_fit(x[-1:], [said.max_classes])


@settings(max_examples=40, deadline=None)
@given(dim=st.integers(1, 300), budget=st.integers(2_000, 2_000_000), undo=st.sampled_from([None, True, False]))
def test_the_turning_points_are_where_heads_turn(dim, budget, undo):
    try:
        both = compare(dim, budget, undo=undo)
    except BudgetError:
        return
    possible, chosen = both.ridge_possible_from, both.ridge_chosen_from
    assert possible is not None
    assert chosen is not None
    assert possible <= chosen
    assert (
        both.auto == plan(dim, budget, method="auto", undo=undo).method == ("ridge" if budget >= chosen else "proxies")
    )
    assert isinstance(both.ridge, str) == (budget < possible)
    assert plan(dim, possible, method="ridge", undo=undo).max_classes >= 1
    with pytest.raises(BudgetError):
        plan(dim, possible - 1, method="ridge", undo=undo)


@pytest.mark.parametrize("method", ["proxies", "ridge"])
def test_the_budget_that_a_refusal_names_is_the_least(method):
    with pytest.raises(CapacityError) as refused:
        plan(64, "64KB", 600, method=method)
    need = int(str(refused.value).split("budget=")[1].split()[0].rstrip(","))
    assert plan(64, need, 600, method=method).classes == 600
    with pytest.raises(CapacityError):
        plan(64, need - 1, 600, method=method)


def test_more_than_any_budget_holds():
    with pytest.raises(CapacityError, match="No budget holds so many"):
        plan(1, "64MB", 70_000)
    both = compare(4096, "16MB")
    assert both.auto == "proxies"
    assert isinstance(both.ridge, str)
    assert "second moment" in both.ridge


def test_ridge_is_named_and_so_is_the_way_out():
    assert plan(256, "512KB", 10, method="auto") == plan(256, "512KB", 10, method="ridge")
    assert plan(256, "64KB", 10, method="auto") == plan(256, "64KB", 10)
    with pytest.raises(CapacityError, match='or method="proxies"'):
        plan(256, "512KB", 600, method="auto")
    with pytest.raises(ValueRangeError, match="one of proxies, ridge, auto"):
        plan(256, "512KB", method="magic")
