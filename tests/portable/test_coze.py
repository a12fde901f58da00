"""The Coze protocol object: what it sends, what it makes of every event of the fact sheet, and of bad ones."""

import binascii
import json

from byte_ring import ByteRing
from check import Clock, assert_no_allocation, seeded_bytes
from fake_audio import Place

from firmware import config, errors, events
from firmware.clouds import coze
from firmware.clouds.coze import Coze

TOKEN = "pat_secret_of_the_test"


def _config(**settings):
    base = {"bot_id": "7400000000000000001", "token": TOKEN, "uplink_codec": "pcm", "downlink_codec": "pcm"}
    base.update(settings)
    return config.parse(json.dumps(base))


_CONFIG = _config()


class Conversation:
    """A Coze with its settings, a clock, and words for what the cloud does. ring: where the audio goes."""

    def __init__(self, ring=None, **settings):
        self.ring = ring
        self.coze = Coze(_config(**settings) if settings else _CONFIG, user_id="unit-1", ring=ring)
        self.clock = Clock()
        self.update = json.loads(self.coze.opened())
        self.played = b""

    def hear(self, event_type, data=None, **more):
        message = {"id": "s", "event_type": event_type, "detail": {"logid": "log7"}}
        if data is not None:
            message["data"] = data
        message.update(more)
        return self.raw(json.dumps(message))

    def raw(self, text):
        text = text if isinstance(text, bytes) else text.encode()
        buf = bytearray(b"#" * 7 + text + b"#" * 7)
        event = self.coze.receive(buf, 7, len(text), self.clock.ms)
        if event == events.AUDIO:
            self.played += self.taken()
        assert buf[:7] == b"#" * 7 and buf[-7:] == b"#" * 7
        return event

    def taken(self):
        """The audio of the event, by way of the ring if there is one."""
        coze = self.coze
        if self.ring is None:
            return bytes(coze.audio_buf[coze.audio_at : coze.audio_at + coze.audio_n])
        got = bytearray(self.ring.write_from(coze.audio_buf, coze.audio_n, coze.audio_at))
        assert self.ring.read_into(got, len(got)) == len(got) == coze.audio_n
        return bytes(got)

    def ready(self):
        assert self.hear("chat.created") == ""
        data = {"chat_config": {"conversation_id": "conv1"}}
        assert self.hear("chat.updated", data) == events.LINK_READY
        return self

    def audio(self, chat_id, payload):
        return self.hear("conversation.audio.delta", {"content": b64(payload), "chat_id": chat_id, "content_type": "audio"})

    def answer_begins(self, chat_id="c1"):
        self.coze.complete(self.clock.ms)
        assert self.hear("conversation.chat.created", {"id": chat_id}) == events.TURN_STARTED
        return self


def b64(payload):
    return binascii.b2a_base64(payload).decode().strip()


def sent(message):
    return json.loads(message)


# What we send


def test_the_update_holds_the_whole_configuration():
    update = Conversation(voice_id="v9", speech_rate=20, asr_hot_words=["Pipit"], prologue=True).update
    assert update["event_type"] == "chat.update" and update["id"]
    data = update["data"]
    assert data["input_audio"] == {"format": "pcm", "codec": "pcm", "sample_rate": 16000, "channel": 1, "bit_depth": 16}
    out = data["output_audio"]
    assert out["codec"] == "pcm" and out["voice_id"] == "v9" and out["speech_rate"] == 20
    assert out["pcm_config"]["sample_rate"] == 16000
    assert out["pcm_config"]["limit_config"] == {"period": 1, "max_frame_num": 17}
    assert out["pcm_config"]["frame_size_ms"] == 60
    assert data["turn_detection"] == {"type": "client_interrupt"}
    assert data["asr_config"] == {"hot_words": ["Pipit"]}
    assert data["need_play_prologue"] is True
    assert data["chat_config"] == {"auto_save_history": True, "user_id": "unit-1"}


def test_an_empty_string_is_never_sent():
    text = json.dumps(Conversation().update)
    assert '""' not in text


