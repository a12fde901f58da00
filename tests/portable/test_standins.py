"""The stand-ins for the hardware are as awkward as the ESP32 port. All on a clock moved by hand."""

import os
import select
import sys

ROOT = __file__.replace("\\", "/").rpartition("tests/portable/")[0] or "./"
STANDINS = ROOT + "tools/sim/standins"


def _import_standins():
    """Import them before anything of the same name, and leave the path as it was."""
    sys.path.insert(0, STANDINS)
    sys.path.append(ROOT + "tools/sim")
    try:
        kept = {name: sys.modules.pop(name) for name in ("machine", "network") if name in sys.modules}
        import machine
        import neopixel
        import network
        import ntptime

        for name in ("machine", "network"):
            sys.modules.pop(name)
        sys.modules.update(kept)
        return machine, network, neopixel, ntptime
    finally:
        sys.path.remove(STANDINS)


machine, network, neopixel, ntptime = _import_standins()

from check import raises
from firmware import compat
from simworld import script, wav, world

RATE_HZ = 16000
BLOCK_BYTES = 512  # one descriptor: 256 frames of 16-bit mono
BLOCK_US = 16000
SCRATCH = "/tmp/pipit-standins-%s.wav" % "".join("%02x" % byte for byte in os.urandom(6))  # removed by whoever used it


def new_world(**settings):
    world.current = world.World(clock=world.SteppedClock(), bounce_ms=0, **settings)
    return world.current


def test_zero_of_a_world_is_the_beginning_of_a_ms_of_the_speakers_clock():
    w = world.World()
    compared = 0
    while compared < 100:
        ms = compat.ticks_ms()
        us = w.now_us()
        # Not where a ms ends, which is known to 50 us on a 32-bit port; nor when another program came between.
        if 100 < us % 1000 < 900 and compat.ticks_ms() == ms:
            assert compat.ticks_diff(ms, w.t_ms_start) == us // 1000, "the same instant, the same ms"
            compared += 1


def after_blocks(n):
    """Let the bus play or record n descriptors and a little more."""
    world.current.clock.advance_us(n * BLOCK_US + 1)


def poll_once(i2s):
    poll = select.poll()
    poll.register(i2s, select.POLLIN | select.POLLOUT)
    try:
        return poll.poll(0)
    except OSError:
        return []  # asked for the direction that it does not have: refused, but a poll all the same
    finally:
        poll.unregister(i2s)


def open_tx(descriptors=4, **changes):
    settings = {"mode": machine.I2S.TX, "bits": 16, "format": machine.I2S.MONO, "rate": RATE_HZ}
    settings.update(sck=15, ws=16, sd=7, ibuf=descriptors * BLOCK_BYTES)
    settings.update(changes)
    return machine.I2S(1, **settings)


def open_rx(descriptors=4, **changes):
    settings = {"mode": machine.I2S.RX, "bits": 16, "format": machine.I2S.MONO, "rate": RATE_HZ}
    settings.update(sck=5, ws=4, sd=6, ibuf=descriptors * 256 * 8)
    settings.update(changes)
    return machine.I2S(0, **settings)


def samples(first, n):
    """n samples counting up from `first`: a lost, doubled or late one shows."""
    out = bytearray(2 * n)
    for i in range(n):
        out[2 * i] = (first + i) & 0xFF
        out[2 * i + 1] = (first + i) >> 8 & 0xFF
    return out


def numbers(data):
    out = []
    for i in range(0, len(data) - 1, 2):
        value = data[i] | data[i + 1] << 8
        out.append(value - 65536 if value & 0x8000 else value)
    return out


def ramp(first, n):
    return list(range(first, first + n))


def played():
    """Everything the loudspeaker has played, from its WAV file."""
    world.current.finish()
    with open(SCRATCH, "rb") as file:
        info = wav.read_info(file, SCRATCH)
        file.seek(info.data_at)
        data = file.read()
    os.remove(SCRATCH)
    return numbers(data)


def say(values):
    """Somebody says these samples at the microphone now."""
    write_clip(values)
    world.current.say(SCRATCH)
    os.remove(SCRATCH)  # it is open, and that is enough


