"""Promises 2 and 3: what leaves the loudspeaker.

Every answer is noise without a zero sample (stage.py), so each run of samples that are not zero tells which answer it
belongs to and where in it it stands. A live answer is heard from its first sample on, each sample once and in order; a
dead one is not heard at all later than 20 ms after the event that ended it.
"""

import numpy

from firmware import events
from firmware import trace as tr
from tools.cloud import g711, records

from . import Check

SILENCE_MS = 20
_BEEP_MS = 2500
_NEEDLE = 24
_RECENT = 12  # turns of the cloud among which a sound is looked for


class Heard:
    """One answer of the cloud as far as it was heard."""

    def __init__(self, turn):
        self.turn = turn
        self.at = 0  # samples heard
        self.cut_bytes = 0
        self.dead_us = None  # the event that ended it
        self.is_closed = False
        self._gain = None
        self._pcm = numpy.zeros(0, numpy.int16)
        self._wire_bytes = 0

    def samples(self, gain):
        """All that was sent of it so far, at this gain."""
        sent = self.turn.sent
        if gain != self._gain or len(sent) != self._wire_bytes:
            self._gain = gain
            self._wire_bytes = len(sent)
            self._pcm = _scaled(_decoded(self.turn.wire_format.codec, sent), gain)
        return self._pcm

    @property
    def sent_samples(self):
        return len(self.turn.sent) // self.turn.wire_format.bytes_per_sample