def test_free_talk_asks_for_the_clouds_vad():
    update = Conversation(mode="free", vad_silence_ms=700, interrupt_keywords=["please stop"]).update
    assert update["data"]["turn_detection"] == {
        "type": "server_vad",
        "prefix_padding_ms": 600,
        "silence_duration_ms": 700,
        "interrupt_config": {"mode": "keyword_contains", "keywords": ["please stop"]},
    }


def test_g711_is_declared_as_pcm_at_8_khz():
    data = Conversation(uplink_codec="g711u", downlink_codec="g711a").update["data"]
    assert data["input_audio"]["format"] == "pcm" and data["input_audio"]["codec"] == "g711u"
    assert data["input_audio"]["sample_rate"] == 8000
    assert data["output_audio"]["codec"] == "g711a" and data["output_audio"]["pcm_config"]["sample_rate"] == 8000


def test_everything_that_is_handled_is_subscribed_with_its_real_name():
    conversation = Conversation()
    names = conversation.update["data"]["event_subscriptions"]
    assert len(set(names)) == len(names)
    for name in names:
        assert name in coze._HANDLERS or name == "conversation.audio.delta"
    for name in ("error", "conversation.chat.canceled", "conversation.chat.failed", "conversation.chat.created"):
        assert name in names
    quiet = Conversation(log_transcripts=False).update["data"]["event_subscriptions"]
    assert "conversation.audio_transcript.update" not in quiet and "conversation.audio_transcript.completed" in quiet


def test_a_reconnect_says_everything_again_with_the_kept_conversation():
    conversation = Conversation().ready()
    again = json.loads(conversation.coze.opened())
    assert again["data"]["chat_config"]["conversation_id"] == "conv1"
    again["data"]["chat_config"].pop("conversation_id")
    assert again["data"] == conversation.update["data"]


def test_the_request_names_agent_and_device_and_hides_nothing_else():
    url, headers = Conversation(device_id="42").coze.request()
    assert url == "wss://ws.coze.cn/v1/chat?bot_id=7400000000000000001&device_id=42"
    assert headers["Authorization"] == "Bearer " + TOKEN
    assert TOKEN not in url


def test_an_append_carries_exactly_the_bytes_masked():
    coze = Conversation().coze
    for n in (0, 1, 2, 3, 160, 640):
        payload = bytes(i * 7 & 0xFF for i in range(n))
        dst = bytearray(b"\xaa" * 1200)
        dst[10:14] = b"\x37\xfa\x21\x3d"
        end = coze.encode_audio_into(dst, 14, Place(payload, 7))
        assert dst[:14] == b"\xaa" * 10 + b"\x37\xfa\x21\x3d" and dst[end:] == b"\xaa" * (1200 - end)
        message = json.loads(bytes([dst[14 + i] ^ dst[10 + i % 4] for i in range(end - 14)]))
        assert message["event_type"] == "input_audio_buffer.append"
        assert binascii.a2b_base64(message["data"]["delta"]) == payload


def test_encoding_a_frame_allocates_nothing():
    assert_no_allocation(Conversation().coze.encode_audio_into, bytearray(1200), 14, Place(bytes(640)))


def test_control_messages():
    coze = Conversation().coze
    assert sent(coze.complete(0))["event_type"] == "input_audio_buffer.complete"
    assert sent(coze.clear())["event_type"] == "input_audio_buffer.clear"


# A turn


def test_a_whole_push_to_talk_turn():
    c = Conversation().ready()
    c.coze.complete(0)
    assert c.hear("input_audio_buffer.completed") == ""
    assert c.hear("conversation.audio_transcript.update", {"content": "what"}) == events.HEARD
    assert not c.coze.is_final
    assert c.hear("conversation.audio_transcript.completed", {"content": "what time"}) == events.HEARD
    assert c.coze.is_final and c.coze.text == "what time"
    assert c.hear("conversation.chat.created", {"id": "c1", "conversation_id": "conv1"}) == events.TURN_STARTED
    assert c.hear("conversation.chat.in_progress", {"id": "c1"}) == ""
    assert c.hear("conversation.audio.sentence_start", {"text": "Noon."}) == events.SAID
    assert c.coze.text == "Noon."
    pieces = [bytes(range(i, i + 60)) for i in range(5)]
    for piece in pieces:
        assert c.audio("c1", piece) == events.AUDIO
    assert c.played == b"".join(pieces)
    assert c.hear("conversation.message.completed", {"type": "answer", "content": "Noon."}) == ""
    assert c.hear("conversation.audio.completed", {"chat_id": "c1"}) == events.AUDIO_DONE
    assert c.hear("conversation.chat.completed", {"id": "c1"}) == events.TURN_DONE
    assert c.coze.unknown_count == 0 and c.coze.malformed_count == 0


