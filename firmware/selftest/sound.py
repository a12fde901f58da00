"""Self-test of the sound: what the microphone gives in silence, a beep, and the way from loudspeaker to microphone."""

import asyncio
from array import array
from math import log10, pi, sin, sqrt

import goertzel

from ..compat import const, ticks_diff
from .bench import SPEAKER_HZ, Failed, Skipped

_LISTEN_MS = const(1000)
_SETTLE_MS = const(300)  # a microphone's own high-pass settles after its clock has begun
_FRAME_SAMPLES = const(320)
_POLL_MS = const(4)
_PATIENCE_MS = const(500)  # without a sample
_BLOCK_FRAMES = const(256)
_AMPLITUDE = const(9000)
_FULL = const(32_767)
_TONE_MS = const(400)
_TAIL_MS = const(150)
_RISE_MS = const(150)  # loudspeaker, air and microphone are certainly in it by then
_HEAR_SAMPLES = const(2048)  # 128 ms: eight blocks, so that every tone below has whole periods in it
_TONE_PERIODS = (5, 8, 16, 32, 48)  # per block of 256 frames at 16 kHz: 312.5, 500, 1000, 2000 and 3000 Hz
_SNR_DB = const(10)
_TONES_NEEDED = const(3)
_FLOOR_DBFS = const(-35)
_DC_SHARE = 0.1


async def listen(bench, samples):
    """Fill array('h') `samples` from the microphone; Failed when nothing comes."""
    mic = bench.mic()
    view = memoryview(samples)
    size = 2 * len(samples)
    raw = memoryview(bytearray(size))
    at = 0
    last_ms = bench.ports.ticks_ms()
    while at < size:
        n = mic.readinto(raw[at:])
        now_ms = bench.ports.ticks_ms()
        if n:
            at += n
            last_ms = now_ms
        elif ticks_diff(now_ms, last_ms) > _PATIENCE_MS:
            raise Failed("the microphone gives no samples: check mic sck and ws in the board file")
        else:
            await bench.ports.sleep_ms(_POLL_MS)
    for i in range(len(samples)):
        value = raw[2 * i] | raw[2 * i + 1] << 8
        view[i] = value - 0x10000 if value & 0x8000 else value


def _dbfs(amplitude):
    return round(20 * log10(max(amplitude, 0.01) / _FULL), 1)


async def microphone(bench):
    """In a quiet room the microphone gives a faint noise: no zeros, no constant, no clipping."""
    gain = bench.need_board()["mic"]["gain_q8"] / 256
    samples = array("h", bytes(2 * 16 * _LISTEN_MS))
    await listen(bench, array("h", bytes(2 * 16 * _SETTLE_MS)))
    await listen(bench, samples)
    n = len(samples)
    mean = sum(samples) / n
    low, high = min(samples), max(samples)
    frames = [_rms(samples, at, mean) for at in range(0, n - _FRAME_SAMPLES, _FRAME_SAMPLES)]
    figures = bench.figures
    figures["peak_dbfs"] = _dbfs(gain * max(high, -low))
    figures["rms_dbfs"] = _dbfs(gain * sqrt(sum([rms * rms for rms in frames]) / len(frames)))
    figures["noise_floor_dbfs"] = _dbfs(gain * min(frames))
    figures["dc_percent"] = round(100 * gain * mean / _FULL, 2)
    figures["distinct_values"] = len(set(samples))
    if low == high:
        raise Failed("the microphone gives %d all the time: check its SD wire, L/R to GND, and its supply" % low)
    if gain * high >= _FULL or -gain * low > _FULL:
        raise Failed("the microphone clips in what should be silence: check its SD and WS wires, or lower gain_q8")
    if abs(gain * mean) > _DC_SHARE * _FULL:
        raise Failed("a constant of %d lies under the sound: check the microphone's wires" % int(mean))
    if figures["noise_floor_dbfs"] > _FLOOR_DBFS:
        raise Failed("the noise floor is %s dBFS: test in a quiet room, check supply and ground of the microphone"
                     % figures["noise_floor_dbfs"])  # fmt: skip


def _rms(samples, at, mean):
    total = 0.0
    for i in range(at, at + _FRAME_SAMPLES):
        total += (samples[i] - mean) * (samples[i] - mean)
    return sqrt(total / _FRAME_SAMPLES)


