"""The emulated cloud as a pure object, on a stepped clock: what it answers, when, and byte by byte."""

import array
import base64
import json
import random
from pathlib import Path

import pytest

from tools.cloud import audio, events, faults, g711, outgoing, protocol, records, scenario, vad

QUESTIONS = Path(__file__).parent / "speech"
NOISE_3S = {"text": "Here is the answer to it.", "audio": {"signal": "noise", "ms": 3000}}
PACED = {"sample_rate": 16000, "frame_size_ms": 60, "limit_config": {"period": 1, "max_frame_num": 17}}


class Client:
    """A client in the same thread: sends at a time of its own, and keeps what it got as (ms, outgoing)."""

    def __init__(self, script, token="T", seed=1, cloud=None, query=None):
        self.cloud = cloud or protocol.Cloud(scenario.load(script), random.Random(seed), token="T")
        self.now_ms = 0
        self.got = []
        query = {"bot_id": "73", **(query or {})}
        assert self.cloud.refusal("/v1/chat", query, {"authorization": "Bearer " + token}) is None
        self.link = self.cloud.connect(query, {"authorization": "Bearer " + token}, 0)
        self.run(0)

    def run(self, for_ms=0, step_ms=None):
        """Let time pass, deadline by deadline (or in coarse steps)."""
        end_ms = self.now_ms + for_ms
        while True:
            due_ms = self.link.next_deadline_ms if step_ms is None else self.now_ms + step_ms
            if due_ms is None or due_ms > end_ms or self.now_ms >= end_ms and step_ms:
                break
            self._advance(due_ms)
        self._advance(end_ms)
        return self

    def _advance(self, now_ms):
        self.now_ms = max(self.now_ms, now_ms)
        self.link.advance(self.now_ms)
        self.got += [(self.now_ms, out) for out in self.link.take()]

    def send(self, event_type, data=None, event_id=None):
        event = {"event_type": event_type}
        if data is not None:
            event["data"] = data
        if event_id is not None:
            event["id"] = event_id
        self.link.receive_text(json.dumps(event), self.now_ms)
        return self.run(0)

    def configure(self, output=None, codec="pcm", rate_hz=16000, **more):
        source = {"format": "pcm", "codec": codec, "sample_rate": rate_hz, "channel": 1, "bit_depth": 16}
        sink = output or {"codec": "pcm", "pcm_config": PACED}
        self.send("chat.update", {"input_audio": source, "output_audio": sink, **more}, event_id="my-update")
        return self.run(50)

    def append(self, wire):
        return self.send("input_audio_buffer.append", {"delta": base64.b64encode(wire).decode()})

    def talk(self, wire, bytes_per_ms=32):
        """20 ms pieces in real time."""
        for at in range(0, len(wire), 20 * bytes_per_ms):
            self.append(wire[at : at + 20 * bytes_per_ms])
            self.run(20)
        return self

    def ask(self):
        """A push-to-talk question that nobody listens to closely."""
        self.talk(bytes(3200))
        return self.send("input_audio_buffer.complete", event_id="my-complete")

    def events(self, kind=None):
        """The decoded JSON of every text message, or of those of this event type."""
        decoded = [json.loads(_text_of(out)) for _, out in self.got if _text_of(out)]
        return [e for e in decoded if kind is None or e["event_type"] == kind]

    def types(self):
        """Event types in order, runs of the same one as one."""
        out = []
        for event in self.events():
            if not out or out[-1] != event["event_type"]:
                out.append(event["event_type"])
        return out

    def audio(self):
        return b"".join(base64.b64decode(e["data"]["content"]) for e in self.events(events.AUDIO_DELTA))

    def errors(self):
        return [(e["data"]["code"], e["data"]["msg"]) for e in self.events(events.ERROR)]

    def times(self, kind):
        return [ms for ms, out in self.got if _text_of(out) and json.loads(_text_of(out))["event_type"] == kind]


def _text_of(out):
    if isinstance(out, outgoing.Text):
        return out.text
    if isinstance(out, outgoing.Fragments):
        return b"".join(out.pieces).decode()
    return None


def turns(*specs, **more):
    return {"turns": [{"heard": "a question", "answer": [NOISE_3S], **spec} for spec in specs or ({},)], **more}


def with_fault(*specs):
    return turns({"faults": list(specs)})


def question(name):
    rate_hz, samples = audio.read_wav(QUESTIONS / (name + ".wav"))
    assert rate_hz == 16000
    return audio.to_little_endian(samples)


# --- the door ---


@pytest.mark.parametrize("header, query", [
    (None, {}), ("T", {}), ("Bearer U", {}), ("Bearer Bearer T", {}), (None, {"authorization": "T"}),
])
def test_wrong_token_is_refused_in_the_handshake(header, query):
    cloud = protocol.Cloud(scenario.load(turns()), random.Random(1), token="T")
    headers = {"authorization": header} if header else {}
    refusal = cloud.refusal("/v1/chat", {"bot_id": "1", **query}, headers)
    assert refusal.status == 401
    assert json.loads(refusal.body)["code"] == 4100
    assert refusal.headers["x-tt-logid"]
    assert "T" not in json.loads(refusal.body)["msg"]


def test_token_in_the_query_is_welcome():
    cloud = protocol.Cloud(scenario.load(turns()), random.Random(1), token="T")
    assert cloud.refusal("/v1/chat", {"bot_id": "1", "authorization": "Bearer T"}, {}) is None


@pytest.mark.parametrize("path, query, status", [
    ("/v1/chats", {"bot_id": "1"}, 404), ("/v1/chat", {}, 400), ("/v1/chat", {"bot_id": "x"}, 400),
    ("/v1/chat", {"bot_id": "1", "device_id": "aa:bb"}, 400),
])
def test_wrong_address_is_refused(path, query, status):
    cloud = protocol.Cloud(scenario.load(turns()), random.Random(1), token="T")
    assert cloud.refusal(path, query, {"authorization": "Bearer T"}).status == status


def test_wrong_token_as_an_error_event_then_close():
    client = Client(turns(token_refusal="event"), token="U").run(100)
    assert client.errors() == [(4100, "authentication is invalid")]
    assert client.got[-1][1] == outgoing.Close(1000, "authentication is invalid")
    assert client.link.is_over


# --- configuration ---


def test_created_is_first_and_updated_repeats_the_effective_configuration():
    client = Client(turns()).configure(chat_config={"user_id": "u"})
    assert client.types() == ["chat.created", "chat.updated"]
    updated = client.events("chat.updated")[0]
    assert updated["id"] == "my-update"
    assert updated["data"]["turn_detection"] == {
        "type": "client_interrupt", "prefix_padding_ms": 600, "silence_duration_ms": 500}
    assert updated["data"]["chat_config"]["conversation_id"].isdigit()
    assert updated["detail"]["logid"] == client.link.logid


