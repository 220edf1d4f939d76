from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from paper_records import all_cells, value, write

from benchmarks.paper import embeddings, extra
from benchmarks.paper.__main__ import main
from benchmarks.paper.pictures import open_tree
from benchmarks.paper.store import read_cells
from benchmarks.paper.summary import Summary
from edge_imprint.errors import MissingRuntimeError


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """Run a command that must be refused: exit status 2, one line."""
    assert main([str(word) for word in words]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1, shown.err
    assert shown.err.startswith("Error: ")
    assert "internal error" not in shown.err
    return shown.err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--shots", "1,x"], "--shots must be whole numbers of at least 1, like 1,5,20; got '1,x'"),
        (["--shots", "0"], "--shots must be whole"),
        (["--shots", ""], "--shots must be whole"),
        (["--merge", "-2"], "--merge must be whole"),
        (["--k", "1.5"], "--k must be whole"),
        (["--seeds", "0"], "--seeds must be"),
        (["--jobs", "0"], "--jobs must be at least 1, or -1"),
        (["--jobs", "many"], "--jobs"),
        (["--protocol", "x"], "--protocol must be some of shots, k, all; got x"),
        (["--methods", "qi,best"], "got best"),
        (["--labels", "1"], "--labels"),
        (["--budget", "lots"], "budget"),
        (["--backbone", "missing.onnx"], "missing.onnx"),
        (["--backbone", "default", "--backbone", "default"], "each --backbone needs a name of its own"),
        (["--colour", "red"], "--colour"),
    ],
)
def test_bad_words_are_refused_in_one_line_and_write_nothing(
    words: list[str], text: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], cache: Path
) -> None:
    assert text in refused(capsys, "run", "--data", photos, "--out", tmp_path / "out", *words)
    assert not (tmp_path / "out").exists()


def test_bad_data_is_refused(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], cache: Path) -> None:
    out = tmp_path / "out"
    assert "--data" in refused(capsys, "run", "--out", out)
    assert "must be a folder or a .zip" in refused(capsys, "run", "--data", tmp_path / "none", "--out", out)
    same = tmp_path / "photos"
    shutil.copytree(photos, same)
    assert "needs a name of its own" in refused(capsys, "run", "--data", photos, "--data", same, "--out", out)
    for file in (same / "hat").iterdir():
        file.write_bytes(b"no picture")
    assert "no picture of 'hat'" in refused(capsys, "run", "--data", same, "--out", out, "--jobs", 1)


@pytest.mark.parametrize("address", ["nowhere", "tcp://127.0.0.1:9", ""])
def test_a_cluster_that_does_not_answer_is_refused(
    address: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from benchmarks.paper import cluster

    monkeypatch.setattr(cluster, "PATIENCE", "1s")
    words = ("run", "--data", photos, "--out", tmp_path / "out", "--jobs", 1, "--protocol", "k", "--cluster", address)
    assert "--cluster must be the address of a Dask scheduler" in refused(capsys, *words)


def test_a_run_goes_on_with_more_and_refuses_other_settings(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], cache: Path
) -> None:
    out = tmp_path / "out"

    def run(*words: object) -> dict[str, object]:
        common = ["run", "--data", photos, "--out", out, "--jobs", 1, "--merge", 1, "--k", "1,2", "--json"]
        assert main([str(word) for word in (*common, *words)]) == 0
        found: dict[str, object] = json.loads(capsys.readouterr().out)
        return found

    first = run("--shots", "1,2", "--seeds", 1, "--methods", "qi,head")
    assert (first["cells"], first["computed"]) == (7, 7)
    more = run("--shots", "1,2,50", "--seeds", 2, "--methods", "qi,head")
    assert (more["cells"], more["computed"]) == (14, 7)
    assert more["left_out"] == ["photos: 50 shots; class 'bar' has 9 to learn from"]
    common = ("run", "--data", photos, "--out", out, "--jobs", 1)
    assert "made with --budget 512KB; got 8KB" in refused(capsys, *common, "--budget", "8KB")
    assert len(read_cells(out)) == 14


