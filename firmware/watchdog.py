"""The watchdog of the last resort: resets a chip of which a part has stopped, and tells at the next start what it was.

Loaded only when the setting watchdog_ms asks for it, because an ESP32's cannot be stopped again. It is fed by progress:
every part that is watched must have gone on since the last time. What a person would want to know is kept once a
second in the memory of the chip's clock, which lives through a reset (ports/esp32/machine_rtc.c: RTC_NOINIT), not
through a loss of power.
"""

import struct
from binascii import crc32

from . import errors, report
from .compat import const, mem_free_bytes, ticks_diff

_LOOK_MS = const(1000)
# The port counts four ticks a ms in 32 bits (esp-idf, task_wdt_impl_timergroup.c): twelve days, as good as never.
_LONGEST_MS = const(0x3FFFFFFF)

# What is kept: magic, state, kind of the error, parts that stopped, entries, uptime in s, free heap, stopped for ms;
# then the newest entries of the trace, then a CRC.
_HEAD = "<4sBBBBIiI"
_HEAD_BYTES = const(20)
_MAGIC = b"PWD1"
_ENTRIES = const(40)
_ENTRY_BYTES = const(12)
_NO_ERROR = const(255)
_DIED = const(0x80)  # beside the parts that stopped: one ended by a fault of its own


class Watchdog:
    """machine: the port's module; limit_ms: how long a part may stand still; session: has state and error
    states: the names that a state has
    parts: ((name, function), ...): it returns a number that changes whenever the part has gone on; at most 7
    """

    def __init__(self, machine, limit_ms, ports, trace, session, states, parts):
        self._machine = machine
        self._limit_ms = limit_ms
        self._ports = ports
        self._trace = trace
        self._session = session
        self._states = states
        self._names = [name for name, _ in parts]
        self._progress = [function for _, function in parts]
        self._seen = [-1] * len(self._names)  # what each showed at the last feed
        rtc = machine.RTC()
        self._rtc = rtc if hasattr(rtc, "memory") else None
        self._record = bytearray(_HEAD_BYTES + _ENTRIES * _ENTRY_BYTES + 4)
        self._record_mv = memoryview(self._record)
        self._dog = None
        self._stopped = 0  # a bit for each part that has not gone on since the last feed
        self._fed_ms = 0
        self._looked_ms = 0
        self._uptime_ms = 0

    def report_last(self):
        """Tell what the last run has left behind, if it did not end in order."""
        kept = self._rtc.memory() if self._rtc is not None else b""
        self._forget()
        machine = self._machine
        cause = machine.reset_cause()
        found = _read(kept, self._names, self._states)
        if found is None:
            if cause != machine.WDT_RESET:
                return
            found = {"text": "nothing was kept of the run before"}
        elif cause == machine.WDT_RESET and not found["stopped"]:
            found["stopped"] = ["loop"]  # it could not even look any more
        found["cause"] = _cause_name(machine, cause)
        report.say("postmortem", self._ports.ticks_ms(), **found)

    async def run(self):
        """Feed the chip's watchdog for ever, as long as every part goes on."""
        self.arm()
        while True:
            await self._ports.sleep_ms(_LOOK_MS)
            self.look(self._ports.ticks_ms())

    def arm(self):
        """From now on the chip is reset unless look() is called and sees progress. Nothing can undo it."""
        self._looked_ms = self._fed_ms = self._ports.ticks_ms()
        self._dog = self._machine.WDT(timeout=self._limit_ms)
        self._keep(0)

    def look(self, now_ms):
        """One look: feed or not, and keep the record."""
        self._uptime_ms += ticks_diff(now_ms, self._looked_ms)
        self._looked_ms = now_ms
        stopped = 0
        for i in range(len(self._progress)):
            if self._progress[i]() == self._seen[i]:
                stopped |= 1 << i
        if not stopped:
            self._feed(now_ms)
        self._stopped = stopped
        self._keep(stopped)

    def _feed(self, now_ms):
        self._dog.feed()
        self._fed_ms = now_ms
        for i in range(len(self._progress)):
            self._seen[i] = self._progress[i]()

    def keep_death(self):
        """A part has ended by a fault: the chip is left to its watchdog, which starts the speaker anew."""
        self._keep(self._stopped | _DIED)

    def retire(self):
        """An orderly end: nothing is kept, and whoever is at the prompt now is not reset."""
        self._forget()
        if self._dog is not None:
            self._dog = self._machine.WDT(timeout=_LONGEST_MS)
            self._dog.feed()

    def _forget(self):
        if self._rtc is not None:
            self._rtc.memory(b"")

    def _keep(self, stopped):
        if self._rtc is None:
            return
        error = self._session.error
        kind = _NO_ERROR if error is None else errors.KINDS.index(error.kind)
        n = self._trace.pack_into(self._record, _HEAD_BYTES, _ENTRIES)
        struct.pack_into(
            _HEAD, self._record, 0, _MAGIC, self._states.index(self._session.state), kind, stopped, n,
            self._uptime_ms // 1000, mem_free_bytes(), ticks_diff(self._looked_ms, self._fed_ms),
        )  # fmt: skip
        end = _HEAD_BYTES + n * _ENTRY_BYTES
        struct.pack_into("<I", self._record, end, crc32(self._record_mv[:end]) & 0xFFFFFFFF)
        self._rtc.memory(self._record_mv[: end + 4])


def _read(kept, names, states):
    """What _keep wrote, in words; None when that is not what stands there."""
    if len(kept) < _HEAD_BYTES + 4 or kept[:4] != _MAGIC:
        return None
    _, state, kind, stopped, n, uptime_s, heap_free_bytes, stopped_ms = struct.unpack(_HEAD, kept[:_HEAD_BYTES])
    end = len(kept) - 4
    if end != _HEAD_BYTES + n * _ENTRY_BYTES or struct.unpack("<I", kept[end:])[0] != crc32(kept[:end]) & 0xFFFFFFFF:
        return None
    from . import trace_names

    rows = [struct.unpack("<iii", kept[at : at + _ENTRY_BYTES]) for at in range(_HEAD_BYTES, end, _ENTRY_BYTES)]
    found = {
        "stopped": [name for i, name in enumerate(names) if stopped >> i & 1],
        "stopped_ms": stopped_ms,
        "is_dead": stopped & _DIED != 0,
        "state": states[state] if state < len(states) else "",
        "error_kind": errors.KINDS[kind] if kind < len(errors.KINDS) else "",
        "uptime_s": uptime_s,
        "heap_free_bytes": heap_free_bytes,
        "lines": [trace_names.line(t_ms, code, arg) for t_ms, code, arg in rows],
    }
    found["text"] = "the last run did not end in order"
    return found


def _cause_name(machine, cause):
    for name, word in (
        ("PWRON_RESET", "power"), ("HARD_RESET", "reset"), ("WDT_RESET", "watchdog"), ("DEEPSLEEP_RESET", "sleep"),
        ("SOFT_RESET", "soft_reset"),
    ):  # fmt: skip
        if cause == getattr(machine, name, None):
            return word
    return "unknown"
