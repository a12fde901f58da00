"""Every difference between CPython and MicroPython, and nothing else.

The rest of the firmware asks this module for a feature and never for a platform. Each fallback says how
it behaves differently.
"""

import asyncio
import os
import sys
import time

try:
    from micropython import const
except ImportError:

    def const(value):
        """CPython has no constant folding; the name must stay `const` for MicroPython's compiler."""
        return value


IS_MICROPYTHON = sys.implementation.name == "micropython"

_EPOCH_2000_S = const(946_684_800)  # 2000-01-01 00:00:00 UTC, where the ESP32 port starts to count

try:
    from time import ticks_add, ticks_diff, ticks_ms
except ImportError:
    # CPython: the same wrap-around as a 32-bit MicroPython, so that code which subtracts ticks fails here too.
    _TICKS_PERIOD = 1 << 30

    def ticks_ms():
        return time.monotonic_ns() // 1_000_000 & (_TICKS_PERIOD - 1)

    def ticks_add(ticks, delta):
        return (ticks + delta) & (_TICKS_PERIOD - 1)

    def ticks_diff(end, start):
        half = _TICKS_PERIOD // 2
        return ((end - start + half) & (_TICKS_PERIOD - 1)) - half


try:
    sleep_ms = asyncio.sleep_ms
except AttributeError:

    def sleep_ms(ms):
        """Await `ms` milliseconds; zero lets every ready task run once."""
        return asyncio.sleep(ms / 1000)


def unix_s():
    """Seconds since 1970 on either epoch: the only wall clock of the firmware, and never used for durations."""
    now_s = int(time.time())
    return now_s + _EPOCH_2000_S if time.gmtime(0)[0] == 2000 else now_s


def random_bytes(n):
    """n unpredictable bytes (the ESP32's hardware generator, the desktop's kernel)."""
    return os.urandom(n)


def format_exception(error):
    """The traceback as text."""
    if hasattr(sys, "print_exception"):
        import io

        out = io.StringIO()
        sys.print_exception(error, out)
        return out.getvalue()
    import traceback

    return "".join(traceback.format_exception(type(error), error, error.__traceback__))


def mem_free_bytes():
    """Free heap in bytes; -1 on CPython, which has no fixed heap."""
    import gc

    return gc.mem_free() if hasattr(gc, "mem_free") else -1
