"""Push-to-talk turns without end on the cheapest board: what they leave in the heap, and whether one gets stuck.

Child process of tools.soak, started as `import talk; talk.main(SETTINGS)` from .mpy files, as on a device. SETTINGS:
app_root, turns, every (turns between two looks at the heap). Prints JSON lines:

    {"at": turn, "used": bytes, "free": bytes}       after a collection; turn 0 is the idle speaker
    {"turn": outcome, "ms": press to rest}
    {"error": kind}
    {"stuck": state, "lines": trace}                 and ends with exit code 1
"""

import asyncio
import gc
import json
import sys

_SPEECH_MS = 250
_POLL_MS = 5
_STUCK_MS = 60_000  # longer than the longest chain of deadlines between a press and its report
_QUIET_STATES = ("idle", "standby", "offline", "connecting")


def main(settings):
    root = settings["app_root"]
    sys.path[:] = [root, root + "/lib", root + "/bench"]
    import thin

    thin.install()
    speaker = thin.make_speaker()
    asyncio.run(Talk(speaker, settings["every"]).run(settings["turns"]))


class Talk:
    def __init__(self, speaker, every):
        from firmware import report
        from firmware.compat import ticks_diff

        report.sink = self._take
        self._ticks_diff = ticks_diff
        self._speaker = speaker
        self._ports = speaker.ports
        self._session = speaker.session
        self._every = every
        self._ended = 0  # turns reported

    def _take(self, line):
        """What the speaker reports. No more of it is kept than is counted."""
        if '"kind": "turn"' in line:
            self._ended += 1
            self._outcome = json.loads(line)["outcome"]
        elif '"kind": "error"' in line:
            print(json.dumps({"error": json.loads(line)["error_kind"]}))

    async def run(self, turns):
        life = asyncio.create_task(self._speaker.run())
        await self._until(life, lambda: self._session.state == "idle")
        self._tell(0)
        for number in range(1, turns + 1):
            await self._turn(life)
            if number % self._every == 0 or number == 1:
                self._tell(number)
        self._speaker.close()
        sys.exit(0)

    async def _turn(self, life):
        began_ms = self._ports.ticks_ms()
        before = self._ended
        self._session.post("press")
        await self._ports.sleep_ms(_SPEECH_MS)
        self._session.post("release")
        await self._until(life, lambda: self._ended > before and self._session.state in _QUIET_STATES)
        print(json.dumps({"turn": self._outcome, "ms": self._ticks_diff(self._ports.ticks_ms(), began_ms)}))

    def _tell(self, number):
        gc.collect()
        print(json.dumps({"at": number, "used": gc.mem_alloc(), "free": gc.mem_free()}))

    async def _until(self, life, condition):
        for _ in range(_STUCK_MS // _POLL_MS):
            if condition():
                return
            if life.done():
                break
            await self._ports.sleep_ms(_POLL_MS)
        lines = list(self._speaker.trace.lines(60))
        print(json.dumps({"stuck": "dead" if life.done() else self._session.state, "lines": lines}))
        sys.exit(1)