def write_clip(values):
    data = bytearray()
    for value in values:
        data += bytes((value & 0xFF, value >> 8 & 0xFF))
    with open(SCRATCH, "wb") as file:
        file.write(wav.header(RATE_HZ, len(data)))
        file.write(data)


def read_all(i2s, step_bytes=640):
    buf = bytearray(step_bytes)
    got = bytearray()
    while True:
        n = i2s.readinto(buf)
        if not n:
            return got
        got += buf[:n]


# ---- sending


def test_tx_blocks_until_it_is_polled():
    w = new_world()
    tx = open_tx()
    assert tx.write(samples(1, 3 * 256)) == 3 * BLOCK_BYTES
    assert w.now_us() >= 3 * BLOCK_US, "each descriptor can be filled only when the bus is done with it"
    poll_once(tx)
    before_us = w.now_us()
    tx.write(samples(1, 16 * 256))
    assert w.now_us() == before_us


def test_init_returns_to_blocking():
    w = new_world()
    tx = open_tx()
    poll_once(tx)
    assert tx.write(samples(1, 256)) == 0
    tx.init(sck=15, ws=16, sd=7, mode=tx.TX, bits=16, format=tx.MONO, rate=RATE_HZ, ibuf=2048)
    before_us = w.now_us()
    assert tx.write(samples(1, 256)) == BLOCK_BYTES
    assert w.now_us() > before_us


def test_tx_takes_only_what_fits():
    new_world()
    tx = open_tx(descriptors=4)
    poll_once(tx)
    assert tx.write(samples(1, 100)) == 0, "right after init every descriptor belongs to the bus"
    after_blocks(2)
    assert tx.write(samples(1, 1000)) == 2 * BLOCK_BYTES
    assert tx.write(samples(1, 10)) == 0
    after_blocks(100)
    assert tx.write(samples(1, 5000)) == 3 * BLOCK_BYTES, "all but the one that is being played"


def test_tx_has_two_descriptors_at_least():
    new_world()
    tx = open_tx(ibuf=1)
    poll_once(tx)
    after_blocks(10)
    assert tx.write(samples(1, 5000)) == BLOCK_BYTES


def test_descriptors_are_counted_in_frames_not_bytes():
    new_world()
    tx = open_tx(format=machine.I2S.STEREO, ibuf=8 * BLOCK_BYTES)
    poll_once(tx)
    after_blocks(10)
    assert tx.write(samples(1, 5000)) == 3 * 1024


def test_tx_plays_in_order_and_silence_after_it():
    new_world(speaker_wav=SCRATCH)
    tx = open_tx(descriptors=4)
    poll_once(tx)
    after_blocks(10)
    sound = samples(1, 600)
    at = 0
    while at < len(sound):
        at += tx.write(memoryview(sound)[at:])
        world.current.clock.advance_ms(5)
    after_blocks(6)
    out = played()
    first = out.index(1)
    assert out[first : first + 600] == ramp(1, 600)
    assert not any(out[:first]) and not any(out[first + 600 :])
    assert world.current.speaker.spans == [[first, first + 600]]
    assert world.current.speaker.last_sound == first + 599


def test_record_is_on_the_time_line_of_the_world():
    w = new_world(speaker_wav=SCRATCH)
    w.clock.advance_ms(500)
    tx = open_tx(descriptors=2)
    after_blocks(1)
    tx.deinit()
    w.clock.advance_ms(250)
    tx = open_tx(descriptors=2)
    w.clock.advance_ms(1)
    tx.deinit()
    assert len(played()) == (500 + 250 + 16 + 1) * 16


def test_underrun_silence_is_counted():
    w = new_world()
    tx = open_tx(descriptors=4)
    poll_once(tx)
    after_blocks(10)
    tx.write(samples(1, 256))
    after_blocks(10)
    tx.deinit()
    assert w.counts["tx_silent"] == w.speaker.at - 256
    assert w.speaker.at == 20 * 256


