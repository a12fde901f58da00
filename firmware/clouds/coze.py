"""Coze realtime voice chat (`/v1/chat`) as a pure protocol object: text messages in, events of firmware/events.py out.

It never opens, waits, sleeps or reads a clock. Wire names stand only in this file and in those that it loads when
they are needed: coze_setup.py (the configuration) and coze_errors.py. The face that the session sees
(request, opened, receive, encode_audio_into, complete, clear, interrupt, give_up, tool_outputs) is that of every
cloud.

Nothing here is taken for granted: unknown events and members are ignored and counted, and a member of a wrong type
counts as absent.
"""

import json

from json_scan import FOUND, MALFORMED, JSONScan
from kernels import b64_decode_into, b64_message_into, json_walk
from unload import unload

from .. import errors, events
from ..compat import const, parse_json
from . import turns

_PACKAGE = __name__.rpartition(".")[0]

_AUDIO_DELTA = b"conversation.audio.delta"
_AUDIO_DELTA_BYTES = len(_AUDIO_DELTA)

_APPEND_HEAD = b'{"id":"a","event_type":"input_audio_buffer.append","data":{"delta":"'
_APPEND_TAIL = b'"}}'
_APPEND = bytes([len(_APPEND_HEAD), len(_APPEND_TAIL)]) + _APPEND_HEAD + _APPEND_TAIL  # as b64_message_into wants it

_CONFIG_REJECTED = const(4000)
_CONVERSATION_UNKNOWN = const(4002)
_NOT_CANCELLABLE = const(4104)
_CANCELED_BY_CLIENT = const(2)
_FAILURES_MAX = const(2)  # turns that fail one after the other; then the connection is made anew

# Where JSONScan's state holds the wanted members
_EVENT_TYPE = const(2)
_CONTENT = const(4)
_CHAT_ID = const(6)
_QUOTE = const(0x22)


