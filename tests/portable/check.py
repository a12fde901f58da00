"""What a portable test needs beside bare `assert`: raises, allocation checks, and a clock that jumps.

Runs on CPython >= 3.10 and on MicroPython >= 1.24. Nothing here sleeps for real.

    with raises(ConfigError, "token"):          the block must raise, and the text must hold "token"
    assert_no_allocation(fn, a, b)              MicroPython: fn(a, b) under a locked heap, after one warm-up call
    result = run_stepped(main())                an event loop whose time jumps to the next deadline
    now_ms(), block_ms(ms), ports()             that clock, a blocking call on it, and the firmware's record of ports
    clock = Clock(); clock.advance(20)          a clock for code without a loop
"""

import asyncio
import gc
import sys

from firmware import compat
from firmware.ports import Ports

IS_MICROPYTHON = sys.implementation.name == "micropython"

STEP_LIMIT_MS = 600_000  # a test that needs more simulated time than this says so
_SPIN_LIMIT = 200_000  # rounds of the loop at one instant: no honest test comes near
_UNIX_START_S = 1_800_000_000  # the stepped wall clock at 0 ms: any fixed date later than the roots in use


class raises:  # lower case, because it reads as a phrase where it is used
    """Assert that the block raises `error` with `text` inside its message; `.error` holds the exception after it."""

    def __init__(self, error, text=""):
        self._type = error
        self._text = text
        self.error = None

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        assert kind is not None, "nothing was raised, expected %r" % (self._type,)
        if not issubclass(kind, self._type):
            return False
        self.error = error
        assert self._text in str(error), "expected %r in the text: %s" % (self._text, error)
        return True


# -- the heap


def assert_no_allocation(fn, *args):
    """Call fn(*args) twice, the second time with the heap locked (MicroPython), and return that call's result.

    The first call may fill caches and free lists. At most five arguments: unpacking a tuple would itself allocate.
    On CPython, whose heap cannot be locked, both calls are made all the same so that the test does the same thing.
    """
    a, b, c, d, e = args + (None,) * (5 - len(args))
    n = len(args)
    call_n = (_call_0, _call_1, _call_2, _call_3, _call_4, _call_5)[n]
    call_n(fn, a, b, c, d, e)
    if not IS_MICROPYTHON:
        return call_n(fn, a, b, c, d, e)
    import micropython

    gc.collect()
    micropython.heap_lock()
    try:
        return call_n(fn, a, b, c, d, e)
    except MemoryError:
        is_refused = True
    finally:
        micropython.heap_unlock()
    if is_refused:
        # The locked heap had no room for a traceback either, so say how much it is: that often tells what it is.
        meter = HeapMeter()
        meter.start()
        call_n(fn, a, b, c, d, e)
        n_bytes = meter.stop()
        raise AssertionError("%r allocates %d bytes in one call" % (fn, n_bytes))


def _call_0(fn, a, b, c, d, e):
    return fn()


def _call_1(fn, a, b, c, d, e):
    return fn(a)


def _call_2(fn, a, b, c, d, e):
    return fn(a, b)


def _call_3(fn, a, b, c, d, e):
    return fn(a, b, c)


def _call_4(fn, a, b, c, d, e):
    return fn(a, b, c, d)


def _call_5(fn, a, b, c, d, e):
    return fn(a, b, c, d, e)


class HeapMeter:
    """Bytes allocated between start() and stop(), garbage included; 0 on CPython. The collector rests meanwhile.

    For code that must await, which a locked heap cannot follow: run a warm-up, start(), n frames, stop() / n.
    """

    def start(self):
        if IS_MICROPYTHON:
            gc.collect()
            gc.disable()
            self._before = gc.mem_alloc()

    def stop(self):
        if not IS_MICROPYTHON:
            return 0
        n = gc.mem_alloc() - self._before
        gc.enable()
        return n


# -- time


class Clock:
    """A clock moved by hand. start_ms may be negative: so long before the ticks wrap around to 0."""

    def __init__(self, start_ms=0):
        self.ms = compat.ticks_add(0, start_ms)

    def ticks_ms(self):
        return self.ms

    def advance(self, ms):
        self.ms = compat.ticks_add(self.ms, ms)


