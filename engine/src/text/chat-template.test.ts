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

  it('trims what is not defined to nothing', () => {
    expect(render('{{ "a" + messages[0].missing|trim + (" b " | trim) }}{{ " c "|trim }}')).toBe('abc');
  });

  it('says that a template fails', () => {
    expect(() => render('{{ messages | nonsense }}')).toThrow(
      expect.objectContaining({
        code: 'invalid_chat_template',
        message: expect.stringContaining('nonsense'),
      }),
    );
  });

  it('is ended where it never ends by itself', () => {
    const ninety = '{% for a in range(90000) %}';
    const loops = `${ninety}${ninety}${ninety}x{% endfor %}{% endfor %}{% endfor %}`;
    const recursion = '{% macro again(n) %}{{ again(n + 1) }}{% endmacro %}{{ again(0) }}';
    const doubling = `{% set ns = namespace(text="x") %}${ninety}{% set ns.text = ns.text ~ ns.text %}{% endfor %}{{ ns.text }}`;
    const room = '{{ range(1000000000) | length }}';
    for (const source of [loops, recursion, doubling, room]) {
      const template = make(source, NO_TOKENS);
      const started = performance.now();
      expect(() => template.render(ASK), source).toThrow(
        expect.objectContaining({ code: 'invalid_chat_template' }),
      );
      expect(performance.now() - started).toBeLessThan(5_000);
    }
    expect(
      render('{{ range(3) | join(",") }};{{ range(1, 7, 2) | join(",") }};{{ range(3, 0, -1) | join(",") }}'),
    ).toBe('0,1,2;1,3,5;3,2,1');
  });

  it('is not tried again where it did not end, and another in its place is', () => {
    const ninety = '{% for a in range(90000) %}';
    const loops = `{# again #}${ninety}${ninety}{{ messages | length }}{% endfor %}{% endfor %}`;
    const message = "The model's chat template failed: it did not end within 2000 ms";
    const refused = expect.objectContaining({ code: 'invalid_chat_template', message });
    expect(() => render(loops)).toThrow(refused);
    const started = performance.now();
    // Read again, and with more to say.
    for (const messages of [ASK, [...ASK, ...ASK]]) expect(() => render(loops, messages)).toThrow(refused);
    expect(performance.now() - started).toBeLessThan(500);
    expect(render(`${loops.slice(0, 11)}{{ messages | length }}`)).toBe('1');
  });

  it('is tried again with less than it did not end with', () => {
    const ninety = '{% for a in range(90000) %}';
    const long = `{% if messages | length > 1 %}${ninety}${ninety}x{% endfor %}{% endfor %}{% endif %}short`;
    expect(() => render(long, [...ASK, ...ASK])).toThrow(/did not end/);
    expect(render(long)).toBe('short');
  });

  it('gives tools as OpenAI writes them, and calls with their arguments read', () => {
    const messages: ChatMessage[] = [
      ...ASK,
      { role: 'assistant', content: '', toolCalls: [{ id: 'call_1', name: 'f', arguments: '{"a": [1]}' }] },
      { role: 'tool', content: '2', toolCallId: 'call_1' },
    ];
    const tool = { name: 'f', description: 'Adds.', parameters: { type: 'object' }, strict: true };
    const source =
      '{% for tool in tools or [] %}{{ tool | tojson }}{% endfor %}' +
      '{% for m in messages %}{% for call in m.tool_calls or [] %}{{ call.id }}:{{ call.function.arguments["a"][0] }}{% endfor %}{{ m.tool_call_id }}{% endfor %}';
    expect(make(source, NO_TOKENS).render(messages, [tool])).toBe(
      '{"type": "function", "function": {"name": "f", "description": "Adds.", "parameters": {"type": "object"}}}call_1:1call_1',
    );
    const short = make(`{# [TOOL_CALLS] tools #}${source}`, NO_TOKENS).render(messages, []);
    expect(short).toMatch(/^([0-9a-f]{9}):1\1$/);
  });

  it('tells tools in the text where the template knows none', () => {
    const source = '{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}';
    const tool = { name: 'f', description: null, parameters: null, strict: false };
    const messages: ChatMessage[] = [
      ...ASK,
      { role: 'assistant', content: '', toolCalls: [{ id: '1', name: 'f', arguments: '{}' }] },
      { role: 'tool', content: '2', toolCallId: '1' },
    ];
    const text = make(source, NO_TOKENS).render(messages, [tool]);
    expect(text).toMatch(
      /^<system># Tools\n[\s\S]*"name":"f"[\s\S]*<user>Hi<assistant><tool_call>\n\{"name": "f", "arguments": \{\}\}\n<\/tool_call><user><tool_response>\n2\n<\/tool_response>$/,
    );
    const noSystem = `{% if messages[0].role == "system" %}{{ raise_exception("no") }}{% endif %}${source}`;
    expect(make(noSystem, NO_TOKENS).render(ASK, [tool])).toMatch(/^<user># Tools\n[\s\S]*\n\nHi$/);
  });

  it('reaches nothing of the host', () => {
    expect(render('{{ process }}{{ messages.constructor }}{{ messages[0].__proto__ }}')).toBe('');
  });
});