def test_conversation_id_is_kept_over_a_reconnect():
    first = Client(turns()).configure()
    known = first.events("chat.updated")[0]["data"]["chat_config"]["conversation_id"]
    second = Client(None, cloud=first.cloud).configure(chat_config={"conversation_id": known})
    assert second.events("chat.updated")[0]["data"]["chat_config"]["conversation_id"] == known
    assert second.link.conversation is first.link.conversation


@pytest.mark.parametrize("data, field", [
    ({"input_audio": {"format": "mp3"}}, "input_audio.format"),
    ({"input_audio": {"sample_rate": 16001}}, "input_audio.sample_rate"),
    ({"input_audio": {"codec": "g711a", "format": "pcm"}}, "input_audio.sample_rate"),
    ({"input_audio": {"codec": "g711u", "sample_rate": 8000}}, "input_audio.format"),
    ({"input_audio": []}, "input_audio"),
    ({"output_audio": {"codec": "flac"}}, "output_audio.codec"),
    ({"output_audio": {"codec": "opus"}}, "output_audio.codec"),
    ({"output_audio": {"speech_rate": 101}}, "output_audio.speech_rate"),
    ({"output_audio": {"pcm_config": {"frame_size_ms": 1001}}}, "output_audio.pcm_config.frame_size_ms"),
    ({"output_audio": {"pcm_config": {"limit_config": {"period": 1, "max_frame_num": 17}}}},
     "output_audio.pcm_config.frame_size_ms"),
    ({"output_audio": {"pcm_config": {"frame_size_ms": 60, "limit_config": {"period": 1}}}},
     "output_audio.pcm_config.limit_config.max_frame_num"),
    ({"output_audio": {"pcm_config": {"frame_size_ms": 60, "limit_config": {"period": 0.5, "max_frame_num": 9}}}},
     "output_audio.pcm_config.limit_config.period"),
    ({"chat_config": {"conversation_id": ""}}, "chat_config.conversation_id"),
    ({"chat_config": {"user_id": 5}}, "chat_config.user_id"),
    ({"chat_config": {"auto_save_history": "yes"}}, "chat_config.auto_save_history"),
    ({"chat_config": {"custom_variables": {"a1": "x"}}}, "chat_config.custom_variables"),
    ({"chat_config": {"extra_params": {"altitude": "3"}}}, "chat_config.extra_params"),
    ({"chat_config": {"meta_data": {str(i): "x" for i in range(17)}}}, "chat_config.meta_data"),
    ({"turn_detection": {"type": "client_vad"}}, "turn_detection.type"),
    ({"turn_detection": {"type": "semantic_vad"}}, "turn_detection.type"),
    ({"turn_detection": {"silence_duration_ms": "500"}}, "turn_detection.silence_duration_ms"),
    ({"turn_detection": {"interrupt_config": {"mode": "keyword_contains", "keywords": ["short"]}}},
     "turn_detection.interrupt_config.keywords"),
    ({"turn_detection": {"interrupt_config": {"mode": "keyword_contains", "keywords": ["no, really"]}}},
     "turn_detection.interrupt_config.keywords"),
    ({"turn_detection": {"interrupt_config": {"mode": "keyword_contains", "keywords": ["keywords"] * 6}}},
     "turn_detection.interrupt_config.keywords"),
    ({"turn_detection": {"interrupt_config": {"mode": "keyword_contains"}}}, "turn_detection.interrupt_config"),
    ({"need_play_prologue": 1}, "need_play_prologue"),
    ({"event_subscriptions": "error"}, "event_subscriptions"),
])
def test_bad_configuration_is_error_4000_that_names_the_field(data, field):
    client = Client(turns()).send("chat.update", data).run(50)
    (code, text), = client.errors()
    assert code == 4000
    assert text.startswith(field + ":")
    assert "chat.updated" not in client.types()
    assert client.events("error")[0]["detail"]["origin_message"].startswith('{"event_type": "chat.update"')


def test_unknown_members_are_kept_for_the_curious():
    client = Client(turns()).configure(turn_detection={"threshold": 0.5}, colour="red")
    assert client.link.unknown_members == ["colour", "turn_detection.threshold"]
    assert client.errors() == []


def test_unknown_conversation_is_4002_where_the_scenario_says_so():
    client = Client(turns(known_conversations_only=True)).configure(chat_config={"conversation_id": "123"})
    assert client.errors()[0][0] == 4002


def test_raw_audio_without_configuration_meets_the_wav_default():
    client = Client(turns()).append(bytes(640))
    (code, text), = client.errors()
    assert code == 4000
    assert "expected format wav" in text and "chat.update" in text
    # Also between chat.update and chat.updated: the new configuration does not hold yet.
    client = Client(turns()).send("chat.update", {"input_audio": {"format": "pcm"}}).append(bytes(640))
    assert client.errors()[0][0] == 4000


def test_wav_audio_is_accepted_under_the_wav_default(tmp_path):
    audio.write_wav(tmp_path / "a.wav", bytes(range(200)), 24000)
    client = Client(turns()).append((tmp_path / "a.wav").read_bytes()).append(bytes(10))
    client.send("input_audio_buffer.complete")
    assert client.cloud.utterances[0].wire == bytes(range(200)) + bytes(10)
    assert client.errors() == []


# --- a push-to-talk turn ---


def test_push_to_talk_turn_in_the_order_of_the_documents():
    client = Client(turns()).configure().ask().run(8000)
    assert client.types() == [
        "chat.created", "chat.updated", "input_audio_buffer.completed",
        "conversation.audio_transcript.update", "conversation.audio_transcript.completed",
        "conversation.chat.created", "conversation.chat.in_progress", "conversation.message.delta",
        "conversation.audio.sentence_start", "conversation.message.completed", "conversation.audio.delta",
        "conversation.audio.completed", "conversation.chat.completed",
    ]
    turn, = client.cloud.turns
    assert client.events("input_audio_buffer.completed")[0]["id"] == "my-complete"
    assert {e["data"]["chat_id"] for e in client.events(events.AUDIO_DELTA)} == {turn.chat_id}
    assert "".join(e["data"]["content"] for e in client.events(events.MESSAGE_DELTA)) == NOISE_3S["text"]
    assert [e["data"]["type"] for e in client.events(events.MESSAGE_COMPLETED)] == ["answer", "verbose"]
    assert client.events(events.TRANSCRIPT_COMPLETED)[0]["data"] == {"content": "a question"}
    usage = client.events(events.TURN_COMPLETED)[0]["data"]["usage"]
    assert usage == {"token_count": 8, "input_count": 2, "output_count": 6}
    assert turn.status == records.COMPLETED


