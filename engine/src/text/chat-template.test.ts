import { describe, expect, it } from 'vitest';
import type { ChatMessage } from '../types.ts';
import { ChatTemplate, type SpecialTexts } from './chat-template.ts';

const NO_TOKENS = { bosToken: null, eosToken: null };
const ASK: readonly ChatMessage[] = [{ role: 'user', content: 'Hi' }];

function render(source: string, messages = ASK, tokens: SpecialTexts = NO_TOKENS): string {
  return make(source, tokens).render(messages);
}

function make(source: string, tokens: SpecialTexts): ChatTemplate {
  return new ChatTemplate(source, tokens);
}

describe('ChatTemplate', () => {
  it('gives messages, special tokens and the generation prompt, and no tools', () => {
    const source =
      '{{ bos_token }}{% for m in messages %}{{ m.role }}:{{ m.content }}{{ eos_token }}{% endfor %}' +
      '{% if add_generation_prompt %}assistant:{% endif %}{% if tools is not none or documents %}no{% endif %}';
    expect(render(source, ASK, { bosToken: '<s>', eosToken: '</s>' })).toBe('<s>user:Hi</s>assistant:');
    expect(render('[{{ bos_token }}]')).toBe('[]');
  });

  it('keeps the template’s own white space as Jinja does', () => {
    expect(render('\n  a\n  {% if true %}\n  b\n  {% endif %}\nc\n')).toBe('\n  a\n  b\nc');
    expect(render('  {% if true %}x{% endif %}')).toBe('x');
  });

  it('passes names on', () => {
    const messages: ChatMessage[] = [{ role: 'user', name: 'Ann', content: 'Hi' }, ...ASK];
    expect(render('{% for m in messages %}{{ m.name | default("?") }} {% endfor %}', messages)).toBe(
      'Ann ? ',
    );
  });

  it('calls a developer system where the template does not know developers', () => {
    const messages: ChatMessage[] = [{ role: 'developer', content: 'Be brief.' }];
    expect(render('{{ messages[0].role }}', messages)).toBe('system');
    expect(render('{# developer #}{{ messages[0].role }}', messages)).toBe('developer');
  });

  it('refuses a chat in the template’s own words', () => {
    expect(() => render('{{ raise_exception("Roles must alternate") }}')).toThrow(
      expect.objectContaining({
        code: 'invalid_prompt',
        message: 'The chat template refuses these messages: Roles must alternate',
      }),
    );
  });

  it('says that a template cannot be parsed', () => {
    expect(() => make('{% for m in %}', NO_TOKENS)).toThrow(
      expect.objectContaining({
        code: 'invalid_chat_template',
        message: expect.stringMatching(/cannot be parsed: /),
      }),
    );
  });

  it('says that a template fails', () => {
    expect(() => render('{{ messages | nonsense }}')).toThrow(
      expect.objectContaining({
        code: 'invalid_chat_template',
        message: expect.stringContaining('nonsense'),
      }),
    );
  });

  it('reaches nothing of the host', () => {
    expect(render('{{ process }}{{ messages.constructor }}{{ messages[0].__proto__ }}')).toBe('');
  });
});
