"""Promise 1: what the microphone heard of a question reaches the cloud exactly once, in order, and nothing else does.

Every frame that arrives is found on the microphone's time line (room.py). The first one of a question is looked for,
each further one must go on where the last one ended. What is missing must have been counted by the speaker: lost in
the microphone's DMA, given up in free talk because the link was slow, replaced by silence while its own voice sounded.
"""

import base64
from functools import lru_cache

import kernels_py
import numpy
from kernels_tables import FIR_MIDDLE, FIR_SIDES, FIR_TAPS

from firmware import trace as tr

from . import Check

_PER_MS = 16
_FRAME = 320
_REACH = FIR_TAPS // 2
_HEAD_SLACK = 45 * _PER_MS  # a frame, a DMA block and a poll: how late the first frame behind a press may begin
_PREROLL_SLACK = 1300 * _PER_MS  # the microphone may be silent for a second before it counts as broken
_MIC_OPEN_SLACK_MS = 600
_BOOK_MS = 400
_RESTART_MS = 1500
_UNKNOWN_MAX = 2  # frames with a hole in each, one behind the other
_SKIP = 18  # coded samples behind a hole that the low-pass smears: half its taps
_NEEDLE = 64


class Recording:
    """One opened utterance: samples of the time line at its press and at its release."""

    def __init__(self, number, press, is_stream):
        self.number = number
        self.press = press
        self.is_stream = is_stream
        self.release = None
        self.is_complete = False


class Stream:
    """What came over one connection since the last `complete` or `clear`."""

    def __init__(self):
        self.forget()

    def forget(self):
        self.recording = None
        self.at = None  # sample that comes next; None: not known
        self.first = None
        self.hole = None  # sample that would come next if nothing were missing; None: there is no hole
        self.hole_from = 0
        self.sure = 0  # behind the last frame that was what the microphone heard
        self.unknown = 0  # frames at the beginning that could not be found


