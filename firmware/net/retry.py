"""How long to wait before the next attempt to connect."""

from .. import errors

# A person has to act first, so trying again soon cannot help: the wait in multiples of max_ms. For all other kinds the
# wait doubles from min_ms up to max_ms.
_PATIENT_KINDS = {
    errors.CONFIG: 10,
    errors.REFUSED: 10,
    errors.AGENT: 10,
    errors.TOKEN: 5,
}
_BUSY_TIMES = 8  # an overloaded cloud is asked this many times more rarely than a lost network
_FIRST_MAX_MS = 1000  # a lost connection comes back within a second when the network does


class Backoff:
    """min_ms, max_ms: bounds of the doubling; random_bytes(n): the chance of the ports.

    Every delay is drawn from the upper half of its span, so that a thousand speakers which lost the same access point
    or cloud do not come back in step.
    """

    def __init__(self, min_ms, max_ms, random_bytes):
        self._min_ms = min_ms
        self._max_ms = max_ms
        self._random_bytes = random_bytes
        self.attempts = 0  # failures since reset()

    def reset(self):
        """A connection works (its configuration was accepted): the next failure is a first one again."""
        self.attempts = 0

    def delay_ms(self, kind):
        """The wait before the next attempt after a failure of this errors.KINDS word; counts the failure."""
        times = self.attempts
        self.attempts += 1
        if kind in _PATIENT_KINDS:
            span_ms = self._max_ms * _PATIENT_KINDS[kind]
        else:
            span_ms = self._min_ms * (_BUSY_TIMES if kind == errors.BUSY else 1)
            while times > 0 and span_ms < self._max_ms:
                span_ms *= 2
                times -= 1
            span_ms = min(span_ms, self._max_ms)
            if self.attempts == 1 and kind != errors.BUSY:
                span_ms = min(span_ms, _FIRST_MAX_MS)
        chance = self._random_bytes(2)
        half_ms = span_ms // 2
        return span_ms - half_ms * (chance[0] << 8 | chance[1]) // 65536
