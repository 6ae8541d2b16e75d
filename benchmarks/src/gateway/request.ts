/** What the stub serves. */
export const MODEL = 'stub-model';

/** A chat as clients send it: a system prompt and some turns, a kilobyte in all. */
export function chatBody(fields: object): string {
  const words = 'Answer in plain words, briefly, and say where the answer comes from if you know it. ';
  return JSON.stringify({
    model: MODEL,
    messages: [
      { role: 'system', content: words.repeat(6) },
      { role: 'user', content: 'What is the capital of Germany?' },
      { role: 'assistant', content: 'Berlin, since 1990.' },
      { role: 'user', content: 'What is the capital of France, and which river is it on?' },
    ],
    temperature: 0.2,
    max_tokens: 64,
    ...fields,
  });
}

/** A request's bytes, the same for every connection. */
export function postBytes(
  url: URL,
  path: string,
  headers: Readonly<Record<string, string>>,
  body: string,
): Buffer {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(
    `POST ${path} HTTP/1.1\r\nhost: ${url.host}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n${lines.join('')}\r\n${body}`,
  );
}
