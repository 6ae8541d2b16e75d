import type { Random } from '../simulation/random.ts';

/**
 * Questions such as people ask an assistant, made by combining words. A meaning is a number; the same in other words is what a
 * semantic cache should find, and meanings that differ in one word are what it should not.
 */

/** What can be asked, in several wordings; each `{}` is filled from the list of its place. */
interface Intent {
  readonly wordings: readonly string[];
  readonly slots: readonly (readonly string[])[];
}

const LANGUAGES = words(
  'Python, JavaScript, TypeScript, Rust, Go, Java, Kotlin, Swift, C, C++, C#, Ruby, PHP, Scala, Haskell, Elixir, Perl, R, Julia, Lua, Dart, Clojure, Bash, PowerShell, MATLAB, Fortran, OCaml, Zig',
);
const TASKS = words(
  'reverse a list, sort a list of records by date, read a CSV file, parse JSON, send an HTTP request, connect to PostgreSQL, write unit tests, format a date, remove duplicates from a list, merge two dictionaries, find the longest word in a text, split a string at commas, run a program every hour, compress a folder, hash a password, generate random numbers, read environment variables, log to a file, copy a file, walk through a directory, open a web socket, draw a line chart, resize an image, measure how long a function takes, cache the result of a function, retry a failed call, stream a large file, validate an email address, compute a checksum, cancel a running task, print a table, count words, encode text as base64, make a thread pool, read a YAML configuration',
);
const CONDITIONS = words(
  'without any library, as fast as possible, on Windows, on Linux, in the newest version, with little memory, for a beginner, in a single line, with good error messages, in a large project, safely, inside a container',
);
const DISHES = words(
  'lasagne, lentil soup, chicken curry, pancakes, sourdough bread, tomato sauce, ramen, risotto, apple pie, chocolate cake, roast potatoes, fried rice, falafel, hummus, goulash, paella, guacamole, beef stew, pumpkin soup, cheesecake, onion tart, fish tacos, pad thai, ratatouille, meatballs, omelette, dumplings, banana bread, pizza dough, mushroom pasta',
);
const DIETS = words(
  'without gluten, without dairy, for vegans, with little salt, for small children, with few calories, without eggs, without nuts, for diabetics, for six guests, on a small budget, in half an hour, in a pressure cooker, in an air fryer, over a campfire, one day ahead',
);
const INGREDIENTS = words(
  'butter, eggs, cream, wheat flour, sugar, white wine, soy sauce, fresh basil, garlic, yeast, cornstarch, parmesan, olive oil, lemon juice, buttermilk, brown sugar, coconut milk, fish sauce, shallots, vanilla',
);
const CITIES = words(
  'Paris, Rome, Lisbon, Vienna, Prague, Berlin, Madrid, Athens, Dublin, Oslo, Helsinki, Warsaw, Budapest, Istanbul, Cairo, Marrakesh, Nairobi, Cape Town, Dubai, Mumbai, Delhi, Bangkok, Singapore, Hanoi, Tokyo, Kyoto, Seoul, Shanghai, Sydney, Auckland, Toronto, Montreal, New York, Chicago, San Francisco, Mexico City, Lima, Buenos Aires, Santiago, Reykjavik',
);
const SIGHTS = words(
  'museums, street food, vegetarian restaurants, parks, viewpoints, flea markets, live music, bookshops, playgrounds, old churches, modern architecture, rooftop bars, hiking trails, beaches, bakeries, cheap hotels, hostels, co-working spaces, bicycle rentals, day trips',
);
const TRAVELLERS = words(
  'with two toddlers, for one rainy day, in winter, in August, on foot, with a wheelchair, late at night, for students, with my parents, with a dog, for a long weekend, on a Sunday',
);
const PRODUCTS = words(
  'washing machine, dishwasher, laptop, phone, tablet, headphones, vacuum cleaner, coffee machine, printer, router, television, electric bicycle, fridge, oven, thermostat, smart watch, camera, lawn mower, air conditioner, keyboard, monitor, game console, baby monitor, hair dryer, electric shaver, toaster, sewing machine, projector',
);
const FAULTS = words(
  'does not turn on, makes a loud noise, gets very hot, loses its connection, shows an error code, leaks water, smells burnt, stops after a minute, is very slow, does not charge, does not respond to buttons, keeps restarting, is stuck in an update, blinks red, forgets its settings',
);
const OCCASIONS = words(
  'after a power cut, since the last update, when it is cold, every morning, since I moved house, only on battery, when two people use it, after I cleaned it, out of nowhere, at full load',
);
const SHOP_THINGS = words(
  'pair of shoes, winter coat, sofa, mattress, phone case, birthday present, set of plates, desk lamp, backpack, raincoat, bookshelf, wedding dress, football shirt, carpet, office chair, tent, suitcase, pram, guitar, wall clock',
);
const ORDER_WISHES = words(
  'return, exchange for another size, cancel, have delivered to another address, pay for in three parts, get an invoice for, track, have repaired under warranty, get a refund for, have gift wrapped, order again, pick up in a shop',
);
const ORDER_TIMES = words(
  'that I ordered yesterday, that I bought two weeks ago, that arrived damaged, that was a gift, that I paid for in cash, that I bought on sale, that has not arrived yet, that I have worn once, that I ordered by telephone, that a friend bought for me',
);
const SYMPTOMS = words(
  'headaches, back pain, a dry cough, heartburn, insomnia, dizziness, a sore throat, itchy skin, knee pain, tiredness, a stiff neck, nosebleeds, cramps in the legs, a runny nose, ringing in the ears, cold hands, a swollen ankle, stomach ache, sore muscles, watery eyes',
);
const BODIES = words(
  'while pregnant, at the age of seventy, in a small child, after running, in the morning, after a flight, during the night, after eating, when it is hot, at work, after an operation, with high blood pressure, for several weeks, when I am stressed',
);
const ADVICE = words(
  'which exercises help, which food should be avoided, when to see a doctor, which tea helps, which causes are likely, what to do at once, which medicine needs no prescription',
);
const EVENTS = words(
  'the French Revolution, the fall of Rome, the First World War, the moon landing, the Black Death, the invention of printing, the building of the pyramids, the Industrial Revolution, the Cold War, the fall of the Berlin Wall, the Renaissance, the Great Depression, the Crusades, the American Civil War, the Meiji Restoration, the partition of India, the Silk Road, the Viking age, the Reformation, the Russian Revolution, the Spanish flu, the Suez crisis, the opening of Japan, the gold rush in California, the slave trade',
);
const ASPECTS = words(
  'the causes, the consequences, the most important people, the economic background, the role of women, the role of religion, the timeline, the main sources, the myths, the effect on art, the effect on trade, the effect on daily life, the part that weather played, the letters that survive',
);
const READERS = words(
  'to a ten year old, in two sentences, for an exam, in simple words, with three examples, as a short story, for a museum sign, in detail, as a list, for a quiz',
);
const MONEY = words(
  'a mortgage, a savings account, a pension fund, index funds, life insurance, car insurance, a credit card, government bonds, a student loan, a rented flat, dividends, an inheritance, freelance income, a second job, a small company, health insurance, cryptocurrencies, a car lease, a holiday home, a joint account',
);
const MONEY_QUESTIONS = words(
  'which fees are usual, how it is taxed, what happens when I move abroad, how to cancel early, how to compare offers, what the risks are, which papers I need, how inflation matters, how to start with little money, what happens in a divorce, how interest is computed, what happens when I die',
);
const PLACES = words(
  'Germany, France, Italy, Spain, Portugal, the Netherlands, Belgium, Austria, Switzerland, Poland, Sweden, Norway, Denmark, Ireland, the United Kingdom, Canada, Australia, Japan, Brazil, India, Mexico, South Africa',
);
const MESSAGES = words(
  'an apology, a reminder, an invitation, a complaint, a thank-you note, a letter of application, a resignation, a request for leave, a recommendation, a congratulation, a cancellation, an offer, a status report, an introduction, a farewell',
);
const ADDRESSEES = words(
  'my landlord, my boss, a customer, a new colleague, the tax office, my neighbours, a supplier, a professor, my insurance, the school, a recruiter, my grandmother, the city council, a hotel, our investors, a friend',
);
const MATTERS = words(
  'about a late payment, about a noisy party, about a delayed delivery, about a meeting next week, about a broken heater, about a price increase, about a lost parcel, about a sick child, about a new project, about a mistake in a bill, about a wedding, about moving out, about a missed deadline, about a training course',
);
const PLANTS = words(
  'tomatoes, roses, basil, an orchid, a lemon tree, strawberries, lavender, a cactus, potatoes, a bonsai, sunflowers, mint, an olive tree, peppers, hydrangeas, a monstera, carrots, raspberries, an apple tree, tulips, zucchini, ferns',
);
const CARE = words(
  'water, fertilise, prune, repot, protect from frost, propagate, sow, plant out, protect from aphids, harvest, overwinter, support, treat against mildew',
);
const GARDENS = words(
  'on a balcony, indoors, in a greenhouse, in sandy soil, in full shade, in a pot, in a raised bed, in a wet climate, in spring, in autumn, while on holiday, in clay soil',
);

