"""The smallest plan that still breaks the same promise: fewer faults, a shorter run, smaller parameters."""

import time

from tools.storm import plans
from tools.storm.run import Job

LIMIT_S = 120.0
_TAIL_MS = 2000


def shrink(outcome, play, on_try=None, limit_s=LIMIT_S):
    """outcome: of a run with a violation; play(job) -> Outcome. Returns the smallest outcome found in limit_s.

    on_try(text): told before each attempt.
    """
    return _Shrinker(outcome, play, on_try or (lambda text: None), limit_s).shrink()


class _Shrinker:
    def __init__(self, outcome, play, on_try, limit_s):
        self._best = outcome
        self._play = play
        self._on_try = on_try
        self._until_s = time.monotonic() + limit_s

    def shrink(self):
        self._shorten()
        self._drop_faults()
        self._halve_parameters()
        self._shorten()
        return self._best

    def _is_broken_with(self, faults, minutes=None):
        """Try it; True when the same promise is broken, and then this is the best."""
        if time.monotonic() > self._until_s:
            return False
        old = self._best.job
        job = Job(old.seed, old.plan, minutes or old.minutes, faults, old.settings, old.answer_ms, old.is_patient,
                  tick_ms=old.tick_ms)  # fmt: skip
        self._on_try("%d faults, %.1f minutes" % (len(faults), job.minutes))
        outcome = self._play(job)
        is_same = outcome.violation is not None and outcome.violation[1] == self._best.violation[1]
        if is_same:
            self._best = outcome
        return is_same

    def _shorten(self):
        """What was to come behind the violation does not matter."""
        at_ms = self._best.violation[0]
        minutes = (at_ms + _TAIL_MS) / 60_000
        faults = [fault for fault in self._best.job.faults if fault.at_ms <= at_ms]
        if minutes < self._best.job.minutes:
            self._is_broken_with(faults, minutes)

    def _drop_faults(self):
        """Halves first, then smaller pieces, then one by one."""
        size = max(1, len(self._best.job.faults) // 2)
        while True:
            is_smaller = False
            at = 0
            while at < len(self._best.job.faults):
                faults = self._best.job.faults
                if self._is_broken_with(faults[:at] + faults[at + size :]):
                    is_smaller = True
                else:
                    at += size
            if size == 1 and not is_smaller:
                return
            size = max(1, size // 2)
            if time.monotonic() > self._until_s:
                return

    def _halve_parameters(self):
        for i in range(len(self._best.job.faults)):
            for name in sorted(self._best.job.faults[i].parameters):
                while self._is_halved(i, name):
                    pass

    def _is_halved(self, i, name):
        faults = list(self._best.job.faults)
        value = faults[i].parameters[name]
        if type(value) is not int or value < 2:
            return False
        faults[i] = plans.Planned(faults[i].at_ms, faults[i].name, dict(faults[i].parameters, **{name: value // 2}))
        return self._is_broken_with(faults)
