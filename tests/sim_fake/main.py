"""A parrot in place of the speaker: says again what it heard while the button was held. Tests the simulator by itself.

config.json's `device_id` chooses a trick besides: crash, hang (swallows Ctrl-C), stop, reset, starve, network.
"""

import asyncio
import json
import select

import machine
import network
import ntptime
from boards import parrot
from firmware import compat, report, trace

MIC = parrot.BOARD["mic"]
SPEAKER = parrot.BOARD["speaker"]
BLOCK_BYTES = 512


def say(kind, **fields):
    report.say(kind, compat.ticks_ms(), **fields)


def open_buses():
    I2S = machine.I2S
    shape = {"bits": 16, "format": I2S.MONO, "rate": 16000}
    rx = I2S(0, sck=MIC["sck"], ws=MIC["ws"], sd=MIC["sd"], mode=I2S.RX, ibuf=32768, **shape)
    tx = I2S(1, sck=SPEAKER["sck"], ws=SPEAKER["ws"], sd=SPEAKER["sd"], mode=I2S.TX, ibuf=8192, **shape)
    poll = select.poll()
    poll.register(rx, select.POLLIN)
    poll.register(tx, select.POLLOUT)
    poll.poll(0)
    return rx, tx


async def repeat_what_is_said():
    key = machine.Pin(parrot.BOARD["button"]["pin"], machine.Pin.IN, machine.Pin.PULL_UP)
    louder = machine.Pin(parrot.BOARD["volume_up"]["pin"], machine.Pin.IN, machine.Pin.PULL_UP)
    ring = trace.Trace(compat.ticks_ms)
    rx, tx = open_buses()
    buf = bytearray(BLOCK_BYTES)
    heard = bytearray()
    is_down = False
    say("state", state="idle")
    while True:
        n = rx.readinto(buf)
        if is_down:
            heard += buf[:n]
        if is_down and key.value():
            is_down = False
            ring.add(trace.RELEASE, len(heard))
            say("heard", text="%d samples" % (len(heard) // 2), final=True)
            say("state", state="speaking")
            await speak(tx, heard)
            heard = bytearray()
            say("turn", is_cut=False)
            say("state", state="idle")
        elif not is_down and not key.value():
            is_down = True
            say("state", state="listening")
        if not louder.value():
            say("volume", percent=80)
            while not louder.value():
                await compat.sleep_ms(5)
        await compat.sleep_ms(0 if n else 8)


async def speak(tx, sound):
    sound += bytes(-len(sound) % BLOCK_BYTES)
    view = memoryview(sound)
    at = 0
    while at < len(sound):
        at += tx.write(view[at : at + 4 * BLOCK_BYTES])
        await compat.sleep_ms(4)
    await compat.sleep_ms(300)


async def use_the_network():
    wlan = network.WLAN(network.STA_IF)
    wlan.active(True)
    wlan.connect("any", "password")
    while not wlan.isconnected():
        await compat.sleep_ms(10)
    say("warning", text="connected")
    ntptime.settime()
    say("warning", text="clock %d" % compat.unix_s())
    while wlan.isconnected():
        await compat.sleep_ms(10)
    say("warning", text="lost %d" % wlan.status())
    while not wlan.isconnected():
        await compat.sleep_ms(10)
    say("warning", text="found")
    while True:
        wlan.isconnected()
        await compat.sleep_ms(10)


async def run(trick):
    if trick == "crash":
        raise ValueError("the parrot is dead")
    if trick == "reset":
        machine.reset()
    if trick == "starve":
        machine.WDT(timeout=50)
    await (use_the_network() if trick == "network" else repeat_what_is_said())


def main(trick):
    while True:
        try:
            asyncio.run(run(trick))
        except KeyboardInterrupt:
            say("stop", text="stopped by Ctrl-C")
            if trick != "hang":
                return 0


with open("config.json") as file:
    config = json.load(file)
say("boot", unix_s=compat.unix_s(), year_zero=compat.time.gmtime(0)[0], token_bytes=len(config.get("token", "")))
exit_code = 2 if config.get("device_id") == "stop" else main(config.get("device_id"))
