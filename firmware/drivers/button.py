"""A push button, read by asking: the leading edge counts at once, the bouncing behind it does not count at all.

        pin     ‾‾‾|_|‾|_____________________|‾|_|‾‾‾‾‾
        poll()     DOWN                      UP
                   |<-locked->|              |<-locked->|

A filter in front of the edge would delay every press, so there is none: a disturbance that is long enough to be read
three times within one poll (a few microseconds) is a press of debounce_ms, which the gestures call a tap.
"""

from ..compat import const, ticks_diff

DOWN = 1
UP = 2

_READS = const(3)


class Button:
    """pin: machine.Pin or anything with value(); poll it every few ms."""

    def __init__(self, pin, ticks_ms, active_low=True, debounce_ms=20):
        self._pin = pin
        self._ticks_ms = ticks_ms
        self._down_level = 0 if active_low else 1
        self._debounce_ms = debounce_ms
        self._is_locked = False
        self._edge_ms = 0
        # A button that is held (or stuck) at the start is no press: it must come up first.
        self.is_down = pin.value() == self._down_level

    def poll(self):
        """DOWN or UP once per edge, 0 otherwise. Never waits, never allocates."""
        if self._is_locked:
            if ticks_diff(self._ticks_ms(), self._edge_ms) < self._debounce_ms:
                return 0
            self._is_locked = False  # a flag, because tick differences turn negative after some days
        if not self._has_changed():
            return 0
        self.is_down = not self.is_down
        self._edge_ms = self._ticks_ms()
        self._is_locked = True
        return DOWN if self.is_down else UP

    def _has_changed(self):
        for _ in range(_READS):
            if (self._pin.value() == self._down_level) == self.is_down:
                return False
        return True


class Repeater:
    """A button that acts again while it is held: first at once, then after first_ms, then every every_ms."""

    def __init__(self, pin, ticks_ms, active_low=True, debounce_ms=20, first_ms=400, every_ms=150):
        self._button = Button(pin, ticks_ms, active_low, debounce_ms)
        self._ticks_ms = ticks_ms
        self._first_ms = first_ms
        self._every_ms = every_ms
        self._since_ms = 0
        self._wait_ms = -1  # not held since we have looked

    def poll(self):
        """True for each step. A late poll is one step, never several at once."""
        edge = self._button.poll()
        if edge == UP:
            self._wait_ms = -1
        elif edge == DOWN:
            self._next_after(self._first_ms)
            return True
        elif self._wait_ms >= 0 and ticks_diff(self._ticks_ms(), self._since_ms) >= self._wait_ms:
            self._next_after(self._every_ms)
            return True
        return False

    def _next_after(self, wait_ms):
        self._since_ms = self._ticks_ms()
        self._wait_ms = wait_ms
