"""The pair of slots on the disk: the application on trial says here that it works.

main.py counts the starts of a trial in slots/state.json and goes back to the good slot when none of them was
confirmed. What main.py does stands there alone, because it must work when nothing in here can be imported.
"""

import json

from . import disk, report

STATE_PATH = "slots/state.json"


def confirm(slot):
    """The application in `slot` works: it is the good one from now on. True when it was on trial until now.

    slot: "a", "b", or None for an application that does not live in a slot. OSError when the disk takes nothing; the
    trial then goes on at the next start.
    """
    if slot is None:
        return False
    try:
        with open(STATE_PATH) as file:
            state = json.load(file)
        if state["trial"] is None and state["good"] == slot:
            return False
    except (OSError, ValueError, KeyError, TypeError):
        pass  # missing or broken: it is written anew
    disk.write(STATE_PATH, json.dumps({"good": slot, "trial": None, "starts": 0}))
    return True


def confirm_and_tell(slot, ports):
    """confirm() with a report; a disk that takes nothing is a warning."""
    try:
        if confirm(slot):
            report.say("slot", ports.ticks_ms(), slot=slot, text="this application is the good one from now on")
    except OSError as error:
        report.say(
            "warning", ports.ticks_ms(), text="slot %s cannot be confirmed, the disk refuses: %s" % (slot, error)
        )
