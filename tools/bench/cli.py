"""`python -m tools bench`: every figure of the budget, on this machine, beside a baseline from the same run."""

import argparse
import asyncio
import contextlib
import os
import platform
import time

from rich import box
from rich.console import Console
from rich.table import Table

from tools import ROOT, ToolError
from tools.bench import child, duplex, heap, latency
from tools.cloud.server import CloudServer

_ROWS = os.path.join(ROOT, "tools", "bench", "device", "rows.py")
_PARTS = ("rows", "pair", "heap", "latency")
_TURNS = 32
_LONG_TURNS = (100, 1000)
# What we aim at: heap bytes of a whole conversation.
_HEAP_TARGETS = {64: 384 * 1024, 32: 224 * 1024}

_ABOUT = """\
What 20 ms of sound cost, in what heap a conversation fits, how long it makes a person wait: the firmware's own modules
on real MicroPython and on CPython, emulated cloud and TLS on loopback, no other network. About three minutes.
The baseline is tools/bench/device/straight.py: json.dumps + b2a_base64 + a masking generator up, json.loads +
a2b_base64 down, a Python loop over samples for gain, volume, decimation and G.711.
Times depend on the machine and are only printed; tests hold the allocations.
"""


_LEAST_COLUMNS = 116  # a figure that is cut off is no figure, even in a narrow window or a log


def run_cli(argv):
    parser = argparse.ArgumentParser(
        prog="python -m tools bench", description=_ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=_PARTS, action="append", help="one part; may be given again (default: all)")
    parser.add_argument("--interpreter", choices=child.INTERPRETERS, action="append",
                        help="for the first two parts; may be given again (default: all three)")
    parser.add_argument("--long", action="store_true",
                        help="also the heap after 100 and 1000 turns: about half an hour")
    parser.add_argument("--lib", metavar="FOLDER",
                        help="where micropython-lib's aiohttp lies (FOLDER/aiohttp/aiohttp_ws.py): its frame as a row")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions: to try it out, not to quote")
    args = parser.parse_args(argv)
    console = Console(highlight=False)
    console.width = max(console.width, _LEAST_COLUMNS)
    return asyncio.run(_bench(args, console))


async def _bench(args, console):
    began_s = time.monotonic()
    parts = args.only or _PARTS
    interpreters = args.interpreter or child.INTERPRETERS
    console.print("Pipit bench on %s" % machine())
    if "rows" in parts:
        await _bench_rows(console, interpreters, args.lib)
    if "pair" in parts:
        await _bench_pair(console, interpreters, 1500 if args.quick else 4000)
    if "heap" in parts:
        await _bench_heap(console, _LONG_TURNS if args.long else ())
    if "latency" in parts:
        await _bench_latency(console, 5 if args.quick else _TURNS)
    console.print("\n%.0f s altogether" % (time.monotonic() - began_s))
    return 0


def machine():
    """The machine's name for a table that may be quoted: processor, cores, system."""
    cpu = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    cpu = line.partition(":")[2].strip()
                    break
    return "%s, %d cores, %s, Python %s" % (cpu, os.cpu_count() or 1, platform.platform(terse=True),
                                            platform.python_version())


