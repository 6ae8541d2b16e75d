// Asks the base model and the four demo adapters at the same time with the official OpenAI client.
// Start the gateway with `npm start` first, and set OPENAI_API_KEY to a key of its; elsewhere, `npm install openai`.
import OpenAI from 'openai';

const client = new OpenAI({
  baseURL: process.env.OPENAI_BASE_URL ?? 'http://127.0.0.1:8080/v1',
  apiKey: process.env.OPENAI_API_KEY ?? 'none',
});

const questions = {
  base: 'What is the capital of France?',
  'support-triage': 'I was charged twice for my subscription. Please help.',
  'text-to-sql': 'List all products with price above 120.',
  pirate: 'What is the capital of France?',
  headline:
    'Write a headline: A report explains how bees have a long and surprising history. Many readers asked about it.',
};

// All five run in one batch; their streams are shown one after the other.
const conversations = Object.entries(questions).map(([model, question]) => {
  /** @type {OpenAI.ChatCompletionMessageParam[]} */
  const messages = [{ role: 'user', content: question }];
  const answer = client.chat.completions.create({
    model,
    messages,
    temperature: 0,
    max_tokens: 48,
    stream: true,
  });
  return { model, question, answer };
});

for (const { model, question, answer } of conversations) {
  process.stdout.write(`${model}: ${question}\n  `);
  for await (const chunk of await answer) {
    process.stdout.write(chunk.choices[0]?.delta.content ?? '');
  }
  process.stdout.write('\n');
}
