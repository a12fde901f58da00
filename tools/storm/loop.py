"""An asyncio loop on a clock that is stepped: when nothing is ready, time jumps to the next deadline.

There are two kinds of deadlines. Those of the world (a packet arrives, a finger moves, the cloud has something to say)
come true whatever the speaker does, also while it blocks. Those of the loop (its timers) wait until the speaker's one
thread is free. So a call that blocks for ten seconds lets the world go on for ten seconds, and no task of the speaker.
"""

import asyncio
import heapq
from collections import deque

from tools.sim.simworld.world import SteppedClock

SPIN_LIMIT = 50_000  # steps of tasks at one instant: no honest program comes near


class Stuck(AssertionError):
    """The speaker never waits again, or waits for what can never come."""


class Clock(SteppedClock):
    """Microseconds since the start of the run. at() books a deadline of the world."""

    def __init__(self):
        super().__init__()
        self.blocked_us = 0  # how long the speaker's thread stood still altogether
        self._events = []  # (due, number, function, arguments)
        self._number = 0

    @property
    def now_ms(self):
        return self._now_us // 1000

    def at(self, due_us, function, *arguments):
        """Call function(*arguments) as the world's doing at due_us, now at the earliest."""
        self._number += 1
        heapq.heappush(self._events, (max(due_us, self._now_us), self._number, function, arguments))

    def after_ms(self, ms, function, *arguments):
        self.at(self._now_us + int(ms * 1000), function, *arguments)

    def sleep_us(self, us):
        """The speaker blocks: its tasks stand still, the world does not."""
        self.blocked_us += us
        self.run_until(self._now_us + us, None)

    def run_until(self, until_us, ready):
        """Let the world go on until then (None: for ever), or until something is in `ready` (unless that is None).

        False when the world has no further deadline and `until_us` gives none.
        """
        events = self._events
        while events and (until_us is None or events[0][0] <= until_us):
            due_us, _, function, arguments = heapq.heappop(events)
            if due_us > self._now_us:
                self._now_us = due_us
            function(*arguments)
            if ready:
                return True
        if until_us is None:
            return False
        if until_us > self._now_us:
            self._now_us = until_us
        return True


class Loop(asyncio.BaseEventLoop):
    """step_us: what each step of a task costs in stepped time; 0 is an infinitely fast processor.
    tick_us: a loop with nothing to do looks around only so often, for its timers and sockets alike.
    """

    def __init__(self, clock):
        super().__init__()
        self.clock = clock
        self.step_us = 0
        self.tick_us = 1
        self.pause_us = 0  # the thread stands still for so long before its next step (a collection of the heap)
        self.died = []  # exceptions that nobody asked for
        self._ready = deque()
        self._timers = []  # (due, number, future or handle)
        self._timer_number = 0
        self._spins = 0
        self._spin_us = -1
        self.set_exception_handler(self._on_exception)

    def time(self):
        return self.clock._now_us / 1_000_000

    # What asyncio's tasks and futures call: without handles, which nobody here cancels.

    def call_soon(self, callback, *arguments, context=None):
        self._ready.append((callback, arguments, context))

    call_soon_threadsafe = call_soon

    def call_later(self, delay, callback, *arguments, context=None):
        return self.call_at(self.time() + delay, callback, *arguments, context=context)

    def call_at(self, when, callback, *arguments, context=None):
        timer = asyncio.TimerHandle(when, callback, arguments, self, context)
        self._add_timer(int(when * 1_000_000 + 0.5), timer)
        return timer

    def _timer_handle_cancelled(self, handle):
        pass  # it is dropped when its time has come

    def _add_timer(self, due_us, what):
        self._timer_number += 1
        heapq.heappush(self._timers, (due_us, self._timer_number, what))

    async def sleep_ms(self, ms):
        """The ports' sleep: 0 lets every ready task run once."""
        if ms <= 0:
            await asyncio.sleep(0)
            return
        future = asyncio.Future(loop=self)
        self._add_timer(self.clock._now_us + ms * 1000, future)
        await future

    # One round

    def _run_once(self):
        ready = self._ready
        clock = self.clock
        timers = self._timers
        if not ready:
            while timers and _is_void(timers[0][2]):
                heapq.heappop(timers)
            if not clock.run_until(timers[0][0] if timers else None, ready) and not ready:
                raise Stuck("at %d ms nothing is left that could wake a task" % clock.now_ms)
            clock.run_until(-(-clock._now_us // self.tick_us) * self.tick_us, None)
        if self.pause_us:
            pause_us, self.pause_us = self.pause_us, 0
            clock.sleep_us(pause_us)
        now_us = clock._now_us
        while timers and timers[0][0] <= now_us:
            what = heapq.heappop(timers)[2]
            if isinstance(what, asyncio.Future):
                if not what.done():
                    what.set_result(None)
            elif not what._cancelled:
                what._run()
        self._run_ready()

    def _run_ready(self):
        ready = self._ready
        step_us = self.step_us
        n = len(ready)
        self._count_spins(n)
        for _ in range(n):
            callback, arguments, context = ready.popleft()
            if context is None:
                callback(*arguments)
            else:
                context.run(callback, *arguments)
            if step_us:
                self.clock.sleep_us(step_us)

    def _count_spins(self, n):
        if self.clock._now_us != self._spin_us:
            self._spin_us = self.clock._now_us
            self._spins = 0
        self._spins += n
        if self._spins > SPIN_LIMIT:
            raise Stuck("a task never waits: time stands still at %d ms" % self.clock.now_ms)

    def _on_exception(self, loop, context):
        self.died.append(context.get("exception") or RuntimeError(context["message"]))

    def _process_events(self, event_list):
        raise NotImplementedError("there are no files here")

    def _write_to_self(self):
        pass


def _is_void(what):
    return what.done() if isinstance(what, asyncio.Future) else what._cancelled
