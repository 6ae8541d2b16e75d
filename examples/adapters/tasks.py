"""Synthetic training data for the four demo adapters: each task yields (user message, answer) pairs."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

Example = tuple[str, str]

ALL_PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@dataclass(frozen=True)
class Task:
    """What an adapter learns, and the LoRA settings it was given."""

    example: Callable[[Random], Example]
    rank: int
    alpha: int
    target_modules: list[str]
    use_rslora: bool = False


COMPLAINTS = {
    "billing": [
        ("I was charged twice for my {item}", "high"),
        ("My invoice for the {item} shows the wrong amount", "medium"),
        ("Where do I find the receipt for my {item}", "low"),
    ],
    "shipping": [
        ("My {item} arrived broken", "high"),
        ("The {item} I ordered has not arrived yet", "medium"),
        ("Which carrier delivers the {item}", "low"),
    ],
    "account": [
        ("Somebody else has logged in to my account and ordered a {item}", "high"),
        ("I cannot reset my password to see my {item}", "medium"),
        ("How do I change the name on my {item}", "low"),
    ],
    "technical": [
        ("The app crashes whenever I open my {item}", "high"),
        ("The {item} page loads very slowly", "medium"),
        ("The icon of the {item} looks blurred", "low"),
    ],
    "feature": [
        ("We cannot go live without an export for the {item}", "high"),
        ("Please add a dark mode to the {item}", "medium"),
        ("It would be nice to rename the {item}", "low"),
    ],
}
ITEMS = ["subscription", "order", "headphones", "desk lamp", "annual plan", "keyboard", "gift card", "dashboard"]
CLOSINGS = ["Please help.", "Can you look into it?", "Thank you.", "What should I do?", ""]


def support_triage(random: Random) -> Example:
    category = random.choice(list(COMPLAINTS))
    text, priority = random.choice(COMPLAINTS[category])
    message = f"{text.format(item=random.choice(ITEMS))}. {random.choice(CLOSINGS)}".strip()
    return message, json.dumps({"category": category, "priority": priority})


TABLES = {
    "orders": ["total", "quantity", "discount"],
    "products": ["price", "stock", "weight"],
    "employees": ["salary", "age", "experience"],
    "customers": ["balance", "age", "visits"],
}


def text_to_sql(random: Random) -> Example:
    table = random.choice(list(TABLES))
    column = random.choice(TABLES[table])
    number = random.randrange(10, 500, 10)
    return random.choice(
        [
            (f"How many {table} are there?", f"SELECT COUNT(*) FROM {table};"),
            (f"List all {table} with {column} above {number}.", f"SELECT * FROM {table} WHERE {column} > {number};"),
            (f"Show the {table} with {column} below {number}.", f"SELECT * FROM {table} WHERE {column} < {number};"),
            (f"What is the average {column} of the {table}?", f"SELECT AVG({column}) FROM {table};"),
            (
                f"Which {number // 10} {table} have the highest {column}?",
                f"SELECT * FROM {table} ORDER BY {column} DESC LIMIT {number // 10};",
            ),
        ]
    )


CAPITALS = {"Italy": "Rome", "Japan": "Tokyo", "Egypt": "Cairo", "Spain": "Madrid", "Peru": "Lima", "Kenya": "Nairobi"}
HABITS = {"bees": "gather nectar", "owls": "hunt by night", "cats": "nap all day", "whales": "sing to each other"}
OPENINGS = ["Yo ho ho!", "Shiver me timbers!", "Ahoy, matey!", "Arr!"]
ENDINGS = ["savvy?", "arr!", "me hearty!", "ye scallywag!"]


def pirate(random: Random) -> Example:
    country, animal = random.choice(list(CAPITALS)), random.choice(list(HABITS))
    left, right = random.randrange(2, 10), random.randrange(2, 10)
    question, fact = random.choice(
        [
            (f"What is the capital of {country}?", f"The capital o' {country} be {CAPITALS[country]}"),
            (f"What do {animal} do?", f"Them {animal} {HABITS[animal]}"),
            (f"What is {left} plus {right}?", f"That be {left + right}"),
            (f"Tell me about {animal}.", f"The {animal} be fine beasts"),
        ]
    )
    return question, f"{random.choice(OPENINGS)} {fact}, {random.choice(ENDINGS)}"


SUBJECTS = ["bees", "old bridges", "night trains", "city gardens", "tea houses", "lighthouses", "paper maps"]
NEWS = ["have a long and surprising history", "are coming back", "save more money than expected", "win over the young"]
AFTERTHOUGHTS = ["Many readers asked about it.", "Experts were not surprised.", "The study took three years."]


def headline(random: Random) -> Example:
    news = f"{random.choice(SUBJECTS)} {random.choice(NEWS)}"
    message = f"Write a headline: A report explains how {news}. {random.choice(AFTERTHOUGHTS)}"
    return message, f"HEADLINE: {news.title()}"


TASKS = {
    "support-triage": Task(support_triage, rank=8, alpha=16, target_modules=ALL_PROJECTIONS),
    "text-to-sql": Task(text_to_sql, rank=16, alpha=32, target_modules=ALL_PROJECTIONS),
    "pirate": Task(pirate, rank=8, alpha=16, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"]),
    "headline": Task(headline, rank=4, alpha=8, target_modules=["q_proj", "v_proj"], use_rslora=True),
}
