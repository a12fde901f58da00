"""The uplink between the recorder, which pushes frames, and the link's writer, which takes them.

    recorder ──push_pcm──► codec ──► pre-roll ──start()──► utterance ──finish()──► tail ──► writer
                                     (the last             frame frame …           … frame END
                                      preroll_ms)

Which frames are part of an utterance is decided here; when the writer may send is the link's business.
"""

import asyncio

from frame_queue import FrameQueue

from .. import trace as codes
from ..compat import const
from .codec import FRAME_BYTES, FRAME_MS

_PREROLL = const(0)  # no utterance is open: frames are kept for the next one, the oldest go
_TURN = const(1)  # every frame counts; a full queue ends in _OVERFLOWED
_STREAM = const(2)  # every frame counts; a full queue loses its oldest frame (free talk)
_TAIL = const(3)  # as _TURN, for the last frames: the button is up, the last syllable is not over
_OVERFLOWED = const(4)  # the link is too slow for this utterance: it has stopped growing, without a hole

_WAITING_UTTERANCES = const(8)  # whole utterances that may wait unsent
_REPORT_EVERY_FRAMES = const(50)
_FRAME_BYTES = const(640)  # as FRAME_BYTES, without a look-up


class Uplink:
    """codec: from codec.uplink(); queue_ms: how much of an utterance may wait for the link, its pre-roll not counted;
    preroll_ms: sound kept from before start(); tail_ms: sound that still comes after finish(). All three are rounded
    down to whole frames of 20 ms.

    on_end()        the END of an utterance was queued
    on_overflow()   is_overflowed became true

    Both are called from within finish(), start() or push_pcm() and must not wait.
    """

    def __init__(self, codec, queue_ms, preroll_ms, trace, tail_ms=0, on_end=None, on_overflow=None):
        self.codec = codec
        self.ready = asyncio.Event()  # set when something was queued; who finds nothing clears it and waits
        # No properties here, fifty times a second: in a class that has one MicroPython stores every attribute slowly.
        self.is_recording = False  # from start() to the END or abort()
        self.is_streaming = False  # in an utterance of free talk, which has gaps rather than an end
        self.is_overflowed = False  # the link was too slow and the utterance has lost its end: fail the turn (kind
        # SLOW), then abort()
        self.dropped_frames = 0  # since the start of the speaker
        self.most_frames = 0  # that ever waited for the writer
        self.utterance_frames = 0  # frames of the utterance that is open or was the last one, pre-roll included
        self.was_resumed = False  # the utterance that is open had ended once already
        self.abort_count = 0  # lets the writer tell that a new utterance follows one which has no END
        self._trace = trace
        self._on_end = on_end
        self._on_overflow = on_overflow
        self._tail_frames = tail_ms // FRAME_MS
        self._tail_left = 0  # frames, in _TAIL
        self._preroll_frames = preroll_ms // FRAME_MS
        self._limit_frames = queue_ms // FRAME_MS + self._preroll_frames
        # Besides, room for the next pre-roll while this utterance fills the queue, a frame more until it is shortened,
        # and one slot for each end mark.
        slots = self._limit_frames + self._preroll_frames + 1 + _WAITING_UTTERANCES
        self._queue = FrameQueue(slots, codec.frame_bytes, None if codec.is_pcm else codec.encode, FRAME_BYTES)
        # The writer: next() says what comes next, AUDIO, END or 0, the same until pop(); see lib/frame_queue. After an
        # abort() in between, pop() does nothing: that frame is gone already.
        self.next = self._queue.take
        self._push = self._queue.push
        self.pop = self._queue.pop
        self.frame = self._queue  # after next() the oldest frame: frame.buf[frame.at : frame.at + frame.n]
        self._state = _PREROLL
        self._dropped_here = 0

    # -- the session

    def _set_state(self, state):
        self._state = state
        self.is_recording = state != _PREROLL
        self.is_streaming = state == _STREAM
        self.is_overflowed = state == _OVERFLOWED

    def is_unsent(self):
        """True while an utterance is open or its END has not been taken by the writer: the cloud was not asked yet."""
        return self._state != _PREROLL or self._queue.ends() > 0

    def waiting_ms(self):
        """Sound that waits for the writer."""
        return self._queue.frames * FRAME_MS

    def start(self, drop_oldest=False):
        """Open an utterance: the pre-roll is its head, every frame from now on is part of it.

        drop_oldest   what a full queue does: lose its oldest frame (free talk), or stop the utterance (is_overflowed)
        raises        ValueError   one is open already: our mistake
        """
        if self._state != _PREROLL:
            raise ValueError("an utterance is open already")
        self._dropped_here = 0
        self.was_resumed = False
        self.utterance_frames = self._queue.tentative
        if self._queue.ends() >= _WAITING_UTTERANCES:
            self._overflow()
            return
        self.opened()
        self._set_state(_STREAM if drop_oldest else _TURN)
        self._queue.commit()
        self.most_frames = max(self.most_frames, self._queue.frames)
        if self._queue.committed:
            self.ready.set()

    def finish(self):
        """The button is up: the utterance goes on for the tail, then an END stands behind its last frame.

        Free talk and an overflowed utterance have no tail. Nothing happens when none is open or the tail runs already.
        Frames behind the END are the pre-roll of the next utterance.
        """
        if self._state == _TURN and self._tail_frames:
            self._set_state(_TAIL)
            self._tail_left = self._tail_frames + self.backlog_frames()
        elif self._state != _PREROLL and self._state != _TAIL:
            self._end()

    def opened(self):
        """Replaced by app: an utterance begins at this instant."""

    def backlog_frames(self):
        """Replaced by app: whole frames that were heard already and have still to be pushed."""
        return 0

    def _tell_most(self):
        self._trace.add(codes.QUEUE_MOST, self.most_frames * FRAME_MS)

    def resume(self):
        """The button is down again within the tail: the utterance goes on. Nothing happens at any other time."""
        if self._state == _TAIL:
            self._set_state(_TURN)
            self.was_resumed = True

    def _end(self):
        if self._dropped_here:
            self._trace.add(codes.UPLINK_DROP, self._dropped_here)
        self._tell_most()
        if self._queue.push_end():
            self.ready.set()
        self._set_state(_PREROLL)
        if self._on_end:
            self._on_end()

    def abort(self):
        """Drop all that waits, whole utterances and the pre-roll included. The writer sees no END, but abort_count."""
        self.abort_count += 1
        if self._state != _PREROLL:
            self._tell_most()
        self._queue.clear()
        self._set_state(_PREROLL)

    def forget_preroll(self):
        """Drop what was kept from before the next start(); an open utterance is left alone."""
        self._queue.keep_last(0)

    # -- the recorder

    def push_pcm(self, frame, n):
        """Take one frame: n bytes, at most 640, of 16 kHz s16le; coded and copied before the return. Never waits."""
        if n != _FRAME_BYTES and (n > _FRAME_BYTES or n & 1):
            raise ValueError("a frame has an even number of bytes up to %d, not %d" % (_FRAME_BYTES, n))
        queue = self._queue
        state = self._state
        if state == _PREROLL:
            queue.push(frame, n)
            queue.keep_last(self._preroll_frames)
            return
        if queue.frames >= self._limit_frames or state == _OVERFLOWED:
            self._count_drop()
            if state != _STREAM:
                # Coded even though it is not kept: the low-pass must hear the stream without a gap.
                queue.push(frame, n)
                queue.keep_last(0)
                if state != _OVERFLOWED:
                    self._overflow()
                return
            queue.drop_oldest()
        self._push(frame, n, True)
        self.utterance_frames += 1
        if queue.frames > self.most_frames:
            self.most_frames = queue.frames
        self.ready.set()
        if state == _TAIL:
            self._tail_left -= 1
            if not self._tail_left:
                self._end()

    def _overflow(self):
        self._set_state(_OVERFLOWED)
        self._queue.keep_last(0)
        if self._on_overflow:
            self._on_overflow()

    def _count_drop(self):
        self.dropped_frames += 1
        self._dropped_here += 1
        if self._dropped_here % _REPORT_EVERY_FRAMES == 1:
            self._trace.add(codes.UPLINK_DROP, self._dropped_here)
