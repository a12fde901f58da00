"""The states of the session, how long each may last, and the step from one to the next.

States are conditions, events have happened (firmware/events.py). Which step leads where is in table.py.
"""

STANDBY = "standby"  # no link, on purpose: nobody has asked for a while
OFFLINE = "offline"  # no link, waiting to try again
CONNECTING = "connecting"
CALLING = "calling"  # recording while the link is made
CALLING_TAIL = "calling_tail"  # the tail of that recording
WAITING = "waiting"  # a whole question is recorded, the link is still being made
IDLE = "idle"
LISTENING = "listening"
TAIL = "tail"  # the button is up, the last syllable is not over
THINKING = "thinking"
SPEAKING = "speaking"
FINISHING = "finishing"  # no more of this answer will come: play what is there

STATES = (
    STANDBY, OFFLINE, CONNECTING, CALLING, CALLING_TAIL, WAITING, IDLE, LISTENING, TAIL, THINKING, SPEAKING, FINISHING,
)  # fmt: skip

KEEP = "keep"  # the deadline of the state before goes on

# State -> the setting that bounds it, in ms; 0 means for ever.
DEADLINES = {
    STANDBY: "",
    OFFLINE: "retry_ms",
    CONNECTING: "connect_limit_ms",
    CALLING: "press_wait_ms",
    CALLING_TAIL: KEEP,
    WAITING: KEEP,
    IDLE: "keep_link_ms",
    LISTENING: "listen_max_ms",
    TAIL: "tail_limit_ms",
    THINKING: "answer_wait_ms",
    SPEAKING: "stall_ms",
    FINISHING: "stall_ms",
}


def deadline_name(mode, state):
    """The setting that bounds `state` in this mode, KEEP, or "" for none."""
    if mode == "free" and state == LISTENING:
        return "free_idle_ms"
    return DEADLINES[state]


_STAY = {state: (state, ()) for state in STATES}


def step(rows, state, event):
    """(next state, effects); a pair that is not in the table changes nothing and has no effects. Never allocates."""
    return rows[state].get(event) or _STAY[state]
