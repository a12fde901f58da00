"""Promise 5: memory is bounded: each queue has a limit, and nothing grows with the turns."""

import types
from collections import deque

from . import Check

_TASKS_MAX = 24
_TIMERS_MAX = 400
_MESSAGES_MAX = 32
_PENDING_MAX = 16
_GROWTH_MAX = 60  # objects more in a speaker at rest than there were at an earlier rest


class Memory(Check):
    number = 5

    def __init__(self, run):
        super().__init__(run)
        speaker = run.speaker
        uplink_ms = (run.config.uplink_queue_ms or run.config.queue_needed_ms()) + run.config.preroll_ms
        self._limits = {
            "ring bytes": (lambda: speaker.player._ring.used, speaker.player.capacity),
            "uplink ms": (lambda: speaker.uplink.waiting_ms(), uplink_ms),
            "events pending": (lambda: len(speaker.session._pending), _PENDING_MAX),
            "messages waiting": (self._messages, _MESSAGES_MAX),
            "tasks": (self._tasks, _TASKS_MAX),
            "timers": (lambda: len(run.loop._timers), _TIMERS_MAX),
        }
        self.high_water = dict.fromkeys(self._limits, 0)
        self._first_rest = None
        self._rest_ms = 0

    def _messages(self):
        link = self.run.speaker.connector._link
        return len(getattr(link, "_messages", ()))

    @staticmethod
    def _tasks():
        from firmware import tasks

        return sum(not task.done() for task in tasks._alive)

    def on_tick(self):
        for name, (measure, limit) in self._limits.items():
            n = measure()
            if n > self.high_water[name]:
                self.high_water[name] = n
                if n > limit:
                    self.violate("%s: %d, %d are allowed" % (name, n, limit))

    def on_report(self, report):
        # A speaker at rest is compared with itself: each minute or so, once its caches are warm.
        if report["kind"] != "state" or report["state"] != "idle" or self.run.clock.now_ms < self._rest_ms:
            return
        if self.run.counts["turns"] < 5 or not self.run.speaker.connector.is_up:
            return  # a connection is some forty objects
        self._rest_ms = self.run.clock.now_ms + 40_000
        n = count_objects(self.run.speaker)
        if self._first_rest is None:
            self._first_rest = n
        elif n > self._first_rest + _GROWTH_MAX:
            self.violate("after %d turns the speaker at rest holds %d objects, at first it held %d"
                         % (self.run.counts["turns"], n, self._first_rest))


_CONTAINERS = (dict, list, tuple, set, deque)
_PLAIN = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, type, types.MethodType)


def count_objects(root):
    """Objects of the firmware reachable from `root`, members of containers counted; the simulation is not entered.

    A number in an attribute is not one: it takes its place there whether it is small, and shared, or large.
    """
    seen = {id(root)}
    queue = [root]
    n = 0
    while queue:
        one = queue.pop()
        n += 1
        if isinstance(one, dict):
            inner = list(one.values())
        elif isinstance(one, _CONTAINERS):
            inner = list(one)
        elif type(one).__module__.split(".")[0] in _OURS and hasattr(one, "__dict__"):
            inner = [value for value in vars(one).values() if not isinstance(value, (int, float))]
        else:
            continue
        for other in inner:
            if id(other) not in seen and not isinstance(other, _PLAIN) and other is not None:
                seen.add(id(other))
                queue.append(other)
    return n


_OURS = {"firmware", "byte_ring", "frame_queue", "ws_protocol", "json_scan"}
