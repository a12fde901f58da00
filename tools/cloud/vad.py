"""Where speech starts and ends in a stream of PCM: webrtcvad's verdict on 20 ms frames, plus a hysteresis.

Time here is the stream's own: samples received, never a clock.
"""

import array
from collections import deque

import webrtcvad

from .audio import from_little_endian, to_little_endian

STARTED, STOPPED = "started", "stopped"

_FRAME_MS = 20
_NATIVE_RATES_HZ = (8000, 16000, 32000, 48000)
_ONSET_FRAMES = 8  # speech starts when _ONSET_VOICED of the last _ONSET_FRAMES are voiced: a click is not speech
_ONSET_VOICED = 5
_REVIVE_FRAMES = 2  # so many voiced frames in a row interrupt the silence that ends an utterance
_FLOOR = 60  # mean magnitude below which a frame is silence whatever webrtcvad says


class SpeechDetector:
    """rate_hz: of the PCM fed in; aggressiveness: webrtcvad's 0..3, higher refuses more."""

    def __init__(self, rate_hz, silence_ms, aggressiveness=2):
        self.rate_hz = rate_hz
        self._silence_frames = max(1, silence_ms // _FRAME_MS)
        self._vad = webrtcvad.Vad(aggressiveness)
        self._vad_hz = rate_hz if rate_hz in _NATIVE_RATES_HZ else 16000
        self._frame_samples = rate_hz * _FRAME_MS // 1000
        self._pending = array.array("h")
        self._recent = deque(maxlen=_ONSET_FRAMES)
        self.is_speech = False
        self._quiet_frames = 0
        self._voiced_run = 0
        self._consumed_samples = 0

    def feed(self, pcm):
        """pcm: 16-bit mono little-endian bytes. Returns [(STARTED or STOPPED, position in samples), …].

        The position of STARTED is the first voiced frame's, that of STOPPED the end of the silence."""
        self._pending += from_little_endian(pcm)
        found = []
        n = self._frame_samples
        while len(self._pending) >= n:
            frame, self._pending = self._pending[:n], self._pending[n:]
            verdict = self._take(self._is_voiced(frame))
            if verdict:
                found.append(verdict)
        return found

    def _is_voiced(self, frame):
        if sum(map(abs, frame)) < _FLOOR * len(frame):
            return False
        if self._vad_hz != self.rate_hz:
            frame = self._nearest(frame)
        return self._vad.is_speech(to_little_endian(frame), self._vad_hz)

    def _nearest(self, frame):
        # Good enough for a yes or no: the band that webrtcvad listens to ends at 4 kHz.
        n = self._vad_hz * _FRAME_MS // 1000
        return array.array("h", [frame[i * len(frame) // n] for i in range(n)])

    def _take(self, is_voiced):
        self._consumed_samples += self._frame_samples
        return self._look_for_end(is_voiced) if self.is_speech else self._look_for_start(is_voiced)

    def _look_for_start(self, is_voiced):
        self._recent.append(is_voiced)
        if sum(self._recent) < _ONSET_VOICED:
            return None
        back = len(self._recent) - list(self._recent).index(True)
        self._recent.clear()
        self.is_speech = True
        self._quiet_frames = self._voiced_run = 0
        return STARTED, self._consumed_samples - back * self._frame_samples

    def _look_for_end(self, is_voiced):
        self._quiet_frames += 1
        self._voiced_run = self._voiced_run + 1 if is_voiced else 0
        if self._voiced_run >= _REVIVE_FRAMES:
            self._quiet_frames = 0
        if self._quiet_frames < self._silence_frames:
            return None
        self.is_speech = False
        return STOPPED, self._consumed_samples


def has_speech(pcm, rate_hz, aggressiveness=2):
    """Whether speech starts anywhere in this PCM."""
    return bool(SpeechDetector(rate_hz, 500, aggressiveness).feed(pcm))
