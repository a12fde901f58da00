"""The smallest heap in which a whole conversation over TLS takes place, and what is free on the way.

The modules are .mpy files in a slot, as on a device; the board is tools/bench/device/thin.py. Its share, and that of the
program that measures, is measured alone and subtracted. TLS buffers and sockets lie outside this heap on the desktop as
they do on an ESP32.
"""

import os
import shutil
import tempfile

from tools import ROOT, ToolError, shorten, size
from tools.bench import child

SCENARIO = {
    "name": "bench", "recognise_ms": 20, "created_ms": 10,
    "turns": [{"heard": "a question", "first_audio_ms": 60,
               "answer": [{"text": "An answer.", "audio": {"signal": "noise", "ms": 400}}]}],
}  # fmt: skip

# Who keeps the connection for ever seldom presses without one, and then need not record for long. The rest is as the
# README advises.
_SHORT = {
    "keep_link_ms": 0, "press_wait_ms": 500, "preroll_ms": 100, "message_max_bytes": 8192, "rx_buffer_bytes": 3072,
}  # fmt: skip
# Name -> (is it `deploy --small`, settings that differ from the defaults). All speak G.711 A-law both ways.
PROFILES = {
    "64 KB ring": (False, {"ring_bytes": 65536}),
    "64 KB ring, small": (True, dict(_SHORT, ring_bytes=65536)),
    "no PSRAM": (True, dict(_SHORT, answer_max_s=30)),
}
_ARCHES = {64: "x64", 32: "x86"}
_GRAIN_BYTES = 1024
_STEP_GRAINS = 16
_SURE_GRAINS = 4
PLENTY_BYTES = 1 << 20
_SLOT = "slots/a"  # paths as long as a device's, because each module keeps its own
_TIMEOUT_S = 20
_BENCH_FILES = ("thin.py", "conversation.py")


class Tree:
    """The firmware and the bench's board as .mpy files for one word size; `with` makes and removes it.

    is_small: with short names, as `deploy --small` has them.
    """

    def __init__(self, bits, is_small=False):
        self.bits = bits
        self.root = ""
        self._is_small = is_small

    def __enter__(self):
        self.root = tempfile.mkdtemp(prefix="pipit-mpy-")
        try:
            files = size.device_files()
            board = os.path.join(ROOT, "tools", "bench", "device")
            small = None
            if self._is_small:
                small = shorten.Program(dict(size.read_sources(files), **size.read_sources(_BENCH_FILES, board)))
            self._compile([file for file in files if file not in ("boot.py", "main.py")], ROOT, self.root, small)
            self._compile(_BENCH_FILES, board, os.path.join(self.root, "bench"), small)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.root, ignore_errors=True)

    def _compile(self, files, source, target, small):
        rows = size.compile_device_files(files, target, source, _ARCHES[self.bits], small)
        wrong = [(file, error) for file, _, _, error in rows if error]
        if wrong:
            raise ToolError("%s does not compile: %s" % wrong[0])


async def converse(tree, cloud, profile, heap_bytes, turns=1, share=False):
    """The child's reports, {} when it did not come through with this heap."""
    config = dict(PROFILES[profile][1], mode="ptt_hold", uplink_codec="g711a", downlink_codec="g711a")
    with child.folder(cloud, cloud.ca_der_folder, config) as folder:
        os.mkdir(os.path.join(folder, os.path.dirname(_SLOT)))
        os.symlink(tree.root, os.path.join(folder, _SLOT))
        settings = {"app_root": _SLOT, "turns": turns, "share": share}
        code = (
            "import asyncio, gc, sys; gc.collect(); bare_bytes = gc.mem_alloc(); sys.path.insert(0, %r); "
            "import conversation; conversation.main(%r, bare_bytes)" % (_SLOT + "/bench", settings)
        )
        command = child.command_for(tree.bits, heap_bytes) + ["-c", code]
        done = await child.run(command, folder, _TIMEOUT_S + 4 * turns)
    if done.exit_code:
        return {}
    reports = {}
    for report in done.reports:
        if "share" in report:
            return report
        reports[report["at"]] = report["used"]
    return reports


class Need:
    """What one profile needs, in bytes, the board's share subtracted.

    least_bytes   the smallest heap in which a turn comes through
    used          in use after a collection: {"boot", "connected", "3" (turns)} -> bytes
    """

    def __init__(self, least_bytes, share_bytes, used):
        self.share_bytes = share_bytes
        self.least_bytes = least_bytes - share_bytes
        self.used = {at: used[at] - share_bytes for at in used}


async def measure(tree, cloud, profile):
    """A Need; the smallest heap to 1 KB. A turn comes through in it and in those up to 3 KB larger: where the holes of
    a heap lie is a matter of luck, and a single stroke of it shall not count.
    """
    share = (await converse(tree, cloud, profile, PLENTY_BYTES, share=True)).get("share", 0)
    used = await converse(tree, cloud, profile, PLENTY_BYTES, turns=3)
    if not used:
        raise ToolError("the conversation fails even in a heap of %d bytes" % PLENTY_BYTES)

    async def is_enough(grains):
        return bool(await converse(tree, cloud, profile, grains * _GRAIN_BYTES))

    low = used["connected"] // _GRAIN_BYTES - 1  # less than is in use is not enough
    high = low + _STEP_GRAINS
    while not await is_enough(high):
        low, high = high, high + _STEP_GRAINS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if await is_enough(middle) else (middle, high)
    n_right = 1
    while n_right < _SURE_GRAINS:
        if await is_enough(high + n_right):
            n_right += 1
        else:
            high += n_right + 1
            n_right = 0
    return Need(high * _GRAIN_BYTES, share, used)
