"""Self-test of what a finger or a multimeter could test: pins, memory, LED, button."""

import gc

from ..compat import const, mem_free_bytes, ticks_diff
from ..drivers import button as buttons
from .bench import Failed, Skipped

_SETTLE_MS = const(3)  # a pull of 45 kilo-ohms charges a pin and its wire within a fraction of this
_REST_MS = const(300)
_FINGER_MS = const(15_000)
_POLL_MS = const(5)
_LED_MS = const(700)
_LEVEL = const(60)
_CODE_BYTES = const(90_000)  # what the speaker's modules and objects take beside its buffers, on a 32-bit MicroPython
_TRY_BYTES = const(4096)


async def pins(bench):
    """Every pin of both buses follows a pull up and a pull down: it has no short to a supply or to its neighbour."""
    board = bench.need_board()
    stuck = []
    for bus, names in (("speaker", ("sck", "ws", "sd")), ("mic", ("sck", "ws", "sd"))):
        for name in names:
            number = board[bus][name]
            for is_up in (True, False):
                pin = bench.input(number, is_up)
                await bench.ports.sleep_ms(_SETTLE_MS)
                if pin.value() != is_up:
                    stuck.append("%s %s (GPIO %d) stays %s" % (bus, name, number, "low" if is_up else "high"))
    for name in ("button", "volume_up", "volume_down"):
        pins_of = board[name]
        if pins_of is not None and await _is_held(bench, pins_of):
            stuck.append("%s (GPIO %d) reads pressed" % (name, pins_of["pin"]))
    bench.figures["stuck_pins"] = len(stuck)
    if stuck:
        raise Failed("; ".join(stuck) + ": look for a short, a wrong pin, or a wrong board file")


async def _is_held(bench, pins_of):
    """Pressed during the whole of _REST_MS, with nobody asked to press."""
    pin = bench.input(pins_of["pin"], pins_of["pull_up"])
    for _ in range(_REST_MS // _POLL_MS):
        if bool(pin.value()) == pins_of["active_low"]:
            return False
        await bench.ports.sleep_ms(_POLL_MS)
    return True


async def memory(bench):
    """The heap holds the speaker with these settings, and its largest buffer in one piece."""
    board = bench.need_board()
    gc.collect()
    free_bytes = mem_free_bytes()
    if free_bytes < 0:
        raise Skipped("this interpreter has no fixed heap")
    config = bench.config
    ring_bytes = (config.ring_bytes or config.ring_needed_bytes()) if config else 65_536
    need_bytes = _CODE_BYTES + ring_bytes
    if config:
        need_bytes += config.rx_buffer_bytes or config.rx_needed_bytes()
        need_bytes += 8 * (config.uplink_queue_ms or config.queue_needed_ms())
    bench.figures["heap_free_bytes"] = free_bytes
    bench.figures["heap_needed_bytes"] = need_bytes
    largest_bytes = bench.figures["largest_block_bytes"] = _largest_block(free_bytes)
    if board["psram"] != "none" and free_bytes < 1_000_000:
        raise Failed(
            "%d bytes of heap where the board file promises PSRAM: flash the image for %s PSRAM, or correct psram"
            % (free_bytes, board["psram"])
        )
    if free_bytes < need_bytes or largest_bytes < ring_bytes:
        raise Failed(
            "%d bytes of heap, %d in one piece, and %d and %d are needed: lower answer_max_s, uplink_queue_ms and "
            "rx_buffer_bytes" % (free_bytes, largest_bytes, need_bytes, ring_bytes)
        )


def _largest_block(free_bytes):
    low, high = 0, free_bytes // _TRY_BYTES + 1
    while high - low > 1:
        middle = (low + high) // 2
        try:
            bytearray(middle * _TRY_BYTES)
            low = middle
        except MemoryError:
            high = middle
        gc.collect()
    return low * _TRY_BYTES


async def led(bench):
    """A person sees red, green and blue, in this order."""
    data = bench.need_board()["led"]
    if data is None:
        raise Skipped("this board has no LED")
    pixel = bench.pixel(data)
    for colour in ((_LEVEL, 0, 0), (0, _LEVEL, 0), (0, 0, _LEVEL), (0, 0, 0)):
        pixel.fill(colour)
        pixel.write()
        await bench.ports.sleep_ms(_LED_MS)
    seen = bench.ask("led", "Did the light show red, then green, then blue?")
    if seen is None:
        raise Skipped("shown, but nobody said what was to be seen")
    if not seen:
        raise Failed("the light did not show red, green, blue: check led in the board file (GPIO %d)" % data["pin"])


async def button(bench):
    """A person presses the button once; the edges come through the speaker's own driver."""
    pins_of = bench.need_board()["button"]
    pin = bench.input(pins_of["pin"], pins_of["pull_up"])
    driver = buttons.Button(pin, bench.ports.ticks_ms, pins_of["active_low"])
    if bench.ask("button", "Press the button once, and let it go.") is None:
        raise Skipped("nobody is there to press it")
    began_ms = bench.ports.ticks_ms()
    down_ms = None
    while ticks_diff(bench.ports.ticks_ms(), began_ms) < _FINGER_MS:
        edge = driver.poll()
        if edge == buttons.DOWN:
            down_ms = bench.ports.ticks_ms()
        elif edge == buttons.UP and down_ms is not None:
            bench.figures["held_ms"] = ticks_diff(bench.ports.ticks_ms(), down_ms)
            return
        await bench.ports.sleep_ms(_POLL_MS)
    what = "never let go" if down_ms is not None else "not seen"
    raise Failed("the press was %s within 15 s: check button in the board file (GPIO %d)" % (what, pins_of["pin"]))