def test_records_hold_exactly_what_travelled():
    uplink = array.array("h", range(1000)).tobytes()
    client = Client(turns()).configure().talk(uplink).send("input_audio_buffer.complete").run(8000)
    turn, = client.cloud.turns
    assert turn.utterance.wire == uplink == turn.utterance.pcm
    assert turn.utterance.fate == records.COMPLETED
    assert turn.sent == turn.planned == client.audio()
    assert turn.sent == audio.to_little_endian(audio.make_signal("noise", 3000, 16000))
    assert sum(n for _, n in turn.packets) == len(turn.sent)
    assert turn.times_ms["first_audio"] - turn.times_ms["begun"] == 500


def test_first_packet_holds_back_until_the_subtitle_is_out():
    answer = [{"text": "One.", "audio": {"signal": "chirp", "ms": 100}},
              {"text": "Two.", "audio": {"signal": "ramp", "ms": 100}}]
    client = Client(turns({"answer": answer})).configure().ask().run(3000)
    order = [e["data"].get("text", e["data"].get("content_type")) for e in client.events()
             if e["event_type"] in (events.SENTENCE_START, events.AUDIO_DELTA)]
    # 60 ms packets over two sentences of 100 ms: the second packet holds the first sample of the second one.
    assert order == ["One.", "audio", "Two.", "audio", "audio", "audio"]


def test_chance_comes_from_the_seed_alone():
    script = turns({"faults": [{"kind": "irregular_packets"}, {"kind": "jitter"}]})
    a, b, c = (Client(script, seed=seed).configure().ask().run(8000) for seed in (5, 5, 6))
    assert a.got == b.got
    assert a.audio() == c.audio()
    assert [n for _, n in a.cloud.turns[0].packets] != [n for _, n in c.cloud.turns[0].packets]


def test_coarse_steps_of_the_clock_change_no_message():
    fine = Client(turns()).configure().ask().run(8000)
    coarse = Client(turns()).configure().ask().run(8000, step_ms=700)
    assert [out for _, out in fine.got] == [out for _, out in coarse.got]
    assert fine.cloud.turns[0].packets == coarse.cloud.turns[0].packets


def test_interim_texts_grow_and_hold_the_whole_text_so_far():
    client = Client(turns({"heard": "what is the weather like today"})).configure().ask().run(1000)
    texts = [e["data"]["content"] for e in client.events(events.TRANSCRIPT_UPDATE)]
    assert texts == ["what is", "what is the weather", "what is the weather like today"]


def test_scenario_is_used_turn_by_turn_and_the_last_is_repeated():
    client = Client(turns({"heard": "one"}, {"heard": "two"})).configure()
    for _ in range(3):
        client.ask().run(5000)
    assert [turn.heard for turn in client.cloud.turns] == ["one", "two", "two"]


def test_clear_drops_the_audio_without_a_turn():
    client = Client(turns()).configure().talk(bytes(3200)).send("input_audio_buffer.clear", event_id="c").run(20000)
    assert client.events("input_audio_buffer.cleared")[0]["id"] == "c"
    assert client.cloud.turns == []
    assert client.cloud.utterances[0].fate == records.CLEARED
    assert client.errors() == []


def test_frame_behind_complete_opens_an_utterance_that_times_out():
    client = Client(turns()).configure().ask().append(bytes(640)).run(7900)
    assert client.errors() == []
    client.run(200)
    assert client.errors() == [(4000, "audio time-out: input_audio_buffer.complete did not arrive")]
    assert [u.fate for u in client.cloud.utterances] == [records.COMPLETED, records.TIMED_OUT]
    assert len(client.cloud.turns) == 1


@pytest.mark.parametrize("policy, transcripts", [("empty_transcript", [""]), ("nothing", [])])
def test_silent_utterance_has_no_turn(policy, transcripts):
    client = Client(turns(silent_utterance=policy)).configure().ask().run(5000)
    assert [e["data"]["content"] for e in client.events(events.TRANSCRIPT_COMPLETED)] == transcripts
    assert client.cloud.turns == []
    client.talk(question("weather")).send("input_audio_buffer.complete").run(5000)
    assert len(client.cloud.turns) == 1


def test_complete_without_any_audio_has_no_turn():
    client = Client(turns()).configure().send("input_audio_buffer.complete").run(1000)
    assert client.cloud.turns == []
    assert client.events(events.TRANSCRIPT_COMPLETED)[0]["data"] == {"content": ""}


# --- pacing ---


def test_pacing_sends_bursts_at_the_start_of_each_window():
    client = Client(turns()).configure().ask().run(8000)
    times = client.times(events.AUDIO_DELTA)
    first = times[0]
    assert [times.count(first + i * 1000) for i in range(4)] == [17, 17, 16, 0]  # 3000 ms in packets of 60
    sizes = [n for _, n in client.cloud.turns[0].packets]
    assert set(sizes) == {1920}


def test_a_stall_never_makes_a_window_overflow():
    fault = {"kind": "stall", "nth": 20, "for_ms": 2500}
    client = Client(with_fault(fault)).configure().ask().run(12000)
    times = client.times(events.AUDIO_DELTA)
    assert len(times) == 50
    assert max(sum(t <= x < t + 1000 for x in times) for t in times) <= 17
    assert max(b - a for a, b in zip(times, times[1:])) >= 2500


def test_without_pacing_the_answer_leaves_as_fast_as_it_is_made():
    client = Client(turns(synthesis_speed=5)).configure(
        output={"codec": "pcm", "pcm_config": {"sample_rate": 16000, "frame_size_ms": 20}}).ask().run(8000)
    times = client.times(events.AUDIO_DELTA)
    assert len(times) == 150
    assert times[-1] - times[0] == pytest.approx(2980 / 5, abs=1)


def test_packets_are_irregular_without_a_frame_size():
    client = Client(turns()).configure(output={"codec": "pcm", "pcm_config": {"sample_rate": 24000}}).ask().run(8000)
    sizes = [n for _, n in client.cloud.turns[0].packets]
    assert len(set(sizes)) > 5
    assert all(n % 2 == 0 for n in sizes)
    assert max(sizes) > 10000
    assert client.audio() == audio.to_little_endian(audio.make_signal("noise", 3000, 24000))


# --- codecs ---


