"""What the speaker tells a person: one JSON object a line on the serial port.

`sink` takes the finished line and may be replaced (the simulator listens here). Secrets never enter: callers
pass texts from our own errors and from the cloud's transcripts only.
"""

import json

sink = print


def say(kind, t_ms, **fields):
    """kind: boot, postmortem, state, heard, said, turn, error, warning, volume, provision, tool, trace, stop."""
    fields["kind"] = kind
    fields["t_ms"] = t_ms
    sink(json.dumps(fields))
