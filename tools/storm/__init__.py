"""Storms: the whole speaker, its board, the network and the cloud in one process, on a clock that is stepped.

    loop.py        the clock and the event loop that jumps from deadline to deadline
    network.py     TCP in memory, and the weather that spoils it; knobs.py: values that several faults may change
    cloud_end.py   the far end of a connection: a WebSocket server around tools/cloud
    stage.py       what the cloud hears, says and breaks
    room.py        what the microphone hears
    person.py      who presses the button and talks
    plans/         faults by name: what goes wrong, how badly, when
    checks/        the promises that must hold at every step
    record.py      what a run leaves for a person to look at
    run.py         one run of all that: a seed, a plan, some minutes
    jobs.py        many runs on all cores, and their figures; shrink.py: the smallest plan that still fails

The same seed gives the same bytes and the same trace on any machine.
"""

from tools.storm import standins

standins.install()