@pytest.mark.parametrize("codec, encode", [("g711a", g711.encode_alaw), ("g711u", g711.encode_ulaw)])
def test_g711_answers_are_8_khz_and_one_byte_a_sample(codec, encode):
    client = Client(turns()).configure(output={"codec": codec, "pcm_config": {"sample_rate": 24000}}).ask().run(8000)
    assert client.events("chat.updated")[0]["data"]["output_audio"]["pcm_config"]["sample_rate"] == 8000
    assert client.audio() == encode(audio.make_signal("noise", 3000, 8000))


@pytest.mark.parametrize("codec, decode", [("g711a", g711.decode_alaw), ("g711u", g711.decode_ulaw)])
def test_g711_questions_are_kept_as_wire_and_as_pcm(codec, decode):
    wire = bytes(range(256)) * 10
    client = Client(turns()).configure(codec=codec, rate_hz=8000).talk(wire, 8).send("input_audio_buffer.complete")
    utterance, = client.cloud.utterances
    assert utterance.wire == wire
    assert utterance.pcm == array.array("h", decode(wire)).tobytes()
    assert utterance.duration_ms == 320


def test_g711_known_values():
    # From the decoding tables of ITU-T G.711 on the 16-bit scale: the first codes, the ends of the scale, around zero.
    assert g711.ALAW_TO_PCM[:4] == (-5504, -5248, -6016, -5760)
    assert [g711.ALAW_TO_PCM[c] for c in (0xD5, 0x55, 0xAA, 0x2A)] == [8, -8, 32256, -32256]
    assert g711.ULAW_TO_PCM[:4] == (-32124, -31100, -30076, -29052)
    assert [g711.ULAW_TO_PCM[c] for c in (0xFF, 0x7F, 0x80, 0xFE, 0x7E)] == [0, 0, 32124, 8, -8]
    assert g711.encode_alaw([0, -1, 32767, -32768]) == bytes([0xD5, 0x55, 0xAA, 0x2A])
    assert g711.encode_ulaw([0, 32767, -32768]) == bytes([0xFF, 0x80, 0x00])


@pytest.mark.parametrize("encode, decode, half_step", [
    (g711.encode_alaw, g711.decode_alaw, 512), (g711.encode_ulaw, g711.decode_ulaw, 644),
])
def test_g711_is_monotonous_symmetric_and_its_own_inverse(encode, decode, half_step):
    codes = bytes(range(256))
    values = decode(codes)
    # The one exception is µ-law's negative zero.
    assert [c for c, back in zip(codes, encode(values)) if c != back] == ([0x7F] if decode is g711.decode_ulaw else [])
    assert sorted(values) == sorted(-v for v in values)
    decoded = decode(encode(range(-32768, 32768)))
    assert all(a <= b for a, b in zip(decoded, decoded[1:]))
    assert max(abs(a - b) for a, b in zip(decoded, range(-32768, 32768))) <= half_step


