"""The official Python SDK talks with the emulated cloud: what it accepts as Coze, a device may too.

The SDK builds its WebSocket address from an https:// base; over TLS the whole of it is used as its users do, with our
root in SSL_CERT_FILE. For plain ws:// its WebSocket client is given the address directly.
"""

import asyncio
import threading
import warnings
from pathlib import Path

import pytest

from tools.cloud import audio, records
from tools.cloud.server import CloudServer

with warnings.catch_warnings(record=True):  # a library behind the SDK announces its own future
    import cozepy
    from cozepy.request import Requester
    from cozepy.websockets import chat, ws

QUICK = {"synthesis_speed": 50, "updated_ms": 1, "recognise_ms": 5, "created_ms": 1, "cancel_ms": 5}
WAIT_S = 10
FREE_TALK = chat.ChatUpdateEvent.TurnDetection(
    type=chat.ChatUpdateEvent.TurnDetectionType.SERVER_VAD, prefix_padding_ms=300, silence_duration_ms=400)


def quick(signal_ms=400, **turn):
    answer = [{"text": "Here it is.", "audio": {"signal": "noise", "ms": signal_ms}}]
    return {"turns": [{"heard": "a question", "answer": answer, "first_audio_ms": 10, **turn}], **QUICK}


def question():
    rate_hz, samples = audio.read_wav(Path(__file__).parent / "speech" / "weather.wav")
    return audio.to_little_endian(samples)


def configuration(turn_detection=None, limit=None):
    pcm = ws.PCMConfig(sample_rate=16000, frame_size_ms=60, limit_config=limit)
    return chat.ChatUpdateEvent.Data(
        input_audio=ws.InputAudio(format="pcm", codec="pcm", sample_rate=16000, channel=1, bit_depth=16),
        output_audio=ws.OutputAudio(codec="pcm", pcm_config=pcm),
        chat_config=chat.ChatUpdateEvent.ChatConfig(user_id="a-user", auto_save_history=True),
        turn_detection=turn_detection,
    )


def pieces(wire, size=640):
    for at in range(0, len(wire), size):
        yield chat.InputAudioBufferAppendEvent.Data.model_validate({"delta": wire[at : at + size]})


class Handler(chat.WebsocketsChatEventHandler):
    """Keeps what the SDK parsed and lets a test wait for one kind of event."""

    def __init__(self):
        self.texts, self.transcripts, self.canceled, self.actions, self.errors = [], [], [], [], []
        self.audio = bytearray()
        self.seen = {name: threading.Event() for name in ("updated", "audio", "completed", "canceled", "action")}

    def wait(self, name):
        assert self.seen[name].wait(WAIT_S), "no %s; errors: %s" % (name, self.errors)

    def on_error(self, cli, e):
        self.errors.append(e)

    def on_chat_updated(self, cli, event: chat.ChatUpdatedEvent):
        self.seen["updated"].set()

    def on_conversation_audio_transcript_completed(self, cli, event: chat.ConversationAudioTranscriptCompletedEvent):
        self.transcripts.append(event.data.content)

    def on_conversation_message_delta(self, cli, event: chat.ConversationMessageDeltaEvent):
        self.texts.append(event.data.content)

    def on_conversation_audio_delta(self, cli, event: chat.ConversationAudioDeltaEvent):
        self.audio += event.data.get_audio()
        self.seen["audio"].set()

    def on_conversation_chat_requires_action(self, cli, event: chat.ConversationChatRequiresActionEvent):
        self.actions.append(event.data)
        self.seen["action"].set()

    def on_conversation_chat_canceled(self, cli, event: chat.ConversationChatCanceledEvent):
        self.canceled.append(event.data.code)
        self.seen["canceled"].set()

    def on_conversation_chat_completed(self, cli, event: chat.ConversationChatCompletedEvent):
        self.seen["completed"].set()


def plain_client(server, handler):
    requester = Requester(auth=cozepy.TokenAuth(server.token))
    base = server.url.removesuffix("/v1/chat")
    return chat.WebsocketsChatBuildClient(base, requester).create(bot_id="73", device_id=42, on_event=handler)


def test_sdk_holds_a_push_to_talk_turn():
    with CloudServer(quick()).in_thread() as server:
        handler = Handler()
        with plain_client(server, handler)() as client:
            client.chat_update(configuration())
            handler.wait("updated")
            for piece in pieces(question()):
                client.input_audio_buffer_append(piece)
            client.input_audio_buffer_complete()
            handler.wait("completed")
        assert handler.errors == []
        assert handler.transcripts == ["a question"] and "".join(handler.texts) == "Here it is."
        turn, = server.turns
        assert handler.audio == turn.sent == turn.planned
        assert turn.utterance.wire == question()


