"""What the demo writes: one page that stands alone, numbers that agree with each other, a story."""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from edge_imprint.demo import STEPS, charts, data, story

VOID = {"meta", "img", "br", "path", "use", "rect"}


@pytest.fixture(scope="module")
def page(shown):
    return Path(shown["html"]).read_text(encoding="utf-8")


def test_it_says_how_far_it_is(shown):
    assert shown["advanced"] == STEPS


def test_the_numbers_file_holds_the_numbers(shown):
    stored = json.loads(Path(shown["json"]).read_text(encoding="utf-8"))
    added = {"html", "json", "story", "advanced"}
    assert stored == {name: value for name, value in json.loads(json.dumps(shown)).items() if name not in added}
    assert set(stored) == {
        "version", "machine", "backbone", "seconds", "objects", "digits", "memory", "milliseconds",
    }  # fmt: skip


def test_accuracy_is_told_for_every_method_and_shot_count(shown):
    curve = shown["digits"]["curve"]
    assert [(p["method"], p["shots"]) for p in curve] == [
        (method, shots) for method in story.CURVE_METHODS for shots in story.SHOTS
    ]
    head = {p["shots"]: p["mean"] for p in curve if p["method"] == "auto"}
    assert head[20] > head[1] > 10  # better than guessing, and more shots help


@pytest.mark.parametrize("part", ["digits", "objects"])
def test_verdicts_add_up(shown, part):
    for kind in ("verdicts_taught", "verdicts_never_shown"):
        shares = shown[part][kind]
        assert list(shares) == ["known", "uncertain", "unknown"]
        assert sum(shares.values()) == pytest.approx(100, abs=0.05)


def test_secret_things_were_not_taught(shown):
    assert not set(shown["digits"]["taught"]) & set(shown["digits"]["never_shown"])
    assert len(shown["digits"]["never_shown"]) == 3
    assert not set(shown["objects"]["taught"]) & set(shown["objects"]["never_shown"])


def test_the_budget_was_kept_and_forgetting_gave_bytes_back(shown):
    memory = shown["memory"]
    assert len(memory["used"]) == memory["shots"] + 2  # before the first shot, after each, after forgetting
    assert max(memory["used"]) == memory["most_used"] <= memory["budget"] == 32768
    assert memory["bytes_freed"] == memory["used"][-2] - memory["used"][-1] > 0
    assert memory["same_after_reload"] is True
    assert set(memory["proxies"]) == set("0123456789")
    assert min(memory["proxies"].values()) >= 1


def test_every_stage_was_timed(shown):
    assert list(shown["milliseconds"]) == ["decode", "preprocess", "backbone", "head: learn", "head: predict"]
    for stage in shown["milliseconds"].values():
        assert 0 < stage["q1"] <= stage["median"] <= stage["q3"]


def test_the_story_has_a_line_per_part(shown):
    assert len(shown["story"]) == 5
    assert all("\n" not in line for line in shown["story"])


def test_the_page_needs_no_other_file_and_no_network(page):
    sources = re.findall(r'\b(?:src|href|data|action|poster)="([^"]*)"', page)
    assert sources
    assert {source.partition(",")[0] for source in sources if not source.startswith("#")} == {"data:image/jpeg;base64"}
    assert "<script" not in page
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)


def test_the_page_shows_every_picture_it_speaks_of(shown, page):
    pictures = re.findall(r'<img src="data:image/jpeg;base64,([^"]+)" alt="([^"]+)">', page)
    objects, digits = shown["objects"], shown["digits"]
    taught = len(objects["taught"]) * story.OBJECT_SHOTS
    asked = (len(objects["taught"]) + len(objects["never_shown"]) + digits["classes"]) * story.TILES_EACH
    assert len(pictures) == taught + asked
    for content, _ in pictures:
        with Image.open(io.BytesIO(base64.b64decode(content))) as image:
            image.load()
            assert image.width >= 62
    assert sum("answered: " in alt for _, alt in pictures) == asked
    for thing in data.TAUGHT:
        assert f"<b>{thing.shown_as}</b>" in page
        assert f"asked: {thing.honesty}" in page


def test_frames_follow_the_verdicts(page):
    frames = re.findall(r'<figure class="asked (\w+)">.*?alt="[^"]*, (\w+)">', page)
    assert frames
    assert all(frame == verdict for frame, verdict in frames)
    for verdict in ("known", "uncertain", "unknown"):
        assert f"figure.{verdict} {{ --mark: var(--" in page


class Balance(HTMLParser):
    """Counts what is opened and not closed."""

    def __init__(self):
        super().__init__()
        self.open, self.ids = [], []

    def handle_starttag(self, tag, attributes):
        self.ids += [value for name, value in attributes if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.ids += [value for name, value in attributes if name == "id"]

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag


def test_the_page_is_well_formed(page):
    reader = Balance()
    reader.feed(page)
    assert reader.open == []
    assert len(set(reader.ids)) == len(reader.ids)
    referenced = set(re.findall(r'(?:href="|url\()#([^")]+)', page))
    assert referenced == set(reader.ids)


def test_charts_follow_the_colours_of_the_page(page):
    charts_in_page = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert len(charts_in_page) == 6
    for chart in charts_in_page:
        assert 'role="img" aria-label="' in chart
        assert "var(--" in chart
        assert not re.search(r"#0102\w\w", chart)
        assert set(re.findall(r"#[0-9a-f]{6}", chart)) <= {"#ffffff"}  # white letters on coloured bars
    defined = set(re.findall(r"--([a-z]+):", page))
    assert set(re.findall(r"var\(--([a-z]+)", page)) <= defined
    assert "prefers-color-scheme: dark" in page


def test_a_chart_is_the_same_every_time():
    proxies = {"a": 1, "b": 3}
    assert charts.proxies_per_class(proxies) == charts.proxies_per_class(proxies)


def test_labels_in_a_chart_cannot_break_the_page():
    chart = charts.proxies_per_class({"<script>alert(1)</script>": 2, "a & b": 1})
    assert "<script" not in chart
    assert "&lt;script" in chart


def test_nothing_is_written_when_the_folder_cannot_be_made(tmp_path):
    from edge_imprint.demo import run_demo
    from edge_imprint.errors import StorageError

    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="file"):
        run_demo(tmp_path / "file" / "report")
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.slow
def test_the_demo_command_on_the_bundled_backbone(tmp_path):
    words = [sys.executable, "-m", "edge_imprint.cli", "demo", "--out", str(tmp_path / "report"), "--json"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=180)
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    assert Path(said["html"]).is_file()
    assert said["seconds"] < 120
    assert said["objects"]["accuracy"] > 80