const PROGRAMS = words(
  'a web server, a mobile app, a game, a data pipeline, a command line tool, a school project, a robot, a chat bot, a plugin, an online shop, a test suite, a desktop program',
);
const MEALS = words(
  'for a birthday party, for lunch at work, for Christmas, for a picnic, for a first date, for breakfast, for a potluck, for a buffet, for my mother in law, for the freezer, for Ramadan, for a camping trip',
);
const BUDGETS = words(
  'for under twenty euros a day, near the main station, in the old town, near the airport, close to the university, that locals like, without queues, that are open on Mondays, near the river, away from the crowds, off the beaten track, reachable by tram',
);
const AGES = words(
  'brand new, two years old, ten years old, second-hand, still under warranty, refurbished, bought abroad, rented, on loan, out of production, repaired once, a gift from work',
);
const LOOKS = words(
  'red, blue, black, white, green, grey, wooden, leather, cotton, foldable, striped, large, small, handmade',
);
const TAKEN = words(
  'and take aspirin, and take no medicine, and take vitamins, and drink a lot of coffee, and smoke, and am vegetarian, and have asthma, and am allergic to pollen, and sit all day, and swim twice a week, and slept badly, and have a fever',
);
const VIEWS = words(
  'as seen by a farmer, as seen by a soldier, as seen by a merchant, as seen by a child, as seen by a priest, as seen by a journalist, as seen by an engineer, as seen by a doctor, as seen by a sailor, as seen by a king, as seen by an economist, as seen by a nurse',
);
const AMOUNTS = words(
  'for about a thousand euros, for a small sum, for half a million, at the age of twenty-five, at the age of fifty, after retirement, with two children, with bad credit, as a student, as a couple, for ten years, for a few months',
);
const TONES = words(
  'formally, warmly, briefly, firmly, with humour, politely, in three sentences, without blaming anyone, in simple English, as an e-mail, as a text message, as a printed letter',
);
const STATES = words(
  'with yellow leaves, grown from seed, that are very old, that were planted last week, that do not flower, with brown tips, that grow too tall, full of insects, that hang their leaves, bought in a supermarket, that stand too close, with pale fruit',
);

