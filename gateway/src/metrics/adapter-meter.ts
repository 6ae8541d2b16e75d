import type { BackendModel } from '../backends/backend.ts';
import { modelName } from '../tenants/model-grants.ts';
import type { Instruments } from './instruments.ts';
import { TopNames } from './top-names.ts';

/** Adapters with series of their own. */
export const MOST_ADAPTERS = 50;
/** What clients mix has no end of names. */
const MIXTURE = 'mixture';

/** What an adapter, or the base model, is called where series are counted: all its versions together. */
export function adapterName(id: string, isMixture: boolean): string {
  return isMixture ? MIXTURE : modelName(id);
}

/** Counts what is asked of adapters, the base model among them. */
export class AdapterMeter {
  readonly #instruments: Instruments;
  readonly #names: TopNames;

  /** @param now milliseconds, steady */
  constructor(instruments: Instruments, now: () => number) {
    this.#instruments = instruments;
    this.#names = new TopNames({ most: MOST_ADAPTERS, now, onRemoved: (name) => this.#forget(name) });
  }

  /** A sequence begins. @returns what its model is called in series */
  begin({ id, mixture }: Pick<BackendModel, 'id' | 'mixture'>): string {
    return this.#names.label(adapterName(id, mixture !== null));
  }

  firstToken(name: string, seconds: number): void {
    this.#instruments.observe('adapterFirstToken', seconds, { lora_name: this.#names.peek(name) });
  }

  end(name: string, tokens: number): void {
    const labels = { lora_name: this.#names.peek(name) };
    this.#instruments.count('adapterSequences', 1, labels);
    this.#instruments.count('adapterTokens', tokens, labels);
  }

  #forget(name: string): void {
    for (const key of ['adapterSequences', 'adapterTokens', 'adapterFirstToken'] as const)
      this.#instruments.remove(key, { lora_name: name });
  }
}