class Coze:
    """config: firmware.config.Config; user_id: stands in when the configuration names none; ring: the ByteRing that
    the audio is meant for, None when there is none.

    After receive() the fields of that event hold: `audio_buf`, `audio_at`, `audio_n` (AUDIO: where the decoded wire
    bytes lie until the next receive(), in the message's buffer or in the ring's free room), `text` and `is_final`
    (HEARD, SAID), `error` (FAILED, LINK_LOST), `tool_calls` ([(id, name, arguments)] for TOOL_CALL), and `reply`
    (bytes to send, or None) for any event.
    """

    def __init__(self, config, user_id="", ring=None):
        self._config = config
        self._ring = ring
        self._user_id = config.user_id or user_id
        self.conversation_id = config.conversation_id
        self._turns = turns.Turns()
        self._scan = JSONScan((b"event_type",), b"data", (b"content", b"chat_id"))
        self._names = self._scan.names
        self._found = self._scan.state
        self._serial = 0
        self._is_ready = False
        self._has_repeated_update = False
        self._failures = 0  # turns in a row on this connection
        self._has_greeted = False  # the prologue belongs to the first connection, not to every reconnect
        self._tool_chat_id = ""
        self.audio_buf = None
        self.audio_at = 0
        self.audio_n = 0
        self.text = ""
        self.is_final = False
        self.error = None
        self.tool_calls = ()
        self.reply = None
        self.unknown_count = 0  # events this client does not know
        self.malformed_count = 0  # messages that are no JSON object, audio that is no base64
        self.stale_bytes = 0  # wire bytes of dead turns that were dropped
        self.unusual_count = 0  # audio events that took the slow path
        # A method is looked for in the object before its class, and not finding it there costs as much as calling it.
        self.encode_audio_into = self.encode_audio_into
        self.receive = self.receive
        self._decode_ahead = self._decode_ahead
        self._is_audio = self._is_audio
        self._is_live = self._turns.is_live

    # Connection

    def request(self):
        """(url, headers) of the WebSocket. The headers hold the token: never print them."""
        config = self._config
        query = "bot_id=" + config.bot_id
        if config.device_id:
            query += "&device_id=" + config.device_id
        url = config.cloud_url + ("&" if "?" in config.cloud_url else "?") + query
        return url, {"Authorization": "Bearer " + config.token, "User-Agent": "pipit"}

    def opened(self):
        """A connection is up: forget the old one; returns the first message, the whole configuration."""
        self._turns.reset()
        self._is_ready = False
        self._has_repeated_update = False
        self._failures = 0  # turns in a row on this connection
        return self._update()

    def refused(self, status, log_id=""):
        """The error of a handshake that was answered with this HTTP status."""
        return self._from_errors("refused", status, log_id)

    # Uplink

    def encode_audio_into(self, dst, at, frame):
        """Write the message that carries the wire bytes frame.buf[frame.at : frame.at + frame.n] into dst from `at`;
        returns the index behind it. It is masked, as WebSocket frames are, with the key in dst[at-4:at].
        """
        return b64_message_into(frame.buf, frame.at, frame.n, _APPEND, dst, at) + at

    def complete(self, now_ms):
        """The utterance is finished, its answer owed."""
        self._turns.owe(now_ms)
        return self._message("input_audio_buffer.complete")

    def clear(self):
        """What was said since the last `complete` is no question."""
        return self._message("input_audio_buffer.clear")

    def interrupt(self, now_ms):
        """No answer to anything asked so far may be heard; returns a message to send, or None."""
        return self._message("conversation.chat.cancel") if self._turns.interrupt(now_ms) else None

    def give_up(self, now_ms):
        """interrupt() of a question that was waited for in vain: the next answer belongs to the next question."""
        return self._message("conversation.chat.cancel") if self._turns.give_up(now_ms) else None

    def tool_outputs(self, outputs):
        """outputs: [(tool call id, text)], all calls of the last TOOL_CALL."""
        answers = [{"tool_call_id": call_id, "output": text} for call_id, text in outputs]
        data = {"chat_id": self._tool_chat_id, "tool_outputs": answers}
        return self._message("conversation.chat.submit_tool_outputs", data)

    # Downlink

    def receive(self, buf, start, n, now_ms):
        """One text message in buf[start:start+n]; returns an event of firmware/events.py, or "" for nothing to do.

        buf is a bytearray; an AUDIO event may be decoded in place. Never raises on what the cloud sends.

        Here and in what it calls for ordinary audio, locals and the deepest expression fit into 11 words: MicroPython
        takes a larger frame from the heap.
        """
        self.reply = None
        n += start  # from now on the end
        if self._ring is None or not self._decode_ahead(buf, start, n):
            return self._receive_slowly(buf, start, n, now_ms)
        start = self._found[_CHAT_ID]
        if self._is_live(buf, start, self._found[_CHAT_ID + 1] if start >= 0 else 0, now_ms):
            return events.AUDIO if self.audio_n else ""
        self.stale_bytes += self.audio_n
        return ""

    def _decode_ahead(self, buf, at, end):
        """Decode an ordinary audio event into the ring's free room. False: not ordinary, and nothing else has happened.

        The walk stops where the content begins, decoding finds its end, and the walk goes on behind that. Left to the
        slow way is all that needs more: another event, a backslash, bad base64, a member that comes twice, no room in
        one piece. That way sees the message untouched, so both agree.
        """
        self._found[0] = 0
        self._found[1] = _CONTENT >> 1
        at = json_walk(buf, at, end, self._names, self._found)
        if at < 0:
            return False
        n = self._ring.reserve((end - at) * 3 >> 2)
        if n < 0:
            return False
        self.audio_at = n
        n = b64_decode_into(buf, at, end - at & ~3, self._ring.buf, n)
        if n < 0:
            n = ~n
        # Whole groups of four characters; the closing brace stopped them at the latest.
        n = n // 3
        at += 4 * n
        n *= 3
        self.audio_n = n
        if buf[at] != _QUOTE:
            if not self._decode_padded(buf, at, end):
                return False
            at += 4
        if self.audio_buf is not self._ring.buf:
            self.audio_buf = self._ring.buf
        return (
            json_walk(buf, at + 1, end, self._names, self._found) == FOUND
            and self._found[_CONTENT] >= 0
            and self._is_audio(buf)
        )

    def _decode_padded(self, buf, at, end):
        """Decode the group of four characters that ends the content and is not full. False when it is none."""
        if at + 4 >= end or buf[at + 4] != _QUOTE:
            return False
        end = b64_decode_into(buf, at, 4, self._ring.buf, self.audio_at + self.audio_n)
        self.audio_n += end
        return end > 0

    def _is_audio(self, buf):
        at = self._found[_EVENT_TYPE]
        return at >= 0 and self._found[_EVENT_TYPE + 1] == _AUDIO_DELTA_BYTES and buf.startswith(_AUDIO_DELTA, at)

    def _receive_slowly(self, buf, start, end, now_ms):
        verdict = self._scan.scan(buf, start, end)
        if verdict == MALFORMED:
            self.malformed_count += 1
            return ""
        if verdict != FOUND or not self._is_audio(buf):
            return self._parsed(buf, start, end, now_ms)
        found = self._found
        at = found[_CHAT_ID]
        is_live = self._is_live(buf, at, found[_CHAT_ID + 1] if at >= 0 else 0, now_ms)
        at = found[_CONTENT]
        return self._audio(buf, at, found[_CONTENT + 1] if at >= 0 else 0, is_live)

    def _audio(self, buf, at, n, is_live):
        if n == 0:
            return ""
        if not is_live:
            self.stale_bytes += n * 3 // 4
            return ""
        decoded = b64_decode_into(buf, at, n, buf, at)
        if decoded < 0:
            self.malformed_count += 1
            return ""
        self.audio_buf = buf
        self.audio_at = at
        self.audio_n = decoded
        return events.AUDIO if decoded else ""

    def _parsed(self, buf, start, end, now_ms):
        try:
            message = parse_json(memoryview(buf)[start:end])
        except (ValueError, RuntimeError, MemoryError):  # not JSON or UTF-8; nested or large beyond this heap
            self.malformed_count += 1
            return ""
        if not isinstance(message, dict):
            self.malformed_count += 1
            return ""
        name = _text(message, "event_type")
        data = _object(message, "data")
        if name == "conversation.audio.delta":
            return self._audio_unusual(buf, start, end, data, now_ms)
        handler = _HANDLERS.get(name)
        if handler is None:
            self.unknown_count += 1
            return ""
        return handler(self, data, message, now_ms)

    def _audio_unusual(self, buf, start, end, data, now_ms):
        """An audio event with escapes, already parsed: put its base64 back into the buffer and go on as usual."""
        self.unusual_count += 1
        content = _text(data, "content").encode()
        chat_id = _text(data, "chat_id").encode()
        if len(content) > end - start:
            self.malformed_count += 1
            return ""
        buf[start : start + len(content)] = content
        return self._audio(buf, start, len(content), self._turns.is_live(chat_id, 0, len(chat_id), now_ms))

    def _ignore(self, data, message, now_ms):
        return ""

    def _on_updated(self, data, message, now_ms):
        self._keep_conversation(_object(data, "chat_config"))
        if self._is_ready:
            return ""
        self._is_ready = True
        self._has_greeted = True
        return events.LINK_READY

    def _on_error(self, data, message, now_ms):
        code = _number(data, "code")
        if code == _NOT_CANCELLABLE:
            self._turns.canceled(True, now_ms)  # what our cancel was for has ended: no other acknowledgement will come
            return ""
        self.error = self._error(code, _text(data, "msg"), _text(_object(message, "detail"), "logid"))
        if code == _CONVERSATION_UNKNOWN:
            self.conversation_id = ""  # the next connection starts a new one
        if not self._is_ready:
            return events.LINK_LOST
        if code == _CONFIG_REJECTED and not self._has_repeated_update:
            # The cloud has forgotten the format of our audio (esp-adf#1569): say it again, once a connection.
            self._has_repeated_update = True
            self.reply = self._update()
        if self.error.kind in (errors.TURN, errors.CONFIG, errors.BUSY):
            return events.FAILED if self._turns.unanswered() else ""
        return events.LINK_LOST

    def _on_speech_started(self, data, message, now_ms):
        if self._config.interrupt_keywords and self._turns.is_busy:
            return ""  # only a keyword interrupts; the cloud reports it as canceled
        self._turns.interrupt(now_ms)  # the cloud stops its answer by itself, so nothing is sent
        return events.SPEECH_STARTED

    def _on_speech_stopped(self, data, message, now_ms):
        self._turns.speech_stopped(now_ms)
        return events.SPEECH_STOPPED

    def _on_transcript(self, data, message, now_ms):
        self.text = _text(data, "content")
        self.is_final = message["event_type"].endswith("completed")
        is_wanted = self._turns.transcript(self.is_final, not self.text)
        if self.text and not self._config.log_transcripts:
            return ""  # asked for only to learn of an empty one
        return events.HEARD if is_wanted else ""

    def _on_sentence(self, data, message, now_ms):
        self.text = _text(data, "text")
        return events.SAID if self._turns.is_current(b"") else ""

    def _on_chat_created(self, data, message, now_ms):
        chat_id = _chat_id(data)
        if not chat_id:
            return ""
        self._keep_conversation(data)
        verdict = self._turns.created(chat_id, now_ms)
        if verdict == turns.DEAD:
            self.reply = self._message("conversation.chat.cancel")
        return events.TURN_STARTED if verdict == turns.LIVE else ""

    def _on_audio_completed(self, data, message, now_ms):
        return events.AUDIO_DONE if self._turns.is_current(_text(data, "chat_id").encode()) else ""

    def _on_chat_completed(self, data, message, now_ms):
        if not self._turns.done(_chat_id(data)):
            return ""
        self._failures = 0
        return events.TURN_DONE

    def _on_chat_failed(self, data, message, now_ms):
        if not self._turns.done(_chat_id(data)):
            return ""
        reason = _object(data, "last_error")
        log_id = _text(_object(message, "detail"), "logid")
        self.error = self._error(_number(reason, "code"), _text(reason, "msg"), log_id)
        # A cancel that came when nothing ran can spoil all that follows on this connection (coze.md 5.5).
        self._failures += 1
        return events.FAILED if self._failures < _FAILURES_MAX else events.LINK_LOST

    def _on_canceled(self, data, message, now_ms):
        is_ours = _number(data, "code") == _CANCELED_BY_CLIENT
        return events.CANCELLED if self._turns.canceled(is_ours, now_ms) else ""

    def _on_requires_action(self, data, message, now_ms):
        if not self._turns.is_current(_chat_id(data)):
            return ""
        calls = _object(_object(data, "required_action"), "submit_tool_outputs").get("tool_calls")
        self.tool_calls = [
            (_text(call, "id"), _text(_object(call, "function"), "name"), _text(_object(call, "function"), "arguments"))
            for call in (calls if isinstance(calls, list) else ())
            if isinstance(call, dict)
        ]
        self._tool_chat_id = _chat_id(data).decode()
        return events.TOOL_CALL if self.tool_calls else ""

    # Messages

    def _message(self, event_type, data=None):
        self._serial += 1
        message = {"id": "p%d" % self._serial, "event_type": event_type}
        if data is not None:
            message["data"] = data
        return json.dumps(message).encode()

    def _update(self):
        """The message with the whole configuration."""
        try:
            from . import coze_setup

            handled = ["conversation.audio.delta"] + list(_HANDLERS)
            data = coze_setup.data(self._config, self._user_id, self.conversation_id, self._has_greeted, handled)
        finally:
            unload(_PACKAGE, ("coze_setup",))
        return self._message("chat.update", data)

    def _keep_conversation(self, holder):
        self.conversation_id = _text(holder, "conversation_id") or self.conversation_id

    def _error(self, code, text, log_id):
        return self._from_errors("failed", code, text, log_id, self._config.token)

    def _from_errors(self, name, *args):
        try:
            from . import coze_errors

            return getattr(coze_errors, name)(*args)
        finally:
            unload(_PACKAGE, ("coze_errors",))


