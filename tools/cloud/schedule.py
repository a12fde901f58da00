"""Little programs on a clock that somebody else moves: generators that yield how many ms to wait.

A task runs as of its own due time, even when the clock jumps over several of them at once, so that the outcome
depends on the scenario and never on how finely the clock was stepped.
"""

import heapq

FOREVER = None  # yielded by a task that waits for wake()


class Task:
    __slots__ = ("program", "due_ms", "number", "is_over", "hold_ms", "_is_running")

    def __init__(self, program):
        self.program = program
        self.due_ms = FOREVER
        self.number = 0
        self.is_over = False
        self.hold_ms = 0
        self._is_running = False


class Schedule:
    def __init__(self, now_ms):
        self.now_ms = now_ms
        self._queue = []
        self._number = 0

    def start(self, program):
        """The first step is taken by the next run_until, at the present time."""
        task = Task(program)
        self._put(task, 0)
        return task

    def stop(self, task):
        """End a task; legal inside its own step, which then runs on to its next yield. May be called twice."""
        if task is None or task.is_over:
            return
        task.is_over = True
        if not task._is_running:
            task.program.close()

    def wake(self, task):
        """Resume a task that yielded FOREVER."""
        self._put(task, 0)

    @staticmethod
    def hold(task, for_ms):
        """Lengthen the wait that the task asks for next."""
        task.hold_ms += for_ms

    @property
    def next_due_ms(self):
        """When run_until has something to do, or None."""
        while self._queue and self._is_stale(self._queue[0]):
            heapq.heappop(self._queue)
        return self._queue[0][0] if self._queue else None

    def run_until(self, now_ms):
        while self.next_due_ms is not None and self.next_due_ms <= now_ms:
            due_ms, _, task = heapq.heappop(self._queue)
            self.now_ms = max(self.now_ms, due_ms)
            self._step(task)
        self.now_ms = max(self.now_ms, now_ms)

    def _put(self, task, delay_ms):
        # The number orders equal times by who asked first and marks older entries of the same task as stale.
        self._number += 1
        task.number = self._number
        task.due_ms = self.now_ms + delay_ms
        heapq.heappush(self._queue, (task.due_ms, task.number, task))

    @staticmethod
    def _is_stale(entry):
        return entry[2].is_over or entry[2].number != entry[1]

    def _step(self, task):
        task._is_running = True
        try:
            delay_ms = next(task.program)
        except StopIteration:
            task.is_over = True
            return
        finally:
            task._is_running = False
        if task.is_over:
            task.program.close()
        elif delay_ms is not FOREVER:
            self._put(task, delay_ms + task.hold_ms)
            task.hold_ms = 0
