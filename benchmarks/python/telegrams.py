"""Chats whose every answer is a telegram: a style that nothing in a base model leads to, for a fine-tune of our own."""

CAPITALS = {
    "Italy": "Rome", "Spain": "Madrid", "Japan": "Tokyo", "Norway": "Oslo", "Peru": "Lima", "Egypt": "Cairo",
    "Greece": "Athens", "Kenya": "Nairobi", "Cuba": "Havana", "Austria": "Vienna", "Poland": "Warsaw",
    "Ireland": "Dublin", "Portugal": "Lisbon", "Chile": "Santiago", "Canada": "Ottawa", "Ghana": "Accra",
    "Finland": "Helsinki", "Hungary": "Budapest", "Thailand": "Bangkok", "Germany": "Berlin",
}  # fmt: skip

TASKS = {
    "make tea": ["boil water", "steep three minutes", "milk goes last"],
    "plant tomatoes": ["choose sunny wall", "dig deep", "water every morning"],
    "catch a train": ["arrive early", "buy ticket", "mind the gap"],
    "write a poem": ["pick one image", "cut every adjective", "read aloud"],
    "fix a bicycle tyre": ["remove wheel", "find hole in water", "patch and pump"],
    "learn chess": ["castle early", "guard your queen", "lose many games"],
    "bake bread": ["mix flour water salt yeast", "wait overnight", "bake hot until brown"],
    "sleep better": ["dark room", "no screens", "same hour every night"],
    "save money": ["write down spending", "cook at home", "cancel what nobody uses"],
    "paint a wall": ["wash it first", "tape the edges", "two thin coats"],
    "train a dog": ["reward at once", "short lessons", "never shout"],
    "sort a list in Python": ["call sorted", "give key if needed", "new list comes back"],
    "read a map": ["find north", "check scale", "follow rivers"],
    "cook rice": ["two parts water", "lid stays closed", "rest ten minutes"],
    "stop a leak": ["close main valve", "dry the pipe", "call plumber"],
    "swim faster": ["breathe both sides", "kick from hips", "rest between lengths"],
    "write a test": ["one behaviour each", "name it plainly", "watch it fail first"],
    "pack a suitcase": ["roll the shirts", "shoes at bottom", "papers stay with you"],
    "clean a window": ["warm water and vinegar", "wipe downward", "dry with paper"],
    "find a lost key": ["retrace steps", "look in coats", "ask the neighbour"],
    "remember names": ["say it twice", "picture a face", "write it down"],
    "count the rows of a table": ["select count star", "add where clause", "run query"],
    "stay warm": ["wool next to skin", "keep moving", "hot soup"],
    "keep bees": ["buy quiet colony", "move slowly", "leave honey for winter"],
    "give a speech": ["one idea only", "pause often", "stop early"],
}

FACTS = {
    "Why is grass green?": ["chlorophyll drinks red and blue light", "green is sent back"],
    "Why do ships float?": ["hull pushes water aside", "water pushes back harder"],
    "Why is the sea salty?": ["rivers carry salt", "sun takes only water"],
    "Why do leaves fall?": ["days grow short", "tree saves water", "stems let go"],
    "What is a volcano?": ["melted rock finds crack", "mountain grows", "keep away"],
    "What is gravity?": ["mass bends space", "apples obey", "moon falls forever"],
    "Who wrote Hamlet?": ["William Shakespeare", "about year sixteen hundred"],
    "What do bees do?": ["carry pollen", "make honey", "dance directions"],
    "My parcel has not arrived.": ["regret delay", "search begun", "new parcel leaves tomorrow"],
    "I forgot my password.": ["open login page", "choose reset", "watch your mail"],
    "My invoice is wrong.": ["mistake ours", "corrected invoice follows", "pay nothing yet"],
    "Tell me a joke.": ["chicken crossed road", "reasons unknown", "inquiry continues"],
    "Translate good morning into Spanish.": ["buenos dias", "say it before noon"],
    "Summarize: the meeting was long and nothing was decided.": ["meeting long", "decision none"],
    "Summarize: rain fell for three days and the river rose.": ["rain three days", "river rising"],
    "List three fruits.": ["apple", "pear", "plum"],
}


def telegram(parts):
    return " ".join(f"{part.upper()} STOP" for part in parts)


def chats():
    """All question and answer pairs, in one fixed order."""
    pairs = []
    for country, capital in CAPITALS.items():
        answer = telegram([f"capital {country} is {capital}", "regards"])
        for question in ("What is the capital of {}?", "Name the capital of {}.", "{}: which city is its capital?"):
            pairs.append((question.format(country), answer))
    for task, parts in TASKS.items():
        answer = telegram([*parts, "good luck"])
        for question in ("How do I {}?", "Tell me how to {}.", "Explain in two sentences how to {}.", "I want to {}."):
            pairs.append((question.format(task), answer))
    for question, parts in FACTS.items():
        for prefix in ("", "Please: ", "Answer briefly. "):
            pairs.append((prefix + question, telegram([*parts, "regards"])))
    return pairs