def test_no_audio_may_flow_before_the_update_is_accepted():
    c = Conversation()
    assert c.hear("chat.created") == ""
    assert c.hear("chat.updated", {}) == events.LINK_READY
    assert c.hear("chat.updated", {}) == ""  # a second one changes nothing


def test_an_interrupted_answer_is_cancelled_and_its_late_audio_dropped():
    c = Conversation().ready().answer_begins()
    c.audio("c1", b"heard")
    assert sent(c.coze.interrupt(c.clock.ms))["event_type"] == "conversation.chat.cancel"
    assert c.audio("c1", b"late!!") == ""
    assert c.hear("conversation.audio.sentence_start", {"text": "late"}) == ""
    assert c.hear("conversation.chat.canceled", {"code": 2, "msg": "x"}) == ""
    assert c.audio("c1", b"later!") == ""
    assert c.played == b"heard" and c.coze.stale_bytes == 12
    c.answer_begins("c2")
    assert c.audio("c1", b"never") == "" and c.audio("c2", b"new") == events.AUDIO
    assert c.played == b"heardnew"


def test_a_question_interrupted_before_its_answer_is_cancelled_when_it_shows():
    c = Conversation().ready()
    c.coze.complete(0)
    assert c.coze.interrupt(0) is None
    assert c.hear("conversation.chat.created", {"id": "c1"}) == ""
    assert sent(c.coze.reply)["event_type"] == "conversation.chat.cancel"
    assert c.audio("c1", b"no") == ""
    assert c.hear("conversation.chat.completed", {"id": "c1"}) == ""


def test_canceled_without_data_is_an_acknowledgement():
    c = Conversation().ready().answer_begins()
    c.coze.interrupt(0)
    assert c.hear("conversation.chat.canceled") == ""
    c.answer_begins("c2")
    assert c.hear("conversation.chat.canceled", {"code": 3}) == events.CANCELLED  # a message by hand took its place
    assert c.audio("c2", b"no") == ""


def test_free_talk_speech_over_an_answer_kills_it_without_a_message():
    c = Conversation(mode="free").ready()
    assert c.hear("input_audio_buffer.speech_stopped") == events.SPEECH_STOPPED
    assert c.hear("conversation.chat.created", {"id": "c1"}) == events.TURN_STARTED
    assert c.audio("c1", b"yes") == events.AUDIO
    assert c.hear("input_audio_buffer.speech_started") == events.SPEECH_STARTED
    assert c.coze.reply is None
    assert c.audio("c1", b"no") == ""
    assert c.hear("conversation.chat.canceled", {"code": 1}) == ""
    assert c.hear("input_audio_buffer.speech_stopped") == events.SPEECH_STOPPED
    assert c.hear("conversation.chat.created", {"id": "c2"}) == events.TURN_STARTED
    assert c.audio("c2", b"!") == events.AUDIO


def test_with_keywords_only_the_clouds_cancel_stops_an_answer():
    c = Conversation(mode="free", interrupt_keywords=["please stop"]).ready()
    c.hear("input_audio_buffer.speech_stopped")
    c.hear("conversation.chat.created", {"id": "c1"})
    assert c.hear("input_audio_buffer.speech_started") == ""
    assert c.audio("c1", b"on") == events.AUDIO
    assert c.hear("conversation.chat.canceled", {"code": 1}) == events.CANCELLED
    assert c.audio("c1", b"no") == ""


def test_a_prologue_plays_without_a_chat_id():
    c = Conversation(prologue=True).ready()
    delta = json.dumps({"event_type": "conversation.audio.delta", "data": {"content": b64(b"hello")}})
    assert c.raw(delta) == events.AUDIO
    c.coze.interrupt(0)
    assert c.raw(delta) == ""