def test_a_long_absence_is_silence_of_the_right_length():
    new_world(speaker_wav=SCRATCH)
    tx = open_tx(descriptors=4)
    poll_once(tx)
    after_blocks(10)
    tx.write(samples(1, 3 * 256))
    after_blocks(100)
    tx.write(samples(5000, 256))
    after_blocks(4)
    out = played()
    assert len(out) == 114 * 256
    first = out.index(1)
    assert out[first : first + 768] == ramp(1, 768)
    assert sum(1 for value in out if value) == 1024


def test_half_a_descriptor_is_continued_before_its_turn():
    new_world(speaker_wav=SCRATCH)
    tx = open_tx(descriptors=4)
    poll_once(tx)
    after_blocks(10)
    assert tx.write(samples(1, 100)) == 200
    assert tx.write(samples(101, 156)) == 312
    after_blocks(6)
    out = played()
    first = out.index(1)
    assert out[first : first + 256] == ramp(1, 256)
    assert "tx_late" not in world.current.counts


def test_half_a_descriptor_plays_silence_and_its_rest_comes_a_round_later():
    new_world(speaker_wav=SCRATCH)
    tx = open_tx(descriptors=4)
    poll_once(tx)
    after_blocks(10)
    tx.write(samples(1, 100))
    after_blocks(2)
    assert tx.write(samples(101, 156)) == 312, "the driver goes on where it was"
    after_blocks(8)
    out = played()
    first = out.index(1)
    assert out[first : first + 100] == ramp(1, 100)
    assert not any(out[first + 100 : first + 256])
    second = out.index(101)
    assert second == first + 4 * 256 + 100, "one round of four descriptors later, at the same place in it"
    assert out[second : second + 156] == ramp(101, 156)
    assert world.current.counts["tx_late"] == 156


def test_the_rest_of_a_late_descriptor_is_lost_when_the_round_overwrites_it():
    new_world(speaker_wav=SCRATCH)
    tx = open_tx(descriptors=2)
    poll_once(tx)
    after_blocks(10)
    tx.write(samples(1, 100))
    after_blocks(2)
    tx.write(samples(101, 156))
    assert tx.write(samples(1000, 256)) == BLOCK_BYTES, "the same descriptor once more, from its beginning"
    after_blocks(6)
    out = played()
    assert 101 not in out
    first = out.index(1000)
    assert out[first : first + 256] == ramp(1000, 256)


def test_writing_into_the_descriptor_under_way_is_heard_only_ahead_of_the_bus():
    w = new_world(speaker_wav=SCRATCH)
    tx = open_tx(descriptors=4)
    poll_once(tx)
    after_blocks(10)
    tx.write(samples(1, 100))
    w.clock.advance_us(BLOCK_US + 12_500 - 2)  # sample 200 of that descriptor is due
    at = w.now_us() * 16 // 1000 - 11 * 256
    assert 195 <= at <= 200
    tx.write(samples(101, 156))
    w.clock.advance_us(3000)
    out = played()
    first = out.index(1)
    assert not any(out[first + 100 : first + at])
    assert out[first + at] == at + 1
    assert w.counts["tx_late"] == at - 100


def test_deinit_drops_what_is_queued_at_once():
    w = new_world(speaker_wav=SCRATCH)
    tx = open_tx(descriptors=4)
    poll_once(tx)
    after_blocks(10)
    tx.write(samples(1, 3 * 256))
    w.clock.advance_us(BLOCK_US + 5_000)
    tx.deinit()
    stopped_at = w.now_us() * 16 // 1000
    w.clock.advance_ms(100)
    assert w.speaker.at == stopped_at == w.speaker.last_sound + 1
    assert w.counts["tx_dropped"] == 768 - out_samples(w)


def out_samples(w):
    return w.speaker.spans[0][1] - w.speaker.spans[0][0]


def test_use_after_deinit_is_refused_as_the_port_does():
    new_world()
    tx = open_tx()
    tx.deinit()
    tx.deinit()
    with raises(OSError, "ESP_ERR_INVALID_ARG"):
        tx.write(b"\0\0")


# ---- receiving


