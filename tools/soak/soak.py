"""Runs the speaker on real MicroPython for many turns, over TLS, through a proxy that may spoil the connection."""

import asyncio
import contextlib
import json
import os
import random

from tools import ROOT, ToolError, size
from tools.bench import child, heap
from tools.cloud.server import CloudServer
from tools.soak.figures import Figures
from tools.soak.proxy import Proxy

SCENARIO = {
    "name": "soak", "recognise_ms": 10, "created_ms": 5,
    "turns": [{"heard": "a question", "first_audio_ms": 20,
               "answer": [{"text": "An answer.", "audio": {"signal": "noise", "ms": 160}}]}],
}  # fmt: skip

CONFIG = {
    "mode": "ptt_hold", "uplink_codec": "g711a", "downlink_codec": "g711a", "preroll_ms": 100, "tail_ms": 40,
    "prebuffer_ms": 40, "retry_min_ms": 50, "retry_max_ms": 1000, "stall_ms": 3000, "idle_timeout_ms": 4000,
    "answer_wait_ms": 4000, "connect_timeout_ms": 4000, "close_timeout_ms": 500,
}  # fmt: skip
_ARCHES = {"micropython": (64, "x64"), "micropython32": (32, "x86")}
_CALM_S = (1.0, 6.0)  # between two faults
_TURN_LIMIT_S = 70  # more than the child itself allows one


async def run(turns, interpreter="micropython", has_faults=False, seed=1, every=50, on_report=None):
    """Figures of so many turns. ToolError when it cannot begin; a speaker that hangs or dies is told in the Figures.

    on_report(Figures): called after each line of the child
    """
    bits, arch = _ARCHES[interpreter]
    figures = Figures()
    with heap.Tree(bits) as tree:
        rows = size.compile_device_files(["talk.py"], os.path.join(tree.root, "bench"), _device_folder(), arch)
        for file, _, _, error in rows:
            if error:
                raise ToolError("%s does not compile: %s" % (file, error))
        async with CloudServer(SCENARIO, tls=True, keeps_audio=False) as cloud, Proxy(cloud.port) as proxy:
            url = "wss://localhost:%d/v1/chat" % proxy.port
            with child.folder(cloud, cloud.ca_der_folder, dict(CONFIG, cloud_url=url)) as folder:
                spoiler = asyncio.ensure_future(spoil(proxy, random.Random(seed))) if has_faults else None
                try:
                    await _run_child(_command(tree, bits, turns, every), folder, figures, on_report)
                finally:
                    if spoiler is not None:
                        spoiler.cancel()
    return figures


def _device_folder():
    return os.path.join(ROOT, "tools", "soak", "device")


def _command(tree, bits, turns, every):
    settings = {"app_root": tree.root, "turns": turns, "every": every}
    code = "import sys; sys.path.insert(0, %r); import talk; talk.main(%r)" % (tree.root + "/bench", settings)
    return child.command_for(bits, heap.PLENTY_BYTES) + ["-c", code]


async def _run_child(command, folder, figures, on_report):
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        while True:
            line = await asyncio.wait_for(process.stdout.readline(), _TURN_LIMIT_S)
            if not line:
                break
            _take(figures, line.decode("utf-8", "replace"))
            if on_report is not None:
                on_report(figures)
        if await process.wait() and figures.stuck is None:
            figures.trouble += "the speaker ended with exit code %d" % process.returncode
    except asyncio.TimeoutError:
        figures.trouble += "the speaker said nothing for %d s" % _TURN_LIMIT_S
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _take(figures, text):
    try:
        report = json.loads(text)
    except ValueError:
        figures.trouble = (figures.trouble + text)[-4000:]
        return
    figures.take(report)


async def spoil(proxy, chance):
    """Mild faults for ever: each is over after a while, and most turns come through."""
    while True:
        await asyncio.sleep(chance.uniform(*_CALM_S))
        fault = chance.choice((_split, _throttle, _stall, _cut, _reset, _forget, _refuse))
        with contextlib.suppress(OSError):
            await fault(proxy, chance)
        proxy.clean()


async def _split(proxy, chance):
    way = chance.choice((proxy.up, proxy.down))
    way.piece_bytes = chance.choice((1, 7, 100))
    await asyncio.sleep(1)


async def _throttle(proxy, chance):
    chance.choice((proxy.up, proxy.down)).bytes_per_s = chance.choice((4000, 10_000))
    await asyncio.sleep(1.5)


async def _stall(proxy, chance):
    chance.choice((proxy.up, proxy.down)).stall()
    await asyncio.sleep(chance.uniform(0.1, 1.5))


async def _cut(proxy, chance):
    proxy.cut()


async def _reset(proxy, chance):
    proxy.reset()


async def _forget(proxy, chance):
    proxy.forget()


async def _refuse(proxy, chance):
    proxy.is_refusing = True
    proxy.cut()
    await asyncio.sleep(chance.uniform(0.1, 1.0))