def test_an_empty_transcript_says_that_nothing_was_heard():
    c = Conversation().ready()
    c.coze.complete(0)
    assert c.hear("conversation.audio_transcript.completed", {"content": ""}) == events.HEARD
    assert c.coze.text == "" and c.coze.is_final


def test_a_tool_call_is_read_and_answered_in_one_message():
    c = Conversation().ready().answer_begins()
    calls = [
        {"id": "t1", "type": "function", "function": {"name": "set_volume", "arguments": '{"percent": 40}'}},
        {"id": "t2", "type": "function", "function": {"name": "dance", "arguments": "{"}, "require_info": None},
        "not a call",
    ]
    action = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": calls}}
    data = {"id": "c1", "status": "requires_action", "required_action": action}
    assert c.hear("conversation.chat.requires_action", data) == events.TOOL_CALL
    assert c.coze.tool_calls == [("t1", "set_volume", '{"percent": 40}'), ("t2", "dance", "{")]
    answer = sent(c.coze.tool_outputs([("t1", "ok"), ("t2", "no")]))
    assert answer["event_type"] == "conversation.chat.submit_tool_outputs"
    assert answer["data"] == {
        "chat_id": "c1",
        "tool_outputs": [{"tool_call_id": "t1", "output": "ok"}, {"tool_call_id": "t2", "output": "no"}],
    }


# Errors


def test_error_codes_fall_into_classes():
    expected = {
        4000: errors.CONFIG, 4100: errors.TOKEN, 4009: errors.BUSY, 4020: errors.BUSY, 5000: errors.BUSY,
        4008: errors.REFUSED, 4015: errors.AGENT, 4027: errors.REFUSED, 4028: errors.REFUSED, 4101: errors.REFUSED,
        4014: errors.TURN, 123456: errors.TURN,
    }  # fmt: skip
    for code, kind in expected.items():
        c = Conversation().ready()
        event = c.hear("error", {"code": code, "msg": "reason"})
        assert event == (events.LINK_LOST if kind in (errors.TOKEN, errors.REFUSED, errors.AGENT) else events.FAILED), code
        assert c.coze.error.kind == kind and c.coze.error.code == code and c.coze.error.log_id == "log7"
        assert "reason" in c.coze.error.text and str(code) in c.coze.error.text


def test_an_error_before_the_update_is_accepted_ends_the_attempt():
    c = Conversation()
    assert c.hear("error", {"code": 4000, "msg": "bad voice"}) == events.LINK_LOST
    assert c.coze.error.kind == errors.CONFIG


def test_a_forgotten_format_is_told_again_once_a_connection():
    c = Conversation().ready()
    c.hear("error", {"code": 4000, "msg": "expected format wav"})
    assert sent(c.coze.reply)["event_type"] == "chat.update"
    c.hear("error", {"code": 4000, "msg": "expected format wav"})
    assert c.coze.reply is None


def test_a_refused_conversation_is_given_up():
    c = Conversation(conversation_id="old")
    assert c.update["data"]["chat_config"]["conversation_id"] == "old"
    c.hear("error", {"code": 4002, "msg": "no such conversation"})
    assert "conversation_id" not in json.loads(c.coze.opened())["data"]["chat_config"]


def test_not_cancellable_is_no_error():
    assert Conversation().ready().hear("error", {"code": 4104, "msg": "done already"}) == ""


def test_a_failed_turn_tells_its_reason():
    c = Conversation().ready().answer_begins()
    data = {"id": "c1", "last_error": {"code": 4013, "msg": "model down"}}
    assert c.hear("conversation.chat.failed", data) == events.FAILED
    assert c.coze.error.kind == errors.BUSY and "model down" in c.coze.error.text


def test_a_secret_in_an_error_text_is_hidden():
    c = Conversation().ready()
    c.hear("error", {"code": 4100, "msg": "bad token " + TOKEN})
    assert TOKEN not in str(c.coze.error)


def test_a_refused_handshake_names_the_cure():
    coze = Conversation().coze
    assert coze.refused(401).kind == errors.TOKEN
    assert coze.refused(403).kind == errors.REFUSED
    assert coze.refused(404).kind == errors.CONFIG
    for status in (429, 500, 502, 503):
        assert coze.refused(status).kind == errors.BUSY


