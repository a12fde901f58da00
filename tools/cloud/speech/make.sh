#!/bin/sh
# Makes all spoken WAV files anew: 16 kHz, 16 bits, mono. Needs espeak-ng (1.51 was used) and sox (14.4.2 was used).
set -eu
cd "$(dirname "$0")/../../.."
raw=$(mktemp --suffix .wav)
trap 'rm -f "$raw"' EXIT

say() { # voice words_per_minute pitch file text
    espeak-ng -v "$1" -s "$2" -p "$3" -w "$raw" "$5"
    sox -D "$raw" -r 16000 "$4" gain -n -4
}

question() { say en-gb 165 60 "tests/speech/$1.wav" "$2"; }
answer() { say en-us 165 35 "tools/cloud/speech/$1.wav" "$2"; }

question weather "What is the weather like today?"
question bird "How heavy is a pipit?"
question story "Tell me a long story, please."
question stop "Stop! How long is the night?"

answer hello "Hello! I am listening."
answer done "Done."
answer weather_1 "It is sunny, with a light wind from the west."
answer weather_2 "Take an umbrella in the evening."
answer bird "A pipit weighs about twenty grams."
answer story_1 "Once upon a time, a small bird lived on a wide and windy moor."
answer story_2 "Every morning it flew up high, and sang its thin song to the wind."
answer night "In winter, it lasts sixteen hours."
