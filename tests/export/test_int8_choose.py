"""The choice of int8 settings, on a quantiser whose errors are known and on a real network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_imprint.errors import ExportError
from edge_imprint_export.int8.agreement import compare, likely
from edge_imprint_export.int8.choose import MOST_MEASURED, Aim, choose_int8, keep_more
from edge_imprint_export.int8.quantiser import Layer

REFERENCE = np.random.default_rng(0).standard_normal((16, 24)).astype(np.float32)


class Noisy:
    """Each int8 layer adds noise of its own strength; a method multiplies all of it. A file is what it adds up to."""

    methods = ("plain", "better", "worst")
    factors = {"plain": 1.0, "better": 0.5, "worst": 4.0}  # noqa: RUF012

    def __init__(self, strengths: Sequence[float], products: Sequence[int] | None = None) -> None:
        self.strengths = dict(zip((f"layer{i}" for i in range(len(strengths))), strengths, strict=True))
        costs = products or [1] * len(strengths)
        self.layers = tuple(Layer(name, "Conv", cost) for name, cost in zip(self.strengths, costs, strict=True))
        self.made = 0

    def quantise(
        self, method: str, *, keep_float: frozenset[str] = frozenset(), only: frozenset[str] | None = None
    ) -> bytes:
        self.made += 1
        int8 = (set(self.strengths) if only is None else set(only)) - keep_float
        power = sum(self.strengths[name] ** 2 for name in int8)
        return repr(self.factors[method] * power**0.5).encode()


def embed(content: bytes) -> NDArray[np.float32]:
    noise = np.random.default_rng(1).standard_normal(REFERENCE.shape)
    return (REFERENCE + float(content) * noise).astype(np.float32)


def test_best_method_wins_and_nothing_is_kept_when_the_aim_is_met():
    chosen = choose_int8(Noisy([0.01] * 5), embed, REFERENCE)
    assert (chosen.method, chosen.keep_float, chosen.reached) == ("better", (), True)
    assert [t["method"] for t in chosen.trials] == ["plain", "better", "worst"]
    best = chosen.trials[1]
    assert best["mean"] == max(t["mean"] for t in chosen.trials)
    assert {"minimum", "centred_mean", "centred_minimum", "kept"} <= set(best)
    assert chosen.content == Noisy([0.01] * 5).quantise("better")


def test_fewest_of_the_worst_layers_stay_in_float():
    strengths = [0.001] * 20
    strengths[3], strengths[11], strengths[17] = 0.3, 0.5, 0.4
    chosen = choose_int8(Noisy(strengths), embed, REFERENCE)
    assert chosen.keep_float == ("layer11", "layer17", "layer3")
    assert chosen.reached
    assert [len(t["kept"]) for t in chosen.trials] == [0, 0, 0, 1, 2, 3]
    assert (chosen.layers, chosen.float_share) == (20, pytest.approx(0.15))
    assert chosen.whole == Noisy(strengths).quantise("better")
    assert chosen.content == Noisy(strengths).quantise("better", keep_float=frozenset(chosen.keep_float))
    assert [row[0] for row in chosen.sensitivity[:3]] == ["layer11", "layer17", "layer3"]
    assert chosen.sensitivity[0][1] == "Conv"
    assert chosen.sensitivity[0][2] > chosen.sensitivity[1][2] > 0
    assert len(chosen.sensitivity) == 20


def test_what_costs_little_time_goes_first():
    """The layer that hurts most does most of the work; three others together matter as much and cost a tenth."""
    strengths, products = [0.3, 0.2, 0.2, 0.2, *[0.001] * 8], [60, 2, 2, 2, *[4] * 8]
    chosen = choose_int8(Noisy(strengths, products), embed, REFERENCE, method="plain", aim=Aim(0.999, 0.9999, 0.9))
    assert [row[0] for row in chosen.sensitivity[:1]] == ["layer0"]
    assert set(chosen.keep_float) <= {"layer1", "layer2", "layer3"}
    assert (chosen.reached, chosen.float_share < 0.1) == (False, True)


def test_an_aim_out_of_reach_is_told_and_costs_no_more_layers_than_is_acceptable():
    chosen = choose_int8(Noisy([0.05] * 40), embed, REFERENCE, aim=Aim(0.99999, 0.99999, acceptable=0.9))
    assert (chosen.reached, chosen.keep_float, chosen.whole) == (False, (), None)


def test_what_is_acceptable_is_reached_beyond_a_quarter_of_the_work_but_not_beyond_half():
    strengths = [0.2] * 16 + [0.0001] * 24
    chosen = choose_int8(Noisy(strengths), embed, REFERENCE, aim=Aim(acceptable=0.99, pictures=16))
    assert set(chosen.keep_float) == {f"layer{i}" for i in range(16)}
    chosen = choose_int8(Noisy([0.2] * 40), embed, REFERENCE, aim=Aim(acceptable=0.99999, pictures=16))
    assert not chosen.reached
    assert len(chosen.keep_float) == 16  # of 40: the next step is 24


def test_more_layers_stay_in_float_when_the_first_choice_was_not_enough():
    strengths = [0.2] * 16 + [0.0001] * 24
    one = Noisy(strengths)
    first = choose_int8(one, embed, REFERENCE, aim=Aim(acceptable=0.9, pictures=16))
    assert 0 < len(first.keep_float) < 16
    made = one.made
    more = keep_more(one, embed, REFERENCE, first, aim=Aim(acceptable=0.95, pictures=16))
    assert set(first.keep_float) < set(more.keep_float) <= {f"layer{i}" for i in range(16)}
    assert (more.method, more.sensitivity) == (first.method, first.sensitivity)
    assert [t["kept"] for t in more.trials[: len(first.trials)]] == [t["kept"] for t in first.trials]
    assert one.made - made <= 4  # settings and layers are not measured again
    assert more.content == one.quantise("better", keep_float=frozenset(more.keep_float))
    most = keep_more(one, embed, REFERENCE, more, aim=Aim(acceptable=0.9999, pictures=16))
    again = keep_more(one, embed, REFERENCE, most, aim=Aim(acceptable=0.9999, pictures=16))
    assert again.keep_float == most.keep_float  # half of the work is the end


def test_what_to_count_on_over_more_pictures_than_were_compared():
    """Against many draws: of 200 cosines the lowest is estimated from 48 within a third of its distance, mostly."""
    rng = np.random.default_rng(0)
    reference = np.zeros((248, 2), np.float32)
    reference[:, 0] = 1
    close = 0
    for _ in range(200):
        angle = np.sqrt(2 * np.exp(rng.normal(-5.6, 0.5, 248)))
        rows = np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)
        mean, lowest = likely(rows[:48], reference[:48], 200)
        seen, truth = compare(rows[:48], reference[:48]), compare(rows[48:], reference[48:])
        assert mean < seen["mean"]
        assert lowest <= seen["minimum"]
        close += abs(np.log((1 - lowest) / (1 - truth["minimum"]))) < np.log(4 / 3) * 1.3
    assert close > 140
    assert likely(reference[:1], reference[:1], 200) == (1.0, 1.0)
    assert likely(-reference[:9], reference[:9], 200)[1] == -1.0


def test_a_number_keeps_exactly_that_many():
    strengths = np.linspace(0.01, 0.2, 12).tolist()
    for count in (0, 1, 5, 12):
        chosen = choose_int8(Noisy(strengths), embed, REFERENCE, method="plain", keep_float=count)
        assert chosen.keep_float == tuple(f"layer{11 - i}" for i in range(count))
        assert {t["method"] for t in chosen.trials} == {"plain"}


def test_sensitivity_is_left_out_where_nobody_needs_it():
    quantiser = Noisy([0.01] * 30)
    chosen = choose_int8(quantiser, embed, REFERENCE, method="better", keep_float=0, sensitivity=False)
    assert quantiser.made == 1
    assert chosen.sensitivity == ()


def test_hundreds_of_layers_are_measured_in_groups_and_the_worst_one_is_found():
    strengths = [0.002] * 300
    strengths[137] = 0.5
    quantiser = Noisy(strengths)
    chosen = choose_int8(quantiser, embed, REFERENCE, keep_float=1)
    assert chosen.keep_float == ("layer137",)
    assert len(chosen.sensitivity) == 300
    assert quantiser.made <= 3 + 1 + 2 * MOST_MEASURED
    losses = {name: loss for name, _, loss in chosen.sensitivity}
    assert losses["layer137"] > 100 * sorted(losses.values())[-2]


def test_choice_is_the_same_every_time_and_progress_reaches_its_end():
    told: list[tuple[int, int]] = []
    choices = [
        choose_int8(Noisy([0.3, 0.01, 0.2, 0.01] * 4), embed, REFERENCE, progress=lambda *step: told.append(step))
        for _ in range(2)
    ]
    assert choices[0] == choices[1]
    assert told[-1][0] == told[-1][1]
    assert all(0 < done <= total for done, total in told)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "guess"}, "must be auto or one of plain, better, worst; got 'guess'"),
        ({"keep_float": 6}, "must be 'auto' or 0 to 5, the network's layers; got 6"),
        ({"keep_float": "some"}, "got 'some'"),
        ({"reference": REFERENCE[:0]}, r"finite float32 embeddings \(n, dim\); got shape \(0, 24\)"),
        ({"reference": REFERENCE * np.nan}, "with NaN or infinity"),
    ],
)
def test_what_cannot_be_chosen_is_refused(arguments, message):
    given = {"reference": REFERENCE, **arguments}
    with pytest.raises(ExportError, match=message):
        choose_int8(Noisy([0.1] * 5), embed, **given)


def test_compare_of_zero_and_broken_rows():
    rows = REFERENCE[:4].copy()
    rows[1] = 0
    measured = compare(rows, rows)
    assert measured["minimum"] == pytest.approx(1.0)
    assert measured["centred_minimum"] == pytest.approx(1.0)
    assert compare(rows[::-1], rows)["minimum"] < 0.9
    other = rows.copy()
    other[1] = 1
    assert compare(other, rows)["minimum"] == 0.0
    other[1] = np.nan
    assert compare(other, rows)["minimum"] == -1.0
    one = compare(REFERENCE[:1], REFERENCE[:1])
    assert one["centred_mean"] == one["mean"]
    assert one["mean"] == pytest.approx(1.0)


def test_compare_centres_on_the_reference():
    shifted = REFERENCE + 100
    noisy = shifted + np.random.default_rng(2).normal(0, 0.5, REFERENCE.shape).astype(np.float32)
    measured = compare(noisy, shifted)
    assert measured["mean"] > 0.9999
    assert measured["centred_mean"] < 0.95


def test_on_a_real_network():
    pytest.importorskip("onnxscript", reason="needs onnxscript: pip install 'edge-imprint[export]'")
    pytest.importorskip("torch", reason="needs torch: pip install 'edge-imprint[export]'")
    ort = pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install 'edge-imprint[export]'")
    import small_cnn

    from edge_imprint.backbones import InputSpec
    from edge_imprint_export.onnx_format.build import torch_to_onnx
    from edge_imprint_export.onnx_format.quantise import OnnxQuantiser

    content = torch_to_onnx(small_cnn.trained_cnn(), InputSpec(height=small_cnn.SIDE, width=small_cnn.SIDE))
    values = small_cnn.prepared(small_cnn.pictures(48, seed=1)[0]).transpose(0, 3, 1, 2)

    def run(file: bytes) -> NDArray[np.float32]:
        options = ort.SessionOptions()
        options.log_severity_level, options.intra_op_num_threads = 4, 1
        session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        return np.concatenate([session.run(None, {"picture": values[i : i + 1]})[0] for i in range(32, 48)])

    quantiser = OnnxQuantiser(content, [values[i : i + 1] for i in range(32)])
    chosen = choose_int8(quantiser, run, run(content), keep_float=2)
    assert chosen.reached
    assert len(chosen.sensitivity) == len(quantiser.layers)
    assert set(chosen.keep_float) == {name for name, _, _ in chosen.sensitivity[:2]}
    whole = next(t for t in chosen.trials if t["method"] == chosen.method and not t["kept"])
    # Both are so close to 1 here that the order is rounding's.
    assert chosen.trials[-1]["centred_mean"] >= whole["centred_mean"] - 1e-5
    assert compare(run(chosen.content), run(content))["mean"] == chosen.trials[-1]["mean"]
