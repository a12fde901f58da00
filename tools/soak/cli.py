"""`python -m tools soak`: many turns on real MicroPython over TLS, and what they leave in the heap."""

import argparse
import asyncio
import json
import os

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from tools import ToolError
from tools.soak import soak

_ABOUT = """\
Holds push-to-talk turns without end: the speaker's own modules on a real MicroPython, real sockets, TLS, the emulated
cloud. After every 50 turns the heap is collected and measured; a straight line through these points tells what a turn
leaves behind. With --faults a proxy in between stalls, throttles, splits, cuts and resets the connection now and then.
A turn takes about 0.7 s. Exit code 1: a turn never ended, the speaker died, or the heap grows.
"""
_EXAMPLES = """\
examples:
  python -m tools soak                             1000 turns on a clean connection: 12 minutes
  python -m tools soak --faults --seed 7           the same on a bad one; the seed repeats the faults
  python -m tools soak --turns 50 --json out.json  to try it out; every figure as JSON
"""
_GROWTH_LIMIT_BYTES = 8.0  # of a turn: below is the noise of the collector, which keeps what only looks like a pointer


def run_cli(argv):
    parser = argparse.ArgumentParser(
        prog="python -m tools soak", description=_ABOUT, epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--turns", type=int, default=1000, metavar="N", help="default: %(default)s")
    parser.add_argument("--interpreter", choices=("micropython", "micropython32"), default="micropython",
                        help="default: %(default)s")
    parser.add_argument("--faults", action="store_true", help="spoil the connection every few seconds")
    parser.add_argument("--seed", type=int, default=1, help="of the faults (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write every figure there as well")
    args = parser.parse_args(argv)
    if args.turns < 1:
        raise ToolError("--turns %d: write at least 1" % args.turns)
    if args.json and not os.path.isdir(os.path.dirname(os.path.abspath(args.json))):
        raise ToolError("--json %s: there is no such folder" % args.json)
    return asyncio.run(_soak(args, Console(highlight=False)))


async def _soak(args, console):
    columns = (TextColumn("turns"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
               TextColumn("{task.fields[note]}"))  # fmt: skip
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=args.turns, note="")

        def on_report(figures):
            note = "%d bytes in use" % figures.heap[-1][1] if figures.heap else ""
            progress.update(task, completed=figures.turns, note=note)

        every = max(1, min(50, args.turns // 10))
        figures = await soak.run(args.turns, args.interpreter, args.faults, args.seed, every, on_report)
    _show(console, args, figures)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(dict(vars(figures), growth_bytes_per_turn=figures.growth_bytes_per_turn), file)
    return _judge(console, args, figures)


def _show(console, args, figures):
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    rows = [
        ("turns", "%d on %s, %s" % (figures.turns, args.interpreter, "with faults" if args.faults else "no faults")),
        ("outcomes", _counts(figures.outcomes)),
        ("errors", _counts(figures.errors) or "none"),
        ("press to rest", "median %d ms, p95 %d ms" % (figures.turn_ms_at(50), figures.turn_ms_at(95))),
    ]
    for turn, used, free in figures.heap:
        rows.append(("heap after turn %d" % turn, "%d bytes in use, %d free" % (used, free)))
    growth = figures.growth_bytes_per_turn
    rows.append(("growth", "too few points" if growth is None else "%+.2f bytes per turn" % growth))
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _counts(counts):
    return ", ".join("%s %d" % (name, counts[name]) for name in sorted(counts))


def _judge(console, args, figures):
    if figures.stuck is not None:
        console.print("\n".join(figures.stuck["lines"]))
        raise ToolError("turn %d never ended: the speaker is in the state %s; its last trace stands above"
                        % (figures.turns + 1, figures.stuck["stuck"]))  # fmt: skip
    if figures.trouble or figures.turns < args.turns:
        raise ToolError("only %d of %d turns: %s" % (figures.turns, args.turns, figures.trouble or "the child ended"))
    growth = figures.growth_bytes_per_turn
    if growth is not None and growth > _GROWTH_LIMIT_BYTES:
        raise ToolError("the heap grows by %.1f bytes per turn" % growth)
    if not args.faults and set(figures.outcomes) != {"answered"}:
        raise ToolError("turns failed on a clean connection: %s" % _counts(figures.outcomes))
    return 0
