"""What the speaker, a board without settings and the self-test take from the chip in the same way."""


def pixel(machine, led):
    """The NeoPixel of a board's `led`; None for a board without one."""
    if led is None:
        return None
    import neopixel

    return neopixel.NeoPixel(machine.Pin(led["pin"], machine.Pin.OUT), led["count"])


def settime_from(host):
    """A function that sets the chip's clock from this time server; it blocks for a second or two."""

    def settime():
        import ntptime

        ntptime.host = host
        ntptime.settime()

    return settime