_HANDLERS = {
    "chat.created": Coze._ignore,
    "chat.updated": Coze._on_updated,
    "error": Coze._on_error,
    "input_audio_buffer.completed": Coze._ignore,
    "input_audio_buffer.cleared": Coze._ignore,
    "conversation.cleared": Coze._ignore,
    "conversation.message.completed": Coze._ignore,
    "conversation.message.delta": Coze._ignore,
    "input_audio_buffer.speech_started": Coze._on_speech_started,
    "input_audio_buffer.speech_stopped": Coze._on_speech_stopped,
    "conversation.audio_transcript.update": Coze._on_transcript,
    "conversation.audio_transcript.completed": Coze._on_transcript,
    "conversation.audio.sentence_start": Coze._on_sentence,
    "conversation.chat.created": Coze._on_chat_created,
    "conversation.chat.in_progress": Coze._on_chat_created,
    "conversation.audio.completed": Coze._on_audio_completed,
    "conversation.chat.completed": Coze._on_chat_completed,
    "conversation.chat.failed": Coze._on_chat_failed,
    "conversation.chat.canceled": Coze._on_canceled,
    "conversation.chat.requires_action": Coze._on_requires_action,
    "dump.audio": Coze._ignore,
}


def _text(holder, key):
    value = holder.get(key)
    if not isinstance(value, str):
        return ""
    try:
        value.encode()
    except ValueError:  # CPython: half of a surrogate pair
        return ""
    return value


def _number(holder, key):
    value = holder.get(key)
    if isinstance(value, str) and len(value) < 12:  # some samples quote their numbers
        try:
            return int(value)
        except ValueError:
            return 0
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _object(holder, key):
    value = holder.get(key)
    return value if isinstance(value, dict) else {}


def _chat_id(data):
    """Of a Chat object: `id`; samples also show a `chat_id` twin."""
    return (_text(data, "id") or _text(data, "chat_id")).encode()