def tone_block(periods):
    """One block of 256 frames with so many whole periods: repeated, a tone without a click."""
    block = bytearray(2 * _BLOCK_FRAMES)
    for i in range(_BLOCK_FRAMES):
        value = int(_AMPLITUDE * sin(2 * pi * periods * i / _BLOCK_FRAMES)) & 0xFFFF
        block[2 * i] = value & 0xFF
        block[2 * i + 1] = value >> 8
    return memoryview(block)


async def play(bench, block, ms):
    """Queue the block again and again, ms long; returns when the last one is queued. Failed when it is not taken."""
    speaker = bench.speaker()
    last_ms = bench.ports.ticks_ms()
    blocks = ms * SPEAKER_HZ // 1000 // _BLOCK_FRAMES
    at = 0
    while blocks:
        n = speaker.write(block[at:])
        now_ms = bench.ports.ticks_ms()
        if n:
            last_ms = now_ms
            at += n
            if at == len(block):
                at = 0
                blocks -= 1
        elif ticks_diff(now_ms, last_ms) > _PATIENCE_MS:
            raise Failed("the loudspeaker takes no samples: check speaker in the board file")
        else:
            await bench.ports.sleep_ms(_POLL_MS)


async def beep(bench):
    """A person hears half a second of 1 kHz."""
    await play(bench, tone_block(16), 500)
    await bench.ports.sleep_ms(_TAIL_MS)
    heard = bench.ask("beep", "Did you hear a short beep?")
    if heard is None:
        raise Skipped("played, but nobody said whether it was to be heard")
    if not heard:
        raise Failed("no beep: check the amplifier's supply, its SD or enable pin, DIN, and amp_enable")


async def loop(bench):
    """Five tones from the loudspeaker arrive at the microphone, well above the noise."""
    quiet = array("h", bytes(2 * _HEAR_SAMPLES))
    heard = array("h", bytes(2 * _HEAR_SAMPLES))
    rate_hz = bench.mic().rate_hz
    await listen(bench, array("h", bytes(2 * 16 * _SETTLE_MS)))
    await listen(bench, quiet)
    strong = 0
    for periods in _TONE_PERIODS:
        tone_hz = periods * SPEAKER_HZ / _BLOCK_FRAMES
        await _hear_tone(bench, tone_block(periods), heard)
        noise = max(amplitude(quiet, tone_hz, rate_hz), 1.0)
        snr_db = 20 * log10(max(amplitude(heard, tone_hz, rate_hz), 1.0) / noise)
        bench.figures["snr_db_at_%d_hz" % tone_hz] = round(snr_db, 1)
        strong += snr_db >= _SNR_DB
    bench.figures["spectrum"] = _spectrum_source()
    bench.figures["tones_heard"] = strong
    if strong < _TONES_NEEDED:
        raise Failed(
            "the microphone hears %d of %d tones of the loudspeaker: check amplifier, loudspeaker and both boards' "
            "wiring, or raise the supply" % (strong, len(_TONE_PERIODS))
        )


async def _hear_tone(bench, block, heard):
    """Fill `heard` from the middle of a tone."""
    playing = asyncio.create_task(play(bench, block, _TONE_MS))
    try:
        await bench.ports.sleep_ms(_RISE_MS)
        bench.mic().restart()  # what was recorded before is of no interest
        await listen(bench, heard)
        await playing
    finally:
        playing.cancel()
    await bench.ports.sleep_ms(_TAIL_MS)


def amplitude(samples, tone_hz, rate_hz):
    """Of one tone: by ulab where the image has it, which is quick, else by Goertzel's algorithm."""
    try:
        from ulab import numpy
    except ImportError:
        return goertzel.amplitude(samples, len(samples), tone_hz, rate_hz)
    angle = 2 * pi * tone_hz / rate_hz
    steps = numpy.arange(len(samples)) * angle
    sound = numpy.array(samples)
    real = numpy.sum(sound * numpy.cos(steps))
    imaginary = numpy.sum(sound * numpy.sin(steps))
    return 2 * sqrt(real * real + imaginary * imaginary) / len(samples)


def _spectrum_source():
    try:
        import ulab

        return "ulab %s" % ulab.__version__
    except ImportError:
        return "goertzel"