def test_cells_of_changed_code_are_computed_again(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks.paper import sweep

    words = ["run", "--data", str(photos), "--out", str(tmp_path), "--jobs", "1", "--protocol", "shots",
             "--shots", "1", "--seeds", "1", "--methods", "qi,head,auto", "--json"]  # fmt: skip
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["computed"] == 3
    digests = sweep.code_digests()
    monkeypatch.setattr(sweep, "code_digests", lambda: {**digests, "head": "changed"})
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["computed"] == 2


def test_embeddings_are_made_once_and_unreadable_pictures_left_out(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_IMPRINT_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "photos"
    shutil.copytree(photos, folder)
    (folder / "hat" / "00.png").write_bytes(b"no picture")
    words = [
        "run",
        "--data",
        str(folder),
        "--out",
        str(tmp_path / "out"),
        "--jobs",
        "1",
        "--protocol",
        "k",
        "--seeds",
        "1",
    ]
    assert main(words) == 0
    assert "Warning: left out 1 pictures of photos that cannot be read" in capsys.readouterr().err
    (file,) = (tmp_path / "cache" / "paper").iterdir()
    stamp = file.stat().st_mtime_ns
    calls: list[object] = []
    monkeypatch.setattr(embeddings, "_embed_batch", lambda *arguments: calls.append(arguments))
    assert main(words) == 0
    assert calls == []
    assert file.stat().st_mtime_ns == stamp
    assert "left out 1 pictures" in capsys.readouterr().err


def test_a_cache_file_is_made_again_when_it_is_damaged_and_follows_the_base_statistics(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_IMPRINT_CACHE", str(tmp_path))
    tree, steps = open_tree(photos), [0]

    def made() -> embeddings.Embedded:
        steps[0] = 0
        found = embeddings.embed(tree, "default", "default", 1, lambda: steps.__setitem__(0, steps[0] + 1))
        assert steps[0] == embeddings.batches(tree)
        return found

    first = embeddings.load(made().path)
    assert first.base is not None
    path = made().path
    for content in (b"", b"no zip", path.read_bytes()[:2000]):
        path.write_bytes(content)
        embeddings.load.cache_clear()
        again = embeddings.load(made().path)
        assert np.array_equal(again.train, first.train)
    embeddings._save(path, replace(first, base=None), ())
    monkeypatch.setattr(embeddings, "_embed_batch", None)  # the embeddings still hold
    assert embeddings.load(made().path).base is not None
    embeddings._save(path, replace(first, train=first.train + 1), ())
    with pytest.raises(TypeError):
        made()


def test_tables_and_figures_come_from_the_results_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, all_cells())
    assert main(["tables", str(tmp_path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [row["method"] for row in facts["presets"]][:3] == ["head", "auto", "qi"]
    assert facts["presets"][0]["rank"] == 1
    assert facts["presets"][2] == {"method": "qi", "mean": 76.5, "paper": 86.79, "rank": 3.0, "blocks": 16}
    everything, few = facts["ranking"]
    assert (everything["blocks"], few["blocks"]) == (16, 8)
    assert {(row["d"], row["best_k"]) for row in facts["best_k"]} == {(1, 1), (2, 2)}
    assert all(row["by_seed"] == [row["d"]] * 2 for row in facts["best_k"])
    assert [(row["labels"], row["nc1"], row["gain"]) for row in facts["nc1"]["rows"]][:2] == [
        (8, 2.05, -7.0),
        (4, 3.05, 0.0),
    ]
    assert facts["nc1"]["spearman"]["everywhere"] == {"labels": 8, "points": 8, "spearman": -1.0}
    text = (tmp_path / "tables.md").read_text()
    assert "| Qi | 76.50 | 86.79 | 3.00 |" in text
    assert main(["tables", str(tmp_path)]) == 0
    assert capsys.readouterr().out == text
    lines = (tmp_path / "shots.csv").read_text().splitlines()
    assert lines[0] == "data,backbone,task,shots,method,mean,half_width,samples"
    assert "cups,small,all,5,qi,72.5,6.353,72.00 73.00" in lines
    assert main(["figures", str(tmp_path), "--json"]) == 0
    files = [Path(file) for file in json.loads(capsys.readouterr().out)["figures"]]
    assert [file.name for file in files] == ["k.svg", "shots.svg", "ranks_all.svg", "ranks_few.svg", "nc1.svg"]
    first = [file.read_bytes() for file in files]
    assert main(["figures", str(tmp_path)]) == 0
    assert [file.read_bytes() for file in files] == first, "the same results give the same files"
    shown = files[2].read_text()
    assert re.search(r"head \(int8, proxies\)\s+1\.00", shown)
    assert "critical difference 1.17" in shown


def test_figures_of_one_protocol_alone_and_of_what_was_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "k", [cell for cell in all_cells() if cell.protocol == "k"])
    assert main(["figures", str(tmp_path / "k"), "--format", "png", "--json"]) == 0
    assert [Path(file).name for file in json.loads(capsys.readouterr().out)["figures"]] == ["k.png", "nc1.png"]
    shots = [cell for cell in all_cells() if cell.protocol == "shots"]
    write(tmp_path / "shots", shots)
    path = tmp_path / "shots" / "cells.jsonl"
    lines = path.read_text().splitlines()
    for place, cell in enumerate(shots):
        if cell.method == "head" and cell.data == "cups" and cell.shots == 0:
            record = {key: found for key, found in json.loads(lines[place]).items() if key != "value"}
            lines[place] = json.dumps({**record, "refused": "no room"})
    path.write_text("\n".join(lines) + "\n")
    summary = Summary(tmp_path / "shots")
    assert {block[0] for block in summary.blocks()} == {"hats"}, "methods are ranked where all of them have a number"
    assert main(["tables", str(tmp_path / "shots")]) == 0
    text = capsys.readouterr().out
    assert "- head: no room (16 cells)" in text
    assert "| all | refused |" in text
    assert main(["figures", str(tmp_path / "shots")]) == 0


def test_one_cell_is_enough_for_tables_and_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cell = next(iter(all_cells()))
    write(tmp_path, [cell])
    assert main(["tables", str(tmp_path)]) == 0
    assert f"{value(cell):.1f}" in capsys.readouterr().out
    assert main(["figures", str(tmp_path)]) == 0
    write(tmp_path, [replace(cell, protocol="k", method="kmeans", k=1, shots=0)])
    assert main(["tables", str(tmp_path)]) == 0
    assert main(["figures", str(tmp_path)]) == 0


def test_no_results_yet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no results in" in refused(capsys, "tables", tmp_path)
    assert "no results in" in refused(capsys, "figures", tmp_path / "none")
    write(tmp_path, [])
    assert "no cell of" in refused(capsys, "figures", tmp_path)
    write(tmp_path, all_cells())
    assert "--format must be one of svg, png, pdf; got gif" in refused(capsys, "figures", tmp_path, "--format", "gif")


def test_a_missing_package_names_the_extra() -> None:
    with pytest.raises(MissingRuntimeError, match=r"a cluster needs nothere.*pip install 'edge-imprint\[paper\]'"):
        extra.need("nothere.part", "a cluster")
