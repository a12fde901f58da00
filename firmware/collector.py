"""When the garbage collector runs: while nobody hears it.

A collection stops everything, for tens of milliseconds where the heap lies in PSRAM. MicroPython begins one by itself
when the heap is used up, in the middle of whatever happens then. Sound allocates next to nothing, messages a few KB a
turn: so it is done whenever the speaker comes to rest, and in a pause of a conversation that never rests (free talk)
once much garbage has come together. No threshold is set, because a threshold knows nothing of sound.

How much room is left does not tell when the heap is used up: mem_free() of the ESP32 port counts what the heap may grow
by (megabytes with PSRAM), and the port collects before it lets it grow (py/gc.c).

Before there is any sound it is otherwise: pack().
"""

import gc

from . import trace as tr
from .compat import collect_every, const, mem_free_bytes, ticks_diff

_LOW_SHARE = const(4)  # low is less than one in so many bytes free
_GARBAGE_SHARE = const(8)  # much is one in so many of the bytes that were in use after the last collection
_SMALL_HEAP_BYTES = const(500_000)
_PACK_BYTES = const(4096)


def pack(is_loading):
    """While modules are loaded into a small heap, much is garbage a moment later: collected often, it leaves no holes
    between what stays, and a large buffer or the next module finds room. False ends that.
    """
    is_small = 0 <= mem_free_bytes() < _SMALL_HEAP_BYTES
    collect_every(_PACK_BYTES if is_loading and is_small else 0)


class Collector:
    def __init__(self, ports, trace):
        self.longest_ms = 0
        self._ports = ports
        self._trace = trace
        self._low_bytes = (mem_free_bytes() + _used_bytes()) // _LOW_SHARE
        self._kept_bytes = _used_bytes()

    def collect(self):
        """Now. The pause goes into the trace."""
        before_ms = self._ports.ticks_ms()
        gc.collect()
        self._kept_bytes = _used_bytes()
        ms = ticks_diff(self._ports.ticks_ms(), before_ms)
        self.longest_ms = max(self.longest_ms, ms)
        self._trace.add(tr.GC, ms)

    def collect_if_low(self):
        """Now, if there is much garbage or less than a quarter of the heap is free. True when it was done. (Never on
        CPython.)
        """
        garbage_bytes = _used_bytes() - self._kept_bytes
        if garbage_bytes <= self._kept_bytes // _GARBAGE_SHARE and mem_free_bytes() >= self._low_bytes:
            return False
        self.collect()
        return True


def _used_bytes():
    """Of the heap, garbage included; 0 on CPython."""
    return gc.mem_alloc() if hasattr(gc, "mem_alloc") else 0
