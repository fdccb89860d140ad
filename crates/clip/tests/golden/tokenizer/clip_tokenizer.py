"""OpenAI's CLIP tokenizer, restated from its observable behaviour. Needs ftfy and regex."""

import gzip
import html
from pathlib import Path

import ftfy
import regex

MERGES = Path(__file__).parents[3] / "assets" / "clip_merges.txt.gz"
SOT, EOT = "<|startoftext|>", "<|endoftext|>"
PIECES = regex.compile(
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
    regex.IGNORECASE,
)


def byte_symbols():
    """The character of each byte, in the order of the vocabulary."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    symbols = {byte: chr(byte) for byte in printable}
    for byte in range(256):
        if byte not in symbols:
            symbols[byte] = chr(256 + len(symbols) - len(printable))
    return symbols


SYMBOLS = byte_symbols()
PAIRS = [tuple(line.split()) for line in gzip.open(MERGES, "rt", encoding="utf-8").read().split("\n")[1:] if line]
RANKS = {pair: rank for rank, pair in enumerate(PAIRS)}
TOKENS = [*SYMBOLS.values(), *(s + "</w>" for s in SYMBOLS.values()), *map("".join, PAIRS), SOT, EOT]
IDS = {token: token_id for token_id, token in enumerate(TOKENS)}


def clean(text):
    text = html.unescape(html.unescape(ftfy.fix_text(text))).strip()
    return regex.sub(r"\s+", " ", text).strip().lower()


def merge(word):
    """Merges the symbols of a word, always the pair of the lowest rank, all of its places at once."""
    symbols = [*word[:-1], word[-1] + "</w>"]
    while len(symbols) > 1:
        best = min(zip(symbols, symbols[1:]), key=lambda pair: RANKS.get(pair, len(RANKS)))
        if best not in RANKS:
            break
        merged, rest = [], symbols
        while rest:
            length = 2 if tuple(rest[:2]) == best else 1
            merged.append("".join(rest[:length]))
            rest = rest[length:]
        symbols = merged
    return symbols


def encode(text):
    ids = [IDS[SOT]]
    for piece in PIECES.findall(clean(text)):
        if piece in (SOT, EOT):
            ids.append(IDS[piece])
        else:
            ids += [IDS[symbol] for symbol in merge("".join(SYMBOLS[byte] for byte in piece.encode()))]
    return [*ids, IDS[EOT]]
