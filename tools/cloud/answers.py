"""How a turn goes, told from top to bottom: programs for the schedule, which yield the ms to wait.

`link` is the protocol's Connection. Each `yield` is a place where the turn may be stopped for good; so there is one
between any two messages, even when nothing is waited for.
"""

from . import events, records
from .schedule import FOREVER

_WORDS_PER_SECOND = 3  # how fast interim transcripts grow while somebody speaks


def converse(link, turn):
    """One turn of the conversation, from the end of the utterance (or a written message) to its completion."""
    begun_ms = link.now_ms
    if turn.kind == records.SPEECH:
        yield from recognise(link, turn)
    yield link.scenario.created_ms
    if link.make_way():
        yield link.scenario.cancel_ms + 1  # so that `canceled` cannot be taken for the new chat's
    link.begin(turn)
    yield 0
    link.send_chat(events.TURN_IN_PROGRESS, turn, "in_progress")
    yield 0
    if turn.is_superseded:
        link.cancel(turn, code=1)
        return
    if link.is_poisoned:
        link.fail(turn, 5000, "model has been terminated")
        return
    if turn.script.tool_calls:
        begun_ms = yield from call_tools(link, turn)
    wires = link.voices(turn)  # before the wait, which makes up for the time that this takes
    yield max(0, begun_ms + turn.script.first_audio_ms - link.now_ms)
    yield from speak(link, turn, wires, is_chat=True)
    link.complete(turn)


def recognise(link, turn):
    """Interim texts (push-to-talk: none were sent yet), then the final one."""
    if not turn.flow.sends_transcript:
        yield link.scenario.recognise_ms
        return
    interim = [] if link.settings.is_free_talk else interim_texts(turn.script)
    for text in interim:
        link.send_transcript(events.TRANSCRIPT_UPDATE, text, turn)
        yield link.scenario.recognise_ms // len(interim)
    if not interim:
        yield link.scenario.recognise_ms
    link.send_transcript(events.TRANSCRIPT_COMPLETED, turn.heard, turn)


