"""What the board needs before anything else: its power, and the processor's full speed."""

from ..compat import const

_FULL_HZ = const(240_000_000)


def raise_pins(machine, board):
    """First what keeps the board itself on, then its amplifier. machine: the module; board: of firmware/boards.py."""
    for pin in board.get("hold_high", ()):
        machine.Pin(pin, machine.Pin.OUT, value=1)
    if board["amp_enable"] is not None:
        machine.Pin(board["amp_enable"], machine.Pin.OUT, value=1)


def full_speed(machine):
    """Of MicroPython's images for the ESP32-S3 only the one for octal PSRAM starts at it, the plain one at 160 MHz."""
    try:
        if machine.freq() < _FULL_HZ:
            machine.freq(_FULL_HZ)
    except ValueError:
        pass  # an image that refuses: slower, and the self-test measures whether it is too slow