class Questions(Check):
    number = 1

    def __init__(self, run):
        super().__init__(run)
        self._codec = run.config.uplink_codec
        self._gain_q8 = run.board["mic"]["gain_q8"]
        self._dma_samples = run.board["mic"]["ibuf_bytes"] // 8
        self._expected = self._pcm if self._codec == "pcm" else self._coded
        self._codes = None if self._codec == "pcm" else _code_table(_ENCODERS[self._codec])
        self._step = 1 if self._codes is None else 2  # samples of the microphone for each item of the wire
        self._needle_least = _NEEDLE if self._codes is None else _NEEDLE + _SKIP
        self._holes = []  # (t_ms, sample, samples missing, is it free talk) that nobody has counted yet
        self._silence = 0 if self._codes is None else self._codes[0]
        self._streams = {}  # far end -> Stream
        self._recordings = []
        self._gated_seen = 0
        self._dropped_seen = 0
        self._restarts = []  # samples at which the microphone was started again
        self._is_smeared = False
        self.spans = {}  # number of the cloud's utterance -> (first, end) on the time line
        record = run.world.mic_record
        self._lost = record.lost
        plain = record.open

        def opened(rate_hz, at):
            self._restarts.append(at)
            plain(rate_hz, at)

        record.open = opened

    # The speaker's side

    def _now(self):
        return self.run.clock._now_us * 2 // 125  # 16 samples a ms

    def on_trace(self, code, arg):
        if code == tr.PRESS:
            is_stream = self.run.speaker.uplink.is_streaming
            self._recordings.append(Recording(len(self._recordings), self._now(), is_stream))
            if len(self._recordings) > 50:
                self._recordings.pop(0)
        elif code == tr.RELEASE and self._recordings:
            self._recordings[-1].release = self._now()

    # The cloud's side

    def on_message(self, far, message):
        kind = message.get("event_type")
        if kind == "input_audio_buffer.append":
            stream = self._streams.get(far)
            if stream is None:
                stream = self._streams[far] = Stream()
                self._forget_old()
            self._take(stream, base64.b64decode(message["data"]["delta"]))
        elif kind == "input_audio_buffer.complete":
            stream = self._streams.pop(far, None)
            if stream is not None:
                self._complete(far, stream)
        elif kind == "input_audio_buffer.clear":
            self._streams.pop(far, None)

    def _forget_old(self):
        for far in [far for far in self._streams if far.is_over]:
            del self._streams[far]

    def _take(self, stream, wire):
        frame = numpy.frombuffer(wire, numpy.int16 if self._codes is None else numpy.uint8)
        if stream.recording is None:
            self._begin(stream, frame)
        elif stream.at is not None:
            self._follow(stream, frame)
        elif stream.hole is not None:
            self._end_hole(stream, frame, 0)
        else:
            stream.at = self._find(frame, 0, stream.recording.press - 500 * _PER_MS, self._now())
        if stream.at is not None:
            stream.at += self._step * len(frame)
        elif stream.hole is not None:
            stream.hole += self._step * len(frame)

    def _begin(self, stream, frame):
        """The first frame of a question: whose is it?"""
        preroll = self.run.config.preroll_ms * _PER_MS
        for recording in reversed(self._recordings):
            at = self._find(frame, 0, recording.press - preroll - _PREROLL_SLACK, self._now())
            if at is not None:
                break
        else:
            if _is_constant(frame) and self._recordings:
                stream.recording = self._recordings[-1]  # a broken microphone: nothing to be told apart
                return
            stream.unknown += 1  # there may be a hole in the very first one
            if stream.unknown > _UNKNOWN_MAX:
                self.violate("a frame was sent that belongs to no question")
            return
        # On a slow network the next press may have been before this frame came.
        recording = min(self._recordings, key=lambda each: abs(each.press - preroll - at))
        if recording.is_complete:
            self.violate("a frame of question %d was sent after its `complete`" % recording.number)
        stream.recording = recording
        stream.at = stream.sure = at
        stream.first = at - stream.unknown * self._step * len(frame)
        self._is_smeared = False

    def _follow(self, stream, frame):
        expected = self._expected(stream.at, len(frame))
        if self._is_same(frame, expected):
            stream.sure = stream.at + self._step * len(frame)
            return
        if self._is_gated(stream, frame):
            return
        if stream.recording is not self._recordings[-1]:
            stream.forget()  # free talk was begun anew: nothing on the wire says so
            self._begin(stream, frame)
            return
        if _is_constant(frame) and self.run.room.fault == "":
            self.violate("a frame of nothing but one value was sent, which the microphone did not hear")
            return
        self._resume(stream, frame)

    def _is_same(self, frame, expected):
        if self._is_smeared:
            self._is_smeared = False
            return len(expected) == len(frame) and (frame[_SKIP:] == expected[_SKIP:]).all()
        return len(expected) == len(frame) and (frame == expected).all()

    def _is_gated(self, stream, frame):
        """Replaced by silence, in free talk only, and counted."""
        if not stream.recording.is_stream:
            return False
        if self._gated_seen >= self.run.speaker.recorder.gated_frames:
            return False
        if (frame == self._silence).sum() < len(frame) - _SKIP - _REACH:
            return False
        self._gated_seen += 1
        self._is_smeared = self._codes is not None
        return True

    def _resume(self, stream, frame):
        """A frame goes on where the last one ended up to some item only: behind it there is a hole."""
        expected = self._expected(stream.at, len(frame))
        n = min(len(frame), len(expected))
        same = frame[:n] == expected[:n]
        first_wrong = n if same.all() else int(numpy.argmin(same))
        stream.hole = stream.at  # where the next item would stand if nothing were missing
        # Behind frames of silence nobody knows where it was.
        stream.hole_from = min(stream.sure, stream.at) + self._step * first_wrong
        stream.at = None
        self._end_hole(stream, frame, first_wrong)

    def _end_hole(self, stream, frame, skipped):
        """Look for the items of `frame` behind `skipped`; too few of them, and the next frame must tell."""
        at = self._find(frame, skipped, self.run.room.oldest, self._now())
        if at is None:
            if len(frame) - skipped >= self._needle_least:
                self.violate("a frame was sent that the microphone never heard so")
            return
        missing = at - stream.hole
        stream.sure = at + self._step * len(frame)
        if missing < 0:
            self.violate("%d samples were sent twice" % -missing)
        elif missing:
            span = stream.hole + missing - stream.hole_from
            if not self._is_own_voice(stream, missing):
                hole = (self.run.clock.now_ms, stream.hole_from, span, missing, stream.recording.is_stream)
                self._holes.append(hole)
                self._check_holes()
        stream.at = at
        stream.hole = None

    def _is_own_voice(self, stream, missing):
        """Frames that began before the press while the loudspeaker sounded are left out, counted as gated."""
        since_press = stream.hole_from - stream.recording.press
        is_at_press = -self._dma_samples - 2 * _FRAME < since_press < _HEAD_SLACK + 2 * _FRAME
        if self.run.board["is_duplex"] or not is_at_press:
            return False
        return missing <= self._dma_samples + _FRAME and missing % _FRAME == 0

    def on_tick(self):
        if self._holes:
            self._check_holes()

    def _check_holes(self):
        """The DMA's own book of what it lost is written when the lost block is used again: a little later."""
        for hole in list(self._holes):
            t_ms, first, span, missing, is_stream = hole
            if self._is_counted(first, span, missing, is_stream):
                self._holes.remove(hole)
            elif self.run.clock.now_ms - t_ms > _BOOK_MS:
                self.violate("%d samples of a question were not sent and not counted" % missing)

    def _is_counted(self, first, span, missing, is_stream):
        """Are `missing` samples between `first` and `span` later accounted for?"""
        for a, b in self._lost:
            missing -= max(0, min(b, first + span + _FRAME) - max(a, first - _FRAME))
        if missing <= 0:
            return True
        if self._is_near_restart(first, first + span):
            return True
        if is_stream and missing % _FRAME == 0:
            dropped = self.run.speaker.uplink.dropped_frames
            if missing // _FRAME <= dropped - self._dropped_seen:
                self._dropped_seen += missing // _FRAME
                return True
        return False

    def _is_near_restart(self, first, end):
        """The microphone was started again: what it had not given before is lost, and the speaker said so aloud."""
        slack = _RESTART_MS * _PER_MS
        return any(first - slack < restart < end + slack for restart in self._restarts)

    def _complete(self, far, stream):
        recording = stream.recording
        if recording is None or stream.first is None or stream.at is None:
            return
        recording.is_complete = True
        utterance = far.link._utterance
        if utterance is not None:
            self.spans[utterance.number] = (stream.first, stream.at)
        late = stream.first - recording.press
        if late > _HEAD_SLACK and not self._is_counted(recording.press, late, late, False):
            ms = late // _PER_MS
            self.violate("the first %d ms behind the press are missing in question %d" % (ms, recording.number))
        release = recording.release
        if release is None:
            self.violate("question %d was completed before it ended" % recording.number)
        elif stream.at < release and not self._is_counted(stream.at, release - stream.at, release - stream.at, False):
            ms = (release - stream.at) // _PER_MS
            self.violate("the last %d ms before the release are missing in question %d" % (ms, recording.number))
        elif stream.at > release + (self.run.config.tail_ms + _MIC_OPEN_SLACK_MS) * _PER_MS:
            ms = (stream.at - release) // _PER_MS
            self.violate("question %d went on for %d ms after the release" % (recording.number, ms))

    # The time line as the wire shows it

    def _pcm(self, at, n):
        # The port keeps the upper 16 bits of a 24-bit sample 12 dB below full scale; the board's gain brings it back.
        heard = self.run.room.kept(at, at + n).astype(numpy.int32) >> 2
        return numpy.clip(heard * self._gain_q8 + 128 >> 8, -32768, 32767).astype(numpy.int16)

    def _coded(self, at, n):
        """`n` codes, the first of which has its middle at sample `at`."""
        heard = self._pcm(at - _REACH, 2 * n + 2 * _REACH - 1).astype(numpy.int32)
        m = _REACH + 2 * numpy.arange(n)
        total = FIR_MIDDLE * heard[m] + 8192
        for i, tap in enumerate(FIR_SIDES):
            total += tap * (heard[m - 2 * i - 1] + heard[m + 2 * i + 1])
        return self._codes[numpy.clip(total >> 14, -32768, 32767) & 0xFFFF]

    def _find(self, frame, skipped, first, end):
        """The sample at which `frame` begins if its items behind `skipped` are found from first to end; None."""
        end = min(end, self.run.room.heard_until)
        first = max(first, self.run.room.oldest)
        if self._codes is not None:
            skipped += _SKIP
        needle = frame[skipped : skipped + 2 * _NEEDLE]
        if len(needle) < _NEEDLE or _is_constant(needle) or end - first < 4 * len(frame):
            return None
        if self._codes is None:
            return _place(self._pcm(first, end - first), needle, first, skipped, 1)
        first += _REACH
        n = (end - first - _REACH) // 2 - 1
        for parity in (0, 1):
            at = _place(self._coded(first + parity, n), needle, first + parity, skipped, 2)
            if at is not None:
                return at
        return None


def _place(line, needle, first, skipped, step):
    """The newest place counts: noise repeats after a minute."""
    found = line.tobytes().rfind(needle.tobytes())
    if found < 0 or found % line.itemsize:
        return None
    return first + step * (found // line.itemsize - skipped)


_ENCODERS = {"g711a": kernels_py.alaw_encode_into, "g711u": kernels_py.ulaw_encode_into}


@lru_cache(maxsize=None)
def _code_table(encode_into):
    """The code of every sample & 0xFFFF, by the portable kernels, which ITU's own tables were compared with."""
    samples = numpy.arange(65536).astype(numpy.uint16)
    codes = bytearray(65536)
    encode_into(samples.tobytes(), 0, 65536, codes, 0)
    return numpy.frombuffer(bytes(codes), numpy.uint8)


def _is_constant(frame):
    return bool((frame == frame[0]).all())
