"""The ways of the sound through the firmware's own modules, 20 ms of it, each beside the straightforward baseline.

Every result is checked before its instructions are counted: frames are unmasked and read as JSON, decoded bytes are
compared with what was sent, blocks for the loudspeaker with the portable kernels.
"""

import binascii
import json
from array import array

import micropython
from bare_names import Clock, Ports
from counter import count

MIC_BYTES = 640
DMA_MS = 96  # as the boards have
PASSES = 64  # of the player, some of which cost more than others
_BLOCK_FRAMES = 256


def tone(n_samples, step):
    """A saw tooth, bytes of s16le."""
    values = array("h", bytes(2 * n_samples))
    for i in range(n_samples):
        values[i] = i * step % 8192 - 4096
    return bytearray(values)


class Config:
    """What Coze and Link ask of a configuration here."""

    conversation_id = ""
    user_id = "u"
    token = ""


class Mic:
    rate_hz = 16000
    dma_frames = 1024


class Up:
    """Recorder -> uplink -> link, from the microphone's buffer to the masked frame."""

    def __init__(self, codec_name, gain_q8):
        from firmware import trace
        from firmware.audio import codec, gate, recorder, uplink
        from firmware.clouds import coze
        from firmware.net import link

        events = trace.Trace(Clock.ticks_ms, 8)
        self.codec = codec.uplink(codec_name)
        self.uplink = uplink.Uplink(self.codec, 40, 0, events)
        self.uplink.start(True)
        self.link = link.Link(Config, Ports, events, self.uplink, coze.Coze(Config), None, None)
        self.recorder = recorder.Recorder(Mic, self.uplink, gate.Gate(True, 0), Ports, events, gain_q8)
        self.mic = tone(320, 397)
        self.has_gain = gain_q8 > 0

    def prepare(self):
        self.recorder._frame[:] = self.mic

    def step(self):
        if self.has_gain:
            self.recorder._frame_done(0)
        else:
            self.uplink.push_pcm(self.recorder._frame, MIC_BYTES)
        self.link._choose_audio()

    def sent(self):
        """The sound in the frame that the last step made."""
        import kernels_py

        link = self.link
        frame = bytearray(link._out[link._out_at : link._out_end])
        assert frame[0] == 0x81 and frame[1] == 0xFE and frame[2] << 8 | frame[3] == len(frame) - 8
        kernels_py.xor_mask(frame, 8, len(frame) - 8)
        message = json.loads(memoryview(frame)[8:])
        assert message["event_type"] == "input_audio_buffer.append"
        return binascii.a2b_base64(message["data"]["delta"])

    def expected(self, gain_q8):
        import kernels_py
        import kernels_tables

        pcm = bytearray(self.mic)
        if gain_q8:
            kernels_py.scale_peak(pcm, 0, 320, gain_q8, 8)
        if self.codec.is_pcm:
            return pcm
        coded = bytearray(160)
        n = kernels_py.decimate2_into(pcm, 0, 320, pcm, 0, kernels_tables.decimate2_state())
        kernels_py.alaw_encode_into(pcm, 0, n, coded, 0)
        return coded


def up(codec_name, gain_q8):
    way = Up(codec_name, gain_q8)
    way.prepare()
    way.step()
    assert way.sent() == way.expected(gain_q8), "the frame does not carry the sound"
    return count(way.step, way.prepare)


def up_baseline(codec_name, gain_q8):
    import straight

    mic = bytes(tone(320, 397))

    def step():
        samples = array("h", mic)
        if gain_q8:
            samples = straight.scaled(samples, gain_q8)
            straight.peak(samples)
        coded = bytes(samples) if codec_name == "pcm" else straight.alaw_encoded(straight.halved(samples))
        straight.client_frame(straight.uplink_message(coded))

    return count(step, None, 4)


class Down:
    """Bytes in the receive buffer -> frame -> event -> decoded -> intake -> player's ring. One step is one delta."""

    def __init__(self, codec_name):
        import delta
        import ws_handshake
        import ws_protocol
        from firmware import trace
        from firmware.audio import codec, gate, intake, player
        from firmware.clouds import coze

        self.protocol = ws_protocol.WSProtocol(4224, 65536)  # the heap is small: large blocks first, and no larger
        self.audio = tone(1440, 137) if codec_name == "pcm" else tone(240, 137)
        self.wire = delta.message(self.audio, 4)
        n = len(self.wire) - 4
        self.wire[:4] = bytes([0x81, 126, n >> 8, n & 0xFF])
        down = codec.downlink(codec_name, 24000)
        self.player = player.Player(
            _speaker(down.rate_hz), 3072, down, 0, Ports, trace.Trace(Clock.ticks_ms, 8), gate.Gate(True, 0)
        )
        self.ring = self.player.ring
        self.intake = intake.Intake(self.player, 2000, Ports)
        self.intake.begin()
        self.coze = coze.Coze(Config, "", self.ring)
        self.protocol.handshake("x", "/", {}, bytes(16))
        answer = b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        answer += ws_handshake.accept_key(binascii.b2a_base64(bytes(16)).strip()) + b"\r\n\r\n"
        self.protocol.room()[: len(answer)] = answer
        self.protocol.fed(len(answer))
        assert self.protocol.next_event() == ws_protocol.OPEN
        assert self.protocol.next_event() == ws_protocol.NONE

    def prepare(self):
        self.ring.clear()
        self.protocol.room()[: len(self.wire)] = self.wire

    def step(self):
        protocol = self.protocol
        protocol.fed(len(self.wire))
        protocol.next_event()
        coze = self.coze
        if coze.receive(protocol.buf, protocol.start, protocol.n, 0) == "audio":
            self.intake.offer(coze.audio_buf, coze.audio_at, coze.audio_n)
        protocol.next_event()
        protocol.room()


