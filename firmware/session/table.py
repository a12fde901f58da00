"""The session as data: state x event -> state, effects. Nowhere else may a turn change state.

States are conditions (states.py), events have happened (firmware/events.py), effects are orders that runner.py performs
in the order written. A pair that is not in the table changes nothing.

Needed once, to make the rows of one talk mode; then runner.py lets go of it, for the heap's sake.
"""

from ..events import (
    AUDIO,
    AUDIO_DONE,
    CANCELLED,
    DEADLINE,
    DRAINED,
    FAILED,
    LINK_LOST,
    LINK_READY,
    NOTHING_HEARD,
    OVERFLOW,
    PRESS,
    PROVISION,
    RELEASE,
    SPEECH_STARTED,
    SPEECH_STOPPED,
    STOP,
    TAP,
    TURN_DONE,
    TURN_STARTED,
    UTTERANCE_END,
)
from .states import (
    CALLING,
    CALLING_TAIL,
    CONNECTING,
    FINISHING,
    IDLE,
    LISTENING,
    OFFLINE,
    SPEAKING,
    STANDBY,
    STATES,
    TAIL,
    THINKING,
    WAITING,
)

# The link; the same in every mode.
_LINK = {
    (STANDBY, PRESS): (CALLING, ("record", "connect")),
    (OFFLINE, PRESS): (CALLING, ("record", "connect")),
    (OFFLINE, DEADLINE): (CONNECTING, ("connect",)),
    (CONNECTING, PRESS): (CALLING, ("record",)),
    (CONNECTING, LINK_READY): (IDLE, ()),
    (CONNECTING, LINK_LOST): (OFFLINE, ("note", "disconnect", "retry_later")),
    (CONNECTING, DEADLINE): (OFFLINE, ("time_out_link", "note", "disconnect", "retry_later")),
    (CALLING, LINK_LOST): (CALLING, ("note", "reconnect")),
    (CALLING, STOP): (CONNECTING, ("take_back", "check_link")),
    (CALLING, DEADLINE): (CONNECTING, ("abort", "time_out_press", "fail", "check_link")),
    (IDLE, LINK_LOST): (OFFLINE, ("note", "disconnect", "retry_later")),
    (IDLE, DEADLINE): (STANDBY, ("disconnect",)),
    (IDLE, AUDIO): (SPEAKING, ("play",)),  # a prologue, or speech that nobody asked for
    (IDLE, FAILED): (IDLE, ("fail",)),
    (THINKING, AUDIO): (SPEAKING, ("play",)),
    (SPEAKING, AUDIO): (SPEAKING, ("extend",)),
    (SPEAKING, AUDIO_DONE): (SPEAKING, ("complete_audio",)),
    (SPEAKING, TURN_DONE): (SPEAKING, ("complete_audio",)),
    (SPEAKING, FAILED): (FINISHING, ("cut", "interrupt")),
    (SPEAKING, LINK_LOST): (FINISHING, ("cut",)),
    (SPEAKING, DEADLINE): (FINISHING, ("time_out_audio", "cut", "interrupt")),
    (FINISHING, DRAINED): (IDLE, ("end_turn", "check_link")),
    (FINISHING, DEADLINE): (IDLE, ("flush", "end_turn", "check_link")),
    (FINISHING, STOP): (IDLE, ("flush", "end_turn", "check_link")),
    (FINISHING, PRESS): (IDLE, ("flush", "end_turn", "check_link", "again")),
}

# Push-to-talk. In ptt_toggle a second PRESS ends the question, in ptt_hold a RELEASE does.
_PTT = {
    (CALLING, RELEASE): (CALLING_TAIL, ("finish",)),
    (CALLING, PRESS): (CALLING_TAIL, ("finish",)),
    (CALLING, TAP): (CALLING, ("judge_tap",)),
    (CALLING, OVERFLOW): (CONNECTING, ("abort", "time_out_press", "fail", "check_link")),
    (CALLING, LINK_READY): (LISTENING, ()),
    (CALLING_TAIL, PRESS): (CALLING, ("resume",)),
    (CALLING_TAIL, UTTERANCE_END): (WAITING, ()),
    (CALLING_TAIL, LINK_READY): (TAIL, ()),
    (CALLING_TAIL, LINK_LOST): (CALLING_TAIL, ("note", "reconnect")),
    (CALLING_TAIL, OVERFLOW): (CONNECTING, ("abort", "time_out_press", "fail", "check_link")),
    (CALLING_TAIL, STOP): (CONNECTING, ("take_back", "check_link")),
    (CALLING_TAIL, DEADLINE): (CONNECTING, ("abort", "time_out_press", "fail", "check_link")),
    (WAITING, PRESS): (CALLING, ("take_back", "record")),
    (WAITING, STOP): (CONNECTING, ("take_back", "check_link")),
    (WAITING, LINK_READY): (THINKING, ()),
    (WAITING, LINK_LOST): (WAITING, ("note", "reconnect")),
    (WAITING, DEADLINE): (CONNECTING, ("abort", "time_out_press", "fail", "check_link")),
    (IDLE, PRESS): (LISTENING, ("flush", "interrupt", "record")),
    (LISTENING, RELEASE): (TAIL, ("finish",)),
    (LISTENING, PRESS): (TAIL, ("finish",)),
    (LISTENING, DEADLINE): (TAIL, ("finish",)),
    (LISTENING, TAP): (LISTENING, ("judge_tap",)),
    (LISTENING, STOP): (IDLE, ("discard",)),
    (LISTENING, OVERFLOW): (IDLE, ("too_slow", "fail", "discard")),
    (LISTENING, FAILED): (IDLE, ("fail", "discard")),
    (LISTENING, LINK_LOST): (OFFLINE, ("abort", "fail", "disconnect", "retry_later")),
    (TAIL, PRESS): (LISTENING, ("resume",)),
    (TAIL, UTTERANCE_END): (THINKING, ()),
    (TAIL, STOP): (IDLE, ("discard",)),
    (TAIL, OVERFLOW): (IDLE, ("too_slow", "fail", "discard")),
    (TAIL, FAILED): (IDLE, ("fail", "discard")),
    (TAIL, LINK_LOST): (OFFLINE, ("abort", "fail", "disconnect", "retry_later")),
    (TAIL, DEADLINE): (IDLE, ("mic_silent", "fail", "discard")),
    # What tells of the old turn comes behind "record", which begins a new one: on a UART it takes some 20 ms.
    (THINKING, PRESS): (LISTENING, ("interrupt", "record")),
    (THINKING, STOP): (IDLE, ("interrupt", "end_turn")),
    (THINKING, TURN_DONE): (IDLE, ("end_turn",)),
    (THINKING, CANCELLED): (IDLE, ("supersede", "end_turn")),
    (THINKING, NOTHING_HEARD): (IDLE, ("hear_nothing", "fail")),
    (THINKING, FAILED): (IDLE, ("fail",)),
    (THINKING, LINK_LOST): (OFFLINE, ("abort", "fail", "disconnect", "retry_later")),
    (THINKING, DEADLINE): (IDLE, ("time_out_answer", "fail", "give_up")),
    (SPEAKING, PRESS): (LISTENING, ("flush", "interrupt", "record")),
    (SPEAKING, STOP): (IDLE, ("flush", "interrupt", "end_turn")),
    (SPEAKING, CANCELLED): (IDLE, ("flush", "end_turn")),
    (SPEAKING, DRAINED): (IDLE, ("end_turn",)),
}

