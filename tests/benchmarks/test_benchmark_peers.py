"""The suite `peers`: each contestant learns, answers, saves and forgets; tables and sentences come from the result."""

from __future__ import annotations

import builtins
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from digits_source import Digits
from rich.console import Console

from benchmarks import suites
from benchmarks.__main__ import measure
from benchmarks.contestants.cbcl import agg_var
from benchmarks.context import Context, Draw, draw
from benchmarks.data import EmbeddingSet
from benchmarks.harness import interleave
from benchmarks.metrics import balanced_accuracy
from benchmarks.peers import kills, measuring, registry, verdict
from benchmarks.peers import tables as peers_tables
from benchmarks.peers.numpy_peers import CBCL_DISTANCE, ClassMeans, Clustering, Discriminant, ImprintingEngine
from benchmarks.peers.peer import CannotForgetError, Entry, Setting
from benchmarks.results import Result

PACKAGE = {"river_kmeans": "river", "river_knn": "river", "faiss_flat": "faiss", "faiss_sq8": "faiss",
           "usearch": "usearch", "hnswlib": "hnswlib", "emlearn": "emlearn"}  # fmt: skip
EVERYWHERE = ("ours_numpy", "ncm", "coral", "slda", "cbcl", "nearest_centroid", "k_neighbors", "logistic",
              "mini_batch_kmeans", "sgd")  # fmt: skip
CANNOT_FORGET = ("NearestCentroid", "KNeighborsClassifier", "LogisticRegression", "SGDClassifier", "KNNClassifier",
                 "imprinting engine (as Coral)", "emlearn neighbours, nearest shot")  # fmt: skip
NAMES = ("ours", "ours_single", "ours_auto", *EVERYWHERE, *PACKAGE)


@pytest.fixture(scope="module")
def data() -> EmbeddingSet:
    return measuring.unit(Digits().load("digits", "mobilenet_v1_0.25_128"))


@pytest.fixture(scope="module")
def entries() -> dict[str, Entry]:
    return registry.installed(Result("peers", quick=True, seeds=1))


@pytest.fixture
def entry(request: pytest.FixtureRequest, entries: dict[str, Entry]) -> Entry:
    name = request.param
    if name not in entries:
        assert name not in EVERYWHERE
        result = Result("peers", quick=True, seeds=1)
        registry.installed(result)
        pytest.skip("; ".join(result.skipped))
    return entries[name]


each = pytest.mark.parametrize("entry", NAMES, indirect=True)


def test_test_pictures_are_unit_and_as_many_of_each_class(data: EmbeddingSet) -> None:
    assert np.linalg.norm(data.test, axis=1) == pytest.approx(1, abs=1e-5)
    few = EmbeddingSet(
        "d", "b", data.train, data.train_labels, np.tile(data.test, (30, 1)), np.tile(data.test_labels, 30)
    )
    assert set(np.unique(measuring.unit(few).test_labels, return_counts=True)[1]) == {100}


@each
def test_a_contestant_learns_from_single_shots_and_opens_what_it_saved(
    entry: Entry, data: EmbeddingSet, tmp_path: Path
) -> None:
    seen = draw(data, 20, seed=0)
    peer = measuring.taught(entry, seen, None)
    answer = peer.predict(data.test)
    assert balanced_accuracy(data.test_labels, answer) > 60  # chance is 10 %
    scores = peer.known_score(data.test)
    assert scores is not None
    assert scores.shape == answer.shape
    assert np.isfinite(np.asarray(scores, float)).all()
    peer.save(tmp_path / "state.bin")
    other = entry.make(Setting(data.dim, sorted(set(seen.labels.tolist()))))
    other.restore(tmp_path / "state.bin")
    other.settle()
    # Only the imprinting engine rounds when it saves.
    assert np.mean(other.predict(data.test) == answer) >= (0.98 if entry.family == "numpy" else 1)


@each
def test_one_more_shot_is_known_to_the_next_prediction(entry: Entry) -> None:
    axes = np.eye(8, dtype=np.float32)
    peer = measuring.taught(entry, Draw(axes[[0, 1, 0, 1]], np.array(["a", "b", "a", "b"])), None)
    if entry.title == "SGDClassifier":  # it takes no class that it was not told of, see its module
        with pytest.raises(ValueError, match="should include all valid labels"):
            peer.learn(axes[2:3], np.array(["c"]))
        return
    before = peer.nbytes
    for _ in range(3):
        peer.learn(axes[2:3], np.array(["c"]))
    peer.settle()
    assert peer.predict(axes[:3]).tolist() == ["a", "b", "c"]
    # Some take room for many shots at once.
    assert peer.nbytes > before or entry.family in ("hnswlib", "emlearn")


