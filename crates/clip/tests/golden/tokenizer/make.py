"""Records the ids of a broad made corpus, and of a made WordPiece vocabulary.

    pip install ftfy==6.3.1 regex==2026.11.15 transformers==5.23.0
    python make.py

Writes clip.json with OpenAI's ids as `clip_tokenizer.py` restates them, after checking that restatement against
strings.json, which was recorded with OpenAI's own code; and bert_vocab.txt and bert.json with `BertTokenizer`.
"""

import html.entities
import json
import random
from pathlib import Path

import ftfy
from transformers import BertTokenizer

import clip_tokenizer as clip

HERE = Path(__file__).parent
CONTEXT = 77
# ftfy registers the encodings that give every byte a character.
ENCODINGS = [
    "latin-1",
    *(f"sloppy-windows-{number}" for number in (1252, 1251, 1250, 1253, 1254, 1257)),
    "iso-8859-2",
    "macroman",
    "cp437",
]

SENTENCES = [
    "Zażółć gęślą jaźń", "Falsches Üben von Xylophonmusik quält jeden größeren Zwerg", "El pingüino Wenceslao hizo kilómetros",
    "Où est l’œuf de Noël, Madame Œdipe ?", "Příliš žluťoučký kůň úpěl ďábelské ódy", "Árvíztűrő tükörfúrógép",
    "İSTANBUL'DA IŞIK ve ĞÜZEL", "Pijamalı hasta yağız şoföre çabucak güvendi", "Ξεσκεπάζω την ΨΥΧΟΦΘΌΡΑ ΒΔΕΛΥΓΜΊΑΣ", "ΣΑΣ ΣΑΣ. ΑΣ' Σ Σ,Σ",
    "Съешь же ещё этих мягких французских булок", "Жебракують філософи при ґанку церкви в Гадячі", "איך בלש תפס גמל רץ", "صِف خَلقَ خَودٍ كَمِثلِ الشَمسِ",
    "ऋषियों को सताने वाले दुष्ट राक्षसों", "いろはにほへと ちりぬるを", "ｲﾛﾊﾆﾎﾍﾄ ﾁﾘﾇﾙｦ ｶﾞｷﾞ", "視野無限廣，窗外有藍天", "키스의 고유조건은", "เป็นมนุษย์สุดประเสริฐ",
    "ფიქრი", "Հայերեն", "አማርኛ", "ᓄᓇᕗᑦ", "ភាសាខ្មែរ", "ﷺ ﷽", "straße STRASSE ẞ ß", "ĲSSELMEER ĳ ǆ Ǆ ŉ", "ﬀﬁﬂﬃﬄﬅﬆ", "ＡＢＣ　ａｂｃ　！＂＃１２３￥￦",
]
SYMBOLS = [
    "😀😃", "👩‍💻 👨‍👩‍👧‍👦", "🏳️‍🌈 🏴‍☠️", "👍🏻👍🏿", "🇩🇪🇫🇷 🇩", "1️⃣#️⃣", "☎ ☎️", "♥ ❤ ❤️‍🔥", "© ® ™ ℠", "→ ⇒ ∀x∈ℝ: ⌈x⌉ = −⌊−x⌋", "½ ⅓ ² ₃ Ⅷ ① ٣ ௩ 〇",
    "10€ £5 ¥100 ₿ ¢", "“a” ‘b’ „c“ «d» ‹e› ‚f‘ ʼg ‛h ‟i", "– — ― ‐ ‑ … ‥ · •", "a\u200bb\u200cc\u200dd\u2060e\u00adf", "\u202aLTR\u202c \u200fRTL\u200e", "\ufeffBOM\ufeff",
    "e\u0301 E\u0308 a\u0323\u0302 q\u0307\u0323", "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢", "\u0345 α\u0345 x\u0345y", "K Å Ω ſ 'ſ 'S", "𝒜𝓁𝓅𝒽𝒶 𝟙𝟚 🅰 Ⓐ ⓐ", "\U0001d173\U000e0061 \ufff9a\ufffab\ufffb\ufffc\ufffd", "\ue000 \uf8ff \U000f0000",
    "\x00\x01\x08\x0b\x0c\x0e\x1f\x7f a\x0bb\x0cc\x1cd\x1ee", "\x80\x81\x85\x92\x9f", "\x1b[1;31mred\x1b[m \x1b[٣m \x1b[", "a\u2028b\u2029c\r\nd\re\u0085f", "\u00a0 \u1680\u2003\u202f\u205f\u3000x\u180ey\u3000",
    "  \t\n ", "''''", "don't DON'T y'ALL 'twas I'D we'VE they'RE it'S you'LL I'M 'LLama 'tis", "can’t CAN’T ʼs ´s `s", "a1b22c333 1,000.50 3e-8 0x1F v2.0.1", "...!!!???;:,.-_=+*/\\|~^<>()[]{}@#$%&`\"",
    "https://example.com/a_b?q=1&amp;lang=en#top", "mailto:a.b+c@example.org", "def f(x):\n\treturn x**2  # x²", "<div class=\"x\">&nbsp;Tom &amp; J&eacute;r&ocirc;me</div>", "$\\alpha_{i}^{2} \\le \\frac{1}{2}$",
    "<|startoftext|>a<|endoftext|>", "!<|endoftext|>", "<|ENDOFTEXT|><|endoftext|>!", "<|ſtartoftext|>", "<|endoftext|", "a photo of a {}.", "x" * 300, "ab" * 200, "é" * 120, "🐶" * 60, "1" * 100, "!" * 150, "word " * 90,
]
ENTITIES = [
    "&amp;", "&amp", "&ampx", "&amp;amp;lt;", "&amp;amp;amp;amp;amp;lt;", "&#38;#38;", "&lt;|endoftext|&gt;", "&notit; &notin; &not", "&copy2024 &COPY;2024 &Copy;", "&EACUTE; &Eacute; &eACUTE; &NTILDE;O &SZLIG; &HELLIP; &AMP; &GT",
    "&#233; &#xe9; &#XE9 &#00233; &#x1F600; &#128512", "&#0; &#x80; &#x81; &#150; &#xD800; &#x110000; &#99999999999999999999;", "&#1; &#11; &#xfffe; &#x1ffff; &#xfdd0; &#13;x&#10;y &#12;", "&#; &#x; &; & && &#xZ; &#12a; &;amp;", "&#8217; &rsquo; &ldquo;x&rdquo; &hellip; &nbsp;&ensp;&zwj;&shy;",
    "&NotEqualTilde; &CounterClockwiseContourIntegral; &fjlig; &acE;", "&thisisnotanentityatallbecauseitistoolongtobeone;", "&am\u00e9;&gt\u00e9;&lt😀", "<b>&eacute;</b> &amp;eacute;", "a < b &amp;&amp; c &gt; d", "&eacute;\n<&eacute;>\n&eacute; &EACUTE;", "&Tab;&NewLine;&lbrace;&semi;&num;&#59;", "&#x26;lt;b&#x3e;", "Q&A R&D AT&T; &c.",
]
GARBLES = [
    "IL Y MARQUÉ…", "Ã la mode, Ã quel prix, Ã s duas, Ãquele", "voilÃ le travail", "L’Ã©tÃ©", "â€œ like this â€�", "â\x80\x9cmixed\x9d â€", "Â© Â® Â£5 Â½ 10Â°", "Ã‚Â© Ãƒ", "MÃ¼nchen KÃ¶ln ZÃ¼rich caf\xe9", "à¤¹à¤¿à¤¨à¥à¤¦à¥€", "ÐŸÑ€Ð¸Ð²ÐµÑ‚", "ГђВџ", "вЂ” вЂњ", "‚Äì ‚Äú √©", "ΓÇ£ Γö£", "ðŸ˜€ ðŸ‘", "\xf0\x9f\x98\x80", "í\xa0½í¸\x80", "\xc0\x80", "Ã?Ã© Ä? ï¿½", "Å“uf Å  Å¸", "œ Œuvre œœ œ!", "x× ×² ≠≤ 5µ ±½", "ÄÅÇÉÑÖÜáà", "│┤ ╣ ░▒▓ ÒÓ│Ò", "Ø§Ù„Ø¹Ø±Ø¨", "ʻÃ©", "¿Ã©Ã¡?", "(à¸‡'âŒ£')à¸‡", "The Mona Lisa doesnÃƒÂ¢Ã¢â€šÂ¬Ã¢â€žÂ¢t",
    "pi\u00f9 perch\u00e9 citt\u00e0 \u00a7\u00b6", "Æ ﬁsh Ǽ â‚¬ ā€“ β€™", "Àé Ëï ÎÏ€ ÐÐ", "a!Â νa", "fin.Â ”Â x", "aÃ b Â c",
]


