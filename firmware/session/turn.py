"""The record of one turn: when each thing happened, and how it ended. Reported once, as one line."""

from ..compat import ticks_diff

ANSWERED = "answered"
INTERRUPTED = "interrupted"  # by the user
CUT = "cut"  # the answer broke off
FAILED = "failed"
DISCARDED = "discarded"  # the user took the question back, or there was none after all


class Turn:
    """now_ms: the press (push-to-talk) or the first sign of it. Marks are ms since then, -1 for never."""

    def __init__(self, number, now_ms):
        self.number = number
        self._began_ms = now_ms
        self.outcome = ""
        self.first_frame_ms = -1  # first uplink frame handed to the socket
        self.release_ms = -1  # release of the button, or the cloud's end of speech
        self.complete_ms = -1  # end of the utterance handed to the socket
        self.first_delta_ms = -1
        self.first_sample_ms = -1
        self.last_sample_ms = -1

    def mark(self, name, now_ms):
        """Note the first time that something happened."""
        if getattr(self, name) < 0:
            setattr(self, name, ticks_diff(now_ms, self._began_ms))

    def end(self, outcome):
        """The first reason stands."""
        self.outcome = self.outcome or outcome

    def fields(self):
        """For the report; began_ms is of the same clock as the report's own t_ms."""
        return {
            "turn": self.number,
            "outcome": self.outcome,
            "began_ms": self._began_ms,
            "first_frame_ms": self.first_frame_ms,
            "release_ms": self.release_ms,
            "complete_ms": self.complete_ms,
            "first_delta_ms": self.first_delta_ms,
            "first_sample_ms": self.first_sample_ms,
            "last_sample_ms": self.last_sample_ms,
        }
