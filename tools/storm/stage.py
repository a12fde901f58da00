"""What the cloud of a storm hears, says and breaks: a scenario whose faults come and go with time.

Each answer is noise of its own without a single zero sample, so that 32 samples tell which answer they belong to and
where in it they stand, and any silence that is heard inside is a gap.
"""

from array import array
from functools import lru_cache

import numpy

from tools.cloud import faults
from tools.cloud.scenario import KEYS, Script, ToolCall

_LEAST = 900  # no sample is smaller: what the volume makes of it is still no zero
_MOST = 9000
VOICES = 64  # different answers of one run; more than the speaker and the checks remember


class Voice:
    """One sentence of an answer; has the face of tools.cloud.scenario.Sentence."""

    def __init__(self, text, ms, seed):
        self.text = text
        self._ms = ms
        self._seed = seed

    def samples(self, rate_hz):
        return _noise(self._ms * rate_hz // 1000, self._seed)


@lru_cache(maxsize=512)
def _noise(n, seed):
    chance = numpy.random.Generator(numpy.random.PCG64(seed))
    sound = chance.integers(_LEAST, _MOST, n, dtype=numpy.int16)
    sound[chance.integers(0, 2, n, dtype=numpy.int8) == 1] *= -1
    return array("h", sound.tobytes())


class Stage:
    """Has the face of tools.cloud.scenario.Scenario; its options are plain attributes that a plan may change.

    turn_faults, connection_faults   lists of fault specifications for whatever begins from now on
    first_audio_ms   0: drawn for each turn
    answer_ms        (least, most) length of an answer
    tools            the next turn calls a tool
    """

    def __init__(self, rng):
        for key, default in KEYS.items():
            setattr(self, key, default[0] if isinstance(default, tuple) else default)
        self.name = "storm"
        self.recognise_ms = 60
        self.turn_faults = []
        self.connection_faults = []
        self.prologue = ()
        self.first_audio_ms = 0
        self.answer_ms = (300, 6000)
        self.tool_share = 0.0
        self.rng = rng
        self._turns = 0

    def script(self, number):
        rng = self.rng
        self._turns += 1
        ms = rng.randint(*self.answer_ms)
        seed = 1 + self._turns % VOICES
        calls = ()
        if rng.random() < self.tool_share:
            calls = (ToolCall("get_weather", "{}"),)
        return Script(
            heard="question %d" % self._turns,
            answer=(Voice("Answer %d." % self._turns, ms, seed),),
            first_audio_ms=self.first_audio_ms or rng.randint(120, 900),
            tool_calls=calls,
            faults=tuple(self.turn_faults),
        )

    def active_faults(self):
        return [faults.ActiveFault(spec) for spec in self.connection_faults]