def down(codec_name):
    import delta

    way = Down(codec_name)
    way.prepare()
    way.step()
    got = bytearray(len(way.audio))
    assert way.ring.used == len(got) and way.ring.read_into(got, len(got)) and got == way.audio, "sound was lost"
    return count(way.step, way.prepare) * 20 // delta.MS


def down_baseline(codec_name):
    import delta
    import straight

    payload = delta.message(tone(1440, 137) if codec_name == "pcm" else tone(240, 137))
    waiting = bytearray()

    def step():
        waiting.extend(straight.received_audio(bytes(payload)))

    def prepare():
        nonlocal waiting
        waiting = bytearray()

    return count(step, prepare, 4) * 20 // delta.MS


_room = array("i", [0])  # bytes that the DMA would take


# machine.I2S.write is C on the device: native code here.
@micropython.viper
def _bus_write(block) -> int:
    room = ptr32(_room)  # noqa: F821
    n = int(len(block))
    if n > room[0]:
        n = room[0]
    room[0] = room[0] - n
    return n


class Bus:
    write = staticmethod(_bus_write)


def _speaker(hz):
    """The driver with as deep a DMA as the boards have."""
    from firmware.drivers import i2s

    return i2s.Speaker(Bus, hz, hz * DMA_MS // 1000 // _BLOCK_FRAMES * _BLOCK_FRAMES * 2)


class Play:
    """Ring -> decode, volume -> blocks for I2S. One step is one pass of the task, when the one before wanted it."""

    def __init__(self, codec_name, hz, volume_percent):
        from firmware import trace
        from firmware.audio import codec, gate, player

        self.codec = codec.downlink(codec_name, hz)
        self.player = player.Player(
            _speaker(hz), 32768, self.codec, 0, Ports, trace.Trace(Clock.ticks_ms, 8), gate.Gate(True, 0),
            volume_percent,
        )  # fmt: skip
        self.hz = hz
        self.ms = 0
        self.wait_ms = 0
        self.wire = tone(_BLOCK_FRAMES, 137)[: _BLOCK_FRAMES * self.codec.bytes_per_sample]
        self.pass_once = self.player.step  # looked up once, as in run()
        self.player.begin()
        self.prepare()
        _room[0] = 2 * (self.player._speaker.dma_frames - _BLOCK_FRAMES)  # all but the one that is being played
        self.step()

    def prepare(self):
        """Later: the DMA has played whole blocks, and the cloud has filled the ring."""
        Clock.ms += self.wait_ms
        before = self.ms * self.hz // 1000 // _BLOCK_FRAMES
        self.ms += self.wait_ms
        _room[0] += (self.ms * self.hz // 1000 // _BLOCK_FRAMES - before) * 2 * _BLOCK_FRAMES
        self.player.passes += 1  # as run() does
        while self.player.room() >= len(self.wire):
            self.player.write_from(self.wire, len(self.wire))

    def step(self):
        self.wait_ms = self.pass_once()

    def expected(self):
        import kernels_py
        import kernels_tables

        block = bytearray(2 * _BLOCK_FRAMES)
        if self.codec.is_pcm:
            block[:] = self.wire
        else:
            kernels_py.expand_into(self.wire, 0, _BLOCK_FRAMES, block, 0, kernels_tables.ALAW_VALUES)
        kernels_py.scale_peak(block, 0, _BLOCK_FRAMES, self.player._gain, 12)
        return block


def play(codec_name, hz, volume_percent):
    way = Play(codec_name, hz, volume_percent)
    way.prepare()
    way.step()
    assert way.player._block == way.expected(), "the block is not the sound"
    before = way.player.samples_played
    ms = way.ms
    n = count(way.step, way.prepare, PASSES) * PASSES
    ms = way.ms - ms
    played = way.player.samples_played - before
    assert abs(played - ms * hz // 1000) <= 4 * _BLOCK_FRAMES, played
    return n * 20 // ms


def play_baseline(codec_name, hz, volume_percent):
    import straight

    wire = bytes(tone(hz // 50, 137))
    gain_q8 = volume_percent * volume_percent * 256 // 10000
    table = straight.alaw_table()

    def step():
        samples = array("h", wire) if codec_name == "pcm" else straight.alaw_decoded(wire[: hz // 50], table)
        if gain_q8 != 256:
            samples = straight.scaled(samples, gain_q8)
        bytes(samples)

    return count(step, None, 4)
