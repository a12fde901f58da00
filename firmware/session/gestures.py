"""From button edges to gestures. No gesture delays the start of a recording: every press is reported on its leading
edge, and what it turns out to have been (a tap, the second of two, the fifth of five) follows as an event of its own.
"""

from ..compat import const, ticks_diff
from ..events import PRESS, PROVISION, RELEASE, STOP, TAP

_PROVISION_TAPS = const(5)
_PROVISION_MS = const(3000)


class Gestures:
    """is_hold: press, speak, release; otherwise every press is a click and releases mean nothing.

    post: called with each event, in order.
    """

    def __init__(self, is_hold, tap_ms, multi_tap_ms, post):
        self._is_hold = is_hold
        self._tap_ms = tap_ms
        self._multi_tap_ms = multi_tap_ms
        self._post = post
        self._is_down = False
        self._down_ms = 0
        self._tap_at_ms = 0
        self._taps = 0  # taps in a row, each within multi_tap_ms of the one before
        self._series_ms = 0  # when the first of them began

    def down(self, now_ms):
        if self._is_down:
            return
        self._is_down = True
        self._down_ms = now_ms
        if self._taps and ticks_diff(now_ms, self._tap_at_ms) > self._multi_tap_ms:
            self._taps = 0
        if self._taps == 0:
            self._series_ms = now_ms
        if self._is_hold:
            self._post(PRESS)
            return
        self._taps += 1
        self._tap_at_ms = now_ms
        if self._taps % 2 == 0:
            self._post(STOP)
        elif not self._was_provision(now_ms):
            self._post(PRESS)

    def up(self, now_ms):
        if not self._is_down:
            return
        self._is_down = False
        if not self._is_hold:
            return
        if ticks_diff(now_ms, self._down_ms) >= self._tap_ms:
            self._taps = 0
            self._post(RELEASE)
            return
        self._taps += 1
        self._tap_at_ms = now_ms
        self._post(TAP)
        if self._taps % 2 == 0:
            self._post(STOP)
        else:
            self._was_provision(now_ms)

    def _was_provision(self, now_ms):
        if self._taps < _PROVISION_TAPS:
            return False
        is_quick = ticks_diff(now_ms, self._series_ms) <= _PROVISION_MS
        self._taps = 0
        if is_quick:
            self._post(PROVISION)
        return is_quick
