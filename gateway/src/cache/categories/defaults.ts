import type { Category } from './category.ts';

const MEGABYTE = 1024 ** 2;
const HOUR = 60 * 60;
const DAY = 24 * HOUR;

/** What a category is where nothing else is said of it, and of questions that are of no kind that is known. */
export const GENERAL: Category = {
  name: 'general',
  enabled: true,
  similarityThreshold: 0.88,
  strictness: 0.9,
  askModel: false,
  ttlSeconds: DAY,
  staleSeconds: 0,
  maxEntries: 100_000,
  maxBytes: 256 * MEGABYTE,
  // OpenAI's default: at higher ones nobody expects the same again.
  maxTemperature: 1,
  multiTurn: true,
  priority: 1,
  adaptive: { leastSimilarityThreshold: 0.84, leastStrictness: 0.8, mostTtlSeconds: 3 * DAY },
  checkedShare: 0.02,
  targetFalseHitRate: 0.05,
  autoTune: false,
  examples: [],
};

type Own = Partial<Category> & Pick<Category, 'examples'>;

/**
 * The categories that are there from the start. Thresholds and times are the paper's ("Category-Aware Semantic Caching for
 * Heterogeneous LLM Workloads"), each with its reason; examples are our own.
 */
const BUILT_IN: Readonly<Record<string, Own>> = {
  // Dense in the embedding's space: one identifier makes another answer. Answers stay right for long, and cost much to make.
  code: {
    similarityThreshold: 0.92,
    ttlSeconds: 7 * DAY,
    priority: 2,
    adaptive: { leastSimilarityThreshold: 0.9, leastStrictness: 0.8, mostTtlSeconds: 14 * DAY },
    examples: [
      'How do I sort a dictionary by value in Python?',
      'What does a segmentation fault in C mean?',
      'Write a SQL query that joins two tables and groups by month',
      'How do I merge two branches in git?',
      'Explain the difference between an interface and an abstract class in Java',
      'TypeError: cannot read properties of undefined, how do I fix it?',
      'Regular expression for a valid e-mail address',
      'How do I list running processes in bash?',
      'Write a function that checks whether a string is a palindrome',
      'How to make an HTTP request with a timeout in Go',
      'CSS grid with three columns of equal width',
      'docker compose: share a volume between two services',
    ],
  },
  // One name or number makes another answer; facts last.
  factual: {
    similarityThreshold: 0.88,
    ttlSeconds: 7 * DAY,
    priority: 1.5,
    adaptive: { leastSimilarityThreshold: 0.85, leastStrictness: 0.8, mostTtlSeconds: 14 * DAY },
    examples: [
      'Which river is the longest in Europe?',
      'Who invented the telephone?',
      'In which year did the Berlin Wall fall?',
      'What is the population of Canada?',
      'How far is the Earth from the Sun?',
      'Who composed the Four Seasons?',
      'Which element has the atomic number 26?',
      'Why do leaves change colour in autumn?',
      'What is photosynthesis?',
      'What were the causes of the French Revolution?',
      'What is the currency of Thailand?',
      'How many players are in a rugby team?',
    ],
  },
  // The same few questions in many words. Policies change.
  support: {
    similarityThreshold: 0.85,
    ttlSeconds: DAY,
    adaptive: { leastSimilarityThreshold: 0.81, leastStrictness: 0.8, mostTtlSeconds: 3 * DAY },
    examples: [
      'How can I change my delivery address?',
      'I want a refund for a damaged product',
      'How do I update my billing details?',
      'My discount code does not work at checkout',
      'What are your opening hours for customer service?',
      'How long does shipping take?',
      'The app crashes when I try to log in',
      'How do I upgrade to the premium plan?',
      'I did not receive the confirmation e-mail',
      'What is your return policy for sale items?',
      'How do I enable two-factor authentication on my account?',
      'I was billed after I cancelled',
    ],
  },
  // Sparse and forgiving, but what was said before decides: off with a conversation before it. Somebody who asks again wants another.
  chat: {
    similarityThreshold: 0.8,
    ttlSeconds: 6 * HOUR,
    maxTemperature: 0.7,
    multiTurn: false,
    priority: 0.5,
    adaptive: { leastSimilarityThreshold: 0.78, leastStrictness: 0.8, mostTtlSeconds: DAY },
    examples: [
      'Hi there, how is it going?',
      'Tell me a funny story',
      'What should I do this weekend?',
      'Recommend a film for a rainy evening',
      'I feel a bit stressed at work lately, any advice?',
      'Write a poem about the sea',
      'What is a good present for my brother?',
      'Help me think of a name for my band',
      'Give me an idea for dinner tonight',
      'Write a thank-you note to my teacher',
      'Can you keep me company for a while?',
      'How do I make new friends?',
    ],
  },
  // One digit or sign makes another answer, and the answer is for ever.
  math: {
    similarityThreshold: 0.95,
    strictness: 0.95,
    ttlSeconds: 30 * DAY,
    adaptive: null,
    examples: [
      'What is 12 times 17?',
      'Solve the equation 3x - 5 = 16',
      'Find the integral of sin(x) from 0 to pi',
      'Volume of a cylinder with radius 3 and height 10',
      'What is 8% of 350?',
      'Convert 5 pounds to kilograms',
      'What is the probability of drawing two aces from a deck?',
      'Simplify the fraction 48/60',
      'What is the standard deviation of 2, 4, 6, 8?',
      'If a car drives 60 miles in 45 minutes, what is its speed?',
      'Is 221 a prime number?',
      'Factor x^2 + 5x + 6',
    ],
  },
  // The languages and the text decide, in one word each.
  translation: {
    similarityThreshold: 0.92,
    ttlSeconds: 30 * DAY,
    adaptive: null,
    examples: [
      'Translate "good evening" into Spanish',
      'How do you say "thank you very much" in Japanese?',
      'What does the French word "dépaysement" mean?',
      'Translate this sentence to Dutch: the shop is closed',
      'Wie sagt man "butterfly" auf Deutsch?',
      'How is "welcome" written in Greek?',
      'What is the Italian for "train ticket"?',
      'Translate from Russian into English: спасибо',
      'What is the past tense of "gehen"?',
      'How do you pronounce "croissant"?',
    ],
  },
  // Right for minutes.
  'time-sensitive': {
    similarityThreshold: 0.9,
    ttlSeconds: 5 * 60,
    priority: 0.5,
    adaptive: { leastSimilarityThreshold: 0.9, leastStrictness: 0.8, mostTtlSeconds: 10 * 60 },
    examples: [
      'What is the weather in Madrid right now?',
      'What is the latest news about the election?',
      'How is the stock market doing today?',
      'Who is leading the league at the moment?',
      'When does the next bus to the airport leave?',
      'What is the dollar worth in yen today?',
      'Is there a traffic jam on the motorway now?',
      'What is on television tonight?',
      'Who won the match yesterday?',
      'What time is it in Tokyo now?',
      'Is the supermarket still open?',
      'What will the weather be like tomorrow?',
    ],
  },
  // A wrong answer can hurt somebody: never.
  medical: {
    enabled: false,
    examples: [
      'How much paracetamol may I take in a day?',
      'What are the symptoms of appendicitis?',
      'Can I take antibiotics while breastfeeding?',
      'My chest hurts when I breathe in',
      'Is this rash a sign of measles?',
      'What is a normal resting heart rate?',
      'How do I treat a sprained ankle?',
      'What are the side effects of metformin?',
      'My baby has a fever of 39 degrees, what should I do?',
      'Which vaccinations do I need during pregnancy?',
      'Is it dangerous to stop taking antidepressants at once?',
      'What do my blood test results mean?',
    ],
  },
  // About one person: right for nobody else, and not ours to keep.
  personal: {
    enabled: false,
    examples: [
      'What is the balance of my account?',
      'Show me my last five orders',
      'What is my current phone plan?',
      'When is my appointment?',
      'My name is Anna Schmidt and I was born on 3 May 1985',
      'My credit card number is 4111 1111 1111 1111',
      'Summarise the e-mail I got this morning',
      'What did my doctor write about me?',
      'How much holiday do I have left?',
      'Here is my CV, please review it',
      'What did I tell you about my family?',
      'My home address has changed to 12 Elm Street',
    ],
  },
};

/** Built-in categories by name, `general` first. */
export const DEFAULT_CATEGORIES: ReadonlyMap<string, Category> = new Map(
  [GENERAL, ...Object.entries(BUILT_IN).map(([name, own]) => ({ ...GENERAL, ...own, name }))].map(
    (category) => [category.name, category],
  ),
);