def test_rx_blocks_until_it_is_polled():
    w = new_world()
    rx = open_rx()
    assert rx.readinto(bytearray(640)) == 640
    assert w.now_us() >= 2 * BLOCK_US, "320 samples need a second descriptor"
    poll_once(rx)
    before_us = w.now_us()
    assert rx.readinto(bytearray(4096)) == 2 * BLOCK_BYTES - 640
    assert rx.readinto(bytearray(640)) == 0
    assert w.now_us() == before_us


def test_rx_comes_a_whole_descriptor_at_a_time():
    w = new_world()
    rx = open_rx()
    poll_once(rx)
    w.clock.advance_us(BLOCK_US - 1)
    assert rx.readinto(bytearray(640)) == 0
    w.clock.advance_us(1)
    assert rx.readinto(bytearray(640)) == BLOCK_BYTES


def test_rx_hears_a_clip_12_db_down_and_whole():
    w = new_world()
    rx = open_rx()
    poll_once(rx)
    w.clock.advance_us(10_000)
    say([4 * i - 2000 for i in range(1000)])
    got = bytearray()
    for _ in range(100):
        w.clock.advance_us(1_000)
        got += read_all(rx)
    heard = numbers(got)
    assert heard[160:1160] == ramp(-500, 1000), "from the sample on at which it was said"
    assert not any(heard[:160]) and not any(heard[1160:])


def test_rx_32_bits_shows_the_slot():
    new_world()
    rx = open_rx(bits=32)
    say([1, -1, 32767, -32768] * 64)
    buf = bytearray(4 * 4)
    assert rx.readinto(buf) == 16
    slots = []
    for i in range(0, 16, 4):
        value = buf[i] | buf[i + 1] << 8 | buf[i + 2] << 16 | buf[i + 3] << 24
        slots.append(value - (1 << 32) if value >> 31 else value)
    assert slots == [1 << 14, -1 << 14, 32767 << 14, -32768 << 14]


def test_rx_stereo_has_the_microphone_on_the_left():
    new_world()
    rx = open_rx(format=machine.I2S.STEREO)
    say([400, 404, 408, 412] * 64)
    buf = bytearray(16)
    rx.readinto(buf)
    assert numbers(buf) == [100, 0, 101, 0, 102, 0, 103, 0]


def test_rx_of_a_microphone_in_the_right_slot():
    for format, heard in ((machine.I2S.STEREO, [0, 100, 0, 101]), (machine.I2S.MONO, [0, 0, 0, 0])):
        w = new_world()
        w.mic_slot = "right"
        rx = open_rx(format=format)
        say([400, 404, 408, 412] * 64)
        buf = bytearray(8)
        rx.readinto(buf)
        assert numbers(buf) == heard, "mono is the left slot"


def test_rx_overrun_loses_the_oldest_whole_descriptors():
    w = new_world()
    rx = open_rx(descriptors=4)
    poll_once(rx)
    say([4 * i for i in range(8000)])
    after_blocks(10)
    heard = numbers(read_all(rx))
    assert heard == ramp(7 * 256, 3 * 256), "the three that are not being overwritten"
    assert w.counts["rx_lost"] == 6 * 256, "and the seventh, under the bus now, is about to be"
    after_blocks(1)
    assert numbers(read_all(rx)) == ramp(10 * 256, 256)
    assert w.mic_record.lost == [[0, 7 * 256]]


def test_a_reader_in_time_loses_nothing():
    w = new_world()
    rx = open_rx(descriptors=4)
    poll_once(rx)
    say([4 * i for i in range(8000)])
    got = bytearray()
    for _ in range(60):
        w.clock.advance_ms(7)
        got += read_all(rx)
    assert numbers(got) == ramp(0, 26 * 256)
    assert "rx_lost" not in w.counts


def test_ibuf_counts_8_byte_slots():
    new_world()
    rx = open_rx(ibuf=8192)
    poll_once(rx)
    after_blocks(50)
    assert len(read_all(rx)) == 3 * BLOCK_BYTES, "8192 bytes are 4 descriptors, not 16"


def test_rx_refuses_half_a_sample():
    new_world()
    rx = open_rx()
    with raises(OSError):
        rx.readinto(bytearray(641))


# ---- misuse, and the flag


