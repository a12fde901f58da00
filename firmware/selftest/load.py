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


def frame_costs_us(ports, n_frames):
    """(microseconds from a microphone frame to a queued G.711 frame, from the ring to the DMA), each for 20 ms."""
    return _uplink_us(ports, n_frames), _player_us(ports, n_frames)


def _uplink_us(ports, n_frames):
    way = uplink.Uplink(codec.uplink(codec.G711A), 20 * n_frames + 500, 0, traces.Trace(ports.ticks_ms, 8))
    pcm = memoryview(bytes(codec.FRAME_BYTES))
    way.start()
    gc.collect()
    began_ms = ports.ticks_ms()
    for _ in range(n_frames):
        way.push_pcm(pcm, codec.FRAME_BYTES)
    return ticks_diff(ports.ticks_ms(), began_ms) * 1000 // n_frames


def _player_us(ports, n_frames):
    wire = bytes([_LOUD]) * (_WIRE_BYTES * n_frames)
    blocks = len(wire) // _BLOCK_FRAMES + 1
    down = codec.downlink(codec.G711A, _HZ)
    trace = traces.Trace(ports.ticks_ms, 8)
    playing = player.Player(_Sink(blocks * _BLOCK_FRAMES), len(wire), down, 0, ports, trace, gate.Gate(True, 0))
    playing.begin()
    playing.write_from(wire, len(wire))
    playing.complete()
    gc.collect()
    began_ms = ports.ticks_ms()
    playing.step()
    return ticks_diff(ports.ticks_ms(), began_ms) * 1000 // n_frames
