"""Which answer is alive: the book-keeping that keeps the answer to an interrupted question from ever being heard.

A cloud that streams answers may go on sending one after it was cancelled, may cancel late or never, and may start the
answer to a question that was interrupted before its answer had a name. So the book holds

- the live turn: the only one whose audio is played;
- dead turns, by id;
- owed turns: questions sent whose turn has no id yet; one that was interrupted is dead on arrival;
- the gate: after an interruption, audio that names no turn, or an unknown one, is a residue of the dead one;
- due acknowledgements: a `cancelled` that answers our own cancel must not kill the turn that came after it.

Pure: no clock, no I/O. Ids are bytes; now_ms is compat.ticks_ms of the caller.
"""

from ..compat import const, ticks_diff

LIVE = const(1)
DEAD = const(2)
KNOWN = const(3)

_DEAD_KEPT = const(16)
_OWED_KEPT = const(8)
_GATE_MS = const(6000)  # no residue for so long: the cancelled answer has ended (coze.md 5.5, one field report)
_OWED_MS = const(10_000)  # an interrupted question without any answer by then gets none
_CANCEL_MS = const(10_000)  # an acknowledgement that late is missing


class _Owed:
    def __init__(self, now_ms):
        self.is_dead = False
        self.is_given_up = False  # waited for in vain
        self.is_heard = False  # its final transcript has come
        self.since_ms = now_ms