def test_each_direction_refuses_the_other():
    new_world()
    with raises(OSError):
        open_tx().readinto(bytearray(2))
    with raises(OSError):
        open_rx().write(b"\0\0")


def test_wrong_settings_are_refused_in_the_words_of_the_port():
    new_world()
    with raises(ValueError, "invalid mode"):
        open_tx(mode=7)
    with raises(ValueError, "invalid bits"):
        open_tx(bits=24)
    with raises(ValueError, "invalid format"):
        open_tx(format=2)
    with raises(ValueError, "invalid pin"):
        open_tx(sck=24)
    with raises(ValueError, "invalid id"):
        machine.I2S(2, sck=1, ws=2, sd=3, mode=2, bits=16, format=0, rate=16000, ibuf=1)
    with raises(TypeError):
        machine.I2S(1, sck=1, ws=2, sd=3, mode=2, bits=16, format=0, rate=16000)
    with raises(OSError):
        open_tx(ibuf=10_000_000)


def test_a_flag_that_never_comes_does_not_stop_the_sound():
    new_world(is_never_ready=True)
    tx = open_tx()
    rx = open_rx()
    assert poll_once(tx) == [] and poll_once(rx) == []
    after_blocks(2)
    assert tx.write(samples(1, 1000)) == 2 * BLOCK_BYTES
    assert rx.readinto(bytearray(640)) == 640
    assert poll_once(tx) == [] and poll_once(rx) == []


def test_a_second_object_takes_the_bus_over():
    new_world()
    old = open_tx()
    open_tx()
    with raises(OSError):
        old.write(b"\0\0")


def test_only_the_question_for_readiness_is_a_poll():
    if sys.implementation.name != "micropython":
        return  # there the file number is asked for instead
    new_world()
    tx = open_tx()
    assert tx.ioctl(10, 0) == -1 and tx.ioctl(4, 0) == -1
    after_blocks(1)
    assert tx.write(samples(1, 512)) == 2 * BLOCK_BYTES, "still blocking"


# ---- pins, pixels, clock, watchdog, Wi-Fi


def test_a_key_bounces_and_then_rests():
    w = world.current = world.World(clock=world.SteppedClock(), bounce_ms=5)
    w.buttons.add(0, True)
    w.button_pin = 0
    key = machine.Pin(0, machine.Pin.IN, machine.Pin.PULL_UP)
    assert key.value() == 1
    w.press()
    seen = []
    for _ in range(20):
        seen.append(key.value())
        w.clock.advance_us(500)
    assert seen[0] == 0, "the leading edge is at once"
    assert 1 in seen[:10] and not any(seen[10:])


def test_an_open_input_shows_its_pull():
    new_world()
    assert machine.Pin(1, machine.Pin.IN, machine.Pin.PULL_UP).value() == 1
    assert machine.Pin(2, machine.Pin.IN, machine.Pin.PULL_DOWN).value() == 0
    out = machine.Pin(3, machine.Pin.OUT, value=1)
    assert out.value() == 1
    out.off()
    assert machine.Pin(3).value() == 0, "two objects of one pin"


def test_pixels_show_when_they_are_written_and_only_changes_are_kept():
    w = new_world()
    pixels = neopixel.NeoPixel(machine.Pin(48, machine.Pin.OUT), 1)
    pixels[0] = (1, 2, 3)
    assert w.led == []
    pixels.write()
    pixels.write()
    w.clock.advance_ms(10)
    pixels.fill((0, 0, 0))
    pixels.write()
    assert w.led == [[0, (1, 2, 3)], [10, (0, 0, 0)]]
    with raises(ValueError, "0..255"):
        pixels[0] = (256, 0, 0)


def test_the_chip_wakes_up_in_2000_until_it_asks():
    w = new_world()
    assert machine.RTC().datetime()[:3] == (2000, 1, 1)
    ntptime.settime()
    assert w.unix_s() == w.true_unix_s()
    w.set_unix_s(0)
    w.ntp(False)
    before_us = w.now_us()
    with raises(OSError):
        ntptime.settime()
    assert w.now_us() - before_us >= 1_000_000, "it blocks for its time-out"


