/** What a server says of one token of an answer, given all tokens before it. */
export interface TokenScore {
  /** Natural-log probability of the token. */
  readonly logprob: number;
  /** That of the most likely token. */
  readonly best: number;
}

/** Asks a server how likely each token of an answer is. */
export async function scoreTokens(
  url: string,
  model: string,
  prompt: readonly number[],
  answer: readonly number[],
): Promise<TokenScore[]> {
  const response = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model, prompt: [...prompt, ...answer], echo: true, logprobs: 1, max_tokens: 0 }),
  });
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
  const { choices } = (await response.json()) as {
    choices: readonly [
      { logprobs: { token_logprobs: (number | null)[]; top_logprobs: (Record<string, number> | null)[] } },
    ];
  };
  const { token_logprobs, top_logprobs } = choices[0].logprobs;
  return answer.map((_, index) => {
    const position = prompt.length + index;
    const logprob = token_logprobs[position];
    const best = Math.max(...Object.values(top_logprobs[position] ?? {}));
    if (logprob == null || !Number.isFinite(best)) throw new Error(`no logprob for the token at ${position}`);
    return { logprob, best };
  });
}