def _table(title, *headers):
    table = Table(title="\n" + title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column(headers[0], no_wrap=True)
    for header in headers[1:]:
        table.add_column(header, justify="right", no_wrap=True)
    return table


def _ratio(base, ours):
    if not ours:
        return "–"
    ratio = base / ours
    return "%.2f×" % ratio if ratio < 10 else "%.0f×" % ratio


def _bytes(n):
    if n is None or n < 0:
        return "–"
    return "%.0f" % n if n >= 100 or n == int(n) else "%.1f" % n


# -- the pieces of the way


async def _bench_rows(console, interpreters, lib):
    if lib and not os.path.exists(os.path.join(lib, "aiohttp", "aiohttp_ws.py")):
        raise ToolError("%s holds no micropython-lib: aiohttp/aiohttp_ws.py is missing there" % lib)
    for interpreter in interpreters:
        is_micropython = interpreter != "cpython"
        command = child.command_for(interpreter, "16M" if is_micropython else None) + [_ROWS, ROOT]
        if lib and is_micropython:
            command.append(os.path.abspath(lib))
        done = await child.run_well(command, ROOT, 60)
        kernels, rows = done.reports[0]["kernels"], done.reports[1:]
        table = _table(
            "Per 20 ms on %s (kernels: %s), without sockets" % (interpreter, kernels),
            "piece", "ours µs", "baseline µs", "ratio", "ours heap B", "baseline heap B",
        )  # fmt: skip
        for row in rows:
            table.add_row(
                row["name"], "%.1f" % row["ours_us"], "%.1f" % row["base_us"], _ratio(row["base_us"], row["ours_us"]),
                _bytes(row["ours_heap"]), _bytes(row["base_heap"]),
            )  # fmt: skip
        console.print(table)


async def _bench_pair(console, interpreters, measured_ms):
    table = _table(
        "The whole speaker hearing and speaking at once, per 20 ms pair: session, sockets, TLS, every task",
        "interpreter", "codec", "ours µs", "baseline µs", "ratio", "ours heap B", "baseline heap B",
    )  # fmt: skip
    for interpreter in interpreters:
        for codec, name in (("pcm", "PCM 16/24 kHz"), ("g711a", "G.711 A-law")):
            if codec != "g711a" and interpreter == "micropython32":
                continue  # time: 64-bit has the same row
            ours, base = [
                await duplex.run(interpreter, codec, way=way, warm_ms=700, measured_ms=measured_ms)
                for way in ("ours", "straight")
            ]
            if ours.troubles:
                raise ToolError("the measured speaker lost sound %d times: is this machine busy?" % ours.troubles)
            table.add_row(
                interpreter, name, "%.0f" % ours.cpu_us, "%.0f" % base.cpu_us, _ratio(base.cpu_us, ours.cpu_us),
                _bytes(ours.heap_bytes), _bytes(base.heap_bytes),
            )  # fmt: skip
    console.print(table)
    console.print("µs: processor time of the process, the kernel's and TLS's included. Both ask their I2S every few ms.")


# -- heap


async def _bench_heap(console, long_turns):
    table = _table(
        "Heap of a whole conversation over TLS (.mpy modules, G.711; the board's own share subtracted), KB",
        "profile", "bits", "smallest", "target", "of target", "in use at boot", "connected", "after 3 turns",
    )  # fmt: skip
    async with CloudServer(heap.SCENARIO, tls=True, keeps_audio=False) as cloud:
        for rows in await asyncio.gather(*(_heap_rows(cloud, bits) for bits in (64, 32))):
            for row in rows:
                table.add_row(*row)
        console.print(table)
        console.print("TLS keeps its buffers outside this heap, here and on an ESP32.")
        if long_turns:
            await _bench_growth(console, cloud, long_turns)


async def _heap_rows(cloud, bits):
    rows = []
    target = _HEAP_TARGETS[bits]
    for profile, (is_small, _) in heap.PROFILES.items():
        with heap.Tree(bits, is_small) as tree:
            need = await heap.measure(tree, cloud, profile)
        used = [_kb(need.used[at]) for at in ("boot", "connected", "3")]
        share = "%.2f×" % (need.least_bytes / target)
        rows.append([profile, str(bits), _kb(need.least_bytes), _kb(target), share] + used)
    return rows


async def _bench_growth(console, cloud, long_turns):
    table = _table("Heap in use in a conversation of many turns, bytes", "bits", "connected",
                   *["after %d" % n for n in (1, 10) + tuple(long_turns)])  # fmt: skip
    with heap.Tree(64) as tree:
        used = await heap.converse(tree, cloud, "64 KB ring", heap.PLENTY_BYTES, turns=max(long_turns))
        if not used:
            raise ToolError("the long conversation failed")
        table.add_row("64", *[str(used[at]) for at in ["connected", "1", "10"] + [str(n) for n in long_turns]])
    console.print(table)


def _kb(n):
    return "%.0f" % (n / 1024)


# -- latency


async def _bench_latency(console, turns):
    table = _table("What the speaker adds, on MicroPython in the simulator, ms", "from → to", "turns", "median", "p95",
                   "target p95", "of target")  # fmt: skip
    for sample in await latency.measure("micropython", turns):
        target = sample.target_ms
        table.add_row(
            sample.name, str(sample.count), "%.0f" % sample.median_ms, "%.0f" % sample.p95_ms,
            "–" if target is None else "≤ %d" % target,
            "–" if target is None else "%.2f×" % (sample.p95_ms / target),
        )  # fmt: skip
    console.print(table)