# Free talk. A click starts it and ends it; a click while the speaker talks interrupts and goes on listening.
_FREE = {
    (CALLING, PRESS): (CONNECTING, ("take_back", "check_link")),
    (CALLING, LINK_READY): (LISTENING, ()),
    (IDLE, PRESS): (LISTENING, ("flush", "interrupt", "record")),
    (IDLE, SPEECH_STOPPED): (IDLE, ("interrupt",)),  # of a question that was taken back by ending free talk
    (LISTENING, PRESS): (IDLE, ("interrupt", "discard")),
    (LISTENING, STOP): (IDLE, ("interrupt", "discard")),
    (LISTENING, DEADLINE): (IDLE, ("interrupt", "discard")),
    (LISTENING, SPEECH_STARTED): (LISTENING, ("begin_turn", "extend")),
    (LISTENING, SPEECH_STOPPED): (THINKING, ("question_ended",)),
    (LISTENING, TURN_STARTED): (THINKING, ()),
    (LISTENING, AUDIO): (SPEAKING, ("play",)),
    (LISTENING, FAILED): (LISTENING, ("fail",)),
    (LISTENING, LINK_LOST): (OFFLINE, ("abort", "fail", "disconnect", "retry_later")),
    (THINKING, PRESS): (IDLE, ("interrupt", "end_turn", "discard")),
    (THINKING, STOP): (IDLE, ("interrupt", "end_turn", "discard")),
    (THINKING, SPEECH_STARTED): (LISTENING, ("supersede", "end_turn", "begin_turn")),
    (THINKING, TURN_DONE): (LISTENING, ("end_turn",)),
    (THINKING, CANCELLED): (LISTENING, ("supersede", "end_turn")),
    (THINKING, NOTHING_HEARD): (LISTENING, ("dismiss", "end_turn")),
    (THINKING, FAILED): (LISTENING, ("fail",)),
    (THINKING, LINK_LOST): (OFFLINE, ("abort", "fail", "disconnect", "retry_later")),
    (THINKING, DEADLINE): (LISTENING, ("time_out_answer", "fail", "give_up")),
    (SPEAKING, PRESS): (LISTENING, ("flush", "interrupt", "end_turn", "keep_recording")),
    (SPEAKING, STOP): (IDLE, ("flush", "interrupt", "end_turn", "discard")),
    (SPEAKING, SPEECH_STARTED): (LISTENING, ("flush", "end_turn", "begin_turn", "check_recording")),
    # Speech that nobody asked for (IDLE, AUDIO) ends where it began: the microphone was never opened.
    (SPEAKING, CANCELLED): (LISTENING, ("flush", "end_turn", "check_recording")),
    (SPEAKING, DRAINED): (LISTENING, ("end_turn", "check_recording")),
    # What ends early ends free talk too: the recording must not go on behind a link that is down.
    (SPEAKING, FAILED): (FINISHING, ("cut", "abort", "interrupt")),
    (SPEAKING, LINK_LOST): (FINISHING, ("cut", "abort")),
    (SPEAKING, DEADLINE): (FINISHING, ("time_out_audio", "cut", "abort", "interrupt")),
}


def table_for(mode):
    """{(state, event): (next state, effects)} of a talk mode: ptt_hold, ptt_toggle or free."""
    table = dict(_LINK)
    table.update(_FREE if mode == "free" else _PTT)
    for state in STATES:
        table[(state, PROVISION)] = (state, ("ask_provisioning",))
    return table


def by_state(table):
    """{state: {event: (next state, effects)}}, what states.step takes: a key of two parts would be a tuple each time.
    Equal values are one object.
    """
    rows = {state: {} for state in STATES}
    values = {}
    for state, event in table:
        value = table[state, event]
        rows[state][event] = values.setdefault(value, value)
    return rows
