"""Variants of questions by rule: ones that ask for the same, and ones that do not. Training only."""
import re

WORD = re.compile(r"[A-Za-z]+")
BEFORE = ["please ", "hi, ", "hello! ", "hey, ", "can you tell me: ", "quick question: ", "could you please help: ", "Hi there! ", "I was wondering, ", "good morning, ", "pls "]
AFTER = [" thanks", " please", " Thank you!", " pls", " thx", " Many thanks in advance.", " ?", "??", " asap please"]
NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve".split()
REWRITES = [
    (r"\bwhat is\b", "what's"), (r"\bwhat's\b", "what is"), (r"\bhow do i\b", "how can I"), (r"\bhow can i\b", "how do I"), (r"\bdo not\b", "don't"), (r"\bdon't\b", "do not"),
    (r"\bi am\b", "I'm"), (r"\bi'm\b", "I am"), (r"\bi have\b", "I've"), (r"\bcannot\b", "can't"), (r"\bcan't\b", "cannot"), (r"\bhow do i\b", "how to"), (r"\bhow to\b", "how do I"),
    (r"\bwho is\b", "who's"), (r"\bwhere is\b", "where's"), (r"\bcolour\b", "color"), (r"\bcolor\b", "colour"), (r"\bmetres\b", "meters"), (r"\bmeters\b", "metres"),
    (r"\bkilometers\b", "kilometres"), (r"\bkilometres\b", "km"), (r"\band\b", "&"), (r" percent\b", "%"), (r"%", " percent"), (r"\bthe ", ""), (r"\bmy ", "the "), (r"\bme\b", "us"),
]
NEGATIONS = [
    (r"\bwith\b", "without"), (r"\bwithout\b", "with"), (r"\bcan I\b", "can't I"), (r"\bshould I\b", "should I not"), (r"\bdoes\b", "doesn't"), (r"\bdoesn't\b", "does"), (r"\bdon't\b", "do"), (r"\bnot ", ""),
    (r"\bisn't\b", "is"), (r"\bbefore\b", "after"), (r"\bafter\b", "before"), (r"\ball\b", "none"), (r"\bonly\b", "not only"), (r"\bincluding\b", "excluding"), (r"\bare\b", "are not"), (r"\bwon't\b", "will"),
]
DIRECTION = re.compile(r"\b(from|between) (\w+(?: \w+)?) (to|into|and) (\w+)", re.I)


def same(text, rng):
    """Asks for the same: one or two harmless changes."""
    for _ in range(rng.randint(1, 3)):
        kind = rng.randint(6)
        if kind == 0:
            text = typo(text, rng)
        elif kind == 1:
            text = BEFORE[rng.randint(len(BEFORE))] + text if rng.rand() < 0.5 else text.rstrip("?.! ") + AFTER[rng.randint(len(AFTER))]
        elif kind == 2:
            text = rewrite(text, REWRITES, rng) or text
        elif kind == 3:
            text = number_words(text, rng)
        elif kind == 4:
            text = text.upper() if rng.rand() < 0.3 else text.lower()
        else:
            text = re.sub(r"[?.!,]+(?=\s|$)", "", text) if rng.rand() < 0.5 else text.rstrip("?.! ") + "?"
    return text


def other(text, kinds, opposites, rng):
    """Asks for another thing, by one change; None where no rule applies."""
    ways = [lambda: sibling(text, kinds, rng), lambda: number(text, rng), lambda: direction(text), lambda: opposite(text, opposites, rng), lambda: rewrite(text, NEGATIONS, rng)]
    for way in rng.permutation(len(ways)):
        found = ways[way]()
        if found is not None and found != text:
            return found
    return None


def typo(text, rng):
    words = [match for match in WORD.finditer(text) if len(match.group()) >= 5 and match.group()[1:].islower()]
    if not words:
        return text
    match = words[rng.randint(len(words))]
    word, at, kind = match.group(), rng.randint(1, len(match.group()) - 1), rng.randint(3)
    changed = [word[:at] + word[at + 1 :], word[:at] + word[at] + word[at:], word[:at] + word[at + 1] + word[at] + word[at + 2 :]][kind]
    return text[: match.start()] + changed + text[match.end() :]


def number_words(text, rng):
    def replace(match):
        found = match.group()
        return NUMBERS[int(found)] if found.isdigit() and int(found) < len(NUMBERS) else found

    if rng.rand() < 0.5:
        return re.sub(r"(?<![\w.,:/$#-])\d{1,2}(?![\w.,:/%-])", replace, text)
    return re.sub(r"\b(" + "|".join(NUMBERS[2:]) + r")\b", lambda match: str(NUMBERS.index(match.group().lower())), text, flags=re.I)


def rewrite(text, rules, rng):
    for at in rng.permutation(len(rules)):
        pattern, by = rules[at]
        if re.search(pattern, text, re.I):
            return re.sub(pattern, by, text, count=1, flags=re.I)
    return None


def cased(word, like):
    return word.capitalize() if like[0].isupper() else word


def sibling(text, kinds, rng):
    words = [match for match in WORD.finditer(text) if match.group().lower() in kinds]
    if not words:
        return None
    match = words[rng.randint(len(words))]
    options = [word for word in kinds[match.group().lower()] if word != match.group().lower() and word.isalpha()]
    if not options:
        return None
    return text[: match.start()] + cased(options[rng.randint(len(options))], match.group()) + text[match.end() :]


def opposite(text, opposites, rng):
    words = [match for match in WORD.finditer(text) if match.group().lower() in opposites]
    if not words:
        return None
    match = words[rng.randint(len(words))]
    options = opposites[match.group().lower()]
    return text[: match.start()] + cased(options[rng.randint(len(options))], match.group()) + text[match.end() :]


def number(text, rng):
    found = list(re.finditer(r"\d+", text))
    if not found:
        return None
    match = found[rng.randint(len(found))]
    digits = match.group()
    if len(digits) > 1 and rng.rand() < 0.4:
        at = rng.randint(len(digits) - 1)
        changed = digits[:at] + digits[at + 1] + digits[at] + digits[at + 2 :]
    elif rng.rand() < 0.5:
        changed = str(int(digits) + rng.randint(1, 4))
    else:
        at = rng.randint(len(digits))
        changed = digits[:at] + str((int(digits[at]) + rng.randint(1, 9)) % 10) + digits[at + 1 :]
    return text[: match.start()] + changed + text[match.end() :]


def direction(text):
    match = DIRECTION.search(text)
    if match is None or match.group(1).lower() == "between":
        return None
    begin, one, to, two = match.groups()
    return text[: match.start()] + f"{begin} {two} {to} {one}" + text[match.end() :]