const INTENTS: readonly Intent[] = [
  {
    wordings: [
      'How do I {1} in {0} {2}? It is for {3}.',
      'For {3}: what is the best way to {1} with {0} {2}?',
      'I am writing {3} in {0} and have to {1} {2}.',
    ],
    slots: [LANGUAGES, TASKS, CONDITIONS, PROGRAMS],
  },
  {
    wordings: [
      'Give me a recipe for {0} {1} and without {2}, {3}.',
      'How can I make {0} {1} {3} when I have no {2}?',
      'I want to cook {0} {3}. It should be {1}, and leave out the {2}.',
    ],
    slots: [DISHES, DIETS, INGREDIENTS, MEALS],
  },
  {
    wordings: [
      'Where do I find {1} in {0} {2}, {3}?',
      'Can you recommend {1} {3} in {0}? We travel {2}.',
      'We are visiting {0} {2}. Any tips for {1} {3}?',
    ],
    slots: [CITIES, SIGHTS, TRAVELLERS, BUDGETS],
  },
  {
    wordings: [
      'My {0} {1} {2}. It is {3}. What can I do?',
      'How do I fix a {0} that is {3} and {1} {2}?',
      'Help, the {0} ({3}) {1} {2}!',
    ],
    slots: [PRODUCTS, FAULTS, OCCASIONS, AGES],
  },
  {
    wordings: [
      'I would like to {1} a {3} {0} {2}.',
      'Is it possible to {1} the {3} {0} {2}?',
      'What do I have to do to {1} my {0} ({3}) {2}?',
    ],
    slots: [SHOP_THINGS, ORDER_WISHES, ORDER_TIMES, LOOKS],
  },
  {
    wordings: [
      'I have {0} {1} {3}: {2}?',
      'Tell me {2} with {0} {1}. I have that {3}.',
      'I suffer from {0} {1} {3}. Do you know {2}?',
    ],
    slots: [SYMPTOMS, BODIES, ADVICE, TAKEN],
  },
  {
    wordings: [
      'Explain {1} of {0} {2}, {3}.',
      'What were {1} of {0}, {3}? Tell it {2}.',
      'Describe {0} {3}, above all {1}, {2}.',
    ],
    slots: [EVENTS, ASPECTS, READERS, VIEWS],
  },
  {
    wordings: [
      'I live in {2} and have {0} {3}. Can you tell me {1}?',
      'About {0} in {2} {3}: {1}?',
      'Explain {1} when it comes to {0} {3} in {2}.',
    ],
    slots: [MONEY, MONEY_QUESTIONS, PLACES, AMOUNTS],
  },
  {
    wordings: [
      'Write {0} to {1} {2}, {3}.',
      'I need {0} for {1} {2}. Can you draft it {3}?',
      'Help me with {0} {2}, which goes to {1}. Put it {3}.',
    ],
    slots: [MESSAGES, ADDRESSEES, MATTERS, TONES],
  },
  {
    wordings: [
      'When should I {1} {0} {3} {2}?',
      'How do you {1} {0} {2}, {3}?',
      'I have {0} {3} {2}. What is the right way to {1} them?',
    ],
    slots: [PLANTS, CARE, GARDENS, STATES],
  },
];

