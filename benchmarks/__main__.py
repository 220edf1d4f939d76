"""`python -m benchmarks run [SUITE...]` measures, `report` fills README and docs/RESULTS.md, `compare A B` compares."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from benchmarks import comparing, report, results, suites
from benchmarks.context import Context
from benchmarks.data import SharedEmbeddings
from benchmarks.errors import BenchmarkError
from benchmarks.machine import ROOT
from benchmarks.results import Result, Stopwatch

QUICK_SEEDS = 2
QUICK_FOLDER = ROOT / "build" / "benchmarks"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; 0 when all is well, 2 with one line on standard error otherwise."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "run":
            return run(options.suites or list(suites.SUITES), options.seeds, options.quick, options.out)
        if options.command == "compare":
            return comparing.main(
                options.first, options.second, percent=options.percent, as_json=options.json, console=Console()
            )
        return report.main(options.page or report.PAGES, options.results, check=options.check)
    except BenchmarkError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2


def run(names: list[str], seeds: int, quick: bool, out: Path | None) -> int:
    """Measure the suites one after the other and write one result file each.

    Several are measured in a process each: what one leaves behind, like a session's threads, made the next one's ratios
    differ by a sixth.
    """
    unknown = [name for name in names if name not in suites.SUITES]
    if unknown:
        raise BenchmarkError(f"no suite {unknown[0]!r}; there are {', '.join(suites.SUITES)}")
    folder = out or (QUICK_FOLDER if quick else results.FOLDER)
    if len(names) == 1:
        run_here(names[0], seeds, quick, folder)
        return 0
    options = [f"--seeds={seeds}", f"--out={folder.absolute()}", *(["--quick"] if quick else [])]
    for name in names:
        code = subprocess.run([sys.executable, "-m", "benchmarks", "run", name, *options], cwd=ROOT).returncode
        if code:
            return code
    return 0


def run_here(name: str, seeds: int, quick: bool, folder: Path) -> None:
    """Measure a suite in this process, save its result and say which promises were reached."""
    console = Console(stderr=True)
    seeds = min(seeds, QUICK_SEEDS) if quick else seeds
    result = measure(name, Context(SharedEmbeddings(console), seeds=seeds, quick=quick, console=console))
    path = results.save(result, folder)
    console.print(f"{name}: {result.wall_s:.0f} s, {path}")
    for reason in result.skipped:
        console.print(f"  skipped: {reason}", markup=False, soft_wrap=True)
    for target in result.targets:
        verdict = "reached" if target.holds else "MISSED "
        console.print(
            f"  {verdict} {target.name}: {target.rule}: {target.value:.4g} {target.unit}",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip


def measure(name: str, context: Context) -> Result:
    """Run one suite and time it as a whole."""
    result = Result(name, quick=context.quick, seeds=context.seeds)
    with Stopwatch(result):
        suites.load(name).run(context, result)
    return result


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="measure, and write results/<suite>.json")
    running.add_argument("suites", nargs="*", metavar="SUITE", help=f"any of {', '.join(suites.SUITES)}; default all")
    running.add_argument("--seeds", type=_at_least_one, default=5, help="default 5")
    running.add_argument(
        "--quick", action="store_true", help="a smoke test: two seeds, few shots; written to build/benchmarks"
    )
    running.add_argument("--out", type=Path, help="folder of the result files; default benchmarks/results")
    reporting = commands.add_parser("report", help="render the results into README and docs/RESULTS.md")
    reporting.add_argument("--check", action="store_true", help="change nothing; exit 2 when a page differs")
    reporting.add_argument("--page", type=Path, action="append", help="a file in place of these two; repeatable")
    reporting.add_argument("--results", type=Path, default=results.FOLDER)
    compared = commands.add_parser("compare", help="two runs side by side; exit 1 when a stated ratio differs")
    compared.add_argument("first", type=Path, help="a result file, or a folder of them")
    compared.add_argument("second", type=Path, help="of the same kind")
    compared.add_argument("--percent", type=float, default=10.0, help="by how much ratios may differ; default 10")
    compared.add_argument("--json", action="store_true", help="every number, for machines")
    return parser


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1; got {number}")
    return number


if __name__ == "__main__":
    sys.exit(main())
