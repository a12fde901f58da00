"""The pair of slots on the disk: the application on trial says here that it works.

main.py counts the starts of a trial in slots/state.json and goes back to the good slot when none of them was
confirmed. What main.py does stands there alone, because it must work when nothing in here can be imported.
"""

import json
import os

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
    write_file(STATE_PATH, json.dumps({"good": slot, "trial": None, "starts": 0}))
    return True


def write_file(path, data):
    """Write data (str or bytes) as the file at path: afterwards it is the old one or the new one, never half of it."""
    new = path + ".new"
    try:
        with open(new, "wb" if isinstance(data, bytes) else "w") as file:
            file.write(data)
        replace(new, path)
    except OSError:
        try:
            os.remove(new)
        except OSError:
            pass
        raise


def replace(new, path):
    """Rename `new` to `path`, over a file that may stand there."""
    try:
        os.rename(new, path)
    except OSError:
        os.stat(new)
        os.remove(path)  # a FAT disk renames over nothing
        os.rename(new, path)
