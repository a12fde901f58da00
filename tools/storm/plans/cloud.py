"""What clouds do to a conversation: the faults of tools/cloud/faults.py in time, and some that only a storm has."""

from . import CLOUD, fault


def _turns(run, *specs):
    """These faults hold for each turn that begins meanwhile."""
    run.stage.turn_faults += specs

    def back():
        for spec in specs:
            run.stage.turn_faults.remove(spec)

    return back


@fault("jittered_audio", CLOUD, max_ms=200, for_ms=(10_000, 60_000))
def jittered_audio(run, p):
    """Each packet of an answer is late by up to 200 ms."""
    return _turns(run, {"kind": "jitter", "max_ms": p["max_ms"]})


@fault("late_audio", CLOUD, ms=(300, 5000), canceled_first=(False, True), for_ms=(10_000, 60_000))
def late_audio(run, p):
    """After a cancel the old answer goes on for a while, also behind the acknowledgement."""
    return _turns(run, {"kind": "late_audio", "for_ms": p["ms"], "canceled_first": p["canceled_first"]})
