"""Every task of the speaker is made here, so that none dies unseen."""

import asyncio

from . import report
from .compat import format_exception, ticks_ms

_alive = {}  # task -> name: keeps a handle, without which CPython may collect a task that still runs


def spawn(coro, name, on_death=None):
    """Start a task. Its death by an exception is reported, and on_death(error) is called."""
    for task in [task for task in _alive if task.done()]:
        _alive.pop(task)
    task = asyncio.create_task(_watch(coro, name, on_death))
    _alive[task] = name
    return task


def stop_all():
    """Cancel every task but the one that calls: the end of the program."""
    me = asyncio.current_task()
    for task in _alive:
        if task is not me and not task.done():
            task.cancel()


async def _watch(coro, name, on_death):
    try:
        await coro
    except KeyboardInterrupt as error:  # MicroPython raises it in whichever task runs
        if on_death is None:
            raise
        on_death(error)
    except Exception as error:
        report.say("error", ticks_ms(), error_kind="bug", text="task %s died: %s" % (name, format_exception(error)))
        if on_death is not None:
            on_death(error)
