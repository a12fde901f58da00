"""The other end of the full-duplex measurement: a cloud that speaks without end as soon as it hears the first frame.

It knows only as much of the protocol as one long answer needs; conversations are held with tools/cloud. Deltas of
60 ms leave by the clock, whatever the other side does.
"""

import asyncio
import base64
import json
import time

from aiohttp import WSMsgType, web

DELTA_MS = 60
_AHEAD_MS = 600  # what the speaker gets before the clock counts, so that it never runs dry
_CHAT_ID = "7500000000000000001"


class EndlessAnswer:
    """bytes_per_s: of the downlink; tls: an SSLContext for the server, or None. `async with` binds and serves."""

    def __init__(self, bytes_per_s, tls=None, silence=0):
        self.frames = 0  # audio messages that came
        self.audio_bytes = 0  # in them
        self.port = 0
        self.token = "pat_bench"
        self._tls = tls
        self._delta = _delta_message(bytes((i * 37 + silence) & 0xFF for i in range(bytes_per_s * DELTA_MS // 1000)))
        self._runner = None

    @property
    def url(self):
        return "%s://localhost:%d/v1/chat" % ("wss" if self._tls else "ws", self.port)

    async def __aenter__(self):
        app = web.Application()
        app.router.add_route("GET", "/v1/chat", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_):
        await self._runner.cleanup()

    async def _handle(self, request):
        ws = web.WebSocketResponse(compress=False)
        await ws.prepare(request)
        speech = None
        try:
            async for message in ws:
                if message.type != WSMsgType.TEXT:
                    break
                event = json.loads(message.data)
                if event["event_type"] == "chat.update":
                    await ws.send_str(_message("chat.updated", {"chat_config": {"conversation_id": "1"}}))
                elif event["event_type"] == "input_audio_buffer.append":
                    self.frames += 1
                    self.audio_bytes += len(base64.b64decode(event["data"]["delta"], validate=True))
                    if speech is None:
                        speech = asyncio.ensure_future(self._speak(ws))
        finally:
            if speech is not None:
                speech.cancel()
        return ws

    async def _speak(self, ws):
        await ws.send_str(_message("conversation.chat.created", {"id": _CHAT_ID, "conversation_id": "1"}))
        start_s = time.monotonic()
        n_sent = 0
        while True:
            due = int((time.monotonic() - start_s) * 1000 + _AHEAD_MS) // DELTA_MS
            for _ in range(due - n_sent):
                await ws.send_str(self._delta)
            n_sent = due
            await asyncio.sleep(DELTA_MS / 2000)


def _delta_message(audio):
    return _message(
        "conversation.audio.delta",
        {
            "id": "7500000000000000002", "conversation_id": "1", "bot_id": "7012345678901234567", "role": "assistant",
            "type": "answer", "content_type": "audio", "chat_id": _CHAT_ID,
            "content": base64.b64encode(audio).decode(),
        },
    )  # fmt: skip


def _message(event_type, data):
    return json.dumps({
        "id": "7500000000000000003", "event_type": event_type, "data": data,
        "detail": {"logid": "20250101000000ABCDEF0123456789ABCD"},
    })  # fmt: skip
