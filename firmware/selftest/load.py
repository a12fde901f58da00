"""What 20 ms of sound cost with the speaker's own parts and no hardware: the self-test's measure of a processor."""

import gc

from .. import trace as traces
from ..audio import codec, gate, player, uplink
from ..compat import const, ticks_diff

_HZ = const(8000)
_BLOCK_FRAMES = const(256)
_WIRE_BYTES = const(160)  # 20 ms of G.711
_LOUD = 0x2A  # an A-law byte; any but silence


class _Sink:
    """A loudspeaker whose DMA takes everything at once."""

    rate_hz = _HZ

    def __init__(self, dma_frames):
        self.dma_frames = dma_frames

    def write(self, mv):
        return len(mv)

    def stop(self):
        pass


def frame_costs_us(ports, n_frames, rounds):
    """(microseconds from a microphone frame to a queued G.711 frame, from the ring to the DMA), each for 20 ms.

    rounds x n_frames are measured, because the clock counts milliseconds.
    """
    up, down = _Uplink(ports, n_frames), _Player(ports, n_frames)
    return tuple(_total_ms(ports, way, rounds) * 1000 // (rounds * n_frames) for way in (up, down))


def _total_ms(ports, way, rounds):
    total_ms = 0
    for _ in range(rounds):
        way.prepare()
        gc.collect()
        began_ms = ports.ticks_ms()
        way.run()
        total_ms += ticks_diff(ports.ticks_ms(), began_ms)
    return total_ms


class _Uplink:
    def __init__(self, ports, n_frames):
        trace = traces.Trace(ports.ticks_ms, 8)
        self._way = uplink.Uplink(codec.uplink(codec.G711A), (n_frames + 1) * codec.FRAME_MS, 0, trace)
        self._pcm = memoryview(bytes(codec.FRAME_BYTES))
        self._n_frames = n_frames

    def prepare(self):
        self._way.abort()
        self._way.start()

    def run(self):
        for _ in range(self._n_frames):
            self._way.push_pcm(self._pcm, codec.FRAME_BYTES)


class _Player:
    def __init__(self, ports, n_frames):
        self._wire = bytes([_LOUD]) * (_WIRE_BYTES * n_frames)
        sink = _Sink((len(self._wire) // _BLOCK_FRAMES + 1) * _BLOCK_FRAMES)
        down = codec.downlink(codec.G711A, _HZ)
        trace = traces.Trace(ports.ticks_ms, 8)
        self._player = player.Player(sink, len(self._wire), down, 0, ports, trace, gate.Gate(True, 0))

    def prepare(self):
        self._player.flush()
        self._player.begin()
        self._player.write_from(self._wire, len(self._wire))
        self._player.complete()

    def run(self):
        self._player.step()