def garbled(text, encoding):
    return text.encode("utf-8").decode(encoding)


def every_byte(encoding):
    """Texts whose UTF-8 holds every byte from 0x80 that UTF-8 can hold, as the encoding reads them."""
    leads = "".join(chr(lead << 6 & 0x7FF | 0x25) for lead in range(2, 32))
    yield garbled("\u0101" + "".join(chr(0x400 + low) for low in range(64)), encoding)
    yield garbled(leads + "".join(chr(high << 12 | 0xB9A) for high in range(16) if high != 13) + "😀\U000e0041", encoding)


def mixtures():
    """Random texts of words, entities and garbles in all kinds of white space."""
    chance = random.Random(1)
    names = sorted(html.entities.html5)
    words = " ".join(SENTENCES + SYMBOLS[:36]).split()
    for _ in range(120):
        parts = []
        for _ in range(chance.randint(1, 6)):
            word = chance.choice(words)
            kind = chance.randrange(6)
            if kind == 0:
                word = "&" + chance.choice(names)
            elif kind == 1:
                word = f"&#{chance.randrange(0x3000)};"
            elif kind == 2:
                word = word.upper()
            elif kind == 3:
                word = garbled(word, chance.choice([e for e in ENCODINGS if e.startswith(("latin", "sloppy"))]))
            parts.append(word)
        text = chance.choice([" ", " ", "  ", "\n", "\t", "\xa0", "", "-"]).join(parts)
        if chance.random() < 0.2:
            text = garbled(text, "sloppy-windows-1252").replace("\xa0", " ")
        yield text