def test_rtc_keeps_what_it_is_given():
    w = new_world()
    machine.RTC().datetime((2026, 2, 28, 5, 23, 59, 59, 0))
    assert machine.RTC().datetime() == (2026, 2, 28, 5, 23, 59, 59, 0)
    w.clock.advance_ms(1000)
    assert machine.RTC().datetime() == (2026, 3, 1, 6, 0, 0, 0, 0)


def test_the_watchdog_bites_whoever_does_not_feed_it():
    w = new_world()
    dog = machine.WDT(timeout=1000)
    w.clock.advance_ms(900)
    dog.feed()
    w.clock.advance_ms(900)
    machine.Pin(0).value()
    w.clock.advance_ms(200)
    with raises(world.PowerLoss):
        machine.Pin(0).value()
    assert w.exit_reason == "watchdog"


def test_a_watchdog_made_again_is_the_same_one_with_another_time():
    w = new_world()
    machine.WDT(timeout=1000)
    w.clock.advance_ms(900)
    machine.WDT(timeout=60_000)
    w.clock.advance_ms(59_000)
    machine.Pin(0).value()
    w.clock.advance_ms(2000)
    with raises(world.PowerLoss):
        machine.Pin(0).value()


def test_the_memory_of_the_clock_lives_through_a_reset():
    w = new_world()
    assert machine.RTC().memory() == b""
    data = bytearray(b"abc")
    machine.RTC().memory(memoryview(data)[1:])
    data[1] = 0
    assert machine.RTC().memory() == b"bc" and w.summary()["rtc_memory"] == "6263"
    with raises(ValueError):
        machine.RTC().memory(bytes(2049))
    new_world(rtc_memory="6263", reset_cause=machine.WDT_RESET)
    assert machine.RTC().memory() == b"bc" and machine.reset_cause() == machine.WDT_RESET


def new_station():
    """The radio as after a start from power."""
    network._states[0] = network._Station()
    return network.WLAN(network.STA_IF)


def test_wifi_takes_its_time_and_is_lost_and_found():
    w = new_world()
    wlan = new_station()
    assert wlan.status() == network.STAT_IDLE
    wlan.active(True)
    wlan.connect("home", "secret")
    assert wlan.status() == network.STAT_CONNECTING and not wlan.isconnected()
    w.clock.advance_ms(301)
    assert wlan.isconnected() and wlan.status() == network.STAT_GOT_IP
    assert wlan.ifconfig()[0] != "0.0.0.0"
    w.wifi(False)
    assert not wlan.isconnected() and wlan.status() == network.STAT_CONNECTING, "it tries, the reason is hidden"
    w.clock.advance_ms(301)
    assert wlan.status() == network.STAT_NO_AP_FOUND
    w.wifi(True)
    w.clock.advance_ms(301)
    assert wlan.isconnected()
    wlan.disconnect()
    assert wlan.status() == network.STAT_IDLE
    wlan.connect("home", "secret")
    assert wlan.status() == network.STAT_IDLE, "the reason of an earlier end is forgotten with an address only"
    with raises(OSError):
        wlan.connect("other", "secret")  # not while it joins
    assert wlan.scan() == [], "nor does it hear anything"
    w.clock.advance_ms(301)
    assert wlan.status() == network.STAT_GOT_IP
    wlan.active(False)


def test_a_station_gives_up_after_its_retries():
    w = new_world(ssid="home")
    wlan = new_station()
    wlan.active(True)
    wlan.config(reconnects=2)
    wlan.connect("home", "secret")
    w.clock.advance_ms(301)
    assert wlan.isconnected()
    w.wifi(False)
    wlan.config(reconnects=0)
    assert wlan.status() == network.STAT_BEACON_TIMEOUT, "nothing hides the reason once nothing is tried any more"
    w.wifi(True)
    w.clock.advance_ms(1000)
    assert not wlan.isconnected()
    wlan.connect("home", "secret")
    w.clock.advance_ms(301)
    assert wlan.isconnected()
    wlan.active(False)


