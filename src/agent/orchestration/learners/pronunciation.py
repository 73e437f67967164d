"""Finds sounds in a recording that are not those of the text, with PocketSphinx (the extra `speech`): offline, English, one sentence.

    recording, 16,000 samples a second -> aligned with the text as it should sound -> aligned with every word also as it may be said wrongly
    -> each of these words alone: it counts only if the recording is clearly more probable with it

It hears consonants that are replaced by a clearly different one (w for v, w for r). It does not judge vowels, voicing (t for d) or th,
which the model cannot tell apart reliably: a mistake that is not found is no praise.
"""

from __future__ import annotations

import binascii
import os
import tempfile
import wave
from base64 import b64decode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from math import log
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import ConfigurationError, InvalidInput
from agent.orchestration.learners.phonemes import Comparison, Mistake, sounds_of, words_of

if TYPE_CHECKING:
    from pocketsphinx import Decoder

MOST_SECONDS, MOST_WORDS, MOST_AUDIO = 30, 40, 4_000_000
_RATE, _LEAST_RATE, _MOST_RATE = 16_000, 8_000, 96_000
# How much more probable a recording must be, in nats, before a sound counts as wrong: a right word that is blamed does more harm than a wrong
# one that is overheard. Of right recordings in six voices of espeak-ng one in eight reaches 45 for some word, and one in sixty reaches 80.
_CLEARLY = 75.0
_QUIET = 300  # of 32,767
_SCALE = 1024  # the library's scores are shifted by ten bits
_CONFUSED: Mapping[str, str] = {
    "S": "SH TH", "SH": "S", "Z": "DH", "TH": "S T F", "DH": "D Z", "R": "L W", "L": "R W", "W": "V R", "V": "W B", "F": "P TH", "B": "V", "P": "F",
    "CH": "SH", "JH": "Y", "M": "N", "N": "M", "Y": "JH",
}  # fmt: skip
_SMALL = frozenset({"a", "an", "the", "to", "of", "and", "it", "is", "i", "on", "in"})
Said = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A word as it may be said wrongly: `sounds`, in which the sound at `at` is `heard`."""

    word: str
    at: int
    expected: str
    heard: str
    sounds: Said


def samples_of(audio: str) -> bytes:
    """Return the samples in a WAV file (base64; 16 bits, one channel). Raises `InvalidInput` that says what to send."""
    if len(audio) > MOST_AUDIO:
        raise InvalidInput(f"The audio has more than {MOST_AUDIO:,} characters: send one sentence at a time.")
    try:
        with wave.open(BytesIO(b64decode(audio, validate=True))) as file:
            kind = (file.getnchannels(), file.getsampwidth(), _LEAST_RATE <= file.getframerate() <= _MOST_RATE)
            rate, count = file.getframerate(), file.getnframes()
            data = file.readframes(min(count, (MOST_SECONDS + 1) * _MOST_RATE))
    except (wave.Error, EOFError, ValueError, binascii.Error):
        raise InvalidInput("The audio is no WAV file: send its bytes as base64.") from None
    if kind != (1, 2, True):
        raise InvalidInput("Send audio with one channel, 16 bits and 8,000 to 96,000 samples a second.")
    seconds = len(data) / 2 / rate
    if not 0.1 <= seconds <= MOST_SECONDS:
        raise InvalidInput(f"The audio has {seconds:.1f} seconds: send 0.1 to {MOST_SECONDS}.")
    return _resampled(data[: len(data) // 2 * 2], rate)


def _resampled(data: bytes, rate: int) -> bytes:
    """Return samples at the rate of the model, without what lies above half of it. Raises `InvalidInput` for silence."""
    import numpy as np  # start-up: only speech needs it here

    wave_form = np.frombuffer(data, dtype="<i2").astype(float)
    if np.abs(wave_form).max() < _QUIET:
        raise InvalidInput("Nothing can be heard in the audio: record it again.")
    count = int(len(wave_form) * _RATE / rate)
    spectrum = np.fft.rfft(wave_form)[: count // 2 + 1]
    new = np.fft.irfft(spectrum, count) * count / len(wave_form)
    return bytes(np.clip(new, -32_767, 32_767).astype("<i2").tobytes())


def compare_audio(text: str, audio: str) -> Comparison:
    """Return where a recording differs from a text. It takes about a second for a sentence. Raises `InvalidInput`, `ConfigurationError`."""
    dictionary = _dictionary()
    words = words_of(text)
    if not 0 < len(words) <= MOST_WORDS:
        raise InvalidInput(f"The text has {len(words)} English words: send 1 to {MOST_WORDS} with a recording.")
    samples = samples_of(audio)
    known = {word: dictionary.get(word) or [sounds_of(word)] for word in dict.fromkeys(words)}
    plain = _score(words, known, [], samples)
    if plain is None:
        raise InvalidInput("The recording is not this text: no word of it could be found there.")
    variants = [one for word in known if word not in _SMALL for one in variants_of(word, known[word])]
    heard = _score(words, known, variants, samples)
    suspected = [] if heard is None else heard[1]
    found = [
        one
        for one in suspected
        if (alone := _score(words, known, [one], samples)) and one in alone[1] and alone[0] - plain[0] > _CLEARLY
    ]
    sounds = sum(len(known[word][0]) for word in words)
    mistakes = [Mistake(word=one.word, expected=one.expected, heard=one.heard) for one in found]
    return Comparison(score=round(1 - len(mistakes) / sounds, 4), sounds=sounds, mistakes=mistakes)


def variants_of(word: str, known: Sequence[Said]) -> list[Variant]:
    """Return the ways in which one consonant of a word may be another, but no other way to say it rightly. Pure."""
    first = known[0]
    return [
        Variant(word=word, at=at, expected=sound, heard=other, sounds=changed)
        for at, sound in enumerate(first) for other in _CONFUSED.get(sound, "").split()
        if (changed := (*first[:at], other, *first[at + 1 :])) not in known
    ]  # fmt: skip


def _score(words: Sequence[str], known: Mapping[str, Sequence[Said]], variants: Iterable[Variant], samples: bytes) -> tuple[float, list[Variant]] | None:  # fmt: skip
    """Return how probable a recording is (a logarithm) if words may also be said in these ways, and which of them it holds."""
    entries, names, counts = [], {}, {}
    for word, ways in known.items():
        entries += [(word if at == 1 else f"{word}({at})", way) for at, way in enumerate(ways, start=1)]
        counts[word] = len(ways)
    for one in variants:
        counts[one.word] += 1
        names[f"{one.word}({counts[one.word]})"] = one
        entries.append((f"{one.word}({counts[one.word]})", one.sounds))
    decoder = _decoder(entries)
    decoder.set_align_text(" ".join(words))
    decoder.start_utt()
    decoder.process_raw(samples, full_utt=True)
    decoder.end_utt()
    best = decoder.hyp()
    if best is None or best.best_score <= 0:
        return None
    said = dict.fromkeys(names[segment.word] for segment in decoder.seg() or [] if segment.word in names)
    return log(best.best_score) * _SCALE, list(said)


def _decoder(entries: Sequence[tuple[str, Said]]) -> Decoder:
    from pocketsphinx import Decoder  # start-up: it loads a model

    handle, path = tempfile.mkstemp(suffix=".dict")
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.writelines(f"{word} {' '.join(sounds)}\n" for word, sounds in entries)
        return Decoder(
            samprate=_RATE, loglevel="FATAL", lm=None, dict=path, beam=1e-120, pbeam=1e-120, wbeam=1e-100, maxhmmpf=-1, bestpath=False
        )  # fmt: skip
    finally:
        Path(path).unlink()


@cache
def _dictionary() -> Mapping[str, Sequence[Said]]:
    """Return how English words sound, as the library knows it. Raises `ConfigurationError` if it is not installed."""
    try:
        from pocketsphinx import get_model_path  # start-up: it loads a model
    except ImportError:
        raise ConfigurationError("No library for audio is installed here: install the extra with `pip install 'learning-agent[speech]'`, or send what was heard as `spoken` (words) or `phonemes` (ARPAbet).") from None  # fmt: skip
    words: dict[str, list[Said]] = {}
    with Path(get_model_path(), "en-us", "cmudict-en-us.dict").open(encoding="utf-8") as file:
        for line in file:
            word, *sounds = line.split()
            words.setdefault(word.partition("(")[0], []).append(tuple(sounds))
    return words