def test_sdk_interrupts_an_answer():
    with CloudServer(quick(signal_ms=9000)).in_thread() as server:
        handler = Handler()
        with plain_client(server, handler)() as client:
            client.chat_update(configuration(limit=ws.LimitConfig(period=1, max_frame_num=17)))
            handler.wait("updated")
            client.input_audio_buffer_append(next(pieces(question())))
            client.input_audio_buffer_complete()
            handler.wait("audio")
            client.conversation_chat_cancel()
            handler.wait("canceled")
        turn, = server.turns
        assert handler.canceled == [2] and turn.status == records.CANCELED
        assert handler.audio == turn.sent and len(turn.sent) < len(turn.planned)
        assert handler.errors == []


def test_sdk_answers_a_tool_call():
    with CloudServer(quick(tool_calls=[{"name": "set_volume", "arguments": {"percent": 30}}])).in_thread() as server:
        handler = Handler()
        with plain_client(server, handler)() as client:
            client.chat_update(configuration())
            handler.wait("updated")
            client.conversation_message_create(chat.ConversationMessageCreateEvent.Data(
                role="user", content_type="text", content="Turn it down."))
            handler.wait("action")
            asked = handler.actions[0]
            call, = asked.required_action.submit_tool_outputs.tool_calls
            assert (call.function.name, call.function.arguments) == ("set_volume", '{"percent": 30}')
            client.conversation_chat_submit_tool_outputs(chat.ConversationChatSubmitToolOutputsEvent.Data(
                chat_id=asked.id, tool_outputs=[cozepy.ToolOutput(tool_call_id=call.id, output='{"ok":true}')]))
            handler.wait("completed")
        turn, = server.turns
        assert turn.tool_outputs == {call.id: '{"ok":true}'}
        assert handler.audio == turn.planned and handler.errors == []


class AsyncHandler(chat.AsyncWebsocketsChatEventHandler):
    def __init__(self):
        self.updated, self.completed = asyncio.Event(), asyncio.Event()
        self.kinds, self.errors, self.audio = [], [], bytearray()

    async def on_error(self, cli, e):
        self.errors.append(e)

    async def on_chat_updated(self, cli, event: chat.ChatUpdatedEvent):
        self.updated.set()

    async def on_input_audio_buffer_speech_started(self, cli, event: chat.InputAudioBufferSpeechStartedEvent):
        self.kinds.append("started")

    async def on_input_audio_buffer_speech_stopped(self, cli, event: chat.InputAudioBufferSpeechStoppedEvent):
        self.kinds.append("stopped")

    async def on_conversation_audio_delta(self, cli, event: chat.ConversationAudioDeltaEvent):
        self.audio += event.data.get_audio()

    async def on_conversation_chat_completed(self, cli, event: chat.ConversationChatCompletedEvent):
        self.completed.set()


async def test_sdk_talks_freely_over_tls_as_its_users_set_it_up(monkeypatch):
    async with CloudServer(quick(), tls=True) as server:
        monkeypatch.setenv("SSL_CERT_FILE", server.ca_pem)
        coze = cozepy.AsyncCoze(cozepy.AsyncTokenAuth(server.token), base_url="https://localhost:%d" % server.port)
        handler = AsyncHandler()
        async with coze.websockets.chat.create(bot_id="73", on_event=handler)() as client:
            await client.chat_update(configuration(FREE_TALK))
            await asyncio.wait_for(handler.updated.wait(), WAIT_S)
            for piece in pieces(bytes(16000) + question() + bytes(32000)):
                await client.input_audio_buffer_append(piece)
            await asyncio.wait_for(handler.completed.wait(), WAIT_S)
        assert handler.kinds == ["started", "stopped"] and handler.errors == []
        assert handler.audio == server.turns[0].planned
        assert question()[:32000] in server.turns[0].utterance.wire


def test_sdk_reports_a_wrong_token():
    with CloudServer(quick()).in_thread() as server:
        requester = Requester(auth=cozepy.TokenAuth("wrong"))
        base = server.url.removesuffix("/v1/chat")
        client = chat.WebsocketsChatBuildClient(base, requester).create(bot_id="73", on_event=Handler())
        with pytest.raises(cozepy.CozeAPIError, match="401") as caught:
            client.connect()
        assert caught.value.logid
