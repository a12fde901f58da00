"""Runs the whole speaker against an endless answer on loopback and says what a pair of 20 ms frames costs."""

import asyncio
import json
import os
import shutil
import tempfile

from tools import ROOT, ToolError
from tools.bench.peer import EndlessAnswer
from tools.cloud.authority import Authority
from tools.sim import runner

PROGRAM = os.path.join(ROOT, "tools", "bench", "device", "duplex.py")
FRAME_MS = 20
_START_LIMIT_S = 30


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


async def run(interpreter="micropython", codec="g711a", downlink_hz=24000, way="ours", tls=True, warm_ms=1000,
              measured_ms=6000, heapsize="32M"):
    """A Pair of the firmware ("ours") or the baseline ("straight"); PCM down is at downlink_hz. ToolError on failure."""
    folder = tempfile.mkdtemp(prefix="pipit-bench-")
    try:
        authority = Authority(folder)
        os.rename(authority.der_folder, os.path.join(folder, "tls_roots"))
        bytes_per_s = 2 * downlink_hz if codec == "pcm" else 8000
        async with EndlessAnswer(bytes_per_s, authority.server_context() if tls else None) as peer:
            _write(folder, "config.json", {
                "board": "sim", "cloud_url": peer.url, "token": "pat_bench", "bot_id": runner.BOT_ID, "mode": "free",
                "uplink_codec": codec, "downlink_codec": codec, "downlink_hz": downlink_hz if codec == "pcm" else 8000,
                "wifi_ssid": "bench", "wifi_password": "benchbench", "volume_percent": 70,
            })  # fmt: skip
            settings = {"root": ROOT, "app_root": ROOT, "way": way, "warm_ms": warm_ms, "measured_ms": measured_ms}
            path = _write(folder, "settings.json", settings)
            command = runner.command_for(interpreter, None if interpreter == "cpython" else heapsize) + [PROGRAM, path]
            report = await _run_child(command, folder, (warm_ms + measured_ms) / 1000 + _START_LIMIT_S)
        return Pair(report, interpreter != "cpython")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write(folder, name, values):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(values, file)
    return path


async def _run_child(command, folder, limit_s):
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        out, errors = await asyncio.wait_for(process.communicate(), limit_s)
    except asyncio.TimeoutError:
        raise ToolError("the measured speaker did not come to its end in %d s" % limit_s) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = out.decode("utf-8", "replace").strip()
    try:
        return json.loads(text.splitlines()[-1])
    except (IndexError, ValueError):
        raise ToolError("the measured speaker failed:\n%s\n%s" % (text, errors.decode("utf-8", "replace")[-3000:])) from None