def interim_texts(script):
    """The scenario's own, or the sentence growing in up to three steps; each holds the whole text so far."""
    if script.interim:
        return list(script.interim)
    words = script.heard.split()
    steps = sorted({-(-len(words) * i // 3) for i in (1, 2, 3)} - {0})
    return [" ".join(words[:n]) for n in steps]


def listen_along(link, utterance):
    """Free talk: the transcript grows while the user speaks, and a keyword in it interrupts the answer."""
    words = utterance.script.heard.split()
    for n in range(1, len(words) + 1):
        yield 1000 // _WORDS_PER_SECOND
        text = " ".join(words[:n])
        link.send_transcript(events.TRANSCRIPT_UPDATE, text)
        link.notice_keyword(utterance, text)


def call_tools(link, turn):
    """Ask the device for what its tools say; returns when it answered (ms). The deadline is a failure."""
    yield 0
    link.request_action(turn)
    asked_ms = link.now_ms
    watch = link.start(_tool_deadline(link, turn))
    yield FOREVER  # woken by submit_tool_outputs
    link.stop(watch)
    turn.mark("tool_outputs", link.now_ms)
    yield 0
    link.send_chat(events.TURN_IN_PROGRESS, turn, "in_progress")
    return max(asked_ms, link.now_ms)


def _tool_deadline(link, turn):
    yield turn.script.tool_timeout_ms
    if not turn.is_over:
        link.fail(turn, 5000, "tool outputs did not arrive in time")


def speak(link, turn, wires, is_chat):
    """Text, subtitles and audio of an answer; wires: its sentences coded; is_chat: also what only an answer has."""
    turn.planned = b"".join(wires)
    starts, at = [], 0
    for wire in wires:
        starts.append(at)
        at += len(wire)
    sentences = list(zip(starts, turn.script.answer))
    for at_byte, size, due_ms in packets(link, turn):
        # A subtitle stands before the packet that holds the first sample of its sentence.
        while sentences and sentences[0][0] < at_byte + size:
            yield from _introduce(link, turn, sentences.pop(0)[1], is_chat, is_last=not sentences)
        yield max(0, due_ms - link.now_ms)
        link.send_audio(turn, turn.planned[at_byte : at_byte + size])
        yield 0
    while sentences:
        yield from _introduce(link, turn, sentences.pop(0)[1], is_chat, is_last=not sentences)
    if is_chat and not turn.script.answer:
        yield from _finish_text(link, turn)
    if turn.flow.sends_audio_completed and not turn.is_over:
        link.send_message(events.AUDIO_COMPLETED, turn, "answer", "audio", "")
        turn.mark("audio_completed", link.now_ms)
        yield 0


def _introduce(link, turn, sentence, is_chat, is_last):
    if is_chat:
        for piece in _pieces(sentence.text):
            turn.said += piece
            link.send_message(events.MESSAGE_DELTA, turn, "answer", "text", piece)
            yield 0
    else:
        turn.said += sentence.text
    link.send(events.SENTENCE_START, {"text": sentence.text}, turn)
    yield 0
    if is_chat and is_last:
        yield from _finish_text(link, turn)
    elif not is_last:
        turn.said += " "


def _finish_text(link, turn):
    link.send_message(events.MESSAGE_COMPLETED, turn, "answer", "text", turn.said)
    yield 0
    finish = '{"msg_type":"generate_answer_finish","data":"","from_module":null}'
    link.send_message(events.MESSAGE_COMPLETED, turn, "verbose", "text", finish)
    yield 0


def _pieces(text, words=3):
    """A sentence as it streams out of a language model: a few words at a time, white space kept."""
    parts = text.split(" ")
    for i in range(0, len(parts), words):
        yield (" " if i else "") + " ".join(parts[i : i + words])


def packets(link, turn):
    """(first byte, bytes, earliest ms) of each audio packet of `turn.planned`, in order; asked for one at a time.

    Paced: at most so many packets in a window, all at its start. Else as fast as speech is made."""
    settings, flow, fmt = link.settings, turn.flow, turn.wire_format
    total = max(0, len(turn.planned) - flow.lost_tail_bytes)
    period_ms, most = flow.is_paced and settings.window or (0, 0)
    at, in_window, opened_ms, last_ms, late_ms = 0, 0, None, link.now_ms, 0
    while at < total:
        if opened_ms is None:
            opened_ms = link.now_ms  # the first packet starts the clock
        if most and (in_window == most or link.now_ms >= opened_ms + period_ms):
            # A window that opens late (after a stall) moves those behind it: the limit holds in each.
            opened_ms, in_window = max(opened_ms + period_ms, link.now_ms - late_ms), 0
            late_ms = link.rng.randrange(flow.window_late_ms + 1) if flow.window_late_ms else 0
        if most:
            due_ms = opened_ms + late_ms
        else:
            due_ms = opened_ms + int(at / fmt.bytes_per_ms / link.scenario.synthesis_speed)
        if flow.jitter_ms:
            due_ms += link.rng.randrange(flow.jitter_ms + 1)
        last_ms = max(last_ms, due_ms)
        size = min(_packet_bytes(link, flow, settings.frame_bytes, fmt), total - at)
        yield at, size, last_ms
        at += size
        in_window += 1


def _packet_bytes(link, flow, frame_bytes, fmt):
    """The size of the next packet: whole samples unless a fault cuts through them."""
    least, most = flow.packet_bytes or (200, 12000)
    if flow.packet_bytes or not frame_bytes:
        size = link.rng.randint(least, max(least, most))
    else:
        size = frame_bytes
    if flow.has_odd_packets:
        return size | 1
    return max(fmt.bytes_per_sample, size - size % fmt.bytes_per_sample)


def play(link, turn):
    """Prologue or generated speech: sound without a chat."""
    yield link.scenario.created_ms
    link.begin_playing(turn)
    yield from speak(link, turn, link.voices(turn), is_chat=False)
    link.complete(turn)


def wind_down(link, turn, reply_to):
    """After a cancel: late audio if the scenario has it, then `canceled`, late or never."""
    flow = turn.flow
    if not flow.late_audio_ms:
        link.stop(turn.task)
    yield link.scenario.cancel_ms
    if flow.is_canceled_first:
        link.send_canceled(turn, reply_to)
    if flow.late_audio_ms:
        yield max(0, flow.late_audio_ms - link.scenario.cancel_ms)
        link.stop(turn.task)
    if not flow.is_canceled_first:
        yield flow.canceled_delay_ms
        link.send_canceled(turn, reply_to)
    if flow.completes_after_cancel and turn.chat_id:
        yield 0
        link.send_chat(events.TURN_COMPLETED, turn, "canceled")
    link.settle(turn)


def watch_utterance(link, utterance):
    """Push-to-talk audio that just stops: the late frame after `complete` ends here."""
    limit_ms = link.scenario.utterance_timeout_ms
    while True:
        left_ms = utterance.last_append_ms + limit_ms - link.now_ms
        if left_ms <= 0:
            break
        yield left_ms
    link.expire(utterance)


def keep_alive(link):
    """WebSocket pings, and the end after too many of them went unanswered."""
    while True:
        yield link.scenario.ping_period_ms
        if not link.ping():
            return