def test_wifi_says_why_not():
    w = new_world(ssid="home", password="right")
    wlan = new_station()
    with raises(OSError):
        wlan.connect("home", "right")
    wlan.active(True)
    for ssid, key, status in (
        ("home", "wrong", network.STAT_WRONG_PASSWORD),
        ("away", "right", network.STAT_NO_AP_FOUND),
        ("home", "right", network.STAT_GOT_IP),
    ):
        wlan.disconnect()
        wlan.connect(ssid, key)
        w.clock.advance_ms(301)
        assert wlan.status() == status, ssid
    wlan.active(False)


def test_a_network_may_give_no_address():
    w = new_world(has_dhcp=False)
    wlan = new_station()
    wlan.active(True)
    with raises(OSError):
        wlan.status("rssi")
    wlan.connect("home", "right")
    w.clock.advance_ms(301)
    assert not wlan.isconnected() and wlan.status() == network.STAT_CONNECTING and wlan.status("rssi") == -55
    assert wlan.ifconfig()[0] == "0.0.0.0"
    wlan.disconnect()
    with raises(OSError):
        wlan.status("rssi")
    wlan.active(False)


def test_a_scan_hears_the_access_point_and_the_neighbours():
    w = new_world(ssid="home", networks=[["café", -80, True]])
    wlan = new_station()
    with raises(OSError):
        wlan.scan()
    wlan.active(True)
    before_us = w.clock.now_us()
    found = wlan.scan()
    assert w.clock.now_us() > before_us, "it blocks"
    assert [(entry[0].decode(), entry[3], entry[4]) for entry in found] == [("home", -55, 3), ("café", -80, 0)]
    w.wifi(False)
    assert [entry[0].decode() for entry in wlan.scan()] == ["café"]
    wlan.active(False)


# ---- the script


class Stage:
    """Runs a script in a world, 1 ms at a time, as a firmware that polls a pin would."""

    def __init__(self, text, **settings):
        self.world = new_world(**settings)
        self.world.button_pin = 0
        self.world.buttons.add(0, True)
        self.world.play_script(text, "test.txt")
        self.is_over = False

    def run_ms(self, ms):
        for _ in range(ms):
            self.world.clock.advance_ms(1)
            try:
                self.world.step()
            except KeyboardInterrupt:
                self.is_over = True

    def report(self, text):
        self.world.on_report(text)


def test_script_presses_waits_and_ends_the_run():
    stage = Stage('press\nwait speaking 500 # comment\nsleep 60\nrelease\nwait said text~"good day"\n')
    key = machine.Pin(0, machine.Pin.IN, machine.Pin.PULL_UP)
    stage.run_ms(2)
    assert key.value() == 0
    stage.report('{"kind": "state", "state": "speaking"}')
    stage.run_ms(50)
    assert key.value() == 0
    stage.run_ms(15)
    assert key.value() == 1
    stage.report('{"kind": "said", "text": "bad day"}')
    stage.run_ms(2)
    assert not stage.is_over
    stage.report('{"kind": "said", "text": "a good day"}')
    stage.run_ms(2)
    assert stage.is_over and stage.world.exit_reason == "quit"


def test_a_report_since_the_last_press_counts_and_one_before_does_not():
    stage = Stage("sleep 5\npress\nwait heard\nwait turn is_cut=false\n")
    stage.report('{"kind": "heard", "text": "before the press"}')
    stage.run_ms(10)
    stage.report('{"kind": "turn", "is_cut": false}')
    stage.run_ms(3)
    assert not stage.is_over
    stage.report('{"kind": "heard", "text": "now"}')
    stage.run_ms(3)
    assert stage.is_over


def test_a_wait_that_runs_out_names_its_line_and_what_was_seen():
    stage = Stage("press\n\nwait speaking 30\n")
    stage.report('{"kind": "state", "state": "thinking"}')
    stage.report('{"kind": "error", "text": "no answer"}')
    stage.run_ms(60)
    assert stage.is_over and stage.world.exit_reason == "script"
    for part in ("test.txt, line 3", "30 ms", "speaking", "thinking", "no answer"):
        assert part in stage.world.exit_text, stage.world.exit_text


