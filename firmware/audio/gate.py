"""Whether the microphone may hear our own voice: the one thing that player and recorder must agree on.

The player says until when something audible leaves the loudspeaker, the recorder asks about the instant at which a
frame began. A pure object: the time is always an argument, in ticks of the ports' clock.
"""

from ..compat import ticks_diff


class Gate:
    """is_duplex: the microphone may stay open while the loudspeaker plays (the echo is cancelled, or nobody hears it).

    tail_ms: how long the room and the amplifier still sound after the last sample.
    """

    def __init__(self, is_duplex, tail_ms):
        self.is_duplex = is_duplex
        self.tail_ms = tail_ms
        self.audible_until_ms = 0  # only means something while _has_sounded
        self._has_sounded = False  # within the tail; without it an old time would come true again when ticks wrap

    def sound_until(self, end_ms):
        """The last of something audible will have left the loudspeaker at end_ms, as far as is known now."""
        self.audible_until_ms = end_ms
        self._has_sounded = True

    def silence_from(self, now_ms):
        """What was still to come has been recalled: the last audible sample left at now_ms, or before."""
        if self._has_sounded and ticks_diff(self.audible_until_ms, now_ms) > 0:
            self.audible_until_ms = now_ms

    def is_audible(self, now_ms):
        return self._has_sounded and ticks_diff(self.audible_until_ms, now_ms) > 0

    def is_closed(self, began_ms):
        """True when sound that the microphone caught at began_ms may be our own."""
        if not self._has_sounded:
            return False
        if ticks_diff(began_ms, self.audible_until_ms) >= self.tail_ms:
            self._has_sounded = False
            return False
        return not self.is_duplex
