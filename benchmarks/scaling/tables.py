"""Tables of the suite."""

from __future__ import annotations

from benchmarks.markdown import table
from benchmarks.results import Measurement, Result

UNITS = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"))


def duration(nanoseconds: float) -> str:
    """A duration with three significant digits in the unit that suits it."""
    factor, unit = next(((factor, unit) for factor, unit in UNITS if nanoseconds >= factor), UNITS[-1])
    value = nanoseconds / factor
    return f"{value:.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"


def curves(result: Result) -> str:
    """One row a curve: cost at its ends, exponent over all of it and where size matters."""
    rows = []
    for method, axis, task in dict.fromkeys(_key(found) for found in result.select("cost")):
        where = {"method": method, "axis": axis, "task": task}
        costs = list(result.select("cost", **where))
        first, last = costs[0], costs[-1]
        fits = list(result.select("exponent", **where))
        rows.append(
            [
                f"{axis}, method {method}: {task}",
                f"{first.params['size']:,} to {last.params['size']:,}",
                f"{duration(first.value)} to {duration(last.value)}",
                _exponent(result, fits[0]) if fits else "",
                _exponent(result, fits[-1]) if len(fits) > 1 else "",
            ]
        )
    head = ["against", "sizes", "cost", "exponent", "exponent from 1,000 on"]
    limits = "; ".join(f"{what}: {text}" for what, text in result.settings["limits"].items())
    note = (
        "Exponent p of cost = a size^p, least squares on logarithms, with its 95 % interval; one thread, single calls "
        "from Python. Classes: one proxy each, 256 dimensions (ridge: 64). Proxies: 21 a class. Dimensions: 10 classes "
        "of 21 proxies. "
        f"Limits: {limits}."
    )
    skipped = "".join(f" Not measured: {'; '.join(result.skipped)}." for _ in result.skipped[:1])
    return f"{table(head, rows)}\n\n{note}{skipped}"


def history(result: Result) -> str:
    """One row a method: a shot's cost at the end, and how it grew."""
    rows = []
    for found in result.select("history_cost"):
        low, value, high = (result.one(f"history_growth{name}", **found.params).value for name in ("_low", "", "_high"))
        low_cost, high_cost = found.spread["quartile_1"] or 0.0, found.spread["quartile_3"] or 0.0
        rows.append(
            [
                f"{found.params['method']}, {found.params['dim']}-d, {found.params['budget']}",
                f"{found.params['shots']:,.0f}",
                f"{duration(found.value)} ({duration(low_cost)} to {duration(high_cost)})",
                f"{value:+.2f} % ({low:+.2f} to {high:+.2f})",
            ]
        )
    head = ["head", "shots before", "a shot (quartiles)", "growth over all of them (95 %)"]
    note = "Growth of the ratio to a head set back to its first 3,200 shots, both timed in turns after every block."
    return f"{table(head, rows)}\n\n{note}"


def _key(found: Measurement) -> tuple[str, str, str]:
    return str(found.params["method"]), str(found.params["axis"]), str(found.params["task"])


def _exponent(result: Result, fit: Measurement) -> str:
    low, high = (result.one(f"exponent_{side}", **fit.params).value for side in ("low", "high"))
    return f"{fit.value:.2f} ({low:.2f} to {high:.2f})"
