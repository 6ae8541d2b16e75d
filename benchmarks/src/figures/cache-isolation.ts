import type { Embedder, Embedding } from '@polylora/engine';
import { ANSWER, type Asking, CONTROLS, openCacheSetting, questionFor } from '../cache/cache-setting.ts';
import { LABELLED_PAIRS } from '../cache/labelled-pairs.ts';
import { startEmbedder } from '../cache/question-vectors.ts';
import { Random } from '../simulation/random.ts';
import type { Figure } from './figure.ts';

const TRIES = 100_000;
const QUICK_TRIES = 5_000;
const TENANTS = 16;
const ADAPTERS = 8;
const SYSTEMS = ['', 'Answer in one sentence.', 'You are the assistant of a shop.', 'Answer like a pirate.'];

/** RELIABILITY 6. */
export const cacheIsolation: Figure = {
  name: 'cache-isolation',
  description: `answers that were given to another tenant, adapter version or system prompt, in ${TRIES} tries with equal and similar questions`,
  must: '<=',
  bound: 0,
  async measure({ quick = false }) {
    const embedder = await startEmbedder(1);
    const setting = await openCacheSetting(remembering(embedder));
    const random = new Random(1);
    const pick = <T>(values: readonly T[]): T => values[random.below(values.length)]!;
    const who = (): Required<Asking> => ({
      tenant: `tenant-${random.below(TENANTS)}`,
      root: `adapter-${random.below(ADAPTERS)}`,
      system: pick(SYSTEMS),
    });
    try {
      // Nothing but who asks tells them apart: the cosine alone decides.
      setting.categories.configure({ general: { similarityThreshold: 0.5, strictness: 0 } });
      const category = setting.categories.get('general');
      let [own, foreign, tries] = [0, 0, 0];
      /** Who has which answers, by the answers' texts. */
      const keep = async (asking: Required<Asking>, text: string) => {
        const [choice] = ANSWER.choices;
        const answer = { choices: [{ ...choice!, text: JSON.stringify(asking) }] };
        const question = questionFor(text, asking);
        const found = await setting.cache.find(question, { ...CONTROLS, reads: false });
        const embedding = found.kind === 'miss' ? found.embedding : null;
        await setting.cache.keep(question, CONTROLS, { category, embedding }, answer, 1);
      };
      for (let i = 0; i < 2_000; i++) await keep(who(), pick(LABELLED_PAIRS).query);
      const most = quick ? QUICK_TRIES : TRIES;
      while (tries < most) {
        const [asking, { query, candidate }] = [who(), pick(LABELLED_PAIRS)];
        const question = questionFor(random.below(2) === 0 ? query : candidate, asking);
        const found = await setting.cache.find(question, CONTROLS);
        tries += 1;
        if (found.kind !== 'hit') continue;
        if (found.answer.choices[0]!.text === JSON.stringify(asking)) own += 1;
        else foreign += 1;
      }
      if (own === 0) throw new Error('nothing was found at all, so that nothing is shown');
      return {
        value: foreign,
        details: [
          `${tries} questions of ${TENANTS} tenants, ${ADAPTERS} adapters and ${SYSTEMS.length} system prompts at a threshold of 0.5 and without verification`,
          `${own} had their own answer, ${foreign} another's`,
        ],
      };
    } finally {
      await setting.close();
      await embedder.close();
    }
  },
};

/** Embeds each text once: what is tried is who finds what. */
function remembering(embedder: Embedder): Embedder {
  const known = new Map<string, Promise<readonly Embedding[]>>();
  return {
    get model() {
      return embedder.model;
    },
    load: () => embedder.load(),
    stats: () => embedder.stats(),
    close: () => embedder.close(),
    embed: (request) => {
      const key = JSON.stringify(request.inputs);
      const embedded = known.get(key) ?? embedder.embed(request);
      known.set(key, embedded);
      return embedded;
    },
  };
}
