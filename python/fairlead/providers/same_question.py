"""Whether two prompts ask the same: the words that carry meaning, in order, in one spelling.

Embeddings score opposites alike ("will rise", "will fall"), and a list of opposites is never complete. So this asks the
other way round: two prompts are the same only if nothing differs but what is known to carry no meaning, or to be
another spelling of the same. That is a short list, which this module is: courtesies and ways of asking at the
beginning, articles, punctuation at the end of a phrase, contractions, numbers (1,000, 1k, a thousand), percent and
dollars, dates (ISO, "March 1, 2026", "1st of March 2026"), and a few synonyms. Everything else is compared as it
stands, in order: negations, numbers, tickers, dates, comparatives, sides, units, names (upper case and all), and every
word that is not known.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from decimal import Decimal

__all__ = ["signature"]

_TOKEN = re.compile(
    r"""
    (?P<iso>(?<![\w-])\d{4}-\d{2}-\d{2}(?![\w-]))
    |(?P<raw>\S*(?:://|@\w)\S*                                   # addresses
      |\$[A-Za-z][A-Za-z.]*\w                                    # $AAPL
      |(?<!\w)[A-Z0-9]{2,}(?:[-/][A-Z0-9]{2,})+(?![\w])          # BTC-USD, EUR/USD
      |\d+(?:[/.]\d+){2,}|\d{1,2}:\d{2}(?::\d{2})?)              # 03/01/2026, 1.2.3, 17:00
    |(?P<number>(?:(?<![\w.,)%])[-+])?\d[\d,]*(?:\.\d+)?(?P<suffix>[^\W_]*))
    |(?P<word>[^\W\d_][\w]*(?:'[^\W\d_]+)*)
    |(?P<other>[<>=!]=|\S)
    """,
    re.VERBOSE,
)
_SPELLING = str.maketrans({"\u2018": "'", "\u2019": "'", "\u2212": "-", "\u2013": "-", "\u2014": "-"})
_ABBREVIATED = re.compile(r"\bU\.\s?S\.(?:\s?A\.)?|\bU\.\s?K\.|\ba\.m\.|\bp\.m\.")


def _listed(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ARTICLES = _words("a an the please kindly")
_ASKING = _words(
    "what which who whom whose when where why how is are am was were do does did will would can could should shall may "
    "might has have had"
)
_NEGATIONS = _words("not no never none nor neither without cannot nobody nothing hardly barely except unless but")
_COMMON = (  # words that a sentence may begin with in upper case and be no name
    _ASKING
    | _ARTICLES
    | _NEGATIONS
    | _words(
        "i you he she it we they this that these those my your his her its our their there here if whether in on at by "
        "for from to of with about over under above below before after between during since until and or so then than "
        "as tell give show estimate assess predict forecast explain summarise summarize list compare describe state "
        "report provide find answer say think suppose assume consider rate rank decide buy sell hold short long "
        "probability likelihood chance chances yes all any some each every today tomorrow tonight yesterday now "
        "currently let "
        "given based using according more less most least"
    )
)
_IS_AFTER = _words("it what that who where how there here he she when why")
_CONTRACTED = {
    "won't": ("will", "not"),
    "can't": ("can", "not"),
    "cannot": ("can", "not"),
    "shan't": ("shall", "not"),
    "let's": ("let", "us"),
    "ain't": ("ain't",),
}
_ENDINGS = {"'re": "is", "'ll": "will", "'ve": "have", "'m": "is"}
_PROBABILITY = "<probability>"
_SAME = {
    **dict.fromkeys(("probability", "likelihood", "chance", "chances"), _PROBABILITY),
    **{"are": "is", "am": "is", "percent": "%", "pct": "%", "percentage": "percentage"},
    **{"dollar": "$", "dollars": "$", "usd": "$", "USD": "$", "till": "until", "versus": "vs", "USA": "US"},
    **{"summarize": "summarise", "analyze": "analyse", "okay": "ok", "above": ">", "below": "<"},
    **{"euro": "\u20ac", "euros": "\u20ac", "EUR": "\u20ac"},
}
# Ways of saying the same, longest first; looked for after single words were brought into one spelling.
_PHRASES: dict[tuple[str, ...], tuple[str, ...]] = {
    tuple(phrase.split()): tuple(same.split())
    for phrase, same in {
        "how likely is it that": _PROBABILITY + " that",
        "how likely it is that": _PROBABILITY + " that",
        "how probable is it that": _PROBABILITY + " that",
        "how probable it is that": _PROBABILITY + " that",
        "is going to": "will",
        "per cent": "%",
        "basis points": "bps",
        "basis point": "bps",
        "more than": ">",
        "greater than": ">",
        "higher than": ">",
        "less than": "<",
        "fewer than": "<",
        "lower than": "<",
        "at least": ">=",
        "no less than": ">=",
        "no fewer than": ">=",
        "at most": "<=",
        "no more than": "<=",
        "prior to": "before",
        "go up": "rise",
        "goes up": "rises",
        "go down": "fall",
        "goes down": "falls",
        "United States": "US",
        "United Kingdom": "UK",
        "Federal Reserve": "Fed",
        "is it true that": "true? is",
        "is it the case that": "true? is",
    }.items()
}
_LONGEST = max(map(len, _PHRASES))
# Ways of beginning, which are left out; what follows is what is asked.
_OPENINGS = tuple(
    sorted(
        (
            tuple(opening.split())
            for opening in (
                *("hello", "hi", "hey", "i would like to know", "i want to know", "i need to know", "let me know"),
                *("tell me", "can you tell me", "could you tell me", "would you tell me", "do you know"),
                *("can you give me", "could you give me", "give me", "can you estimate", "could you estimate"),
                *("in your opinion", "in your view", "i wonder", "quick question", "question"),
                *("what do you think is", "what would you say is"),
            )
        ),
        key=len,
        reverse=True,
    )
)
_BEFORE_PROBABILITY = _words("what is estimate assess state report provide find")

_UNITS = {
    word: value
    for value, word in enumerate(
        _listed(
            "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
            "seventeen eighteen nineteen"
        )
    )
}
_TENS = {word: 10 * (i + 2) for i, word in enumerate(_listed("twenty thirty forty fifty sixty seventy eighty ninety"))}
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "bn": 10**9, "k": 10**3}
_ORDINALS = {
    word: f"#{i + 1}"
    for i, word in enumerate(_listed("first second third fourth fifth sixth seventh eighth ninth tenth"))
}
_MONTHS = {
    name: i + 1
    for i, (long, short) in enumerate(
        zip(
            _listed("January February March April May June July August September October November December"),
            _listed("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec"),
            strict=True,
        )
    )
    for name in (long, short)
} | {"Sept": 9}


def signature(prompt: str, synonyms: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """What a prompt asks, in one spelling: two prompts with the same signature ask the same.

    synonyms: words of the caller's own that mean another, as they stand in the text.

    >>> signature("Could you tell me how likely it is that AAPL won't close above $1,000?")
    ('<probability>', 'that', 'AAPL', 'will', 'not', 'close', '>', '1000', '$', '?')
    >>> signature("What's the probability of rain on March 1st, 2026") == signature("Chance of rain on 2026-03-01?")
    True
    >>> signature("Will the Lakers beat the Celtics?") == signature("Will the Celtics beat the Lakers?")
    False
    """
    text = unicodedata.normalize("NFC", prompt).translate(_SPELLING)
    text = _ABBREVIATED.sub(lambda found: re.sub(r"[.\s]", "", found[0]), text)
    keep_commas = False
    sentences: list[tuple[list[str], str]] = [([], "")]
    for token in _tokens(text):
        if token in _ENDS:
            if sentences[-1][0]:
                sentences[-1] = (sentences[-1][0], token)
                sentences.append(([], ""))
            continue
        sentences[-1][0].append(token)
        keep_commas = keep_commas or token.lower() in _NEGATIONS
    out: list[str] = []
    for words, end in sentences:
        if words:
            out += _canonical(words, end, keep_commas, synonyms or {})
    return tuple(out)


_STOP, _ASK, _COMMA = "\0.", "\0?", "\0,"
_ENDS = (_STOP, _ASK)


def _tokens(text: str) -> Iterable[str]:
    """Words, numbers and signs as they stand, contractions apart; ends of sentences and commas as marks."""
    for found in _TOKEN.finditer(text):
        kind, token = found.lastgroup, found[0]
        after = text[found.end() : found.end() + 1]
        before = text[found.start() - 1 : found.start()]
        if kind == "suffix":
            kind = "number"
        if kind == "word":
            yield from _apart(token)
        elif kind == "number":
            yield from _number(token, found["suffix"])
        elif kind == "iso":
            yield "@" + token
        elif kind == "raw" or not (after == "" or after.isspace() or after in "\"')?.!"):
            around = text[max(found.start() - 2, 0) : found.start()], text[found.end() : found.end() + 2]
            if token == "-" and all(len(side) == 2 and side.isalpha() for side in around):
                continue  # long-term, year-end
            yield token
        elif token == "?":
            yield _ASK
        elif token in ".!":
            yield token if token == "!" and before.isdigit() else _STOP
        elif token in ",;:":
            yield _COMMA
        else:
            yield token


def _apart(word: str) -> Iterable[str]:
    if "'" not in word:
        return _CONTRACTED.get(word.lower(), (word,))
    lower = word.lower()
    if lower in _CONTRACTED:
        return _CONTRACTED[lower]
    if lower.endswith("n't"):
        return (word[:-3], "not")
    stem, _, ending = word.rpartition("'")
    ending = "'" + ending.lower()
    if ending in _ENDINGS:
        return (stem, _ENDINGS[ending])
    if ending == "'s":
        return (stem, "is") if stem.lower() in _IS_AFTER else (stem,)
    return (word,)


def _number(token: str, suffix: str) -> Iterable[str]:
    digits = token[: len(token) - len(suffix)] if suffix else token
    trailing = digits.endswith(",")
    digits = digits.rstrip(",")
    if suffix and trailing:
        return (token,)
    plain = digits.replace(",", "")
    grouped = re.fullmatch(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?", digits)
    whole = plain.lstrip("+-").partition(".")[0]
    if ("," in digits and not grouped) or (len(whole) > 1 and whole[0] == "0"):
        return (token,)
    out: tuple[str, ...]
    if not suffix:
        out = (_plain(Decimal(plain)),)
    elif suffix.lower() in ("st", "nd", "rd", "th"):
        out = (f"#{plain}",)
    elif suffix in ("k", "bn"):
        out = (_plain(Decimal(plain) * _SCALES[suffix]),)
    elif suffix in ("bps", "pp"):
        out = (_plain(Decimal(plain)), suffix)
    else:
        out = (token.rstrip(","),)
    return (*out, _COMMA) if trailing else out


def _plain(value: Decimal) -> str:
    text = f"{value:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


def _canonical(words: list[str], end: str, keep_commas: bool, synonyms: Mapping[str, str]) -> list[str]:
    words = [synonyms.get(word, word) for word in _begun(words)]
    words, asks = _opened(["i" if word == "I" else word for word in words])
    asks = asks or end == _ASK or words[:1] == [] or words[0] in _ASKING
    # A comma after a number may part it from the next one, so that dates are read before commas go.
    words = _numbered(_dated(words))
    words = _bare(words, keep_commas)
    words = _phrased([_SAME.get(word, word) for word in words])
    start = 0
    while start < len(words) and words[start] in _BEFORE_PROBABILITY:
        start += 1
    if start < len(words) and words[start] == _PROBABILITY:
        words, asks = words[start:], True
    words = ["," if word == _COMMA else word for word in _priced(words)]
    return [*words, "?" if asks else "."]


def _begun(words: list[str]) -> list[str]:
    """With a first word that is no name in lower case. IT, WHO and US are names."""
    plain = len(words[0]) == 1 or not words[0].isupper()
    return [words[0].lower(), *words[1:]] if plain and words[0].lower() in _COMMON else words


def _bare(words: list[str], keep_commas: bool) -> list[str]:
    """Without articles and courtesies, unless they make a difference: few and a few."""
    out = []
    for i, word in enumerate(words):
        article = word in _ARTICLES and (i + 1 == len(words) or words[i + 1] not in ("few", "little", "number", "lot"))
        if not article and (keep_commas or word != _COMMA):
            out.append(word)
    return out


def _opened(words: list[str]) -> tuple[list[str], bool]:
    """Without courtesies and ways of asking at the beginning, and whether it was asked so."""
    asks = False
    while True:
        lower = [word.lower() for word in words[:8]]
        if lower[:1] in (["please"], ["kindly"], [_COMMA]):
            words = words[1:]
            continue
        for opening in _OPENINGS:
            if tuple(lower[: len(opening)]) == opening and len(words) > len(opening):
                words = _begun(words[len(opening) :])
                if len(opening) > 1:
                    asks = True
                    if words[0] in ("whether", "if") and len(words) > 1:
                        words = ["whether", *words[1:]]
                break
        else:
            return words, asks


def _dated(words: list[str]) -> list[str]:
    """Days with the name of a month become @2026-03-01, or @03-01 where there is no year."""
    out: list[str] = []
    i = 0
    while i < len(words):
        day = _day(words[i])
        if day and i + 1 < len(words):
            at = i + 2 if words[i + 1] == "of" and i + 2 < len(words) else i + 1
            if words[at] in _MONTHS:
                year, after = _year(words, at + 1)
                out.append(_date(year, _MONTHS[words[at]], day))
                i = after
                continue
        if words[i] in _MONTHS and i + 1 < len(words) and (day := _day(words[i + 1])):
            year, after = _year(words, i + 2)
            out.append(_date(year, _MONTHS[words[i]], day))
            i = after
            continue
        out.append(words[i])
        i += 1
    return out


def _day(word: str) -> int:
    digits = word.removeprefix("#")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 2 and 1 <= int(digits) <= 31 else 0


def _year(words: list[str], at: int) -> tuple[str, int]:
    place = at + 1 if at + 1 < len(words) and words[at] == _COMMA else at
    if place < len(words) and re.fullmatch(r"(?:19|20|21)\d\d", words[place]):
        return words[place], place + 1
    return "", at


def _date(year: str, month: int, day: int) -> str:
    return f"@{year}-{month:02}-{day:02}" if year else f"@{month:02}-{day:02}"


def _numbered(words: list[str]) -> list[str]:
    """Numbers in words become digits; a scale multiplies the number before it."""
    out: list[str] = []
    i = 0
    while i < len(words):
        word = _spoken(words[i])
        if word in _ORDINALS:
            out.append(_ORDINALS[word])
            i += 1
            continue
        value, after = _spelt(words, i)
        if after > i:
            out.append(str(value))
            i = after
            continue
        if word in _SCALES and word not in ("k", "bn") and out and re.fullmatch(r"\d+(?:\.\d+)?", out[-1]):
            out[-1] = _plain(Decimal(out[-1]) * _SCALES[word])
        else:
            out.append(words[i])
        i += 1
    return out


def _spoken(word: str) -> str:
    """In lower case; but TEN is no number, it is a ticker."""
    return word if len(word) > 1 and word.isupper() else word.lower()


def _spelt(words: list[str], start: int) -> tuple[int, int]:
    """The number that begins at a word, and the place after it; the same place where none does."""
    total = part = 0
    i, last = start, 0  # last: the smallest step that was read; after it only smaller ones may follow
    while i < len(words):
        word = _spoken(words[i])
        if word in ("and",) and last >= 100 and i + 1 < len(words) and words[i + 1].lower() in (*_UNITS, *_TENS):
            i += 1
        elif word in _TENS and (last == 0 or last >= 100):
            part += _TENS[word]
            last = 10
            i += 1
        elif word in _UNITS and (last == 0 or last >= 100 or (last == 10 and 0 < _UNITS[word] < 10)):
            part += _UNITS[word]
            last = 1
            i += 1
        elif word == "hundred" and 0 < last <= 10 and part < 100:
            part *= 100
            last = 100
            i += 1
        elif word in ("thousand", "million", "billion", "trillion") and i > start and part:
            total += part * _SCALES[word]
            part = 0
            last = 1000
            i += 1
        elif word in ("hundred", "thousand", "million") and i == start and start > 0 and words[start - 1] == "a":
            return {"hundred": 100, **_SCALES}[word], i + 1
        else:
            break
    return total + part, i


def _phrased(words: list[str]) -> list[str]:
    out: list[str] = []
    i = 0
    while i < len(words):
        for length in range(min(_LONGEST, len(words) - i), 1, -1):
            same = _PHRASES.get(tuple(words[i : i + length]))
            if same is not None:
                out += same
                i += length
                break
        else:
            out.append(words[i])
            i += 1
    return out


def _priced(words: list[str]) -> list[str]:
    """A sign of money stands after its number."""
    out = list(words)
    for i in range(len(out) - 1):
        free = i == 0 or not out[i - 1][:1].isdigit()
        if out[i] in ("$", "\u20ac") and free and out[i + 1][:1].isdigit():
            out[i], out[i + 1] = out[i + 1], out[i]
    return out
