"""Tones through the whole way of the microphone to G.711, measured from outside: gain, frames, low-pass, law."""

import asyncio

import check
import kernels_py
import kernels_tables
import numpy
import pytest
from fake_audio import FakeMic
from firmware.audio import codec
from firmware.audio.gate import Gate
from firmware.audio.recorder import Recorder
from firmware.audio.uplink import Uplink
from firmware.compat import sleep_ms
from firmware.trace import Trace
from frame_queue import END


def recorded(sample, ms, codec_name, gain_q8=256):
    """What the writer gets for `ms` of the microphone, G.711 decoded, at the codec's rate."""

    async def main():
        trace = Trace(check.now_ms)
        uplink = Uplink(codec.uplink(codec_name), 60_000, 0, trace)
        recorder = Recorder(FakeMic(check.now_ms, sample), uplink, Gate(True, 0), check.ports(), trace, gain_q8)
        uplink.start()
        task = asyncio.create_task(recorder.run())
        await sleep_ms(ms)
        uplink.finish()
        task.cancel()
        coded = bytearray()
        while uplink.next() != END:
            frame = uplink.frame
            coded += frame.buf[frame.at : frame.at + frame.n]
            uplink.pop()
        return bytes(coded)

    coded = check.run_stepped(main)
    if codec_name == "pcm":
        return numpy.frombuffer(coded, dtype="<i2")
    pcm = bytearray(2 * len(coded))
    values = kernels_tables.ALAW_VALUES if codec_name == "g711a" else kernels_tables.ULAW_VALUES
    kernels_py.expand_into(coded, 0, len(coded), pcm, 0, values)
    return numpy.frombuffer(bytes(pcm), dtype="<i2")


def tone(hz, height):
    samples = numpy.round(height * numpy.sin(2 * numpy.pi * hz * numpy.arange(16000) / 16000)).astype(int)
    return lambda i: int(samples[i % 16000])


def height_at(samples, hz, rate):
    """Height of the component at hz, by projection on a whole number of its periods (hz a multiple of 10)."""
    samples = samples[800 : 800 + rate // 10 * (len(samples[800:]) // (rate // 10))]
    phase = numpy.exp(-2j * numpy.pi * hz * numpy.arange(len(samples)) / rate)
    return 2 * abs(phase @ samples) / len(samples)


@pytest.mark.parametrize("name", ["g711a", "g711u"])
def test_tones_of_speech_pass_within_one_decibel(name):
    for hz in (50, 200, 440, 1000, 2000, 3000, 3300, 3400):
        samples = recorded(tone(hz, 12000), 600, name)
        gain_db = 20 * numpy.log10(height_at(samples, hz, 8000) / 12000)
        assert abs(gain_db) <= 1.0, (hz, gain_db)


@pytest.mark.parametrize("name", ["g711a", "g711u"])
def test_tones_that_would_alias_are_forty_decibels_down(name):
    for hz in (4600, 4800, 5500, 6500, 7300, 7800):
        samples = recorded(tone(hz, 12000), 600, name)
        alias_db = 20 * numpy.log10(height_at(samples, 8000 - hz, 8000) / 12000)
        assert alias_db <= -40, (hz, alias_db)


@pytest.mark.parametrize("name", ["g711a", "g711u"])
def test_the_noise_of_the_law_is_that_of_a_telephone(name):
    floor_db = 34  # both laws keep a sine 36 to 38 dB above their noise over this range of heights
    for height in (1000, 4000, 16000):
        samples = recorded(tone(1020, height), 1200, name)[800:8800].astype(float)
        phase = numpy.exp(-2j * numpy.pi * 1020 * numpy.arange(8000) / 8000)
        component = 2 * (phase @ samples) / 8000
        clean = (component * phase.conjugate()).real
        noise = samples - clean
        snr_db = 10 * numpy.log10((clean**2).mean() / (noise**2).mean())
        assert snr_db >= floor_db, (height, snr_db)


def test_pcm_is_the_microphone_itself_times_the_gain():
    samples = recorded(lambda i: i * 31 % 16001 - 8000, 1000, "pcm", gain_q8=1024)
    expected = numpy.clip(4 * (numpy.arange(len(samples)) * 31 % 16001 - 8000), -32768, 32767)
    assert len(samples) >= 46 * 320
    assert (samples == expected).all()
