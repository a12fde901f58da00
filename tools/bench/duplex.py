"""Runs the whole speaker against an endless answer on loopback and says what a pair of 20 ms frames costs."""

import os
import tempfile

from tools import ROOT
from tools.bench import child
from tools.bench.peer import EndlessAnswer
from tools.cloud.authority import Authority

PROGRAM = os.path.join(ROOT, "tools", "bench", "device", "duplex.py")
_START_LIMIT_S = 30
_TRIES = 3


class Pair:
    """What one run showed.

    frames          pairs of 20 ms that were measured
    samples_played  meanwhile
    troubles        underruns, dropped frames, states that do not belong here: 0, or the figures are worth nothing
    cpu_us          processor time of the speaker's process per pair: TLS, sockets and a cheap board included
    heap_bytes      taken from the heap per pair; None on CPython
    """

    def __init__(self, report, is_micropython):
        self.frames = report["frames"]
        self.samples_played = report["samples_played"]
        self.troubles = report["troubles"]
        self.cpu_us = report["cpu_us"]
        self.heap_bytes = report["heap_bytes"] if is_micropython else None


async def run(interpreter="micropython", codec="g711a", way="ours", **options):
    """A Pair of the firmware ("ours") or the baseline ("straight"); options: see _run_once. ToolError.

    Ours is run again while it loses sound: on a machine with other work that is the machine's doing. What it loses in
    the last run is its own.
    """
    for _ in range(_TRIES):
        pair = await _run_once(interpreter, codec, way, **options)
        if way != "ours" or not pair.troubles:
            break
    return pair


async def _run_once(interpreter, codec, way, downlink_hz=24000, tls=True, warm_ms=1000, measured_ms=6000, heapsize="32M"):
    """downlink_hz: of PCM; warm_ms: before anything is measured."""
    hz = downlink_hz if codec == "pcm" else 8000
    with tempfile.TemporaryDirectory(prefix="pipit-roots-") as roots:
        authority = Authority(roots)
        tls_context = authority.server_context() if tls else None
        async with EndlessAnswer(2 * hz if codec == "pcm" else 8000, tls_context) as peer:
            config = {"mode": "free", "uplink_codec": codec, "downlink_codec": codec, "downlink_hz": hz}
            with child.folder(peer, authority.der_folder, config) as folder:
                settings = {"root": ROOT, "app_root": ROOT, "way": way, "warm_ms": warm_ms, "measured_ms": measured_ms}
                path = child.write(folder, "settings.json", settings)
                is_micropython = interpreter != "cpython"
                command = child.command_for(interpreter, heapsize if is_micropython else None) + [PROGRAM, path]
                done = await child.run_well(command, folder, (warm_ms + measured_ms) / 1000 + _START_LIMIT_S)
    return Pair(done.reports[-1], is_micropython)