# Any legal form, and bad input

PAYLOAD = bytes(range(250, 256)) + bytes(range(200))


def test_every_legal_json_form_of_an_audio_event_gives_the_same_bytes():
    content = b64(PAYLOAD)
    assert "+" in content or "/" in content
    forms = (
        '{"event_type":"conversation.audio.delta","data":{"content":"%s","chat_id":"c1"}}' % content,
        '{"data":{"chat_id":"c1","content":"%s"},"event_type":"conversation.audio.delta"}' % content,
        ' {\n "data" : {\t"meta" : {"content":"x","chat_id":"y"} , "content" : "%s" , "chat_id":"c1" } ,\r\n "event_type" : "conversation.audio.delta" } '
        % content,
        '{"event_type":"conversation.audio.delta","data":{"content":"%s","chat_id":"c1"}}' % content.replace("/", "\\/"),
        '{"event_type":"conversation.audio.delta","data":{"content":"%s","chat_id":"c1"}}' % content.replace("+", "\\u002B"),
        '{"event_type":"conversation\\u002eaudio.delta","data":{"content":"%s","chat_id":"c1"}}' % content,
        '{"event_type":"conversation.audio.delta","data":{"cont\\u0065nt":"%s","chat_id":"\\u00631"}}' % content,
        '{"pad":"%s","event_type":"conversation.audio.delta","data":{"x":[%s0],"content":"%s","chat_id":"c1"}}'
        % ("p" * 20000, "0," * 5000, content),
    )
    for i, form in enumerate(forms):
        for ring in (None, ByteRing(100000), ByteRing(250)):
            c = Conversation(ring).ready().answer_begins()
            assert c.raw(form) == events.AUDIO, form[:80]
            assert c.played == PAYLOAD, form[:80]
            assert c.coze.unusual_count == (1 if 3 <= i <= 6 else 0), form[:80]


def test_ordinary_audio_is_decoded_into_the_free_room_of_the_ring_and_nothing_else_is_touched():
    for n in range(60):
        payload = bytes((i * 37 + n & 0xFF) for i in range(n))
        for form in (
            '{"event_type":"conversation.audio.delta","data":{"content":"%s","chat_id":"c1"}}',
            '{"data":{"chat_id":"c1","content":"%s"},"event_type":"conversation.audio.delta"}',
            '{"event_type":"conversation.audio.delta","data":{"chat_id":"c1","content":"%s"}}',
        ):
            ring = ByteRing(300)
            ring.write_from(b"before", 6)
            c = Conversation(ring).ready().answer_begins()
            text = bytearray((form % b64(payload)).encode())
            kept = bytes(text)
            assert c.coze.receive(text, 0, len(text), 0) == (events.AUDIO if n else ""), (n, form)
            assert text == kept, (n, form)
            assert ring.used == 6 and c.coze.audio_n == n
            if n:
                assert c.coze.audio_buf is ring.buf and c.coze.audio_at == 6
                assert ring.write_from(c.coze.audio_buf, n, 6) == n
            got = bytearray(6 + n)
            assert ring.read_into(got, len(got)) == 6 + n and got == b"before" + payload


def outcome(c, text):
    """What one message does to a conversation, all of it that can be seen."""
    before = len(c.played)
    event = c.raw(text)
    turns = c.coze._turns
    return (
        event, c.played[before:], c.coze.malformed_count, c.coze.unknown_count, c.coze.unusual_count,
        turns.current, turns.is_busy, turns._is_anonymous, len(turns._owed), len(turns._dead),
    )  # fmt: skip


