"""Tables of README and docs/RESULTS.md: `<!-- benchmarks:NAME -->` ... `<!-- /benchmarks -->` is filled from results.

NAME is a suite (`accuracy`), a part of one (`accuracy.cost`), `targets` (what the project promises, over all suites),
`targets.missed` (what of it was not reached in every case) or `machine` (what it was measured on). Figures of suites
that offer `plots` are drawn beside the results.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks import drawing, results, suites
from benchmarks.errors import BenchmarkError
from benchmarks.machine import ROOT
from benchmarks.markdown import table
from benchmarks.results import Result, Target
from edge_imprint.errors import MissingRuntimeError

BLOCK = re.compile(
    r"(?P<open><!-- benchmarks:(?P<name>[\w.]+) -->\n)(?P<body>.*?)(?P<close><!-- /benchmarks -->)", re.DOTALL
)
OPENING = re.compile(r"<!-- benchmarks:([^>]*?) -->")
PLOTS = "plots"
PAGES = (ROOT / "README.md", ROOT / "docs" / "RESULTS.md")
OVER_ALL_SUITES = ("targets", "targets.missed", "machine")


def main(pages: Sequence[Path], folder: Path, *, check: bool) -> int:
    """Render into the files, or compare only.

    Raises:
        BenchmarkError: a result is missing, quick or of another schema; a marker names nothing; or, with
            `check`, a file differs from its results. No file is changed.
    """
    texts = {page: page.read_text(encoding="utf-8") for page in pages}
    fresh = {page: render(text, folder) for page, text in texts.items()}
    if not check:
        draw(folder)
    changed = [page for page in pages if fresh[page] != texts[page]]
    if check and changed:
        names = {
            old["name"]: None
            for page in changed
            for old, new in zip(BLOCK.finditer(texts[page]), BLOCK.finditer(fresh[page]), strict=True)
            if old["body"] != new["body"]
        }
        raise BenchmarkError(
            f"{' and '.join(page.name for page in changed)} differs from the results in {', '.join(names)}; write it "
            "again with: python -m benchmarks report"
        )
    for page in changed:
        page.write_text(fresh[page], encoding="utf-8")
    return 0


def render(text: str, folder: Path) -> str:
    """The same text with every marked place filled from the results in `folder`."""
    opened, complete = OPENING.findall(text), [found["name"] for found in BLOCK.finditer(text)]
    if opened != complete:
        wrong = next(name for name in opened if opened.count(name) != complete.count(name) or name not in complete)
        raise BenchmarkError(
            f"marker {wrong!r} is not closed or not a name; write <!-- benchmarks:NAME --> and "
            "<!-- /benchmarks --> on lines of their own"
        )
    return BLOCK.sub(partial(_fill, folder), text)


def draw(folder: Path) -> list[Path]:
    """Draw the figures of every suite that offers `plots` and has a result, into `folder/plots`; the files drawn.

    Raises:
        BenchmarkError: matplotlib is not installed, or a result is of another schema.
    """
    files = []
    for name in suites.SUITES:
        plots = getattr(suites.load(name), "plots", None) if (folder / f"{name}.json").is_file() else None
        result = results.load(name, folder) if plots else None
        if plots is None or result is None or result.quick or not result.measurements:
            continue
        (folder / PLOTS).mkdir(exist_ok=True)
        try:
            with drawing.style() as pyplot:
                for figure_name, figure in plots(result).items():
                    files.append(folder / PLOTS / f"{figure_name}.png")
                    drawing.save(figure, files[-1])
                    pyplot.close(figure)
        except MissingRuntimeError as error:
            raise BenchmarkError(str(error)) from None
    return files


def _fill(folder: Path, found: re.Match[str]) -> str:
    body = _body(found["name"], folder)
    return f"{found['open']}{body}\n{found['close']}"


def _body(name: str, folder: Path) -> str:
    if name in OVER_ALL_SUITES:
        every = [_trusted(suite, folder) for suite in suites.SUITES]
        return _machine(every) if name == "machine" else _targets(every, only_missed=name == "targets.missed")
    suite = name.partition(".")[0]
    if suite not in suites.SUITES:
        raise BenchmarkError(f"marker {name!r} names no suite; there are {', '.join(suites.SUITES + OVER_ALL_SUITES)}")
    result = _trusted(suite, folder)
    if not result.measurements:
        return f"Not measured: {'; '.join(result.skipped)}"
    tables = suites.load(suite).tables(result)
    if name not in tables:
        raise BenchmarkError(f"marker {name!r} names no table; {suite} has {', '.join(tables)}")
    return tables[name]


def _trusted(suite: str, folder: Path) -> Result:
    result = results.load(suite, folder)
    if result.quick:
        raise BenchmarkError(f"{suite}.json is of a quick run, too short to trust; run it without --quick")
    return result


def _targets(every: list[Result], *, only_missed: bool) -> str:
    """One row a rule: the range of what was measured for it and how many of its cases hold."""
    cases: dict[tuple[str, str], list[Target]] = {}
    for result in every:
        for target in result.targets:
            cases.setdefault((result.suite, target.rule), []).append(target)
    rows = []
    for (suite, rule), targets in cases.items():
        values = sorted(target.value for target in targets)
        span = f"{values[0]:,.4g}" if len(values) == 1 else f"{values[0]:,.4g} to {values[-1]:,.4g}"
        held = sum(target.holds for target in targets)
        verdict = "yes" if held == len(targets) else f"**{held} of {len(targets)}**"
        if only_missed and held == len(targets):
            continue
        rows.append([suite, rule, f"{span} {targets[0].unit}".strip(), verdict])
    return table(["suite", "promise", "measured", "reached"], rows)


def _machine(every: list[Result]) -> str:
    lines: dict[str, list[str]] = {}
    for result in every:
        where = result.machine
        memory_gib = where["memory_bytes"] / 2**30
        libraries = ", ".join(f"{name} {version}" for name, version in result.versions.items())
        line = (
            f"Measured on {where['cpu']}, {where['cores']} cores, {memory_gib:.0f} GiB, {where['os']} "
            f"({where['architecture']}); {libraries}; commit {result.commit[:12]}"
            f"{' with changes' if '+' in result.commit else ''}."
        )
        lines.setdefault(line, []).append(result.suite)
    if len(lines) == 1:
        return next(iter(lines))
    return "\n".join(f"- {', '.join(names)}: {line}" for line, names in lines.items())