@each
def test_forgotten_is_forgotten_and_who_cannot_says_so(entry: Entry, data: EmbeddingSet) -> None:
    peer = measuring.taught(entry, draw(data, 5, seed=0), None)
    assert "digit 3" in peer.predict(data.test)
    before = peer.nbytes
    if entry.title in CANNOT_FORGET:
        with pytest.raises(CannotForgetError, match="cannot remove 'digit 3'"):
            peer.forget("digit 3")
        return
    peer.forget("digit 3")
    peer.settle()
    assert set(peer.predict(data.test)) == set(data.classes) - {"digit 3"}
    assert peer.nbytes < before or entry.family in ("usearch", "hnswlib")


def test_cbcl_one_shot_at_a_time_is_cbcl(data: EmbeddingSet, monkeypatch: pytest.MonkeyPatch) -> None:
    import benchmarks.peers.numpy_peers as module

    monkeypatch.setattr(module, "CBCL_DISTANCE", 0.6)  # so that classes have several centroids
    assert CBCL_DISTANCE != 0.6
    seen = draw(data, 20, seed=1)
    streamed = Clustering(Setting(data.dim, []))
    streamed.learn(seen.shots, seen.labels)
    batch = agg_var(seen.shots, seen.labels, 0.6)
    assert len(batch.rows) > 15
    mine = np.concatenate([streamed._rows[streamed._names.places[name]] for name in batch.names.tolist()])
    np.testing.assert_allclose(mine, batch.rows, atol=1e-9)


def test_numpy_versions_are_what_they_say(data: EmbeddingSet) -> None:
    seen = draw(data, 7, seed=2)
    means = np.stack([seen.shots[seen.labels == name].mean(axis=0) for name in np.unique(seen.labels)])
    by_hand = np.unique(seen.labels)[
        np.argmax(data.test @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T, axis=1)
    ]
    for kind in (ClassMeans, ImprintingEngine):
        peer = kind(Setting(data.dim, []))
        peer.learn(seen.shots, seen.labels)
        assert np.mean(peer.predict(data.test) == by_hand) > 0.998  # sums in another order
    lda = Discriminant(Setting(data.dim, []))
    lda.learn(seen.shots, seen.labels)
    lda.settle()
    assert lda.predict(data.test).tolist() == lda._model.predict(data.test).tolist()


