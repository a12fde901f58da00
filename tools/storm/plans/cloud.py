"""What clouds do to a conversation: the faults of tools/cloud/faults.py in time, and some that only a storm has."""

from . import CLOUD, fault


def _add(run, specs, name):
    """These faults hold for each turn (or connection) that begins meanwhile."""
    faults = getattr(run.stage, name)
    faults.extend(specs)

    def back():
        for spec in specs:
            faults.remove(spec)

    return back


def _turns(run, *specs):
    return _add(run, specs, "turn_faults")


def _connections(run, *specs):
    """A fault of connections shows with the next one, so the one that is open is cut."""
    back = _add(run, specs, "connection_faults")
    run.network.reset_all()
    return back


def _option(run, name, value):
    return run.turn(run.stage, name, value)


def _both(*backs):
    def back():
        for one in backs:
            one()

    return back


# Slow, or never


@fault("slow_updated", CLOUD, by_ms=(500, 4000), for_ms=(5000, 20_000))
def slow_updated(run, p):
    """The acknowledgement of the configuration takes its time."""
    return _connections(run, {"kind": "slow_updated", "by_ms": p["by_ms"]})


@fault("no_updated", CLOUD, for_ms=(5000, 40_000))
def no_updated(run, p):
    """The configuration is never acknowledged."""
    return _connections(run, {"kind": "withheld", "on": "chat.updated"})


@fault("slow_audio", CLOUD, by_ms=(2000, 15_000), for_ms=(10_000, 40_000))
def slow_audio(run, p):
    """The first sound of an answer takes its time."""
    return _option(run, "first_audio_ms", p["by_ms"])


@fault("no_audio", CLOUD, for_ms=(10_000, 40_000))
def no_audio(run, p):
    """Answers whose sound never comes, and no word about it."""
    return _turns(run, *({"kind": "withheld", "on": event} for event in (
        "conversation.audio.delta", "conversation.audio.completed", "conversation.chat.completed")))


@fault("no_completed", CLOUD, which=("audio", "chat", "both"), for_ms=(10_000, 40_000))
def no_completed(run, p):
    """The end of an answer is not announced, in one way or in both."""
    specs = []
    if p["which"] != "chat":
        specs.append({"kind": "no_audio_completed"})
    if p["which"] != "audio":
        specs.append({"kind": "no_chat_completed"})
    return _turns(run, *specs)


@fault("slow_completed", CLOUD, by_ms=(1000, 8000), for_ms=(10_000, 40_000))
def slow_completed(run, p):
    """The end of the audio is announced late."""
    return _turns(run, {"kind": "stall", "on": "conversation.audio.delta", "nth": 3, "count": 0, "for_ms": p["by_ms"]})


@fault("no_canceled", CLOUD, for_ms=(10_000, 40_000))
def no_canceled(run, p):
    """A cancel is obeyed and never acknowledged."""
    return _turns(run, {"kind": "no_canceled"})


@fault("slow_canceled", CLOUD, by_ms=(500, 9000), for_ms=(10_000, 40_000))
def slow_canceled(run, p):
    """A cancel is acknowledged late."""
    return _turns(run, {"kind": "delayed_canceled", "by_ms": p["by_ms"]})


@fault("completed_after_cancel", CLOUD, for_ms=(10_000, 40_000))
def completed_after_cancel(run, p):
    """A canceled answer still says that it was completed."""
    return _turns(run, {"kind": "completed_after_cancel"})


@fault("no_transcript", CLOUD, for_ms=(10_000, 40_000))
def no_transcript(run, p):
    """Nothing is said about what was heard."""
    return _turns(run, {"kind": "no_transcript"})


@fault("nothing_heard", CLOUD, how=("empty_transcript", "nothing"), for_ms=(5000, 30_000))
def nothing_heard(run, p):
    """No words are found in what was said (push-to-talk), and the cloud says so, or says nothing at all."""
    return _both(_option(run, "silent_utterance", p["how"]), _option(run, "vad_aggressiveness", 3),
                 run.turn(run.room, "is_mute", True))


# Audio in the wrong way


@fault("late_audio", CLOUD, ms=(300, 5000), canceled_first=(False, True), for_ms=(10_000, 60_000))
def late_audio(run, p):
    """After a cancel the old answer goes on for a while, also behind the acknowledgement."""
    return _turns(run, {"kind": "late_audio", "for_ms": p["ms"], "canceled_first": p["canceled_first"]})