def test_resampling_keeps_a_tone_and_removes_what_would_fold():
    import math

    def tone(hz, rate_hz):
        return array.array("h", [round(10000 * math.sin(2 * math.pi * hz * i / rate_hz)) for i in range(rate_hz // 4)])

    for to_hz in (8000, 24000):
        out = audio.resample(tone(1000, 16000), 16000, to_hz)
        wanted = tone(1000, to_hz)
        assert len(out) == len(wanted)
        assert max(abs(a - b) for a, b in zip(out[200:-200], wanted[200:-200])) < 60
    folded = audio.resample(tone(5000, 16000), 16000, 8000)
    assert max(map(abs, folded[200:-200])) < 100


# --- free talk ---

FREE = {"turn_detection": {"type": "server_vad", "prefix_padding_ms": 300, "silence_duration_ms": 500}}


@pytest.mark.parametrize("name", ["weather", "bird", "story", "stop"])
def test_vad_hears_each_question_once(name):
    pcm = bytes(16000) + question(name) + bytes(32000)
    found = vad.SpeechDetector(16000, 500).feed(pcm)
    assert [kind for kind, _ in found] == [vad.STARTED, vad.STOPPED]
    assert 0.4 < found[0][1] / 16000 < 0.7
    assert abs(found[1][1] / 16000 - (0.5 + len(question(name)) / 32000 + 0.4)) < 0.4


@pytest.mark.parametrize("pcm", [bytes(64000), audio.to_little_endian(audio.make_signal("noise", 2000, 16000, 40))])
def test_vad_does_not_hear_silence(pcm):
    assert not vad.has_speech(pcm, 16000)


def test_free_talk_turn_with_real_speech():
    client = Client(turns()).configure(**FREE).talk(bytes(32000) + question("weather") + bytes(32000)).run(6000)
    assert client.types()[2:7] == [
        "input_audio_buffer.speech_started", "conversation.audio_transcript.update",
        "input_audio_buffer.speech_stopped", "conversation.audio_transcript.completed", "conversation.chat.created"]
    turn, = client.cloud.turns
    assert client.audio() == turn.planned
    utterance = turn.utterance
    stream = client.link.uplink
    assert utterance.wire == stream[utterance.start_sample * 2 : utterance.start_sample * 2 + len(utterance.wire)]
    # 300 ms before the first sound (at 1 s) up to 500 ms behind the last.
    assert utterance.start_sample == pytest.approx(16000 * 0.7, abs=1600)
    assert question("weather")[:32000] in utterance.wire


def test_silence_and_prefix_parameters_are_obeyed():
    lengths = {}
    for prefix, silence in ((0, 500), (600, 500), (0, 1200)):
        detection = {"type": "server_vad", "prefix_padding_ms": prefix, "silence_duration_ms": silence}
        client = Client(turns()).configure(turn_detection=detection)
        client.talk(bytes(32000) + question("bird") + bytes(64000))
        lengths[prefix, silence] = client.cloud.utterances[0].duration_ms
    assert lengths[600, 500] - lengths[0, 500] == 600
    assert lengths[0, 1200] - lengths[0, 500] == 700


@pytest.mark.parametrize("codec, rate_hz", [("g711a", 8000), ("g711u", 8000), ("pcm", 24000)])
def test_free_talk_in_other_codecs_and_rates(codec, rate_hz):
    fmt = audio.WireFormat(codec, rate_hz)
    samples = audio.load_wav(str(QUESTIONS / "weather.wav"), rate_hz)
    second = array.array("h", bytes(2 * rate_hz))
    client = Client(turns()).configure(codec=codec, rate_hz=rate_hz, **FREE)
    client.talk(fmt.encode(second + samples + second), int(fmt.bytes_per_ms))
    assert client.cloud.utterances[0].fate == records.COMPLETED


def test_complete_and_clear_have_no_effect_in_free_talk():
    client = Client(turns()).configure(**FREE).talk(bytes(3200))
    client.send("input_audio_buffer.complete").send("input_audio_buffer.clear").run(3000)
    assert client.types() == ["chat.created", "chat.updated"]


def test_speech_interrupts_the_answer():
    client = Client(turns()).configure(**FREE).talk(bytes(16000) + question("weather") + bytes(24000)).run(500)
    assert client.cloud.turns[0].status == records.RUNNING
    client.talk(question("stop") + bytes(32000)).run(6000)
    first, second = client.cloud.turns
    assert first.status == records.CANCELED and first.cancel_code == 1
    assert client.events(events.TURN_CANCELED)[0]["data"]["code"] == 1
    assert first.sent == first.planned[: len(first.sent)] and len(first.sent) < len(first.planned)
    assert second.status == records.COMPLETED
    kinds = client.types()
    assert kinds.index("conversation.chat.canceled") > kinds.index("conversation.audio.delta")


@pytest.mark.parametrize("mode, heard, is_interrupted", [
    ("keyword_contains", "hey please stop now", True),
    ("keyword_contains", "hey what a day", False),
    ("keyword_prefix", "please stop now", True),
    ("keyword_prefix", "hey please stop now", False),
])
def test_only_keywords_interrupt_when_there_are_any(mode, heard, is_interrupted):
    long = {"answer": [{"text": "Long.", "audio": {"signal": "noise", "ms": 9000}}]}
    detection = {**FREE["turn_detection"], "interrupt_config": {"mode": mode, "keywords": ["please stop"]}}
    client = Client(turns(long, {"heard": heard})).configure(turn_detection=detection)
    client.talk(bytes(16000) + question("weather") + bytes(24000)).run(300)
    client.talk(question("stop") + bytes(32000)).run(12000)
    assert len(client.events("input_audio_buffer.speech_started")) == 2
    assert client.cloud.turns[0].is_canceled == is_interrupted
    assert len(client.cloud.turns) == (2 if is_interrupted else 1)
    assert client.cloud.utterances[1].fate == (records.COMPLETED if is_interrupted else records.IGNORED)


def test_keywords_need_a_new_connection_to_change():
    client = Client(turns()).configure(**FREE)
    words = {"mode": "keyword_contains", "keywords": ["please stop"]}
    client.configure(turn_detection={**FREE["turn_detection"], "interrupt_config": words})
    assert client.errors()[0][1].startswith("turn_detection.interrupt_config:")


# --- interruption ---


def test_cancel_stops_the_audio_and_is_acknowledged():
    client = Client(turns()).configure().ask().run(1700)
    client.send("conversation.chat.cancel", event_id="my-cancel").run(9000)
    turn, = client.cloud.turns
    canceled, = client.events(events.TURN_CANCELED)
    assert (canceled["id"], canceled["data"]["code"]) == ("my-cancel", 2)
    assert client.types()[-1] == "conversation.chat.canceled"
    assert len(turn.sent) == turn.sent_at_cancel_bytes == 34 * 1920
    assert client.audio() == turn.sent


def test_late_audio_goes_on_between_cancel_and_canceled():
    client = Client(with_fault({"kind": "late_audio", "for_ms": 1500})).configure().ask().run(1700)
    client.send("conversation.chat.cancel").run(9000)
    turn, = client.cloud.turns
    assert len(turn.sent) == 50 * 1920 and turn.sent_at_cancel_bytes == 34 * 1920
    assert client.types()[-2:] == ["conversation.audio.delta", "conversation.chat.canceled"]
    assert client.times(events.TURN_CANCELED)[0] - turn.times_ms["cancel"] == 1500


def test_canceled_first_then_late_audio_then_completed():
    client = Client(with_fault(
        {"kind": "late_audio", "for_ms": 1500, "canceled_first": True}, {"kind": "completed_after_cancel"},
    )).configure().ask().run(1700).send("conversation.chat.cancel").run(9000)
    assert client.types()[-3:] == [
        "conversation.chat.canceled", "conversation.audio.delta", "conversation.chat.completed"]


def test_canceled_may_be_late_or_never():
    late = Client(with_fault({"kind": "delayed_canceled", "by_ms": 2000})).configure().ask().run(1700)
    late.send("conversation.chat.cancel").run(2000)
    assert late.events(events.TURN_CANCELED) == []
    assert len(late.run(100).events(events.TURN_CANCELED)) == 1
    never = Client(with_fault({"kind": "no_canceled"})).configure().ask().run(1700)
    never.send("conversation.chat.cancel").run(9000)
    assert never.events(events.TURN_CANCELED) == []
    assert never.cloud.turns[0].is_canceled


def test_cancel_while_nothing_runs_by_scenario():
    assert Client(turns()).configure().send("conversation.chat.cancel").run(100).types()[-1] == "chat.updated"
    assert Client(turns(cancel_idle="error")).configure().send("conversation.chat.cancel").errors()[0][0] == 4104
    client = Client(turns(cancel_idle="poison")).configure().send("conversation.chat.cancel").ask().run(1000)
    failed, = client.events(events.TURN_FAILED)
    assert failed["data"]["last_error"]["msg"] == "model has been terminated"


def test_question_before_the_first_is_a_chat_lets_both_be_created():
    client = Client(turns({"heard": "one"}, {"heard": "two"})).configure().ask().run(100).ask().run(9000)
    first, second = client.cloud.turns
    assert (first.status, first.cancel_code, second.status) == (records.CANCELED, 1, records.COMPLETED)
    ids = [e["data"]["id"] for e in client.events(events.TURN_CREATED)]
    assert ids == [first.chat_id, second.chat_id]
    kinds = client.types()
    assert kinds.index("conversation.chat.canceled") < len(kinds) - kinds[::-1].index("conversation.chat.created") - 1
    assert client.audio() == second.planned


def test_written_message_gets_a_turn_and_interrupts_with_code_3():
    client = Client(turns()).configure().ask().run(1700)
    client.send("conversation.message.create", {"role": "user", "content_type": "text", "content": "Say more."})
    client.run(9000)
    first, second = client.cloud.turns
    assert (first.cancel_code, second.kind, second.heard) == (3, records.MESSAGE, "Say more.")
    assert second.sent == second.planned
    assert len(client.events(events.TRANSCRIPT_COMPLETED)) == 1


def test_assistant_message_only_joins_the_context_and_clear_empties_it():
    client = Client(turns()).configure()
    client.send("conversation.message.create", {"role": "assistant", "content_type": "text", "content": "Hm."}).run(900)
    assert client.link.conversation.history == [("assistant", "Hm.")]
    section = client.link.conversation.section_id
    client.send("conversation.clear", event_id="x")
    assert client.events("conversation.cleared")[0]["id"] == "x"
    assert client.link.conversation.history == [] and client.link.conversation.section_id != section


def test_object_string_message():
    content = json.dumps([{"type": "text", "text": "Look:"}, {"type": "image", "file_id": "9"}])
    client = Client(turns()).configure()
    client.send("conversation.message.create", {"role": "user", "content_type": "object_string", "content": content})
    assert client.cloud.turns[0].heard == "Look:"
    client.send("conversation.message.create", {"role": "user", "content_type": "object_string", "content": "{"})
    assert client.errors()[0][1].startswith("data.content:")


def test_generated_speech_is_audio_without_a_chat():
    client = Client(turns()).configure().ask().run(1700)
    client.send("input_text.generate_audio", {"mode": "text", "text": "Are you still there?"}).run(9000)
    first, second = client.cloud.turns
    assert first.cancel_code == 3
    assert (second.kind, second.status, second.chat_id) == (records.GENERATED, records.COMPLETED, "")
    own = [e for e in client.events(events.AUDIO_DELTA) if "chat_id" not in e["data"]]
    assert b"".join(base64.b64decode(e["data"]["content"]) for e in own) == second.planned
    assert len(client.events(events.TURN_CREATED)) == 1


@pytest.mark.parametrize("text, is_right", [("", False), ("a" * 1023, True), ("a" * 1024, False), ("鹨" * 342, False)])
def test_generated_speech_has_a_length_limit_in_bytes(text, is_right):
    client = Client(turns()).configure().send("input_text.generate_audio", {"mode": "text", "text": text})
    assert (client.errors() == []) == is_right


def test_prologue_may_have_a_chat_id_by_scenario():
    script = turns(prologue=[NOISE_3S], prologue_has_chat_id=True)
    client = Client(script).configure(need_play_prologue=True).run(6000)
    assert {e["data"]["chat_id"] for e in client.events(events.AUDIO_DELTA)} == {client.cloud.turns[0].chat_id}
    assert events.TURN_CREATED not in client.types() and events.MESSAGE_DELTA not in client.types()


def test_prologue_sounds_without_a_chat():
    prologue = [{"text": "Hello!", "audio": {"signal": "chirp", "ms": 300}}]
    client = Client(turns(prologue=prologue)).configure(need_play_prologue=True).run(3000)
    assert client.types()[2:] == [
        "conversation.audio.sentence_start", "conversation.audio.delta", "conversation.audio.completed"]
    assert all("chat_id" not in e["data"] for e in client.events(events.AUDIO_DELTA))
    own = Client(turns()).configure(need_play_prologue=True, prologue_content="My own words.").run(3000)
    assert own.events(events.SENTENCE_START)[0]["data"] == {"text": "My own words."}


# --- tools ---


def test_tool_call_waits_for_its_outputs():
    script = turns({"tool_calls": [{"name": "set_volume", "arguments": {"percent": 30}}, {"name": "blink"}]})
    client = Client(script).configure().ask().run(5000)
    action, = client.events(events.REQUIRES_ACTION)
    assert action["data"]["status"] == "requires_action"
    calls = action["data"]["required_action"]["submit_tool_outputs"]["tool_calls"]
    assert [(c["function"]["name"], json.loads(c["function"]["arguments"])) for c in calls] == [
        ("set_volume", {"percent": 30}), ("blink", {})]
    assert client.audio() == b""
    chat_id = action["data"]["id"]

    def outputs(chat, ids):
        client.send("conversation.chat.submit_tool_outputs",
                    {"chat_id": chat, "tool_outputs": [{"tool_call_id": i, "output": "{}"} for i in ids]})

    outputs("1", [c["id"] for c in calls])
    outputs(chat_id, [calls[0]["id"]])
    assert [code for code, _ in client.errors()] == [4001, 4000]
    outputs(chat_id, [c["id"] for c in calls])
    client.run(8000)
    turn, = client.cloud.turns
    assert turn.tool_outputs == {c["id"]: "{}" for c in calls}
    assert turn.status == records.COMPLETED and client.audio() == turn.planned
    outputs(chat_id, [c["id"] for c in calls])
    assert client.errors()[2][0] == 4000


def test_tool_call_without_an_answer_fails():
    client = Client(turns({"tool_calls": [{"name": "x"}], "tool_timeout_ms": 4000})).configure().ask().run(9000)
    assert client.cloud.turns[0].status == records.FAILED
    assert client.types()[-1] == "conversation.chat.failed"


# --- subscriptions, keep-alive, nonsense ---


def test_subscriptions_are_an_exclusive_filter():
    wanted = ["chat.updated", "conversation.audio.delta"]
    client = Client(turns()).configure(event_subscriptions=wanted).ask().run(8000)
    assert client.types() == ["chat.created"] + wanted
    client.send("no.such.event")
    assert client.errors() == [] and client.link.filtered_events > 5


def test_pings_and_the_end_after_four_missed_pongs():
    client = Client(turns()).configure().run(40000)
    pings = [ms for ms, out in client.got if isinstance(out, outgoing.Ping)]
    assert pings == [15000, 30000]
    client.link.receive_pong(b"2", client.now_ms)
    client.run(60000)
    assert not client.link.is_over
    client.run(10000)
    assert client.link.is_over and client.got[-1] == (105000, outgoing.Close(1011, "keep-alive: no pong"))


def test_client_pings_are_answered():
    client = Client(turns())
    client.link.receive_ping(b"abc", 5)
    assert client.run(5).got[-1][1] == outgoing.Pong(b"abc")


@pytest.mark.parametrize("text", ['{"event_type":', "[]", "7", '{"event_type":"x"}', "{}", '{"event_type":5}',
                                  '{"event_type":"input_audio_buffer.append","data":"x"}'])
def test_nonsense_is_error_4000_and_the_connection_lives(text):
    client = Client(turns()).configure()
    client.link.receive_text(text, client.now_ms)
    client.run(0)
    assert client.errors()[0][0] == 4000
    assert not client.link.is_over
    client.link.receive_binary(b"\x00", client.now_ms)
    assert client.run(0).errors()[1][0] == 4000


@pytest.mark.parametrize("delta", ["AAA", "AA=A", "AA!A", 5, None])
def test_append_with_bad_base64_names_the_field(delta):
    client = Client(turns()).configure().send("input_audio_buffer.append", {"delta": delta})
    assert client.errors()[0][1].startswith("data.delta:")
    assert client.cloud.utterances == []


def test_lost_connection_ends_everything_at_once():
    client = Client(turns()).configure().ask().run(900).append(bytes(640))
    client.link.lost(client.now_ms)
    assert client.cloud.turns[0].status == records.LOST
    assert client.cloud.utterances[1].fate == records.LOST
    assert client.link.next_deadline_ms is None


# --- faults ---


@pytest.mark.parametrize("kind", [name for name, kind in faults.KINDS.items() if kind.hook == faults.SPELL])
def test_respelled_messages_mean_the_same(kind):
    plain = Client(turns()).configure().ask().run(8000)
    odd = Client(with_fault({"kind": kind})).configure().ask().run(8000)
    assert odd.events() == plain.events()
    assert odd.got != plain.got
    assert odd.cloud.turns[0].sent == odd.cloud.turns[0].planned


@pytest.mark.parametrize("kind", ["key_order", "nested_content", "extra_bytes", "unknown_members", "no_chat_id"])
def test_reshaped_messages_still_carry_the_audio(kind):
    client = Client(with_fault({"kind": kind})).configure().ask().run(8000)
    turn, = client.cloud.turns
    assert client.audio() == turn.sent == turn.planned


def test_reshaping_does_what_it_says():
    def first_delta(kind, **more):
        client = Client(with_fault({"kind": kind, **more})).configure().ask().run(1000)
        return next(_text_of(out) for _, out in client.got if '"conversation.audio.delta"' in _text_of(out))

    assert list(json.loads(first_delta("key_order")))[0] == "detail"
    text = first_delta("nested_content")
    assert text.index('"content":"ZGVjb3k="') < text.index(json.loads(text)["data"]["content"])
    assert len(first_delta("extra_bytes", bytes=50000)) > 50000
    assert "chat_id" not in json.loads(first_delta("no_chat_id"))["data"]
    assert "\\u002B" in first_delta("escaped_plus") and "\\/" in first_delta("escaped_slash")
    assert "\\u00" in first_delta("escaped_chars")


@pytest.mark.parametrize("kind", ["illegal_base64", "cut_base64", "wrong_type", "null_data", "no_data"])
def test_broken_deltas_are_counted_and_not_in_the_record(kind):
    client = Client(with_fault({"kind": kind, "nth": 3, "count": 2})).configure().ask().run(8000)
    turn, = client.cloud.turns
    assert turn.broken_deltas == 2
    assert turn.sent == turn.planned[: 2 * 1920] + turn.planned[4 * 1920 :]


def test_nth_and_count_choose_the_events_of_one_turn():
    fault = {"kind": "duplicate", "nth": 2, "count": 1}
    client = Client(turns({"faults": [fault]}, {})).configure().ask().run(5000).ask().run(5000)
    first, second = client.cloud.turns
    assert first.sent == first.planned[: 2 * 1920] + first.planned[1920:]
    assert second.sent == second.planned


def test_fragments_join_to_the_message_and_a_ping_may_sit_inside():
    client = Client(with_fault({"kind": "ping_inside", "pieces": 4})).configure().ask().run(8000)
    pieces = [out for _, out in client.got if isinstance(out, outgoing.Fragments)]
    assert len(pieces) == 50 and all(len(out.pieces) == 4 and out.ping == b"inside" for out in pieces)
    assert client.audio() == client.cloud.turns[0].planned


def test_odd_packets_cut_samples_in_two():
    client = Client(with_fault({"kind": "odd_packets", "lose_last_byte": True})).configure().ask().run(8000)
    turn, = client.cloud.turns
    assert all(n % 2 for _, n in turn.packets[:-1])
    assert turn.sent == turn.planned[:-1]


def test_jitter_delays_but_never_reorders():
    client = Client(with_fault({"kind": "jitter", "max_ms": 300})).configure().ask().run(12000)
    first = client.times(events.AUDIO_DELTA)[0]
    late_ms = [(ms - first) % 1000 for ms in client.times(events.AUDIO_DELTA)]
    assert len(set(late_ms)) > 5 and max(late_ms) <= 300
    assert client.audio() == client.cloud.turns[0].planned


@pytest.mark.parametrize("then, status, is_over", [
    ("go_on", records.COMPLETED, False), ("stop", records.ABANDONED, False), ("close", records.ABANDONED, True),
])
def test_error_in_the_middle_of_an_answer(then, status, is_over):
    fault = {"kind": "error", "nth": 20, "code": 4009, "msg": "too many users", "then": then}
    client = Client(with_fault(fault)).configure().ask().run(9000)
    assert client.errors() == [(4009, "too many users")]
    turn, = client.cloud.turns
    assert (turn.status, client.link.is_over) == (status, is_over)
    if then != "go_on":
        assert len(turn.sent) == 20 * 1920


@pytest.mark.parametrize("end, out", [
    ("close", outgoing.Close(1011, "emulated fault")), ("stream", outgoing.Drop()), ("reset", outgoing.Drop(True)),
])
def test_drop_after_any_event(end, out):
    fault = {"kind": "drop", "on": "conversation.chat.created", "end": end}
    client = Client(with_fault(fault)).configure().ask().run(9000)
    assert client.got[-1][1] == out
    assert client.types()[-1] == "conversation.chat.created"
    assert client.cloud.turns[0].status == records.LOST


def test_failed_turn_names_its_reason_and_the_next_one_works():
    client = Client(turns({"faults": [{"kind": "failed", "nth": 5}]}, {})).configure().ask().run(5000).ask().run(5000)
    assert client.events(events.TURN_FAILED)[0]["data"]["last_error"] == {"code": 4013, "msg": "model service error"}
    assert [turn.status for turn in client.cloud.turns] == [records.FAILED, records.COMPLETED]


def test_slow_and_missing_chat_updated():
    client = Client(turns(faults=[{"kind": "slow_updated", "by_ms": 3000}])).configure().run(2900)
    assert "chat.updated" not in client.types()
    assert "chat.updated" in client.run(200).types()
    client = Client(turns(faults=[{"kind": "close_for_update", "end": "stream"}])).configure()
    assert client.got[-1][1] == outgoing.Drop()
    assert client.types() == ["chat.created"]


@pytest.mark.parametrize("kind, check", [
    ("empty_delta", lambda out: json.loads(out.text)["data"]["content"] == ""),
    ("binary_message", lambda out: out == outgoing.Binary(bytes(range(64)))),
    ("huge_message", lambda out: len(out.text) > 300000),
    ("malformed_json", lambda out: out.text.startswith('{"event_type":"conversation.audio.delta"')),
    ("not_an_object", lambda out: isinstance(json.loads(out.text), list)),
    ("unknown_event", lambda out: json.loads(out.text)["event_type"] == "dump.audio"),
    ("bad_utf8", lambda out: out.data[:1] == b"\x81"),
    ("reserved_bits", lambda out: out.data[0] == 0xC1),
    ("masked_frame", lambda out: out.data[1] == 0x82),
    ("long_control", lambda out: out.data[:2] == b"\x89\x7e"),
    ("stray_continuation", lambda out: out.data[0] == 0x80),
])
def test_strange_messages_are_inserted_between_the_audio(kind, check):
    client = Client(with_fault({"kind": kind, "nth": 2})).configure().ask().run(8000)
    turn, = client.cloud.turns
    outs = [out for _, out in client.got]
    deltas = [i for i, out in enumerate(outs) if isinstance(out, outgoing.Text) and out.text.startswith('{"id"')
              and '"conversation.audio.delta"' in out.text]
    assert check(outs[deltas[1] + 1])
    assert turn.sent == turn.planned


@pytest.mark.parametrize("kind, missing", [
    ("no_audio_completed", events.AUDIO_COMPLETED), ("no_chat_completed", events.TURN_COMPLETED),
    ("no_transcript", events.TRANSCRIPT_COMPLETED),
])
def test_events_may_be_missing(kind, missing):
    client = Client(with_fault({"kind": kind})).configure().ask().run(8000)
    assert missing not in client.types()
    assert client.audio() == client.cloud.turns[0].planned


def test_every_fault_survives_every_event():
    for kind in set(faults.KINDS) - set(faults.CONNECTION_ONLY):
        if faults.KINDS[kind].hook == faults.FLOW:
            continue
        for event_type in events.ALL:
            script = turns(faults=[{"kind": kind, "on": event_type}])
            client = Client(script).configure().ask().send("conversation.clear").run(9000)
            assert client.got, (kind, event_type)


def test_every_fault_lets_a_turn_come_to_an_end():
    for kind in set(faults.KINDS) - set(faults.CONNECTION_ONLY):
        client = Client(turns({"faults": [{"kind": kind}]})).configure().ask().run(20000)
        assert client.cloud.turns[0].is_over, kind


# --- scenarios ---


@pytest.mark.parametrize("name", scenario.names())
def test_scenarios_that_come_along_are_right(name):
    loaded = scenario.load(name)
    assert loaded.name == name
    assert all(sentence.samples(8000) for turn in loaded.turns for sentence in turn.answer)


@pytest.mark.parametrize("change, path", [
    ({"turn": []}, "turn"),
    ({"turns": {}}, "turns"),
    ({"turns": []}, "turns"),
    ({"turns": [{"heard": 5}]}, "turns[0].heard"),
    ({"turns": [{"herd": "x"}]}, "turns[0].herd"),
    ({"turns": [{"answer": [{"text": "x"}]}]}, "turns[0].answer[0].audio"),
    ({"turns": [{"answer": [{"text": "x", "audio": {"wav": "no.wav"}}]}]}, "turns[0].answer[0].audio.wav"),
    ({"turns": [{"answer": [{"text": "x", "audio": {"signal": "hum"}}]}]}, "turns[0].answer[0].audio.signal"),
    ({"turns": [{"answer": [{"text": "x", "audio": {"signal": "chirp", "ms": -1}}]}]}, "turns[0].answer[0].audio.ms"),
    ({"turns": [{}, {"faults": [{"kind": "rain"}]}]}, "turns[1].faults[0].kind"),
    ({"turns": [{"faults": [{"kind": "jitter", "max": 3}]}]}, "turns[0].faults[0].max"),
    ({"turns": [{"faults": [{"kind": "drop", "end": "soon"}]}]}, "turns[0].faults[0].end"),
    ({"turns": [{"faults": [{"kind": "stall", "on": "conversation.audio.dela"}]}]}, "turns[0].faults[0].on"),
    ({"turns": [{"faults": [{"kind": "stall", "on": "chat.updated"}]}]}, "turns[0].faults[0].on"),
    ({"turns": [{"faults": [{"kind": "slow_updated"}]}]}, "turns[0].faults[0].kind"),
    ({"turns": [{"faults": [{"kind": "error", "nth": 0}]}]}, "turns[0].faults[0].nth"),
    ({"turns": [{"tool_calls": [{"arguments": {}}]}]}, "turns[0].tool_calls[0].name"),
    ({"turns": [{}], "cancel_idle": "shrug"}, "cancel_idle"),
    ({"turns": [{}], "ping_period_ms": "15"}, "ping_period_ms"),
    ({"turns": [{}], "prologue": [{"text": 1}]}, "prologue[0].text"),
    ({"turns": [{}], "faults": [5]}, "faults[0]"),
])
def test_validator_names_the_wrong_key(change, path):
    with pytest.raises(scenario.ScenarioError) as caught:
        scenario.load(change)
    assert caught.value.path == path
    assert str(caught.value).startswith(path + ":")


def test_scenario_that_is_not_json(tmp_path):
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(scenario.ScenarioError, match="is not JSON"):
        scenario.load(tmp_path / "x.json")


def test_wav_that_is_none(tmp_path):
    (tmp_path / "x.wav").write_bytes(b"RIFFnothing")
    with pytest.raises(scenario.ScenarioError, match="not a WAV file"):
        scenario.load({"turns": [{"answer": [{"text": "x", "audio": {"wav": "x.wav"}}]}]}, tmp_path)


# --- the wire ---


@pytest.mark.parametrize("n", [0, 1, 125, 126, 65535, 65536])
def test_server_frames_have_the_right_length_form(n):
    data = outgoing.frame(outgoing.BINARY, bytes(n))
    head = 2 if n < 126 else 4 if n < 65536 else 10
    assert len(data) == head + n
    assert data[0] == 0x82 and not data[1] & 0x80


def test_a_ping_travels_between_the_first_two_fragments():
    wire = outgoing.to_wire(outgoing.Fragments((b"ab", b"c", b""), ping=b"p"))
    assert wire == b"\x01\x02ab" + b"\x89\x01p" + b"\x00\x01c" + b"\x80\x00"


def test_audio_may_be_forgotten_in_long_runs():
    cloud = protocol.Cloud(scenario.load(turns()), random.Random(1), token="T", keeps_audio=False)
    client = Client(None, cloud=cloud).configure(**FREE)
    for _ in range(3):
        client.talk(bytes(32000) + question("weather") + bytes(96000))
    assert [u.fate for u in cloud.utterances] == [records.COMPLETED] * 3
    assert all(not turn.sent for turn in cloud.turns if turn.is_over)
    assert len(client.link.uplink) < 32 * 3000