/** How many things can be asked of each intent, and the number of the first of them. */
const SIZES = INTENTS.map(({ slots }) => slots.reduce((product, slot) => product * slot.length, 1));
const BEGINNINGS = SIZES.map((_, intent) => SIZES.slice(0, intent).reduce((sum, size) => sum + size, 0));

/** Some different meanings: each intent equally often. */
export function drawMeanings(count: number, random: Random): number[] {
  const drawn = new Set<number>();
  while (drawn.size < count) {
    const intent = random.below(INTENTS.length);
    drawn.add(BEGINNINGS[intent]! + random.below(SIZES[intent]!));
  }
  return [...drawn];
}

/** A meaning that differs from another in one word. */
export function otherIn(meaning: number, random: Random): number {
  const intent = intentOf(meaning);
  const { slots } = INTENTS[intent]!;
  const changed = random.below(slots.length);
  // Of a number whose digits are the slots' words, the first slot's least.
  const place = slots.slice(0, changed).reduce((product, { length }) => product * length, 1);
  const { length } = slots[changed]!;
  const within = meaning - BEGINNINGS[intent]!;
  const word = Math.floor(within / place) % length;
  const other = (word + 1 + random.below(length - 1)) % length;
  return meaning + (other - word) * place;
}

function intentOf(meaning: number): number {
  return BEGINNINGS.findLastIndex((beginning) => beginning <= meaning);
}

/** A meaning in words. @param wording the n-th of those that there are, from the start again after the last */
export function inWords(meaning: number, wording: number): string {
  const intent = intentOf(meaning);
  const { wordings, slots } = INTENTS[intent]!;
  let rest = meaning - BEGINNINGS[intent]!;
  const chosen = slots.map((slot) => {
    const word = slot[rest % slot.length]!;
    rest = Math.floor(rest / slot.length);
    return word;
  });
  return wordings[wording % wordings.length]!.replace(/\{(\d)\}/g, (_, place) => chosen[Number(place)]!);
}

function words(list: string): readonly string[] {
  return list.split(', ');
}
