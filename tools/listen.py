"""Compare what a loudspeaker played with what a cloud sent, sample by sample. Used by the demo and the tests.

Nothing here knows the firmware: it looks at 16-bit mono sound only.
"""

import wave
from array import array


def read_wav(path):
    """(rate_hz, samples as array('h')) of a 16-bit mono WAV file."""
    with wave.open(str(path), "rb") as wav:
        if wav.getnchannels() != 1 or wav.getsampwidth() != 2:
            raise ValueError("%s is not 16-bit mono" % path)
        samples = array("h")
        samples.frombytes(wav.readframes(wav.getnframes()))
        return wav.getframerate(), samples


class Heard:
    """One answer as it was played.

    samples    of the answer that were played, in order and without a gap, from its first one on
    gaps       lengths in samples of the silences inside it (each one an underrun)
    start      index of its first sample in the record
    end        index behind its last one
    """

    def __init__(self, samples, gaps, start, end):
        self.samples = samples
        self.gaps = gaps
        self.start = start
        self.end = end

    @property
    def gap_count(self):
        return len(self.gaps)


def find_answer(played, answer, begin=0, least=240):
    """Where `answer` (array 'h') stands in `played` from index `begin` on, or None when its head is not there.

    It may be cut short, and silence may stand inside it; both are told in the result. least: samples of the head that
    must be found unbroken before anything counts.
    """
    head = _head(answer, least)
    if head is None:
        return None
    offset, probe = head
    at = _find(played, probe, begin)
    if at < 0:
        return None
    start = at - offset
    return _follow(played, answer, start)


def _head(answer, least):
    """The first `least` samples that begin with sound: silence would be found anywhere."""
    for offset in range(len(answer)):
        if abs(answer[offset]) > 32:
            probe = answer[offset : offset + least]
            return (offset, probe) if len(probe) == least else None
    return None


def _find(samples, probe, begin):
    data = samples.tobytes()
    needle = probe.tobytes()
    at = 2 * begin
    while True:
        at = data.find(needle, at)
        if at < 0 or at % 2 == 0:
            return at // 2 if at >= 0 else -1
        at += 1


def _follow(played, answer, start):
    """Walk both records together; zeros that the answer does not hold are a gap."""
    at, got, gaps = start, 0, []
    while got < len(answer) and at < len(played):
        if at < 0 or played[at] == answer[got]:
            at, got = at + 1, got + 1
            continue
        resume = at
        while resume < len(played) and played[resume] == 0:
            resume += 1
        # The sample that waits may itself be zero, so step back over the zeros that belong to the answer.
        zeros = got
        while zeros < len(answer) and answer[zeros] == 0:
            zeros += 1
        resume -= zeros - got
        if resume <= at or resume >= len(played) or played[resume : resume + 8] != answer[got : got + 8]:
            break
        gaps.append(resume - at)
        at = resume
    return Heard(answer[:got], gaps, start, at)