def check_against_openai():
    for case in json.loads((HERE / "strings.json").read_text("utf-8")):
        ids = clip.encode(case["text"])
        assert len(ids) == case["length_untruncated"], case["text"]
        if len(ids) > CONTEXT:
            ids = [*ids[: CONTEXT - 1], clip.IDS[clip.EOT]]
        assert ids + [0] * (CONTEXT - len(ids)) == case["ids"], case["text"]
        assert clip.clean(case["text"]) == case["cleaned"], case["text"]


def write(name, cases):
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    (HERE / name).write_text(f"[\n{lines}\n]\n", "utf-8")


def record_clip():
    texts = [*SENTENCES, *(s.upper() for s in SENTENCES), *SYMBOLS, *ENTITIES, *GARBLES]
    for encoding in ENCODINGS:
        texts += every_byte(encoding)
        texts += [garbled(text, encoding) for text in SENTENCES[::6] + ["doesn’t – “ok” é à😀"]]
    texts += [garbled(garbled(text, "sloppy-windows-1252"), "latin-1") for text in SENTENCES[::7]]
    texts += mixtures()
    # Python's `re` would count half of a character that two of them make.
    texts = [text for text in dict.fromkeys(texts) if not any(0xD800 <= ord(c) < 0xE000 for c in text)]
    write("clip.json", ({"text": text, "cleaned": clip.clean(text), "ids": clip.encode(text)} for text in texts))


def record_bert():
    pieces = "the a photo of cat dog un ##aff ##able ##s ##ing play run cafe ##́ über uber strasse ! . , ' ? - [ ] un ##known".split()
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)] + ["C", "P", "é", "ü", "世", "界"]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *pieces, *letters, *("##" + c for c in letters)]
    path = HERE / "bert_vocab.txt"
    path.write_text("".join(token + "\n" for token in dict.fromkeys(tokens)), "utf-8")
    texts = [
        "", "A photo of a cat.", "unaffable dogs, playing!", "Café CAFÉ cafe\u0301 ÜBER über", "世界 a世b", "un known? zzz ñ 😀", "it's a-b [MASK] [UNK]", "x" * 101, "  \t\n tab\u00a0\u3000 \x00\x07b\ufffd", "don\u2019t <b>&amp;</b>", "PhOtO C P", "[CLS] a [SEP]",
    ]
    cases = []
    for lowercase in (True, False):
        tokenizer = BertTokenizer(vocab=str(path), do_lower_case=lowercase)
        cases += [{"lowercase": lowercase, "text": text, "ids": tokenizer(text)["input_ids"]} for text in texts]
    write("bert.json", cases)


if __name__ == "__main__":
    check_against_openai()
    record_clip()
    record_bert()
    print(f"ftfy {ftfy.__version__}")