@fault("no_chat_id", CLOUD, for_ms=(10_000, 60_000))
def no_chat_id(run, p):
    """Audio does not say which answer it belongs to."""
    return _turns(run, {"kind": "no_chat_id"})


@fault("flood", CLOUD, answer_ms=(20_000, 58_000), for_ms=(15_000, 40_000))
def flood(run, p):
    """Long answers that come as fast as the network carries them, whatever pacing was asked for."""
    back = _turns(run, {"kind": "unpaced"})
    return _both(back, _option(run, "synthesis_speed", 1000.0),
                 _option(run, "answer_ms", (p["answer_ms"] // 2, p["answer_ms"])))


@fault("late_windows", CLOUD, most_ms=200, for_ms=(15_000, 60_000))
def late_windows(run, p):
    """Each paced window of an answer is late by another time, up to 200 ms."""
    back = _turns(run, {"kind": "late_windows", "max_ms": p["most_ms"]})
    return _both(back, _option(run, "answer_ms", (3000, 12_000)))


@fault("jittered_audio", CLOUD, max_ms=200, for_ms=(10_000, 60_000))
def jittered_audio(run, p):
    """Each packet of an answer is late by up to 200 ms."""
    return _turns(run, {"kind": "jitter", "max_ms": p["max_ms"]})


@fault("long_answers", CLOUD, for_ms=(30_000, 90_000))
def long_answers(run, p):
    """Answers of half a minute and more."""
    return _option(run, "answer_ms", (20_000, 55_000))


@fault("odd_packets", CLOUD, lose_last_byte=(False, True), for_ms=(10_000, 40_000))
def odd_packets(run, p):
    """Audio cut in the middle of samples."""
    return _turns(run, {"kind": "odd_packets", "lose_last_byte": p["lose_last_byte"]})


@fault("irregular_packets", CLOUD, for_ms=(10_000, 40_000))
def irregular_packets(run, p):
    """Audio in packets of any size."""
    return _turns(run, {"kind": "irregular_packets"})


@fault("unasked_speech", CLOUD, every_ms=(3000, 15_000), for_ms=(10_000, 40_000))
def unasked_speech(run, p):
    """The cloud speaks up by itself, again and again."""
    from tools.cloud import records

    end_us = run.clock.now_us() + 1000 * p["for_ms"]

    def speak():
        if run.clock.now_us() >= end_us:
            return
        far = run.far_end()
        if far is not None and far.link.settings is not None and far.link._speaking is None:
            far.link._play(records.GENERATED, run.stage.script(0).answer)
            far._go_on()
        run.clock.after_ms(p["every_ms"], speak)

    speak()
    return None


# Events in the wrong way


@fault("duplicates", CLOUD, for_ms=(10_000, 40_000))
def duplicates(run, p):
    """Events that tell how a turn goes come twice."""
    return _turns(run, *({"kind": "duplicate", "on": event} for event in (
        "conversation.chat.created", "conversation.audio.completed", "conversation.chat.completed",
        "conversation.chat.canceled", "conversation.audio_transcript.completed")))


@fault("reordered", CLOUD, on=("conversation.chat.created", "conversation.audio.completed",
                               "conversation.chat.in_progress", "conversation.chat.canceled"), for_ms=(10_000, 40_000))
def reordered(run, p):
    """One kind of event changes places with the one behind it."""
    return _turns(run, {"kind": "swapped", "on": p["on"]})


@fault("doubled_and_reordered", CLOUD, on=("conversation.chat.created", "conversation.audio.completed",
                                           "conversation.chat.canceled"), for_ms=(10_000, 40_000))
def doubled_and_reordered(run, p):
    """One kind of event changes places with the one behind it, while others come twice."""
    return _both(duplicates(run, p), reordered(run, p))


@fault("odd_json", CLOUD, how=("key_order", "nested_content", "white_space", "escaped_slash", "escaped_plus",
                               "escaped_chars", "unknown_members", "fragments", "ping_inside"), for_ms=(10_000, 40_000))
def odd_json(run, p):
    """Audio in other legal spellings."""
    return _turns(run, {"kind": p["how"]})


@fault("bad_json", CLOUD, how=("illegal_base64", "cut_base64", "wrong_type", "null_data", "no_data"), nth=(2, 20),
       for_ms=(10_000, 40_000))
def bad_json(run, p):
    """Now and then a piece of audio that cannot be read."""
    return _turns(run, {"kind": p["how"], "nth": p["nth"], "count": 1})


@fault("strange_messages", CLOUD, how=("empty_delta", "binary_message", "huge_message", "malformed_json",
                                       "not_an_object", "unknown_event"), for_ms=(10_000, 40_000))
def strange_messages(run, p):
    """Messages that nobody understands, between those of an answer."""
    return _turns(run, {"kind": p["how"], "nth": 2, "count": 3})


@fault("illegal_frames", CLOUD, how=("reserved_bits", "masked_frame", "long_control", "stray_continuation", "bad_utf8"),
       for_ms=(5000, 20_000))
def illegal_frames(run, p):
    """The cloud breaks the WebSocket protocol in the middle of an answer."""
    return _turns(run, {"kind": p["how"], "nth": 3})


# Errors and ends


@fault("error_event", CLOUD, code=(4000, 4001, 4002, 4008, 4009, 4011, 4013, 4016, 4019, 4028, 4100, 4101, 5000,
                                   700012006, 9999),
       on=("conversation.chat.created", "conversation.audio.delta", "conversation.audio_transcript.completed"),
       then=("go_on", "stop", "close"), for_ms=(5000, 30_000))
def error_event(run, p):
    """An error event of each class in the middle of a turn."""
    return _turns(run, {"kind": "error", "code": p["code"], "on": p["on"], "then": p["then"],
                        "msg": "emulated, not for %s" % run.secrets[0]})


@fault("turn_fails", CLOUD, nth=(1, 12), for_ms=(10_000, 40_000))
def turn_fails(run, p):
    """Answers end with a failure, at their beginning or in the middle."""
    return _turns(run, {"kind": "failed", "nth": p["nth"]})


@fault("closes", CLOUD, code=(1000, 1001, 1008, 1011, 1012, 1013, 4000), nth=(1, 20), for_ms=(5000, 20_000))
def closes(run, p):
    """The cloud closes the connection with a frame, in the middle of an answer."""
    return _turns(run, {"kind": "drop", "end": "close", "code": p["code"], "nth": p["nth"]})


@fault("breaks_off", CLOUD, end=("stream", "reset"), nth=(1, 20), for_ms=(5000, 20_000))
def breaks_off(run, p):
    """The stream ends without a frame, in the middle of an answer."""
    return _turns(run, {"kind": "drop", "end": p["end"], "nth": p["nth"]})


@fault("refuses_update", CLOUD, end=("close", "stream", "reset"), for_ms=(5000, 30_000))
def refuses_update(run, p):
    """The answer to the configuration is the end of the connection."""
    return _connections(run, {"kind": "close_for_update", "end": p["end"]})


@fault("refuses_all", CLOUD, status=(400, 403, 404, 429, 500, 503), for_ms=(5000, 40_000))
def refuses_all(run, p):
    """Every handshake is answered with an HTTP error."""
    back = _option(run, "refuse_status", p["status"])
    run.network.reset_all()
    return back


@fault("token_refused", CLOUD, how=("handshake", "event"), for_ms=(5000, 40_000))
def token_refused(run, p):
    """The token does not count any more, until somebody has renewed it."""
    back = _both(_option(run, "token_refusal", p["how"]), run.turn(run.cloud, "token", "another"))
    run.network.reset_all()
    return back


@fault("conversation_refused", CLOUD, for_ms=(1000, 10_000))
def conversation_refused(run, p):
    """The cloud has forgotten every conversation; it knows new ones."""
    run.cloud.conversations.clear()
    back = _option(run, "known_conversations_only", True)
    run.network.reset_all()
    return back


# Tools, cancels, pings


@fault("tools", CLOUD, for_ms=(10_000, 40_000))
def tools(run, p):
    """Every question calls a tool of the speaker."""
    return _option(run, "tool_share", 1.0)


@fault("tool_unanswered", CLOUD, for_ms=(10_000, 40_000))
def tool_unanswered(run, p):
    """What a tool of the speaker says is never acknowledged, and no answer comes."""
    return _both(_option(run, "tool_share", 1.0), _turns(run, {"kind": "ignores_tools"}))


@fault("cancel_idle", CLOUD, how=("error", "poison"), for_ms=(10_000, 60_000))
def cancel_idle(run, p):
    """A cancel while nothing runs is an error, or spoils what follows."""
    return _option(run, "cancel_idle", p["how"])


@fault("many_pings", CLOUD, for_ms=(10_000, 60_000))
def many_pings(run, p):
    """A ping every half second."""
    end_us = run.clock.now_us() + 1000 * p["for_ms"]

    def ping():
        if run.clock.now_us() < end_us:
            far = run.far_end()
            if far is not None:
                far.link.ping()
                far._go_on()
            run.clock.after_ms(500, ping)

    ping()
    return None
