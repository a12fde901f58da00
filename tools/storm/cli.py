"""`python -m tools storm`: hours of conversation on bad networks and bad days, replayable from a seed."""

import argparse
import os
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tools import ToolError
from tools.storm import jobs, plans, shrink
from tools.storm.run import ESP32_TICK_MS
from tools.timeline import page

_ABOUT = """\
The whole speaker, its simulated board, the network and the emulated cloud on a clock that is stepped: hours of
conversation in minutes, with faults drawn from a seed, and promises that are checked at every step. The same seed
gives the same bytes and the same trace. A run that breaks a promise is shrunk to the fewest faults that still do.

  python -m tools storm                                 one hour of everything
  python -m tools storm --hours 8 --report storm.html   the whole mix, with a page to look at
  python -m tools storm --plan stall+late_audio         two faults only, over and over
  python -m tools storm --seed 17 --runs 1              one run, to replay what another storm found
  python -m tools storm --turns 10000                   so many short turns of one speaker: does anything grow?
  python -m tools storm --list-plans
"""
_PROMISES = {
    1: "what the microphone heard of a question is sent once and in order",
    2: "an interrupted answer is not heard later than 20 ms",
    3: "every sample of a live answer is heard once and in order",
    4: "no state outlives its deadline; a press gets a turn after the last fault",
    5: "memory is bounded",
    6: "pings are answered; reconnecting is no storm",
    7: "no secret is told",
}
_KEPT_TIMELINES = 6
_SHOWN_REPORTS = 12
_SHOWN_TRACE = 30
_SHRINK_AT_MOST = 3
LEAST_TURNS = 100


def run_cli(arguments):
    args = _parser().parse_args(arguments)
    console = Console(highlight=False)
    console.width = max(console.width, 100)
    if args.list_plans:
        _list_plans(console)
        return 0
    _check(args)
    began_s = time.monotonic()
    all_jobs = _jobs(args)
    tally = jobs.Tally()
    _play(all_jobs, args, tally, console)
    took_s = time.monotonic() - began_s
    for outcome in tally.broken[:_SHRINK_AT_MOST]:
        _tell_broken(outcome, args, tally, console)
    _tell_summary(tally, took_s, args, console)
    if args.report:
        _write_report(args, tally, took_s)
        console.print("report: %s" % args.report)
    return 1 if tally.broken else 0


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m tools storm", description=_ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the first run; the next one has N + 1")
    parser.add_argument("--hours", type=float, default=1.0, metavar="H", help="simulated time altogether (default 1)")
    parser.add_argument("--runs", type=int, metavar="N", help="so many runs instead of --hours")
    parser.add_argument("--turns", type=int, metavar="N", help="instead: so many short turns of one speaker, no faults "
                        "but a cut connection each 100 turns; what it holds at rest is compared")
    parser.add_argument("--minutes", type=float, default=10.0, metavar="M", help="of one run (default 10)")
    parser.add_argument("--plan", default="all", metavar="NAME", help="which faults; several with + (default all)")
    parser.add_argument("--faults", metavar="TEXT", help="exactly these faults, as a failure prints them")
    parser.add_argument("--tick-ms", type=int, default=ESP32_TICK_MS, metavar="MS", help="a loop with nothing to do looks "
                        "around so often (default %d, as on an ESP32); 0: at once" % ESP32_TICK_MS)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="processes (default: cores)")
    parser.add_argument("--report", metavar="FILE.html", help="write a page with time lines and figures")
    parser.add_argument("--no-shrink", action="store_true", help="do not look for the smallest plan that still fails")
    parser.add_argument("--list-plans", action="store_true", help="show every fault that there is")
    return parser


def _check(args):
    try:
        plans.draw(args.plan, 0, 1)
    except KeyError as error:
        raise ToolError("there is no plan named %s; --list-plans shows them" % error) from error
    if args.minutes < 1 and not args.faults:
        raise ToolError("--minutes: a run needs at least 1, because the last fault ends 45 s before its end")
    if args.turns is not None and (args.turns < LEAST_TURNS or args.faults or args.plan != "all"):
        raise ToolError("--turns: at least %d, and without --plan and --faults" % LEAST_TURNS)
    if args.tick_ms < 0:
        raise ToolError("--tick-ms: 0 or more")
    if args.hours <= 0 or args.jobs < 1 or args.runs is not None and args.runs < 1:
        raise ToolError("--hours, --runs and --jobs must be more than nothing")


