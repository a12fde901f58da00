"""The vocabulary of the session: everything that can happen to a speaker, named for what happened.

Gestures, the link, any cloud, the player and the timer all speak these words, so that the state table knows no cloud.
"""

# The button (session/gestures.py).
PRESS = "press"  # leading edge: acts at once
RELEASE = "release"  # end of a hold
TAP = "tap"  # a hold that was too short to be a question
STOP = "stop"  # two taps
PROVISION = "provision"  # five taps within 3 s

# The link.
LINK_READY = "link_ready"  # the cloud has accepted our configuration
LINK_LOST = "link_lost"  # could not be made, or is gone

# Any cloud.
TURN_STARTED = "turn_started"  # the agent works on an answer
SPEECH_STARTED = "speech_started"  # the cloud hears the user
SPEECH_STOPPED = "speech_stopped"  # the cloud decided that the user has finished
AUDIO = "audio"  # one piece of a live answer
AUDIO_DONE = "audio_done"  # all of its audio was sent
TURN_DONE = "turn_done"
CANCELLED = "cancelled"  # the cloud stopped the live answer
NOTHING_HEARD = "nothing_heard"  # the question held no words, so no answer will come
FAILED = "failed"  # the live turn has no (further) answer
HEARD = "heard"  # transcript of the user; never reaches the table
SAID = "said"  # text of the answer; never reaches the table
TOOL_CALL = "tool_call"  # never reaches the table

# Inside.
UTTERANCE_END = "utterance_end"  # the tail is recorded, the end is queued behind it
OVERFLOW = "overflow"  # the uplink queue is full: the link is slower than speech
DRAINED = "drained"  # the last sample of an answer has been heard
DEADLINE = "deadline"  # the state has lasted as long as it may

TABLE_EVENTS = (
    PRESS, RELEASE, TAP, STOP, PROVISION, LINK_READY, LINK_LOST, TURN_STARTED, SPEECH_STARTED, SPEECH_STOPPED,
    AUDIO, AUDIO_DONE, TURN_DONE, CANCELLED, NOTHING_HEARD, FAILED, UTTERANCE_END, OVERFLOW, DRAINED, DEADLINE,
)  # fmt: skip