@pytest.mark.parametrize("package", ["river", "faiss", "usearch", "hnswlib", "emlearn"])
def test_a_missing_package_is_a_skip_with_the_command_that_installs_it(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [
        name for name in sys.modules if name.partition(".")[0] == package or name.endswith(f"{package}_peers")
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    real = builtins.__import__

    def refuse(name: str, *args: Any, **options: Any) -> Any:
        if name.partition(".")[0] == package:
            raise ImportError(f"No module named {package!r}")
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    if package == "emlearn":
        monkeypatch.setattr("benchmarks.peers.emlearn_peers.find_spec", lambda name: None)
        from benchmarks.peers import emlearn_peers

        emlearn_peers._library.cache_clear()
    result = Result("peers", quick=True, seeds=1)
    found = registry.installed(result)
    assert set(EVERYWHERE) <= set(found)
    assert not any(PACKAGE.get(name) == package for name in found)
    assert any(package in reason and 'pip install ".[peers]"' in reason for reason in result.skipped)


def test_what_changes_is_brought_back_before_each_sample() -> None:
    state = {"shots": 0, "resets": 0}

    def learn() -> None:
        state["shots"] += 1
        sum(range(300))

    def reset() -> None:
        state["shots"], state["resets"] = 0, state["resets"] + 1

    samples = interleave({"a": learn}, repeats=5, warmups=2, sample_ns=200_000, before={"a": reset})
    assert len(samples["a"]) == 5
    assert state["resets"] >= 5 + 2 + 1
    assert 0 < state["shots"] < 20_000


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # BLAS has threads; its children use none
def test_kills_tell_old_and_new_from_broken(entries: dict[str, Entry], tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    assert kills.kill(entries["ours_numpy"], tmp_path / "ours", 6)["old or new"] == 6
    # np.savez writes over the file: about every kill finds it half done.
    broken = kills.kill(entries["ncm"], tmp_path, 12)
    assert sum(broken.values()) == 12
    assert broken["does not open"] >= 1
    queries = kills._unit(np.random.default_rng(0).normal(size=(60, kills.DIM)))
    peer = measuring.taught(entries["ncm"], kills._lesson(1), None)
    path = tmp_path / "state.bin"
    peer.save(path)
    right = peer.predict(queries).tolist()
    assert kills._open(entries["ncm"], path, queries, [right]) == "old or new"
    assert kills._open(entries["ncm"], path, queries, [right[::-1]]) == "neither"
    path.write_bytes(path.read_bytes()[:500])
    assert kills._open(entries["ncm"], path, queries, [right]) == "does not open"


def crafted() -> Result:
    """Three contestants whose places are known."""
    result = Result("peers", quick=False, seeds=3)
    about = {"keeps": "K", "update": "U", "memory": "M", "disk": "D", "refuses": ""}
    result.settings = {
        "shots": ["20"],
        "cost_where": {"backbone": "default-int8", "data": "digits", "shots": "20"},
        "peers": {
            "ours": {"title": "edge-imprint, proxies", "family": "edge-imprint", **about},
            "good": {"title": "good", "family": "x", **about},
            "bad": {"title": "bad", "family": "y", **about},
        },
    }
    where = result.settings["cost_where"]
    for peer, accuracies, learn, nbytes in (
        ("ours", [50.0, 51.0, 52.0], 9000.0, 1000.0),
        ("good", [49.9, 51.1, 52.1], 3000.0, 2000.0),
        ("bad", [40.0, 41.5, 42.0], 10.0, 1.0),
    ):
        result.add("balanced_accuracy", "%", accuracies, {"peer": peer, **where})
        for name, value in (("learn", learn), ("predict", learn), ("nbytes", nbytes), ("disk", nbytes)):
            result.add(name, "", [value], {"peer": peer, **where}, "median")
    return result


def test_only_who_is_as_accurate_can_be_first() -> None:
    result = crafted()
    assert verdict.equals(result, "ours") == ["good"]
    (text,) = verdict.sentences(result)
    assert "of 2 peers 1 are as accurate or better" in text
    assert "in time per shot is good with 3 µs (U); edge-imprint, proxies has 9 µs, 3 times as much (U)." in text
    assert (
        "in bytes in memory is edge-imprint, proxies with 1,000 bytes (K); good has 2,000 bytes, 2 times as much (K)."
        in text
    )
    row = peers_tables.short(result).splitlines()[2]
    assert row.startswith("| edge-imprint, proxies | 51.0 % | 1 | 9 µs, 3 µs (good) |")
    assert "| **1,000 bytes**, 2,000 bytes (good) |" in row
    verdict.promise(result)
    assert [(target.value, target.holds) for target in result.targets] == [(3.0, False), (0.5, True)]


def test_where_nobody_is_as_accurate_the_closest_is_named() -> None:
    result = crafted()
    del result.settings["peers"]["good"]
    assert verdict.equals(result, "ours") == []
    (text,) = verdict.sentences(result)
    assert "of 1 peers 0 are as accurate or better, within the 95 % interval: none." in text
    assert text.endswith("The closest is bad with 41.2 %.")
    verdict.promise(result)
    assert result.targets == []


@pytest.mark.slow
def test_the_whole_suite_quickly() -> None:
    result = measure("peers", Context(Digits(), seeds=2, quick=True, data=("digits",), console=Console(quiet=True)))
    peers = result.settings["peers"]
    tables = suites.load("peers").tables(result)
    assert set(tables) == {"peers", "peers.short", "peers.first", "peers.behaviour", "peers.kinds"}
    short = [line for line in tables["peers.short"].splitlines() if line.startswith("|")]
    assert len(short) == 2 + len(verdict.mine(result))
    for name in ("peers", "peers.behaviour", "peers.kinds"):
        lines = [line for line in tables[name].splitlines() if line.startswith("|")]
        assert len(lines) == 2 + len(peers)
        assert len({line.count("|") for line in lines}) == 1
    assert len(tables["peers.first"].splitlines()) == len(verdict.mine(result))
    for name in peers:
        found = result.one("balanced_accuracy", peer=name, shots="5")
        assert len(found.samples) == 2
        assert found.value > 15  # chance is 10 %
        assert len(result.one("learn", peer=name).samples) == len(result.one("predict", peer=name).samples) == 5
        assert sum(found.value for found in result.select("kills", peer=name)) == 4
    assert result.one("kills", peer="ours_numpy", outcome="old or new").value == 4
    assert json.dumps(result.settings)
