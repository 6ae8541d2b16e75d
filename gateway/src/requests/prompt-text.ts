import type { Prompt } from '@polylora/engine';

/** Of a request's prompts, more is not kept. */
const MOST_CHARACTERS = 4_096;

/** The prompts of a request as text, for those who may read them, cut where they are long. */
export function promptText(prompts: readonly Prompt[]): string {
  let text = '';
  for (const prompt of new Set(prompts)) {
    if (text.length > MOST_CHARACTERS) break;
    text += (text === '' ? '' : '\n\n') + textOf(prompt);
  }
  return text.length > MOST_CHARACTERS ? `${copied(text.slice(0, MOST_CHARACTERS))}…` : copied(text);
}

/** A part of a text keeps all of it in memory, and this is kept for long. */
function copied(text: string): string {
  return Buffer.from(text).toString();
}

function textOf(prompt: Prompt): string {
  switch (prompt.kind) {
    case 'text':
      return prompt.text;
    case 'tokens':
      return `[${prompt.ids.slice(0, MOST_CHARACTERS).join(', ')}]`;
    case 'chat':
      return prompt.messages
        .map(({ role, content }) => `${role}: ${content.slice(0, MOST_CHARACTERS)}`)
        .join('\n');
  }
}