def test_with_a_ring_every_message_does_what_it_does_without_one():
    """Events that were cut, changed in one byte or put together oddly: the quick way and the slow one agree."""
    chance = seeded_bytes(5)
    delta = (
        b'{"id":"1","event_type":"conversation.audio.delta","data":{"id":"2","type":"answer","content":"%s",'
        b'"content_type":"audio","chat_id":"c1"},"detail":{"logid":"x"}}' % b64(PAYLOAD[:50]).encode()
    )
    odd = [
        delta.replace(b'"content_type":"audio"', b'"content":"QUJD"'),
        delta.replace(b'"content_type":"audio"', b'"content":7'),
        delta.replace(b'"detail":{"logid":"x"}', b'"data":{"chat_id":"c1"}'),
        delta.replace(b'"detail":{"logid":"x"}', b'"data":{"chat_id":"c2","content":"QUJD"}'),
        delta.replace(b'"detail":{"logid":"x"}', b'"event_type":"chat.updated"'),
        delta.replace(b'"detail":{"logid":"x"}', b'"event_type":5'),
        delta.replace(b'"chat_id":"c1"', b'"chat_id":"c9"'),
        delta.replace(b'"chat_id":"c1"', b'"chat_id":""'),
        delta.replace(b'"chat_id":"c1"', b'"chat_id":null'),
        delta.replace(b'"chat_id":"c1"', b'"chat_id":"c\\u0031"'),
        delta.replace(b"conversation.audio.delta", b"conversation.message.delta"),
    ]
    places = range(0, len(delta), 1)
    changed = [delta[:i] + bytes([b'"\\}{,:=A \xe9'[chance(1)[0] % 10]]) + delta[i + 1 :] for i in places]
    for text in odd + changed + [delta[:i] for i in places]:
        plain = Conversation().ready().answer_begins()
        ringed = Conversation(ByteRing(400)).ready().answer_begins()
        for message in (text, delta):
            assert outcome(ringed, message) == outcome(plain, message), text
        assert plain.coze.stale_bytes - 2 <= ringed.coze.stale_bytes <= plain.coze.stale_bytes, text


def test_late_audio_of_a_dead_turn_is_counted_and_not_taken():
    c = Conversation(ByteRing(400)).ready().answer_begins()
    c.coze.interrupt(c.clock.ms)
    assert c.audio("c1", bytes(100)) == "" and c.coze.stale_bytes == 100
    assert c.coze.unusual_count == c.coze.malformed_count == 0


def test_an_answer_goes_round_and_round_the_ring():
    ring = ByteRing(500)
    c = Conversation(ring).ready().answer_begins()
    ahead = 0
    sent = b""
    for n in range(1, 120):
        payload = bytes((i * 31 + n & 0xFF) for i in range(n))
        sent += payload
        assert c.audio("c1", payload) == events.AUDIO
        ahead += c.coze.audio_buf is ring.buf
    assert c.played == sent
    assert 60 < ahead < 119


def test_receiving_audio_allocates_nothing():
    c = Conversation(ByteRing(4000)).ready().answer_begins()
    text = '{"event_type":"conversation.audio.delta","data":{"content":"%s","chat_id":"c1"}}' % b64(bytes(960))
    buf = bytearray(text.encode())
    assert assert_no_allocation(c.coze.receive, buf, 0, len(buf), 0) == events.AUDIO


def test_empty_audio_is_nothing():
    c = Conversation().ready().answer_begins()
    assert c.audio("c1", b"") == ""
    assert c.hear("conversation.audio.delta", {}) == "" and c.hear("conversation.audio.delta") == ""


def test_bad_base64_is_dropped_and_counted():
    c = Conversation().ready().answer_begins()
    for content in ("QUJ", "QU*D", "QUJD=", "=QUJ", "QUJDQ===", "Q\u00e9JD"):
        assert c.hear("conversation.audio.delta", {"content": content, "chat_id": "c1"}) == "", content
    assert c.coze.malformed_count == 6
    assert c.audio("c1", b"on we go") == events.AUDIO


def test_bad_messages_are_counted_and_the_conversation_goes_on():
    c = Conversation().ready().answer_begins()
    bad = ("", "{", "[]", "null", "7", '"x"', "{]", "\x00\x01", b"\xff\xfe", b'{"event_type":"\xff"}', "[" * 3000, '{"a":' * 3000)
    for text in bad:
        assert c.raw(text) == "", text
    assert c.coze.malformed_count == len(bad)
    assert c.audio("c1", b"on") == events.AUDIO


