"""README.md is executed: its Python runs and prints what it says, its commands and options exist."""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import shlex
from pathlib import Path
from typing import NamedTuple

import pytest
import typer

from edge_imprint.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block of a Markdown file."""

    language: str
    text: str
    line: int


def blocks(markdown: str) -> list[Block]:
    return [
        Block(found[1], found[2], markdown.count("\n", 0, found.start(2)) + 1) for found in FENCE.finditer(markdown)
    ]


def execute(found: list[Block], name: str) -> None:
    """Run the Python blocks in one namespace; what each prints is compared with an output block after it."""
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block, after in zip(found, [*found[1:], Block("", "", 0)], strict=True):
        if block.language not in ("python", "py"):
            continue
        printed = io.StringIO()
        code = compile("\n" * (block.line - 1) + block.text, name, "exec")
        with contextlib.redirect_stdout(printed):
            exec(code, namespace)
        if after.language in ("text", "output"):
            same = doctest.OutputChecker().check_output(after.text, printed.getvalue(), doctest.ELLIPSIS)
            assert same, f"{name}:{after.line} says\n{after.text}\nand the code prints\n{printed.getvalue()}"


def commands(found: list[Block]) -> list[tuple[int, list[str]]]:
    """The words of each command line in the console blocks, with its line; outputs are left out."""
    result = []
    for block in found:
        if block.language not in ("console", "bash", "sh", "shell"):
            continue
        lines = block.text.replace("\\\n", "  ").splitlines()
        prompts = any(line.startswith("$ ") for line in lines)
        for number, line in enumerate(lines):
            if line.startswith("$ ") or (not prompts and line.strip()):
                result.append((block.line + number, shlex.split(line.removeprefix("$ "), comments=True)))
    return result


@pytest.fixture(scope="module")
def readme() -> list[Block]:
    text = README.read_text()
    if not text.strip():
        pytest.skip("README.md is still empty")
    return blocks(text)


def test_executing_blocks_catches_a_wrong_output():
    good = blocks("```python\nx = 2\n```\nthen\n```python\nprint(x, 0.5)\n```\n\n```text\n2 0...\n```\n")
    execute(good, "good.md")
    with pytest.raises(AssertionError, match=r"bad\.md:9 says\n *3"):
        execute([*good[:2], Block("text", "3\n", 9)], "bad.md")
    with pytest.raises(NameError):
        execute(good[1:], "missing.md")


def test_command_lines_are_found():
    text = "```console\n$ make demo  # first\nwritten\n$ edge-imprint learn mug \\\n  a.jpg --state k\n```\n"
    assert commands(blocks(text)) == [
        (2, ["make", "demo"]),
        (4, ["edge-imprint", "learn", "mug", "a.jpg", "--state", "k"]),
    ]


def test_readme_python_runs_and_prints_what_it_says(readme, tmp_path, monkeypatch):
    assert any(block.language in ("python", "py") for block in readme), "README.md shows no Python"
    monkeypatch.chdir(tmp_path)
    execute(readme, "README.md")


def test_readme_commands_exist(readme):
    found = commands(readme)
    assert found, "README.md shows no command"
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line, words in found:
        if words[0] == "make":
            wanted = {word for word in words[1:] if "=" not in word}
            assert wanted <= targets, f"README.md:{line}: make has no target {wanted - targets}"
        if words[0] == "edge-imprint":
            known = options_of(words[1:])
            for option in (word.partition("=")[0] for word in words if word.startswith("--")):
                assert option in known, f"README.md:{line}: {shlex.join(words)}: there is no option {option}"


def options_of(words: list[str]) -> set[str]:
    """The options of edge-imprint and of each command and subcommand that the words name."""
    command = typer.main.get_command(app)
    known = {"--help"}
    for word in words:
        known |= {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        command = getattr(command, "commands", {}).get(word, command)
    return known | {option for parameter in command.params for option in parameter.opts}


def test_subcommands_have_their_own_options():
    assert "--port" in options_of(["firmware", "talk", "--port", "p", "learn"])
    assert "--board" not in options_of(["firmware", "talk", "learn"])
    assert options_of(["no-such-command"]) == options_of([])


@pytest.mark.parametrize("page", [README, *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    """To files that exist, and to headings that these have."""
    missing = []
    for target in re.findall(r"\]\(([^)\s]+)[^)]*\)", FENCE.sub("", page.read_text())):
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name) if name else page
        if not file.exists() or (anchor and anchor not in anchors(file.read_text())):
            missing.append(target)
    assert not missing, f"{page.name} links to what does not exist: {missing}"


def anchors(markdown: str) -> set[str]:
    """What GitHub makes of the headings: lower case, without punctuation, hyphens for spaces."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", markdown), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
