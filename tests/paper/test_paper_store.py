from __future__ import annotations

import json
from pathlib import Path

import pytest
from paper_records import SETTINGS, all_cells, write

from benchmarks.paper.store import Store, code_digests, code_of, read_cells, read_settings
from edge_imprint.errors import StorageError, UsageError

CELLS = list(all_cells())


def settings(**changes: object) -> dict[str, object]:
    return {**SETTINGS, **changes}


def test_what_is_added_is_there_again(tmp_path: Path) -> None:
    with Store(tmp_path / "out", settings()) as store:
        assert not store.finished(CELLS[0], "c")
        store.add(CELLS[0], "c", {"value": 71.5, "wall_s": 0.1})
        store.add(CELLS[1], "c", {"refused": "no room", "wall_s": 0.1})
    with Store(tmp_path / "out", settings()) as store:
        assert store.finished(CELLS[0], "c")
        assert store.finished(CELLS[1], "c")
        assert not store.finished(CELLS[0], "other code")
        assert store.records[CELLS[0].key]["value"] == 71.5
        store.add(CELLS[0], "other code", {"value": 72.5, "wall_s": 0.1})
    assert read_cells(tmp_path / "out")[CELLS[0].key]["value"] == 72.5
    assert read_settings(tmp_path / "out")["machine"]["cores"] >= 1


@pytest.mark.parametrize("left", [1, 20, -1])
def test_half_a_last_line_is_forgotten(tmp_path: Path, left: int) -> None:
    write(tmp_path, CELLS[:3])
    path = tmp_path / "cells.jsonl"
    whole = path.read_bytes()
    last = whole.splitlines()[2]
    path.write_bytes(whole[: -len(last) - 1] + last[:left])
    assert len(read_cells(tmp_path)) == 2, "figures and tables tolerate it as well"
    with Store(tmp_path, settings()) as store:
        assert len(store.records) == 2
        store.add(CELLS[2], "c", {"value": 1.0})
    assert len(read_cells(tmp_path)) == 3
    assert all(json.loads(line) for line in path.read_text().splitlines())


@pytest.mark.parametrize("bad", ["{", "[]", '{"protocol": "k"}', "null"])
def test_a_damaged_line_in_the_middle_is_refused_by_its_number(tmp_path: Path, bad: str) -> None:
    write(tmp_path, CELLS[:3])
    lines = (tmp_path / "cells.jsonl").read_text().splitlines()
    (tmp_path / "cells.jsonl").write_text("\n".join([lines[0], bad, lines[2], ""]))
    with pytest.raises(StorageError, match=r"cells.jsonl, line 2, is damaged"):
        read_cells(tmp_path)
    with pytest.raises(StorageError, match="line 2"):
        Store(tmp_path, settings())


def test_other_settings_are_refused_and_new_names_join(tmp_path: Path) -> None:
    write(tmp_path, CELLS[:3])
    before = (tmp_path / "cells.jsonl").read_bytes()
    for change, text in (
        ({"budget": "32KB"}, "made with --budget 64KB; got 32KB"),
        ({"labels": 5}, "made with --labels 10; got 5"),
        ({"data": {"cups": "changed"}}, "another 'cups'"),
        ({"backbones": {"small": "changed"}}, "another 'small'"),
    ):
        with pytest.raises(UsageError, match=text):
            Store(tmp_path, settings(**change))
    with Store(tmp_path, settings(data={"mugs": "d3"})):
        pass
    assert read_settings(tmp_path)["data"] == {"cups": "d1", "hats": "d2", "mugs": "d3"}
    assert (tmp_path / "cells.jsonl").read_bytes() == before
    (tmp_path / "settings.json").write_text(json.dumps(settings(schema=99)))
    with pytest.raises(UsageError, match="another version"):
        Store(tmp_path, settings())
    (tmp_path / "settings.json").write_text("{")
    with pytest.raises(StorageError, match=r"settings.json is damaged"):
        Store(tmp_path, settings())


def test_one_run_at_a_time(tmp_path: Path) -> None:
    with Store(tmp_path, settings()), pytest.raises(UsageError, match="another run is writing"):
        Store(tmp_path, settings())
    with Store(tmp_path, settings()):
        pass


def test_no_results_and_no_folder(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no results in"):
        read_settings(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        Store(tmp_path / "file", settings())


def test_code_digests_follow_the_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import edge_imprint

    digests = code_digests()
    assert code_of(CELLS[0], digests).startswith(digests["head"] + "-")
    for unit in ("head", "imprint"):
        (tmp_path / unit).mkdir()
        (tmp_path / unit / "a.py").write_text("1")
    monkeypatch.setattr(edge_imprint, "__file__", str(tmp_path / "__init__.py"))
    before = code_digests()
    (tmp_path / "imprint" / "a.py").write_text("2")
    assert code_digests()["head"] == before["head"]
    assert code_digests()["imprint"] != before["imprint"]
