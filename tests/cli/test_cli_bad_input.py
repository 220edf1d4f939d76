"""Bad input: one clear line on standard error, exit code 2, nothing else printed, every file unchanged."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib

import pytest
from PIL import Image
from refusals import files, refused


def bad_pictures(folder, good):
    """Name to path of every kind of file that is no usable picture."""
    folder.mkdir()
    content = good.read_bytes()
    made = {
        "empty.png": b"",
        "text.jpg": b"this is not a picture\n",
        "truncated.png": content[: len(content) // 2],
        "corrupt.png": content[:60] + bytes(byte ^ 0x5A for byte in content[60:90]) + content[90:],
        # A header that promises 60,000 x 60,000 pixels.
        "huge.png": _png_of(60_000, 60_000),
    }
    for name, stuff in made.items():
        (folder / name).write_bytes(stuff)
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    frames[0].save(folder / "animated.gif", save_all=True, append_images=frames[1:])
    return folder


def _png_of(width, height):
    def chunk(kind, payload):
        return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


BAD = ("empty.png", "text.jpg", "truncated.png", "corrupt.png", "huge.png", "animated.gif", "missing.png")


@pytest.mark.parametrize("name", BAD)
def test_a_bad_picture_among_good_ones_changes_and_answers_nothing(run, pictures, state, tmp_path, name):
    bad = bad_pictures(tmp_path / "bad", pictures / "dots/0.png") / name
    before = files(state.parent)
    good = pictures / "dots/6.png"
    refused(run("learn", "dots", good, bad, "--state", state), name)
    refused(run("learn", "new", good, bad, "--state", state, "--json"), name)
    refused(run("predict", good, bad, good, "--state", state), name)
    refused(run("predict", good, bad, "--state", state, "--json"), name)
    assert files(state.parent) == before


@pytest.mark.parametrize("name", BAD)
def test_a_bad_picture_creates_no_state_file(run, bundle, pictures, tmp_path, name):
    bad = bad_pictures(tmp_path / "bad", pictures / "dots/0.png") / name
    (tmp_path / "new").mkdir()
    refused(run("learn", "dots", bad, "--state", tmp_path / "new/state.eimp", "--backbone", bundle), name)
    assert list((tmp_path / "new").iterdir()) == []


def test_a_folder_without_pictures(run, state, tmp_path):
    (tmp_path / "none").mkdir()
    refused(run("learn", "dots", tmp_path / "none", "--state", state), "none", ".jpg")


@pytest.mark.parametrize("label", ["", "x" * 300, "a\nb"])
def test_a_bad_label(run, pictures, state, label):
    before = files(state.parent)
    refused(run("learn", label, pictures / "dots/6.png", "--state", state))
    assert files(state.parent) == before


def test_a_label_that_is_not_utf8(process, pictures, state):
    before = files(state.parent)
    refused(process("learn", b"caf\xe9", pictures / "dots/6.png", "--state", state))
    assert files(state.parent) == before


@pytest.mark.parametrize("budget", ["10", "0", "-5KB", "many", "", "1e99GB"])
def test_a_budget_that_is_too_small_or_no_budget(run, bundle, pictures, tmp_path, budget):
    state = tmp_path / "state.eimp"
    words = ("learn", "dots", pictures / "dots/0.png", "--state", state, "--backbone", bundle)
    refused(run(*words, f"--budget={budget}"))
    assert not state.exists()
    refused(run("plan", "--dim", "48", f"--budget={budget}"))


def test_more_classes_than_the_budget_holds(run, bundle, pictures, tmp_path):
    state = tmp_path / "state.eimp"
    words = ("--state", state, "--backbone", bundle, "--budget", "1KB")
    for number in range(100):
        before = files(tmp_path)
        done = run("learn", f"class {number}", pictures / "dots/0.png", *words)
        if done.code:
            break
    refused(done)
    assert files(tmp_path) == before
    assert number >= 1


def test_budget_backbone_and_rate_are_fixed_at_the_first_learn(run, pictures, state, tmp_path):
    from tiny import write_tiny_bundle

    other = write_tiny_bundle(tmp_path / "other", seed=1)
    before = files(state.parent)
    words = ("learn", "dots", pictures / "dots/6.png", "--state", state)
    refused(run(*words, "--budget", "32KB"), "32KB", "16384")
    refused(run(*words, "--false-accept-rate", "0.2"), "0.2", "0.05")
    refused(run(*words, "--backbone", other))
    refused(run("predict", pictures / "dots/6.png", "--state", state, "--backbone", other))
    assert files(state.parent) == before


@pytest.mark.parametrize("rate", ["-0.1", "1.5", "nan"])
def test_a_false_accept_rate_outside_its_range(run, bundle, pictures, tmp_path, rate):
    state = tmp_path / "state.eimp"
    words = ("learn", "dots", pictures / "dots/0.png", "--state", state, "--backbone", bundle)
    refused(run(*words, f"--false-accept-rate={rate}"))
    assert not state.exists()


def commands_on(state, pictures):
    return (
        ("learn", "dots", pictures / "dots/6.png", "--state", state),
        ("predict", pictures / "dots/6.png", "--state", state),
        ("forget", "dots", "--state", state),
        ("info", state),
    )


@pytest.mark.parametrize("keep", [0, 7, 20, 0.5, -1])
def test_a_truncated_state_file(run, pictures, state, taught, keep):
    state.write_bytes(taught[: int(len(taught) * keep)] if keep == 0.5 else taught[:keep])
    before = files(state.parent)
    for words in commands_on(state, pictures):
        refused(run(*words), "state.eimp")
    assert files(state.parent) == before


@pytest.mark.parametrize("where", [0, 9, 15, 0.3, 0.6, -1])
def test_a_state_file_with_a_flipped_byte(run, pictures, state, taught, where):
    damaged = bytearray(taught)
    damaged[int(len(taught) * where) if isinstance(where, float) else where] ^= 0x10
    state.write_bytes(damaged)
    for words in commands_on(state, pictures):
        refused(run(*words), "state.eimp")
    assert state.read_bytes() == damaged


def test_a_state_file_of_a_newer_version(run, pictures, state, monkeypatch):
    from edge_imprint import snapshot

    sections = snapshot.read(state)
    monkeypatch.setattr(snapshot, "MAJOR", snapshot.MAJOR + 1)
    snapshot.write(state, sections)
    monkeypatch.undo()
    before = files(state.parent)
    for words in commands_on(state, pictures):
        refused(run(*words), "2")
    assert files(state.parent) == before


def test_no_state_file(run, pictures, tmp_path):
    state = tmp_path / "none.eimp"
    refused(run("predict", pictures / "dots/0.png", "--state", state), "none.eimp", "learn")
    refused(run("forget", "dots", "--state", state), "none.eimp")
    refused(run("info", state), "none.eimp")
    refused(run("learn", "dots", pictures / "dots/0.png", "--state", tmp_path / "no/folder.eimp"), "folder")
    refused(run("learn", "dots", pictures / "dots/0.png", "--state", tmp_path))


def test_forgetting_what_was_never_taught(run, state):
    before = files(state.parent)
    refused(run("forget", "unicorn", "--state", state), "unicorn")
    assert files(state.parent) == before


def test_a_bundle_whose_hash_does_not_match(run, pictures, tmp_path):
    from tiny import write_tiny_bundle

    bundle = write_tiny_bundle(tmp_path / "bundle")
    network = bytearray((bundle / "tiny.onnx").read_bytes())
    network[-1] ^= 1
    (bundle / "tiny.onnx").write_bytes(network)
    state = tmp_path / "state.eimp"
    refused(run("learn", "dots", pictures / "dots/0.png", "--state", state, "--backbone", bundle), "tiny.onnx")
    refused(run("info", bundle), "tiny.onnx")
    refused(run("evaluate", pictures, "--shots", "1", "--backbone", bundle), "tiny.onnx")
    assert not state.exists()


def test_a_backbone_that_does_not_exist(run, pictures, tmp_path):
    refused(
        run("learn", "a", pictures / "dots/0.png", "--state", tmp_path / "s", "--backbone", tmp_path / "no"),
        "no",
    )


def without(*modules):
    """The command in a process where some packages are not installed."""
    hide = "".join(f"sys.modules[{name!r}] = None; " for name in modules)
    return [sys.executable, "-c", f"import sys; {hide}from edge_imprint.cli import main; sys.exit(main())"]


@pytest.mark.parametrize(
    ("hidden", "words", "extra"),
    [
        (
            ("onnxruntime",),
            ("learn", "dots", "{picture}", "--state", "{tmp}/s.eimp", "--backbone", "{bundle}"),
            "onnx",
        ),
        (("onnxruntime",), ("info", "{bundle}"), "onnx"),
        (("sklearn",), ("demo", "--out", "{tmp}/report"), "demo"),
        (("jinja2",), ("demo", "--out", "{tmp}/report"), "demo"),
    ],
)
def test_a_missing_package_names_the_extra(bundle, pictures, tmp_path, hidden, words, extra):
    filled = [word.format(picture=pictures / "dots/0.png", tmp=tmp_path, bundle=bundle) for word in words]
    done = subprocess.run([*without(*hidden), *filled], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert f"edge-imprint[{extra}]" in done.stderr
    assert list(tmp_path.iterdir()) == []
