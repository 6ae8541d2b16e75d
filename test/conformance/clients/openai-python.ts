import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { PYTHON, pythonHas } from '../../support/python.ts';
import {
  type BatchAnswer,
  batchInput,
  batchTexts,
  type ChatAnswer,
  type ClientLibrary,
  type EmbeddedTexts,
  Failure,
  type MadeCall,
  type ResponseAnswer,
  type StreamedAnswer,
  WEATHER,
} from '../client.ts';

interface Answer {
  readonly result?: unknown;
  readonly failure?: {
    readonly status: number | null;
    readonly code: string | null;
    readonly message: string;
    readonly pieces?: readonly string[];
  };
  readonly error?: string;
}

export const openaiPython: ClientLibrary = {
  name: 'OpenAI’s SDK for Python',
  lacks: {},
  missing: pythonHas(['openai']) ? null : 'needs `pip install openai`; see POLYLORA_TEST_PYTHON',
  open(options) {
    const script = join(import.meta.dirname, 'openai_python.py');
    const child = spawn(PYTHON, [script], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, PYTHONIOENCODING: 'utf-8', PYTHONDONTWRITEBYTECODE: '1' },
    });
    const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
    const tell = (value: object) => child.stdin.write(`${JSON.stringify(value)}\n`);
    tell(options);
    const ask = async (...call: readonly unknown[]): Promise<unknown> => {
      tell(call);
      const { value, done } = await lines.next();
      if (done) throw new Error('Python ended');
      const { result, failure, error } = JSON.parse(value) as Answer;
      if (failure !== undefined)
        throw new Failure(failure.status, failure.code, failure.message, failure.pieces);
      if (error !== undefined) throw new Error(error);
      return result;
    };
    return {
      chat: async (asked) => (await ask('chat', asked)) as ChatAnswer,
      stream: async (asked, leaveAfter) => (await ask('stream', asked, leaveAfter ?? null)) as StreamedAnswer,
      models: async () => (await ask('models')) as string[],
      embed: async (model, texts) => (await ask('embed', model, texts)) as EmbeddedTexts,
      respond: async (asked) => (await ask('respond', asked)) as ResponseAnswer,
      call: async (model, prompt, stream) =>
        (await ask('call', model, prompt, stream, WEATHER)) as MadeCall[],
      parse: async (model, prompt) => (await ask('parse', model, prompt)) as Record<string, unknown>,
      async batch(model, prompts) {
        const { output, ...answer } = (await ask('batch', batchInput(model, prompts))) as Omit<
          BatchAnswer,
          'texts'
        > & { readonly output: string };
        return { ...answer, texts: batchTexts(output) };
      },
      async close() {
        child.stdin.end();
        if (child.exitCode === null) await once(child, 'exit');
      },
    };
  },
};
