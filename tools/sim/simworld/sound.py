"""What the stand-in microphone hears and what the stand-in loudspeaker was heard to play.

Both sides live on one time line: sample number N is heard N / rate_hz seconds after the start of the world, whether or
not a bus was open then. So the two WAV files of a run can be laid over each other. Portable.
"""

import struct
from array import array

from . import wav

MAX_RENDER_SAMPLES = 256
_NOISE_SAMPLES = 8191  # a prime, so that the noise does not hum at a frame rate
MIC_RATE_HZ = 16000  # of every clip, and of the microphone record
SPAN_GAP_SAMPLES = 320  # so many zeros in a row end a span of sound; more than a DMA block, see Record._note_sound
_ZEROS_BYTES = 2048
_ECHO_KEPT_MS = 2000  # of what was played; a microphone that nobody reads for longer than this hears no echo
_MAX_SPANS = 2000  # of a record; later ones are counted but not listed


class Ear:
    """The room at the microphone: silence or faint noise, one clip at a time, and the loudspeaker's echo if any."""

    def __init__(self, noise_peak=0, echo=None):
        self.echo = echo
        self._clip = None
        self._clip_start = 0  # number of the clip's first sample on the time line
        self._noise = _noise_table(noise_peak) if noise_peak else None
        self._zeros = memoryview(bytes(2 * MAX_RENDER_SAMPLES))
        self.clip_end = 0  # number of the sample after the clip's last one

    def say(self, path, at_sample):
        """Let a clip begin at a sample of the time line, cutting short one that still plays. WavError, OSError."""
        clip = wav.Clip(path, MIC_RATE_HZ)
        if self._clip is not None:
            self._clip.close()
        self._clip = clip
        self._clip_start = at_sample
        self.clip_end = at_sample + clip.frames

    def render(self, at_sample, mv):
        """Fill the byte view `mv` with the s16le samples from at_sample on; True when it may hold anything but zeros.

        At most MAX_RENDER_SAMPLES at a time.
        """
        n = len(mv) // 2
        if self._noise is None:
            mv[:] = self._zeros[: 2 * n]
        else:
            first = 2 * (at_sample % _NOISE_SAMPLES)
            mv[:] = self._noise[first : first + 2 * n]
        has_sound = self._noise is not None
        if self._clip is not None and self._clip_start - n < at_sample < self.clip_end:
            skip = max(0, self._clip_start - at_sample)
            self._clip.read_at(at_sample + skip - self._clip_start, mv[2 * skip :])
            has_sound = True
        if self.echo is not None and self.echo.add_to(at_sample, mv):
            has_sound = True
        return has_sound


