"""Between the reader of the connection and the player's ring: what happens when an answer comes faster than it plays.

The reader pauses while the ring is full, because TCP then slows the cloud down and nothing is lost. But pings and
control events wait in the same stream behind the audio, so a pause has a budget: when it is used up, the rest of that
answer is dropped and counted, and everything else is read again. The budget is whole again once the ring is half empty.
"""

from ..compat import ticks_diff


class Intake:
    """pause_ms: how long reading may stand still for one full ring."""

    def __init__(self, player, pause_ms, ports):
        self._player = player
        self._pause_ms = pause_ms
        self._ports = ports
        self._left_ms = pause_ms
        self._is_cut = False  # the budget is used up: the rest of this answer is dropped
        self._rest_buf = None
        self._rest_at = 0
        self._rest_n = 0

    def begin(self):
        """A new answer."""
        self._is_cut = False
        self._left_ms = self._pause_ms
        self._rest_n = 0
        self._player.begin()

    def offer(self, buf, at, n):
        """Queue n wire bytes of the answer. True when some are left over: stop reading, await take_rest().

        buf must not change before take_rest() is over.
        """
        player = self._player
        if self._is_cut:
            player.cut(n)
            return False
        if self._left_ms != self._pause_ms and player.room() * 2 >= player.capacity:
            self._left_ms = self._pause_ms
        got = player.write_from(buf, n, at)
        if got == n:
            return False
        self._rest_buf = buf
        self._rest_at = at + got
        self._rest_n = n - got
        return True

    async def take_rest(self):
        """Wait for room and queue what offer() left over, or drop it when the budget is used up."""
        player = self._player
        while self._rest_n:
            before_ms = self._ports.ticks_ms()
            has_room = await player.wait_room(self._left_ms)
            self._left_ms = max(0, self._left_ms - ticks_diff(self._ports.ticks_ms(), before_ms))
            if not has_room:
                self._is_cut = True
                player.cut(self._rest_n)
                self._rest_n = 0
                return
            got = player.write_from(self._rest_buf, self._rest_n, self._rest_at)
            self._rest_at += got
            self._rest_n -= got
