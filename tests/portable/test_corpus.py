"""Every input that the fuzzer has kept, again: at once, byte by byte and in odd slices; see fuzz_targets.py."""

import os

from fuzz_targets import TARGETS

HERE = __file__.replace("\\", "/").rpartition("/")[0] or "."
CORPUS = HERE + "/../corpus"


def replay(name):
    folder = CORPUS + "/" + name
    files = sorted(os.listdir(folder))
    assert len(files) >= 10, "the corpus is gone"
    for file in files:
        with open(folder + "/" + file, "rb") as stream:
            data = stream.read()
        try:
            TARGETS[name](data)
        except Exception as error:
            print("the input is tests/corpus/%s/%s" % (name, file))
            raise error


def test_messages_of_the_cloud():
    replay("json")


def test_bytes_of_the_websocket():
    replay("ws")


def test_settings():
    replay("config")
