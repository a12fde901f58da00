"""What the simulated loudspeaker plays comes back into the simulated microphone: as late and as soft as it was told."""

import test_standins as stand
from simworld import world

PLAYED = [4 * i for i in range(-128, 128)] * 2  # two descriptors


def play(values):
    data = bytearray()
    for value in values:
        data += bytes((value & 0xFF, value >> 8 & 0xFF))
    return data


def heard(rate_hz=stand.RATE_HZ, **room):
    """(samples that the microphone gave, number of the first played sample) after the room has heard PLAYED."""
    here = stand.new_world(**room)
    mic = stand.open_rx(8)
    speaker = stand.open_tx(rate=rate_hz)
    for i2s in (mic, speaker):
        stand.poll_once(i2s)
    stand.after_blocks(1 if rate_hz == stand.RATE_HZ else 2)
    assert speaker.write(play(PLAYED[:256])) == 512
    got = stand.read_all(mic)
    for _ in range(16):
        stand.after_blocks(1)
        got += stand.read_all(mic)
    here.finish()
    ((first, end),) = here.speaker.spans
    assert end - first == 256
    return stand.numbers(got), first


def test_an_echo_is_as_late_and_as_soft_as_it_was_told():
    got, first = heard(echo_percent=50, echo_delay_ms=10)
    at = first + 160
    assert got[at : at + 256] == [value // 2 >> 2 for value in PLAYED[:256]], "the microphone is 12 dB down"
    assert not any(got[:at]) and not any(got[at + 256 :])


def test_a_slower_loudspeaker_is_heard_at_its_own_pace():
    got, first = heard(8000, echo_percent=100, echo_delay_ms=25)
    at = 2 * (first + 200)
    assert got[at : at + 512] == [value >> 2 for value in PLAYED[:256] for _ in range(2)]
    assert not any(got[:at]) and not any(got[at + 512 :])


def test_without_an_echo_the_room_is_silent():
    got, _ = heard()
    assert not any(got)


def test_the_echo_and_a_voice_are_heard_together():
    here = stand.new_world(echo_percent=100, echo_delay_ms=0)
    mic = stand.open_rx(8)
    stand.poll_once(mic)
    stand.say([40, 40, 32760, -32768] * 64)
    here.echo.played(0, stand.RATE_HZ, memoryview(play([4, -80, 4000, -4000] * 64)))
    stand.after_blocks(1)
    assert stand.numbers(stand.read_all(mic)) == [11, -10, 32767 >> 2, -32768 >> 2] * 64, "loud is loud, not wrapped"
    world.current.finish()
