"""Whole push-to-talk turns on the cheapest board: how much heap they leave, and whether a small one is enough.

Child process of tools.bench.heap, started as `import conversation; conversation.main(SETTINGS, bare_bytes)` from .mpy
files, as on a device. SETTINGS: app_root, turns, share (true: only say what this program and the board take).
bare_bytes: in use before this program was loaded. Prints JSON lines: {"share"} or {"at": "boot" | "connected" |
turn number, "used": heap bytes after a collection}. Any error ends it with exit code 1.
"""

import asyncio
import gc
import sys

_SPEECH_MS = 400
_POLL_MS = 10
_STEP_LIMIT_MS = 8000


def main(settings, bare_bytes):
    sys.path[:] = [settings["app_root"], settings["app_root"] + "/lib", settings["app_root"] + "/bench"]
    if settings["share"]:
        tell_share(bare_bytes)
        return
    import thin

    thin.install()
    speaker = thin.make_speaker()
    tell("boot")
    asyncio.run(talk(speaker, settings["turns"]))


def tell_share(bare_bytes):
    """What this program, thin.py and its two I2S take, beyond the modules that the firmware needs anyway."""
    gc.collect()
    own_bytes = gc.mem_alloc() - bare_bytes
    import kernels
    from firmware import compat

    gc.collect()
    before = gc.mem_alloc()
    import thin

    thin.install()
    made = [thin.I2S(0, 0, 0, 0, mode, 16, 0, 16000, 8192) for mode in (thin.I2S.RX, thin.I2S.TX)]
    gc.collect()
    print('{"share": %d}' % (own_bytes + gc.mem_alloc() - before))
    return made, kernels, compat


def tell(at):
    gc.collect()
    print('{"at": "%s", "used": %d}' % (at, gc.mem_alloc()))


class Listener:
    """Counts what the speaker reports."""

    def __init__(self):
        self.answered = 0
        self.trouble = ""

    def take(self, line):
        if '"kind": "turn"' in line and '"answered"' in line:
            self.answered += 1
        elif '"kind": "turn"' in line or '"kind": "error"' in line:
            self.trouble = line


async def talk(speaker, turns):
    from firmware import report

    listener = Listener()
    report.sink = listener.take
    life = asyncio.create_task(speaker.run())
    await until(speaker, life, listener, lambda: speaker.session.state == "idle")
    tell("connected")
    for number in range(1, turns + 1):
        speaker.session.post("press")
        await speaker.ports.sleep_ms(_SPEECH_MS)
        speaker.session.post("release")
        await until(speaker, life, listener, lambda: listener.answered == number and speaker.session.state == "idle")
        tell(number)
    speaker.close()
    sys.exit(0)


async def until(speaker, life, listener, condition):
    for _ in range(_STEP_LIMIT_MS // _POLL_MS):
        if condition():
            return
        if listener.trouble or life.done():
            print(listener.trouble)
            sys.exit(1)
        await speaker.ports.sleep_ms(_POLL_MS)
    print("no end in %d ms, state %s" % (_STEP_LIMIT_MS, speaker.session.state))
    sys.exit(1)