def _noise_table(peak):
    """White noise as s16le, with a second copy of its beginning so that any stretch of it is one slice."""
    table = bytearray(2 * (_NOISE_SAMPLES + MAX_RENDER_SAMPLES))
    seed = 12345
    for i in range(_NOISE_SAMPLES):
        seed = (seed * 16_807 + 11) % 65_521
        struct.pack_into("<h", table, 2 * i, seed * (2 * peak + 1) // 65_521 - peak)
    table[2 * _NOISE_SAMPLES :] = table[: 2 * MAX_RENDER_SAMPLES]
    return memoryview(table)


class Echo:
    """The way through the air from the loudspeaker to the microphone: the same sound, softer and later.

    percent   of the loudspeaker's samples
    delay_ms  how much later. No filter: where the rates differ, each microphone sample takes the one nearest below.
    """

    def __init__(self, percent, delay_ms):
        self._gain_q8 = percent * 256 // 100
        self._delay_ms = delay_ms
        self._rate_hz = 0
        self._pieces = []  # (number of the first sample, samples), in order; silence is left out

    def played(self, at_sample, rate_hz, mv):
        """The loudspeaker has played these s16le samples from at_sample of its own time line on."""
        if rate_hz != self._rate_hz:
            self._pieces.clear()
            self._rate_hz = rate_hz
        oldest = at_sample - rate_hz * _ECHO_KEPT_MS // 1000
        while self._pieces and self._pieces[0][0] < oldest:
            self._pieces.pop(0)
        self._pieces.append((at_sample, array("h", bytes(mv))))

    def add_to(self, at_sample, mv):
        """Add the echo to the microphone's s16le samples from at_sample on; False when there was none."""
        if not self._pieces:
            return False
        rate_hz = self._rate_hz
        late = rate_hz * self._delay_ms // 1000
        n = len(mv) // 2
        first = at_sample * rate_hz // MIC_RATE_HZ - late
        end = (at_sample + n - 1) * rate_hz // MIC_RATE_HZ - late + 1
        has_sound = False
        for start, samples in self._pieces:
            if start < end and start + len(samples) > first:
                self._add_piece(mv, n, at_sample, late, start, samples)
                has_sound = True
        return has_sound

    def _add_piece(self, mv, n, at_sample, late, start, samples):
        rate_hz = self._rate_hz
        for i in range(n):
            at = (at_sample + i) * rate_hz // MIC_RATE_HZ - late - start
            if 0 <= at < len(samples):
                heard = mv[2 * i] | mv[2 * i + 1] << 8
                if heard & 0x8000:
                    heard -= 0x10000
                heard = max(-32768, min(32767, heard + (samples[at] * self._gain_q8 >> 8)))
                mv[2 * i] = heard & 0xFF
                mv[2 * i + 1] = heard >> 8 & 0xFF


class Record:
    """Everything one transducer did, sample by sample, streamed into a WAV file (path None: only the bookkeeping).

    spans is a list of [first, end) sample numbers with sound; SPAN_GAP_SAMPLES zeros in a row lie between two of them.
    lost is a list of [first, end) sample numbers that nobody fetched in time (microphone).
    """

    def __init__(self, path=None, echo=None):
        self.path = path
        self.echo = echo  # is told what sounded
        self.rate_hz = 0
        self.at = 0  # number of the next sample
        self.spans = []
        self.spans_dropped = 0
        self.lost = []
        self.last_sound = -1  # number of the last sample that was not zero
        self._writer = None
        self._files = 0
        self._zeros = bytes(_ZEROS_BYTES)

    def open(self, rate_hz, at_sample):
        """The transducer begins to work at a sample of the time line; the time before was silence."""
        if rate_hz != self.rate_hz:
            self._new_file(rate_hz)
        self.silence_until(at_sample)

    def _new_file(self, rate_hz):
        # One WAV file has one rate: after a change of rate the record goes on in a file beside the first.
        self.close()
        self.at = self.at * rate_hz // self.rate_hz if self.rate_hz else 0
        self.rate_hz = rate_hz
        if self.path is not None:
            self._files += 1
            stem = self.path[:-4] if self.path.endswith(".wav") else self.path
            path = self.path if self._files == 1 else "%s-%d.wav" % (stem, self._files)
            self._writer = wav.Writer(path, rate_hz)
            if self._files > 1:
                self._pad(self.at)

    def silence_until(self, at_sample):
        """Silence up to a sample of the time line."""
        if at_sample > self.at:
            self._pad(at_sample - self.at)
            self.at = at_sample

    def _pad(self, samples):
        if self._writer is None:
            return
        left = 2 * samples
        whole = memoryview(self._zeros)
        while left:
            n = min(left, _ZEROS_BYTES)
            self._writer.write(whole[:n])
            left -= n

    def put(self, mv, samples, has_sound):
        """Append `samples` s16le samples (a byte view); has_sound False promises that all are zero."""
        if self._writer is not None:
            self._writer.write(mv)
        if has_sound:
            self._note_sound(mv, samples)
            if self.echo is not None:
                self.echo.played(self.at, self.rate_hz, mv)
        self.at += samples

    def _note_sound(self, mv, samples):
        # Only the edges are looked at: callers hand over 256 samples at most, too few to hide a gap between two spans.
        end = 2 * samples
        first = 0
        while first < end and not (mv[first] or mv[first + 1]):
            first += 2
        if first == end:
            return
        last = end - 2
        while not (mv[last] or mv[last + 1]):
            last -= 2
        first_sample = self.at + first // 2
        last_sample = self.at + last // 2
        if self.spans and first_sample - self.last_sound <= SPAN_GAP_SAMPLES:
            self.spans[-1][1] = last_sample + 1
        elif len(self.spans) < _MAX_SPANS:
            self.spans.append([first_sample, last_sample + 1])
        else:
            self.spans_dropped += 1
        self.last_sound = last_sample

    def lose(self, first, end):
        """These samples were overwritten before anybody had fetched them."""
        if self.lost and self.lost[-1][1] == first:
            self.lost[-1][1] = end
        elif len(self.lost) < _MAX_SPANS:
            self.lost.append([first, end])

    def close(self):
        """Finish the file; may be called twice."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def summary(self):
        """For run.json."""
        return {
            "wav": self.path if self._files else None,
            "rate_hz": self.rate_hz,
            "samples": self.at,
            "spans": self.spans,
            "spans_dropped": self.spans_dropped,
            "lost": self.lost,
            "last_sound": self.last_sound,
        }

