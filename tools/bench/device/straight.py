"""The baseline: 20 ms of sound in the straightforward way that comparable MicroPython clients take. Portable.

json.dumps around b2a_base64 and a masking generator for each frame up; json.loads and a2b_base64 for each delta down;
a Python loop over samples for gain, volume, decimation and G.711. Nothing is slowed down on purpose: all of it is what
one writes first, and each part is named in the table of the bench.
"""

import asyncio
import binascii
import json
import os
from array import array


def uplink_message(frame):
    """The text of one append event."""
    content = binascii.b2a_base64(frame).strip().decode()
    message = {"id": "a", "event_type": "input_audio_buffer.append", "data": {"delta": content}}
    return json.dumps(message).encode()


def client_frame(payload, opcode=1):
    """A masked WebSocket frame, masked by a generator per byte as micropython-lib's aiohttp does."""
    n = len(payload)
    header = bytearray([0x80 | opcode])
    if n < 126:
        header.append(0x80 | n)
    else:
        header.append(0x80 | 126)
        header += n.to_bytes(2, "big")
    key = os.urandom(4)
    return bytes(header) + key + bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))


def received_audio(payload):
    """The sound of one delta event, b"" for any other event."""
    message = json.loads(payload)
    if message["event_type"] != "conversation.audio.delta":
        return b""
    return binascii.a2b_base64(message["data"]["content"])


def scaled(samples, gain_q8):
    """A new array("h"), each sample times gain_q8 / 256, saturated."""
    out = array("h", bytes(2 * len(samples)))
    for i in range(len(samples)):
        value = samples[i] * gain_q8 >> 8
        if value > 32767:
            value = 32767
        elif value < -32768:
            value = -32768
        out[i] = value
    return out


def peak(samples):
    return max(abs(sample) for sample in samples)


def halved(samples):
    """Every second sample, each the mean of two: the shortest low-pass."""
    return array("h", [(samples[i] + samples[i + 1]) >> 1 for i in range(0, len(samples), 2)])


def alaw_encoded(samples):
    return bytes(_alaw_byte(sample) for sample in samples)


def _alaw_byte(sample):
    """ITU-T G.711, one sample."""
    sign = 0xD5
    if sample < 0:
        sample = ~sample
        sign = 0x55
    exponent = 0
    rest = sample >> 8
    while rest:
        exponent += 1
        rest >>= 1
    mantissa = sample >> 4 if exponent == 0 else sample >> (exponent + 3)
    return sign ^ (exponent << 4 | mantissa & 0x0F)


def alaw_table():
    """256 samples, by byte."""
    table = []
    for byte in range(256):
        code = byte ^ 0x55
        value = (code & 0x0F) << 4 | 8
        exponent = code >> 4 & 7
        if exponent:
            value = (value + 256) << (exponent - 1)
        table.append(value if code & 0x80 else -value)
    return table


def alaw_decoded(data, table):
    return array("h", [table[byte] for byte in data])


class WholePair:
    """The same full-duplex conversation on asyncio's streams: a task for each way and for the loudspeaker.

    mic, speaker: I2S of thin.py; codec: "pcm" or "g711a".
    """

    def __init__(self, mic, speaker, codec, gain_q8, volume_q8):
        self.frames = 0
        self.samples_played = 0
        self._mic = mic
        self._speaker = speaker
        self._is_pcm = codec == "pcm"
        self._gain_q8 = gain_q8
        self._volume_q8 = volume_q8
        self._table = alaw_table()
        self._waiting = bytearray()

    async def run(self, host, port, path, tls, headers):
        """Connect and never return."""
        if tls is None:
            self._reader, self._writer = await asyncio.open_connection(host, port)
        else:
            self._reader, self._writer = await asyncio.open_connection(host, port, ssl=tls, server_hostname=host)
        key = binascii.b2a_base64(os.urandom(16)).strip().decode()
        lines = ["GET %s HTTP/1.1" % path, "Host: %s:%d" % (host, port), "Upgrade: websocket", "Connection: Upgrade"]
        lines += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + key] + headers
        self._writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        await self._writer.drain()
        while (await self._reader.readline()).strip():
            pass
        self._writer.write(client_frame(json.dumps({"id": "u", "event_type": "chat.update", "data": {}}).encode()))
        await self._writer.drain()
        await asyncio.gather(self._send(), self._receive(), self._play())

    async def _send(self):
        frame = bytearray(640)
        fill = 0
        while True:
            got = self._mic.readinto(memoryview(frame)[fill:])
            fill += got
            if fill < 640:
                await asyncio.sleep(0.005)
                continue
            fill = 0
            samples = scaled(array("h", frame), self._gain_q8)
            if self._is_pcm:
                coded = bytes(samples)
            else:
                coded = alaw_encoded(halved(samples))
            self._writer.write(client_frame(uplink_message(coded)))
            await self._writer.drain()
            self.frames += 1

    async def _receive(self):
        reader = self._reader
        while True:
            head = await reader.readexactly(2)
            n = head[1] & 0x7F
            if n == 126:
                n = int.from_bytes(await reader.readexactly(2), "big")
            payload = await reader.readexactly(n)
            if head[0] & 0x0F == 1:
                self._waiting.extend(received_audio(payload))

    async def _play(self):
        wire_bytes = 512 if self._is_pcm else 256
        while True:
            while len(self._waiting) >= wire_bytes:
                wire = bytes(self._waiting[:wire_bytes])
                self._waiting = self._waiting[wire_bytes:]
                samples = array("h", wire) if self._is_pcm else alaw_decoded(wire, self._table)
                block = memoryview(scaled(samples, self._volume_q8))
                at = 0
                data = bytes(block)
                while at < len(data):
                    n = self._speaker.write(memoryview(data)[at:])
                    if not n:
                        await asyncio.sleep(0.005)
                    at += n
                self.samples_played += len(samples)
            await asyncio.sleep(0.005)
