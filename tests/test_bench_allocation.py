"""The whole speaker with sockets and TLS on real MicroPython: heap bytes for a pair of 20 ms frames."""

import asyncio
import os

import pytest

from tools import mpy
from tools.bench import duplex

# 64-bit: one draw of 64 random bytes serves 16 frames, 7 bytes each; what happens now and then is the rest.
# 32-bit: besides, MicroPython's poll.modify() makes an integer of a socket's address, and a process on this computer
# lies so high that it needs a long one (on an ESP32 it does not).
LIMIT_BYTES = {"micropython": 14, "micropython32": 32}


def skip_without(interpreter):
    bits = 32 if interpreter.endswith("32") else 64
    try:
        mpy.launcher(bits)
    except mpy.MissingMicroPython as error:
        if os.environ.get("ALLOW_NO_MPY") == "1":
            pytest.skip("NOT TESTED ON MICROPYTHON, because ALLOW_NO_MPY=1: %s" % error)
        pytest.fail(str(error), pytrace=False)


@pytest.mark.parametrize("interpreter", sorted(LIMIT_BYTES))
def test_a_frame_up_and_a_frame_down_take_next_to_no_heap_over_tls(interpreter, show_figure):
    skip_without(interpreter)
    pair = asyncio.run(duplex.run(interpreter, "g711a", warm_ms=700, measured_ms=4000))
    assert pair.troubles == 0
    assert abs(pair.frames - 200) <= 4
    assert abs(pair.samples_played - 200 * 160) <= 1024
    assert 0 < pair.heap_bytes <= LIMIT_BYTES[interpreter]
    show_figure("full duplex over TLS on %s: %.1f heap bytes per pair of 20 ms frames" % (interpreter, pair.heap_bytes))


def test_the_baseline_really_carries_the_same_sound():
    """A baseline that loses half of the frames would be cheap."""
    skip_without("micropython")
    pair = asyncio.run(duplex.run("micropython", "pcm", way="straight", warm_ms=500, measured_ms=2000))
    assert abs(pair.frames - 100) <= 4
    assert abs(pair.samples_played - 100 * 480) <= 2048
    assert pair.heap_bytes > 10_000
