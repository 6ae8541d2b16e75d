/** What a request asks for: `kind` names it in the figure's lines. */
export interface SpeculationPrompt {
  readonly kind: string;
  readonly content: string;
}

const LETTER = `Dear Mrs Anderson,

Thank you for your order of 14 March. We are sorry to say that the oak table you chose is no longer made. Our workshop can build the same table in ash or in walnut within six weeks, at the same price. If you prefer to wait, a small number of oak tables may return to us in June, although we cannot promise this. Please let us know by the end of the month which of these you would like, and we will send you a new delivery date. If none of them suits you, we will of course return your payment in full.

With kind regards,
Thomas Bell, Bell and Sons Furniture`;

const HARBOUR = `The harbour at Whitmouth was begun in 1821 by the engineer John Rennell, who had already built two bridges over the River Calder. He planned a stone pier of four hundred metres, but storms broke the first pier twice before it was finished. In 1829 the town decided to use larger blocks from the quarry at Stone Hill, and the second pier stands to this day. Fishing boats used the harbour first; later came ships that carried coal and salt. The lighthouse at the end of the pier was lit for the first time on 3 May 1834, and its lamp could be seen from twenty kilometres away.`;

const CODE = `function averageOf(numbers) {
  let total = 0;
  for (let index = 0; index < numbers.length; index++) {
    total = total + numbers[index];
  }
  return total / numbers.length;
}

function largestOf(numbers) {
  let largest = numbers[0];
  for (let index = 1; index < numbers.length; index++) {
    if (numbers[index] > largest) {
      largest = numbers[index];
    }
  }
  return largest;
}`;

const MEETING = `Present: Maria Lopez, David Chen, Priya Natarajan, Oliver Grant.
Maria Lopez reported that the new booking page went live on Monday and that two errors were found and corrected on the same day.
David Chen will finish the report for the city council by 12 April.
Priya Natarajan will ask three printers for a price and bring the answers to the next meeting.
Oliver Grant said that the heating in the small hall has failed again; he will call the company tomorrow morning.
The next meeting is on 19 April at ten o'clock in the small hall.`;

/** Answers that say again what they were given. */
export const QUOTING: readonly SpeculationPrompt[] = [
  {
    kind: 'repeat with a correction',
    content: `Repeat the following letter word for word, but change "Mrs Anderson" to "Mr Peterson".\n\n${LETTER}`,
  },
  {
    kind: 'quote a passage',
    content: `${HARBOUR}\n\nQuote the passage above in full, word for word.`,
  },
  {
    kind: 'summarise',
    content: `Summarise the following text in a few sentences.\n\n${HARBOUR}`,
  },
  {
    kind: 'edit code',
    content: `Rename the variable "total" to "sum" in this code and write the whole code again.\n\n\`\`\`js\n${CODE}\n\`\`\``,
  },
  {
    kind: 'extract',
    content: `List what each person will do, with their names and dates, from these notes of a meeting.\n\n${MEETING}`,
  },
];

/** Answers that say something new. */
export const FREE: readonly string[] = [
  'Write a short story about a lighthouse keeper who finds a map.',
  'Explain to a child why the sky is blue.',
  'What are good ways to learn a new language as an adult?',
  'Describe a day in the life of a baker in Paris.',
  'Give me advice for my first job interview.',
  'Why did the Roman Empire fall?',
  'Write a poem about the sea in winter.',
  'How do I keep houseplants alive when I travel a lot?',
  'What is the difference between weather and climate?',
  'Tell me about a famous woman in science.',
  'Plan a weekend trip to the mountains for a family of four.',
  'What makes a good friend?',
  'Explain how a bicycle stays upright.',
  'Invent a new sport and describe its rules.',
  'What should I cook with rice, eggs and spinach?',
  'How do computers store pictures?',
];
