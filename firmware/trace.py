"""The event trace: a preallocated ring of (t_ms, code, arg) integers, always on, read only when something is asked.

Codes are small integers with a name in trace_names.py; nothing is formatted or allocated until `lines()`.
A sample of sound or a secret never enters.
"""

import struct
from array import array

from unload import unload

from .compat import const

STATE = const(1)  # arg: index of the state in session.states.STATES
EVENT = const(2)  # arg: index of the event in events.TABLE_EVENTS
PRESS = const(3)
RELEASE = const(4)
FIRST_FRAME = const(5)  # first frame of an utterance handed to the socket; arg: frames then waiting
COMPLETE = const(6)  # end of the utterance handed to the socket; arg: frames sent
FIRST_DELTA = const(7)  # first audio of an answer read from the socket; arg: bytes
FIRST_SAMPLE = const(8)  # first sample of an answer given to the DAC
LAST_SAMPLE = const(9)  # the DAC has played everything; arg: ms played
UNDERRUN = const(10)  # arg: ms of silence heard inside an answer
OVERRUN = const(11)  # arg: ms of microphone lost
RING_FULL = const(12)  # arg: bytes cut
FLUSH = const(13)  # arg: bytes dropped from the ring
CANCEL = const(14)
STALE_AUDIO = const(15)  # arg: bytes of a dead turn dropped
GATED = const(16)  # arg: ms of microphone replaced by silence
LINK_UP = const(17)  # arg: ms the connection took
LINK_DOWN = const(18)  # arg: index in errors.KINDS, -1 on an orderly close
RETRY = const(19)  # arg: ms until the next attempt
PING = const(20)
PONG = const(21)  # arg: round trip in ms
ERROR = const(22)  # arg: index in errors.KINDS
CLOUD_CODE = const(23)  # arg: the cloud's own error number
UNKNOWN_EVENT = const(24)  # the cloud sent an event that this client does not know; arg: how many so far
UPLINK_DROP = const(25)  # arg: frames dropped because the link was slow
GC = const(26)  # arg: pause in ms
HEAP_FREE = const(27)  # arg: bytes
DNS = const(28)  # arg: ms the look-up blocked the loop
WIFI_UP = const(29)  # arg: ms until there was an address
MALFORMED = const(30)  # a message or its audio could not be read and was skipped; arg: how many so far
TOO_BIG = const(31)  # a message was longer than message_max_bytes and was skipped; arg: how many on this connection
RING_MOST = const(32)  # an answer is over; arg: the most bytes that ever waited in the ring
QUEUE_MOST = const(33)  # a question is over; arg: the most ms of microphone that ever waited for the link


class Trace:
    """capacity: entries kept (9 bytes each; a turn writes about 25); ticks_ms: the clock of the ports."""

    def __init__(self, ticks_ms, capacity=128):
        self._ticks_ms = ticks_ms
        self._capacity = capacity
        self._t_ms = array("i", bytes(4 * capacity))
        self._code = bytearray(capacity)
        self._arg = array("i", bytes(4 * capacity))
        self.count = 0  # entries ever written; the ring holds the last `capacity` of them

    def add(self, code, arg=0):
        """Record one event; never allocates, may be called from anywhere in the loop."""
        at = self.count % self._capacity
        self._t_ms[at] = self._ticks_ms() & 0x3FFFFFFF
        self._code[at] = code
        self._arg[at] = arg if -0x40000000 <= arg < 0x40000000 else -1
        self.count += 1

    def entries(self, most=0):
        """Yield (t_ms, code, arg), oldest first; most: only the newest so many, 0 for all."""
        for i in range(max(0, self.count - min(most or self._capacity, self._capacity)), self.count):
            at = i % self._capacity
            yield self._t_ms[at], self._code[at], self._arg[at]

    def lines(self, most=0):
        """Yield one readable line per entry, oldest first; most: only the newest so many, 0 for all."""
        from . import trace_names

        unload(__name__.rpartition(".")[0], ("trace_names",))
        for t_ms, code, arg in self.entries(most):
            yield trace_names.line(t_ms, code, arg)

    def pack_into(self, buf, at, most):
        """Write the newest entries, at most so many, to buf from `at` on: three 32-bit integers each, oldest first.

        Returns how many. Allocates nothing.
        """
        first = max(0, self.count - min(most, self._capacity))
        i = first
        while i < self.count:
            row = i % self._capacity
            struct.pack_into("<iii", buf, at, self._t_ms[row], self._code[row], self._arg[row])
            at += 12
            i += 1
        return self.count - first