class _Stepped:
    """The time of run_stepped. elapsed_ms never wraps; what the firmware sees is start_ms + elapsed_ms, wrapping."""

    def __init__(self):
        self.start_ms = 0
        self.elapsed_ms = 0
        self.limit_ms = STEP_LIMIT_MS
        self.spins = 0

    def restart(self, start_ms, limit_ms):
        self.start_ms = start_ms
        self.elapsed_ms = 0
        self.limit_ms = limit_ms
        self.spins = 0

    def step(self, ms):
        self.elapsed_ms += ms
        self.spins = 0
        if self.elapsed_ms > self.limit_ms:
            raise AssertionError("the test is not over after %d simulated ms" % self.limit_ms)

    def spin(self):
        self.spins += 1
        if self.spins > _SPIN_LIMIT:
            raise AssertionError("a task never waits: time stands still at %d ms" % self.elapsed_ms)


_stepped = _Stepped()
_DEADLOCK = "at %d ms nothing is left that could wake a task, and the test waits still"
_REAL_SOCKET = "the stepped loop has no real sockets: give the code a connection in memory"


def now_ms():
    """The stepped clock as the firmware sees it: starts at run_stepped's start_ms, wraps like ticks_ms."""
    return compat.ticks_add(0, _stepped.start_ms + _stepped.elapsed_ms)


def block_ms(ms):
    """Let stepped time pass without giving way to any task: a call that blocks the loop."""
    _stepped.step(ms)


def run_stepped(main, start_ms=0, limit_ms=STEP_LIMIT_MS):
    """Run the coroutine `main` (or a function that makes one) on stepped time and return its result.

    Whenever no task is ready, time jumps to the next deadline, in whole ms. Both interpreters show the same times; the
    order of tasks that are ready at one instant may differ. asyncio.sleep, sleep_ms, wait_for, Event, Lock and tasks
    work; real sockets and threads do not.
    AssertionError when nothing can wake any more, when a task never waits, or after limit_ms (at most 2**28).
    A task that dies of an exception which nobody awaits fails the run; tasks still alive at the end are dropped
    (cancelled on CPython, simply forgotten on MicroPython: do not rely on their `finally`).
    start_ms < 0 starts so long before the ticks wrap around.
    """
    _stepped.restart(start_ms, limit_ms)
    return _run(main() if callable(main) else main)


if IS_MICROPYTHON:
    import time

    from asyncio import core as _core

    # C code stamps a task that is made ready with the machine's own ticks. Stepped ticks start this far ahead, so
    # that such a stamp can be told from a stepped one; both must stay within half a wrap of the 32-bit port (2**29).
    _AHEAD_MS = 1 << 27

    class _SteppedQueue:
        """Stands in for asyncio's IOQueue: is asked to wait and moves the clock instead."""

        def __init__(self):
            self.map = {0: None}  # never empty, so that the loop asks us even when no task is left
            self._zero = time.ticks_add(time.ticks_ms(), _AHEAD_MS)

        def ticks(self):
            return time.ticks_add(self._zero, _stepped.elapsed_ms)

        def wait_io_event(self, dt_ms):
            queue = _core._task_queue
            task = queue.peek()
            if not task:
                raise AssertionError(_DEADLOCK % _stepped.elapsed_ms)
            while time.ticks_diff(task.ph_key, self._zero) < 0:
                # Stamped by the machine's clock: it became ready now, behind whatever was due before.
                queue.pop()
                data = task.data  # push() forgets a pending cancellation
                queue.push(task, self.ticks())
                task.data = data
                task = queue.peek()
            if dt_ms > 0:
                _stepped.step(dt_ms)
            else:
                _stepped.spin()

        def queue_read(self, stream):
            raise AssertionError(_REAL_SOCKET)

        queue_write = queue_read

        def remove(self, task):
            pass

    async def _keep_result(coro, results):
        results.append(await coro)

    def _run(coro):
        results = []
        died = []
        asyncio.new_event_loop()
        queue = _SteppedQueue()
        _core._io_queue = queue
        _core.ticks = queue.ticks
        asyncio.get_event_loop().set_exception_handler(lambda loop, context: died.append(context["exception"]))
        try:
            asyncio.run(_keep_result(coro, results))
            _collect_unseen(died)
        except AssertionError as error:
            if died:
                sys.print_exception(died[0])
            raise error
        finally:
            asyncio.get_event_loop().set_exception_handler(None)
            _core.ticks = time.ticks_ms
            asyncio.new_event_loop()
        if died:
            raise died[0]
        return results[0]

    def _collect_unseen(died):
        """A task that died in the same instant as main ended is queued still, to be reported one round later."""
        task = _core._task_queue.peek()
        while task:
            _core._task_queue.pop()
            if task.done() and isinstance(task.data, Exception):
                died.append(task.data)
            task = _core._task_queue.peek()