class Answers(Check):
    number = 3

    def __init__(self, run):
        super().__init__(run)
        self._heard = {}  # number of the cloud's turn -> Heard
        self._now = None  # Heard that sounds, or sounded last
        self._gains = [_gain(run.config.volume_percent)]
        self._beep_until_us = -1
        self._interrupt_us = -1  # the newest event that makes all older questions void
        self._rest = None  # (number of its first sample, samples): too few to be recognised yet
        self.last_sound_us = 0
        player = run.speaker.player
        plain = player.alert

        def alert(kind):
            is_begun = plain(kind)
            if is_begun:
                self._beep_until_us = run.clock._now_us + 1000 * _BEEP_MS
            return is_begun

        player.alert = alert

    # Death

    def on_trace(self, code, arg):
        if code != tr.EVENT:
            return
        event = events.TABLE_EVENTS[arg]
        now_us = self.run.clock._now_us
        if event in (events.PRESS, events.STOP):
            self._bury(now_us, lambda turn: self._was_asked_before(turn, now_us))
        elif event == events.SPEECH_STARTED and self._now is not None:
            newest = self._now.turn.number
            self._bury(now_us, lambda turn: turn.number <= newest)

    def _bury(self, now_us, is_dead):
        self._interrupt_us = now_us
        for turn in self.run.cloud.turns[-_RECENT:]:
            if is_dead(turn):
                heard = self._of(turn)
                if heard.dead_us is None:
                    heard.dead_us = now_us

    def _was_asked_before(self, turn, now_us):
        return turn.times_ms["begun"] * 1000 < now_us

    def _of(self, turn):
        heard = self._heard.get(turn.number)
        if heard is None:
            heard = self._heard[turn.number] = Heard(turn)
            if turn.utterance is not None and turn.times_ms["begun"] * 1000 >= self._interrupt_us:
                self._bury_late(heard)
            for number in [n for n in self._heard if n < turn.number - 3 * _RECENT]:
                old = self._heard.pop(number).turn
                old.sent, old.planned, old.packets = bytearray(), b"", []
        return heard

    def _bury_late(self, heard):
        """A question that reached the cloud only after the user had taken it back."""
        questions = next((check for check in self.run.checks if hasattr(check, "spans")), None)
        span = questions and questions.spans.get(heard.turn.utterance.number)
        if span and self._interrupt_us > 0 and span[1] * 125 // 2 < self._interrupt_us:
            heard.dead_us = self._interrupt_us

    # Sound

    def on_report(self, report):
        kind = report["kind"]
        if kind == "volume":
            self._gains.insert(0, _gain(report["percent"]))
            del self._gains[4:]
        elif kind == "turn":
            for bus in list(self.run.world.buses):
                bus.sync()
            self._end_turn(report)

    def on_dac(self, first, rate_hz, samples):
        now = self._now
        self.last_sound_us = first * 1_000_000 // rate_hz
        if now is not None and self._rest is None:
            at = now.at
            n = len(samples)
            expected = now.samples(self._gains[0])[at : at + n]
            if len(expected) == n and (expected == samples).all():
                now.at += n
                self._check_dead(now, first, n, rate_hz)
                return
        for start, run in _runs(samples):
            self._on_run(first + start, rate_hz, run)

    def _on_run(self, first, rate_hz, run):
        if self._rest is not None:
            rest_first, rest = self._rest
            self._rest = None
            if rest_first + len(rest) == first:
                first, run = rest_first, numpy.concatenate((rest, run))
        n = self._rest_of_answer(run)
        if n:
            self._check_dead(self._now, first, n, rate_hz)
            first, run = first + n, run[n:]
        if self._goes_on(run) or self._is_other(first, rate_hz, run):
            self._check_dead(self._now, first, len(run), rate_hz)

    def _rest_of_answer(self, run):
        """Samples with which the answer ends that sounds, where another one follows in the same breath."""
        now = self._now
        if now is None:
            return 0
        for gain in self._gains:
            rest = now.samples(gain)[now.at :]
            if 0 < len(rest) < len(run) and (run[: len(rest)] == rest).all():
                now.at += len(rest)
                return len(rest)
        return 0

    def _goes_on(self, run):
        now = self._now
        if now is None:
            return False
        for gain in self._gains:
            expected = now.samples(gain)[now.at : now.at + len(run)]
            if len(expected) == len(run) and (expected == run).all():
                now.at += len(run)
                return True
        return self._changes_gain(now, run)

    def _changes_gain(self, now, run):
        """The volume may change at any block: the head at one gain, the rest at another."""
        if len(self._gains) < 2:
            return False
        expected = [now.samples(gain)[now.at : now.at + len(run)] for gain in self._gains]
        if len(expected[0]) != len(run):
            return False
        is_right = numpy.zeros(len(run), bool)
        for one in expected:
            is_right |= one == run
        if is_right.all():
            now.at += len(run)
            return True
        return False

    def _is_other(self, first, rate_hz, run):
        """Not what was expected: what is it? True when `_now` is what sounds."""
        if len(run) < _NEEDLE:
            self._rest = (first, run)
            return False
        for turn in reversed(self.run.cloud.turns[-_RECENT:]):
            heard = self._of(turn)
            for gain in self._gains:
                at = _place(heard.samples(gain), run)
                if at is not None:
                    return self._switch(heard, at, gain, first, rate_hz, run)
        if first * 1_000_000 // rate_hz > self._beep_until_us:
            self.violate("at %d ms %d samples were heard that belong to no answer"
                         % (first * 1000 // rate_hz, len(run)))
        return False

    def _switch(self, heard, at, gain, first, rate_hz, run):
        if self._is_too_late(heard, first * 1_000_000 // rate_hz):
            return False
        if at > heard.at:
            self.violate("%d samples of answer %d were never heard" % (at - heard.at, heard.turn.number))
        elif at < heard.at:
            self.violate("%d samples of answer %d were heard twice" % (heard.at - at, heard.turn.number))
        self._now = heard
        expected = heard.samples(gain)[at : at + len(run)]
        others = numpy.flatnonzero(expected != run[: len(expected)])  # where yet another answer, or another gain, begins
        n = int(others[0]) if len(others) else len(expected)
        heard.at = at + n
        if n < len(run):
            self._on_run(first + n, rate_hz, run[n:])
        return True

    def _check_dead(self, heard, first, n, rate_hz):
        if heard.dead_us is not None:
            self._is_too_late(heard, (first + n - 1) * 1_000_000 // rate_hz)

    def _is_too_late(self, heard, at_us):
        if heard.dead_us is not None and at_us > heard.dead_us + 1000 * SILENCE_MS:
            self.number = 2
            ms = (at_us - heard.dead_us) // 1000
            self.violate("answer %d was heard %d ms after it had been interrupted" % (heard.turn.number, ms))
            return True
        return False

    # The end of a turn

    def _end_turn(self, report):
        now = self._now
        if report["outcome"] != "answered":
            return
        if report["first_delta_ms"] < 0:
            self._check_unheard()
        elif now is not None:
            now.cut_bytes = report["bytes_cut"]
            self._check_whole(now)

    def _check_whole(self, heard):
        turn = heard.turn
        missing = heard.sent_samples - heard.at - heard.cut_bytes // turn.wire_format.bytes_per_sample
        is_sent = turn.status in (records.COMPLETED, records.CANCELED) or "audio_completed" in turn.times_ms
        if heard.dead_us is None and is_sent and missing > 0 and not self._is_late(turn):
            self.violate("answer %d counts as answered, and %d samples of it were not heard" % (turn.number, missing))

    @staticmethod
    def _is_late(turn):
        """Audio behind the end that the cloud had announced."""
        return turn.times_ms.get("last_audio", 0) > turn.times_ms.get("audio_completed", 1 << 60)

    def _check_unheard(self):
        """The speaker says that there was no answer: was there one?"""
        turns = [turn for turn in self.run.cloud.turns[-_RECENT:] if turn.utterance is not None]
        if turns and turns[-1].status == records.COMPLETED:
            heard = self._of(turns[-1])
            if heard.dead_us is None and heard.sent_samples and not heard.at:
                self.violate("answer %d was sent and not heard at all" % heard.turn.number)


def _gain(percent):
    return (percent * percent << 12) // 10_000


_TABLES = {
    "g711a": numpy.array(g711.ALAW_TO_PCM, numpy.int16),
    "g711u": numpy.array(g711.ULAW_TO_PCM, numpy.int16),
}


def _decoded(codec, wire):
    if codec == "pcm":
        return numpy.frombuffer(bytes(wire[: len(wire) & ~1]), numpy.int16)
    return _TABLES[codec][numpy.frombuffer(bytes(wire), numpy.uint8)]


def _scaled(pcm, gain):
    if gain == 4096:
        return pcm
    return numpy.clip(pcm.astype(numpy.int32) * gain + 2048 >> 12, -32768, 32767).astype(numpy.int16)


def _runs(samples):
    """(offset, samples) of each stretch without zeros."""
    is_sound = samples != 0
    if is_sound.all():
        return [(0, samples)]
    edges = numpy.flatnonzero(numpy.diff(numpy.concatenate(([0], is_sound.view(numpy.int8), [0]))))
    return [(int(a), samples[a:b]) for a, b in zip(edges[::2], edges[1::2])]


def _place(line, run):
    """Where in `line` the head of `run` stands; None."""
    found = line.tobytes().find(run[:_NEEDLE].tobytes())
    while found >= 0 and found % 2:
        found = line.tobytes().find(run[:_NEEDLE].tobytes(), found + 1)
    return found // 2 if found >= 0 else None