def test_a_wrong_script_names_line_and_what_is_allowed():
    for text, parts in (
        ("press\nhum\n", ("line 2", "hum", "release")),
        ("wait nowhere\n", ("line 1", "nowhere", "idle", "turn")),
        ("sleep\n", ("line 1", "sleep MS")),
        ("sleep soon\n", ("line 1", "soon", "sleep MS")),
        ("wifi off\n", ("line 1", "off", "wifi down|up")),
        ("wait idle text=x\n", ("line 1", "field")),
    ):
        with raises(script.ScriptError, "test.txt") as caught:
            script.parse(text, "test.txt", ("idle", "speaking"))
        for part in parts:
            assert part in str(caught.error), (part, str(caught.error))


def test_no_finger_is_faster_than_a_debounced_button():
    stage = Stage("press\nrelease\npress\nsleep 1\n")
    stage.run_ms(200)
    times = [t_ms for t_ms, what in stage.world.actions]
    assert [what for _, what in stage.world.actions] == ["press", "release", "press"]
    assert 40 <= times[1] - times[0] <= 42 and 40 <= times[2] - times[1] <= 42


def test_a_tap_is_short_and_a_clip_can_be_waited_for():
    stage = Stage("say clip.wav\nwait clip_end\ntap 50\n", clips={"clip.wav": SCRATCH})
    write_clip([100] * 1600)
    key = machine.Pin(0, machine.Pin.IN, machine.Pin.PULL_UP)
    downs = 0
    for _ in range(300):
        stage.run_ms(1)
        try:
            downs += 1 - key.value()
        except KeyboardInterrupt:
            pass
    os.remove(SCRATCH)
    assert 48 <= downs <= 52
    assert stage.is_over
    started, tapped = [t_ms for t_ms, what in stage.world.actions if what.startswith(("say", "press"))]
    assert 100 <= tapped - started <= 103


# ---- WAV files


def wav_error(data):
    with open(SCRATCH, "wb") as file:
        file.write(data)
    with raises(wav.WavError, SCRATCH) as caught:
        wav.Clip(SCRATCH, RATE_HZ)
    os.remove(SCRATCH)
    return str(caught.error)


def test_a_wav_that_cannot_be_used_is_named_with_its_cure():
    good = wav.header(RATE_HZ, 8) + bytes(8)
    assert "not a WAV" in wav_error(b"ID3 this is music")
    assert "not a WAV" in wav_error(b"")
    assert "truncated" in wav_error(good[:-3])
    assert "truncated" in wav_error(good[:30])
    assert "truncated" in wav_error(good[:36])
    other_rate = wav_error(wav.header(44100, 8) + bytes(8))
    assert "44100 Hz" in other_rate and "-ar 16000" in other_rate
    stereo = bytearray(good)
    stereo[22] = 2
    assert "2 channels" in wav_error(stereo)
    eight = bytearray(good)
    eight[34] = 8
    assert "8 bits" in wav_error(eight)
    packed = bytearray(good)
    packed[20] = 2
    assert "compressed" in wav_error(packed)


def test_other_chunks_of_a_wav_are_skipped():
    good = wav.header(RATE_HZ, 8) + samples(1, 4)
    with open(SCRATCH, "wb") as file:
        file.write(good[:36] + b"LIST" + bytes((3, 0, 0, 0)) + b"abc\0" + good[36:])
    clip = wav.Clip(SCRATCH, RATE_HZ)
    os.remove(SCRATCH)
    out = bytearray(8)
    assert clip.read_at(0, memoryview(out)) == 4 and numbers(out) == [1, 2, 3, 4]
    assert clip.read_at(3, memoryview(out)) == 1 and numbers(out)[0] == 4
    clip.close()


def test_a_killed_run_leaves_a_wav_that_is_short_by_2_s_at_most():
    writer = wav.Writer(SCRATCH, RATE_HZ)
    for _ in range(10 * 62):
        writer.write(samples(1, 256))
    with open(SCRATCH, "rb") as file:
        info = wav.read_info(file, SCRATCH)
    assert 0 <= 10 * 62 * 256 - info.frames <= 2 * RATE_HZ + 768
    writer.close()
    os.remove(SCRATCH)