else:
    import math
    import selectors

    class _SteppedSelector(selectors.SelectSelector):
        """Is asked to wait and moves the clock instead; knows no file but the loop's own wake-up pipe."""

        def register(self, fileobj, events, data=None):
            assert not self.get_map(), _REAL_SOCKET
            return super().register(fileobj, events, data)

        def select(self, timeout=None):
            if timeout is None:
                raise AssertionError(_DEADLOCK % _stepped.elapsed_ms)
            if timeout > 0:
                # Rounded up, but 20 ms and the noise of a float are not 21 ms.
                _stepped.step(max(1, math.ceil(timeout * 1000 - 1e-3)))
            else:
                _stepped.spin()
            return []

    class _SteppedLoop(asyncio.SelectorEventLoop):
        def __init__(self):
            super().__init__(_SteppedSelector())
            self._clock_resolution = 1e-6  # above float noise, far below the ms we step by

        def time(self):
            return _stepped.elapsed_ms / 1000

    def _run(coro):
        tasks = []
        loop = _SteppedLoop()

        def make_task(loop, coro, **options):
            tasks.append(asyncio.Task(coro, loop=loop, **options))
            return tasks[-1]

        loop.set_task_factory(make_task)
        asyncio.set_event_loop(loop)
        try:
            result = loop.run_until_complete(coro)
            _raise_first_unseen(tasks)
            return result
        except AssertionError as error:
            _chain_first_unseen(tasks, error)
            raise
        finally:
            _cancel(loop, [task for task in tasks if not task.done()])
            loop.close()
            asyncio.set_event_loop(None)

    def _unseen(tasks):
        """The exceptions of finished tasks that nobody asked for. (_log_traceback is asyncio's own mark of that.)"""
        return [task.exception() for task in tasks if task.done() and task._log_traceback]

    def _raise_first_unseen(tasks):
        for error in _unseen(tasks):
            raise error

    def _chain_first_unseen(tasks, error):
        for cause in _unseen(tasks):
            if error.__cause__ is None and cause is not error:
                error.__cause__ = cause

    def _cancel(loop, tasks):
        for task in tasks:
            task.cancel()
        if tasks:
            _stepped.restart(_stepped.start_ms, _stepped.elapsed_ms + STEP_LIMIT_MS)
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))


def stepped(**options):
    """Decorates a coroutine function: the test runs it by run_stepped(main, **options)."""

    def wrap(main):
        def test():
            run_stepped(main, **options)

        return test

    return wrap


# -- the firmware's ports


def _no_network(*args):
    raise AssertionError("this test gave the code no network, and it asked for: %r" % (args,))


def seeded_bytes(seed):
    """A random_bytes(n) that gives the same bytes in every run (xorshift32; nothing unpredictable about it)."""
    state = [seed or 1]

    def random_bytes(n):
        out = bytearray(n)
        x = state[0]
        for i in range(n):
            x ^= x << 13 & 0xFFFFFFFF
            x ^= x >> 17
            x ^= x << 5 & 0xFFFFFFFF
            out[i] = x & 0xFF
        state[0] = x
        return bytes(out)

    return random_bytes


def ports(seed=1, resolve=_no_network, connect=_no_network, ticks_ms=now_ms, sleep_ms=compat.sleep_ms):
    """The firmware's record of ports on the stepped clock, with repeatable chance and no network unless given."""
    return Ports(ticks_ms, sleep_ms, seeded_bytes(seed), _unix_s, resolve, connect)


def _unix_s():
    return _UNIX_START_S + _stepped.elapsed_ms // 1000