def test_members_of_a_wrong_type_count_as_absent():
    c = Conversation().ready().answer_begins()
    for name in sorted(coze._HANDLERS):
        for data in (None, 5, [], "x", {"code": {}, "id": 7, "content": [], "chat_config": 1, "last_error": "x", "msg": 3}):
            message = {"event_type": name, "data": data, "detail": 3}
            c.raw(json.dumps(message))
    assert c.raw('{"event_type":5}') == "" and c.raw('{"event_type":null,"data":{}}') == ""


def test_unknown_events_are_ignored_and_counted():
    c = Conversation().ready()
    assert c.hear("conversation.brand.new", {"x": 1}) == "" and c.hear("") == ""
    assert c.coze.unknown_count == 2


# What a failed question owes


def test_an_error_settles_the_question_that_caused_it():
    """The next question must not pay for it."""
    c = Conversation().ready()
    c.coze.complete(0)
    assert c.hear("error", {"code": 4013, "msg": "model down"}) == events.FAILED
    c.coze.interrupt(0)
    c.answer_begins("c2")
    assert c.audio("c2", b"yes") == events.AUDIO


def test_a_turn_that_fails_before_its_created_settles_its_question():
    c = Conversation().ready()
    c.coze.complete(0)
    assert c.hear("conversation.chat.failed", {"id": "c1", "last_error": {"code": 4013}}) == events.FAILED
    c.coze.interrupt(0)
    c.answer_begins("c2")
    assert c.audio("c2", b"yes") == events.AUDIO


def test_an_error_about_an_interrupted_question_is_not_about_this_one():
    c = Conversation().ready()
    c.coze.complete(0)
    c.coze.interrupt(0)
    assert c.hear("error", {"code": 4014, "msg": "cannot be answered"}) == ""


def test_not_cancellable_acknowledges_the_cancel():
    c = Conversation().ready().answer_begins("c1")
    c.coze.interrupt(0)
    c.hear("error", {"code": 4104, "msg": "over already"})
    c.answer_begins("c2")
    assert c.hear("conversation.chat.canceled", {"code": 1}) == events.CANCELLED


def test_the_prologue_is_spoken_once_not_at_every_reconnect():
    c = Conversation(prologue=True)
    assert c.update["data"]["need_play_prologue"] is True
    c.ready()
    assert json.loads(c.coze.opened())["data"]["need_play_prologue"] is False


def test_transcripts_that_were_not_asked_for_are_not_told():
    c = Conversation(log_transcripts=False).ready()
    c.coze.complete(0)
    assert c.hear("conversation.audio_transcript.completed", {"content": "a secret"}) == ""
    c.coze.complete(0)
    assert c.hear("conversation.audio_transcript.completed", {"content": ""}) == events.HEARD


def test_texts_and_numbers_that_python_cannot_hold_are_absent():
    c = Conversation().ready()
    assert c.raw('{"event_type":"conversation.chat.created","data":{"id":"\\ud800"}}') in ("", events.TURN_STARTED)
    for number in ('"' + "9" * 5000 + '"', '"\u00b2"', '"-7"', "1e999", "true"):
        event = c.raw('{"event_type":"error","data":{"code":%s,"msg":"x"}}' % number)
        assert event == events.FAILED, number


def test_two_turns_that_fail_in_a_row_make_the_connection_anew():
    """A cancel that came when nothing ran can spoil all that follows on a connection; one failure is bad luck."""

    def fails(c, chat_id):
        c.answer_begins(chat_id)
        return c.hear("conversation.chat.failed", {"id": chat_id, "last_error": {"code": 4013, "msg": "model down"}})

    def is_answered(c, chat_id):
        c.answer_begins(chat_id)
        return c.hear("conversation.chat.completed", {"id": chat_id})

    c = Conversation().ready()
    assert fails(c, "c1") == events.FAILED
    assert is_answered(c, "c2") == events.TURN_DONE
    assert fails(c, "c3") == events.FAILED  # not in a row
    assert fails(c, "c4") == events.LINK_LOST
    assert c.coze.error.kind == errors.BUSY and "model down" in c.coze.error.text
    c.coze.opened()  # the new connection has a clean record
    c.ready()
    assert fails(c, "c5") == events.FAILED
    assert fails(c, "c6") == events.LINK_LOST