def _jobs(args):
    if args.turns:
        return [jobs.turns_job(args.seed + i, args.turns, args.tick_ms) for i in range(args.runs or 1)]
    runs = args.runs or max(1, round(args.hours * 60 / args.minutes))
    faults = parse_faults(args.faults) if args.faults else None
    return jobs.series(args.seed, args.plan, args.minutes, runs, faults, args.tick_ms)


def parse_faults(text):
    """The opposite of plans.Planned.written(), joined by spaces."""
    try:
        return [plans.Planned.parsed(part) for part in text.split()]
    except (ValueError, KeyError) as error:
        raise ToolError("--faults: %s is not what a failure prints (%s)" % (text, error)) from error


def _play(all_jobs, args, tally, console):
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total} runs"),
               TextColumn("{task.fields[note]}"), TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("storm", total=len(all_jobs), note="")

        def on_outcome(outcome):
            tally.add(outcome)
            broken = len(tally.broken)
            progress.update(task, advance=1, note="%d turns%s" % (
                tally.counts.get("turns", 0), ", [red]%d broken[/]" % broken if broken else ""))

        jobs.play_all(all_jobs, min(args.jobs, len(all_jobs)), on_outcome, _KEPT_TIMELINES if args.report else 0)


def _tell_broken(outcome, args, tally, console):
    if outcome.crash:
        console.print("[red]the simulation itself failed[/] with seed %d:\n%s" % (outcome.job.seed, outcome.crash))
        console.print("replay: %s" % outcome.job.command(), soft_wrap=True)
        return
    if not args.no_shrink and not outcome.job.turns:
        with console.status("shrinking") as status:
            small = shrink.shrink(outcome, jobs.play, lambda text: status.update("shrinking: " + text))
        if small is not outcome and small.timeline is not None:
            small.timeline.title += ", shrunk"
            tally.timelines.append(small.timeline)
    else:
        small = outcome
    t_ms, number, text = small.violation
    console.print("\n[red]promise %d is broken[/]: %s" % (number, _PROMISES[number]))
    console.print("  at %.3f s: %s" % (t_ms / 1000, text), markup=False, soft_wrap=True)
    console.print("  seed %d, plan %s" % (small.job.seed, small.job.plan))
    for fault in small.job.faults:
        console.print("    %8.3f s  %s" % (fault.at_ms / 1000, fault.text()), markup=False)
    for line_ms, line in small.reports[-_SHOWN_REPORTS:]:
        if '"kind": "trace"' not in line:
            console.print("  %9d  %s" % (line_ms, line[:150]), markup=False)
    for line in small.trace[-_SHOWN_TRACE:]:
        console.print("  " + line, markup=False)
    console.print("replay: %s" % small.job.command(), markup=False, soft_wrap=True)
    if small is not outcome:
        console.print("before shrinking: %s" % outcome.job.command(), markup=False, soft_wrap=True)


def _tell_summary(tally, took_s, args, console):
    table = Table(box=None, show_header=False)
    for name, text in _rows(tally, took_s, args):
        table.add_row(name, text)
    console.print(table)
    if tally.broken:
        console.print("[red]%d of %d runs broke a promise[/]" % (len(tally.broken), tally.outcomes))
    else:
        console.print("[green]no promise was broken[/]")


def _rows(tally, took_s, args):
    speed = tally.simulated_ms / 1000 / took_s
    duplex = jobs.play(jobs.duplex_job(args.seed), is_kept=False)
    return tally.rows() + [
        ("speed", "%.0f x real time (%.0f s on %d processes)" % (speed, took_s, args.jobs)),
        ("full-duplex speech alone", "%.0f x real time on one core" % (duplex.simulated_ms / 1000 / duplex.real_s)),
    ]


def _write_report(args, tally, took_s):
    timelines = sorted(tally.timelines, key=lambda line: not line.violations)
    summary = {
        "title": "Storm: seed %d, plan %s" % (args.seed, args.plan),
        "text": "%d runs, %d of them broke a promise." % (tally.outcomes, len(tally.broken)),
        "figures": dict(tally.rows()),
    }
    page.write(args.report, timelines, summary)


def _list_plans(console):
    table = Table(box=None)
    for name in ("plan", "group", "parameters", "what happens"):
        table.add_column(name)
    for name in plans.names():
        kind = plans.KINDS.get(name)
        if kind is not None:
            spans = " ".join("%s=%s" % (key, _span_text(span)) for key, span in sorted(kind.parameters.items()))
            table.add_row(name, kind.group, spans, kind.about)
    console.print(table)
    console.print("Groups: network, cloud, device; all of them: all; none: calm. Several are joined by +.")


def _span_text(span):
    if plans.is_span(span):
        return "%d..%d" % span
    return "|".join(map(str, span)) if isinstance(span, tuple) else str(span)