class Turns:
    def __init__(self):
        self._dead = []
        self.reset()

    def reset(self):
        """A new connection owes nothing; ids that died stay dead."""
        self.current = b""  # id of the live turn; stays after its end, for audio that comes late
        self._current_bytes = 0
        self.is_busy = False  # the cloud works on the live turn
        self._is_anonymous = False  # audio without an id is being accepted
        self._owed = []
        self._gate_ms = -1  # time of the last residue; -1 is an open gate
        self._due = []  # when each cancellation that is not yet acknowledged became due

    # What we do

    def owe(self, now_ms):
        """A question went out: one turn is owed."""
        self._forget(now_ms)
        # Kept, one that never comes would be confounded with the answer to this question, and so on for ever.
        self._owed = [owed for owed in self._owed if not owed.is_given_up]
        self._owed.append(_Owed(now_ms))
        if len(self._owed) > _OWED_KEPT:
            self._owed.pop(0)

    def interrupt(self, now_ms):
        """Everything asked so far is dead. Returns True when the cloud must be told to cancel."""
        self._forget(now_ms)
        must_cancel = self.is_busy
        if must_cancel or self._owed or self._is_anonymous:
            self._gate_ms = now_ms
        for owed in self._owed:
            if not owed.is_dead:
                owed.is_dead = True
                owed.since_ms = now_ms
        self._end_current()
        if must_cancel:
            self._expect_acknowledgement(now_ms)
        return must_cancel

    def give_up(self, now_ms):
        """interrupt(), because the owed turns did not come in time: they are no longer expected once more is asked."""
        for owed in self._owed:
            owed.is_given_up = True
        return self.interrupt(now_ms)

    # What the cloud says

    def created(self, turn_id, now_ms):
        """A turn starts. LIVE: play it; DEAD: it answers an interrupted question, cancel it; KNOWN: nothing new."""
        self._forget(now_ms)
        if turn_id == self.current or turn_id in self._dead:
            return KNOWN
        if self._owed and self._owed.pop(0).is_dead:
            self._bury(turn_id)
            self._gate_ms = now_ms
            self._expect_acknowledgement(now_ms)
            return DEAD
        self._adopt(turn_id)
        return LIVE

    def is_live(self, buf, at, n, now_ms):
        """Does audio that names the turn in buf[at:at+n] (n = 0: names none) belong to the live one?"""
        if n > 0 and n == self._current_bytes and buf.startswith(self.current, at):
            return True
        return self._is_stranger_live(buf, at, n, now_ms)  # apart: so this frame is small enough not to need the heap

    def _is_stranger_live(self, buf, at, n, now_ms):
        turn_id = bytes(memoryview(buf)[at : at + n])
        self._forget(now_ms)
        if self._gate_ms >= 0:
            self._gate_ms = now_ms
            return False
        if turn_id in self._dead:
            return False
        if not turn_id:
            self._is_anonymous = True
            return True
        if self._owed and self._owed.pop(0).is_dead:  # its `created` was not sent or is late
            self._bury(turn_id)
            return False
        self._adopt(turn_id)
        return True

    def done(self, turn_id):
        """A turn ended by itself. True when it is the live one."""
        if turn_id == self.current or (not self.current and turn_id not in self._dead and self._gate_ms < 0):
            if turn_id != self.current and self._owed:  # it ended before its `created` came
                return not self._owed.pop(0).is_dead
            self.is_busy = False
            self._is_anonymous = False
            return True
        return False

    def is_current(self, turn_id):
        """Does an event that names `turn_id` (b"": none) speak of the live turn?"""
        if turn_id:
            return turn_id == self.current
        return self._gate_ms < 0

    def canceled(self, is_ours, now_ms):
        """The cloud stopped an output. is_ours: it says that our cancel is the reason. True: the live turn died."""
        self._forget(now_ms)
        if self._due:
            self._due.pop(0)
            if not self._due:
                self._gate_ms = -1
            return False
        self._gate_ms = -1
        if is_ours or not (self.current or self._is_anonymous):
            return False
        self._end_current()
        return True

    def unanswered(self):
        """The cloud failed and no turn is running: the oldest owed question gets no answer. False when it was dead."""
        if self.is_busy:
            return True
        for i in range(len(self._owed)):
            owed = self._owed[i]
            if not owed.is_dead:
                self._owed.pop(i)
                return True
            if not owed.is_given_up:
                owed.is_given_up = True  # and not forgotten: some clouds answer all the same
                return False
        return True

    def speech_stopped(self, now_ms):
        """Free talk: a question ended, which owes one turn. Events are in order, so older owed turns come no more."""
        for i in range(len(self._owed) - 1, -1, -1):
            if self._owed[i].is_dead:
                self._owed.pop(i)
        self.owe(now_ms)

    def transcript(self, is_final, is_empty):
        """Words of the user. True when they belong to a question that is still wanted."""
        for i in range(len(self._owed)):
            owed = self._owed[i]
            if owed.is_heard:
                continue
            if is_final:
                owed.is_heard = True
                if is_empty:  # nothing was said, so nothing will be answered
                    self._owed.pop(i)
            return not owed.is_dead
        return self._gate_ms < 0

    # Inside

    def _adopt(self, turn_id):
        self.current = turn_id
        self._current_bytes = len(turn_id)
        self.is_busy = True
        self._is_anonymous = False
        self._gate_ms = -1

    def _end_current(self):
        if self.current:
            self._bury(self.current)
        self.current = b""
        self._current_bytes = 0
        self.is_busy = False
        self._is_anonymous = False

    def _expect_acknowledgement(self, now_ms):
        self._due.append(now_ms)
        if len(self._due) > _OWED_KEPT:
            self._due.pop(0)

    def _bury(self, turn_id):
        self._dead.append(turn_id)
        if len(self._dead) > _DEAD_KEPT:
            self._dead.pop(0)

    def _forget(self, now_ms):
        """Drop what has waited too long."""
        if self._gate_ms >= 0 and ticks_diff(now_ms, self._gate_ms) > _GATE_MS:
            self._gate_ms = -1
        while self._due and ticks_diff(now_ms, self._due[0]) > _CANCEL_MS:
            self._due.pop(0)
        while self._owed and self._owed[0].is_dead and ticks_diff(now_ms, self._owed[0].since_ms) > _OWED_MS:
            self._owed.pop(0)
