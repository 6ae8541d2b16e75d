/** The projections of a decoder, and the norm that each one's inputs have passed. */
import type { DecoderModel, StoredTensor } from '../model/decoder.ts';
import { LORA_MODULES, type LoraModule } from '../types.ts';

export interface Projection {
  /** As in transformers: `model.layers.0.self_attn.q_proj`. */
  readonly name: string;
  readonly module: LoraModule;
  readonly inputs: number;
  readonly outputs: number;
  /** Name of the tensor whose change is a change of the inputs; null where there is none. */
  readonly norm: string | null;
}

const BLOCKS: Readonly<Record<LoraModule, { readonly block: string; readonly norm: string | null }>> = {
  q_proj: { block: 'self_attn', norm: 'input_layernorm' },
  k_proj: { block: 'self_attn', norm: 'input_layernorm' },
  v_proj: { block: 'self_attn', norm: 'input_layernorm' },
  o_proj: { block: 'self_attn', norm: null },
  gate_proj: { block: 'mlp', norm: 'post_attention_layernorm' },
  up_proj: { block: 'mlp', norm: 'post_attention_layernorm' },
  down_proj: { block: 'mlp', norm: null },
};

/** All of them, layer by layer. */
export function projectionsOf(model: DecoderModel): Projection[] {
  return Array.from({ length: model.config.layerCount }, (_, layer) =>
    LORA_MODULES.map((module) => {
      const { block, norm } = BLOCKS[module];
      const name = `model.layers.${layer}.${block}.${module}`;
      const { rows, cols } = tensorOf(model, `${name}.weight`);
      const normName = norm === null ? null : `model.layers.${layer}.${norm}.weight`;
      return { name, module, inputs: cols, outputs: rows, norm: normName };
    }),
  ).flat();
}

/** A tensor that every checked decoder has. */
export function tensorOf(model: DecoderModel, name: string): StoredTensor {
  const tensor = model.tensors.get(name);
  if (tensor === undefined) throw new Error(`an unchecked model: it has no ${name}`);
  return tensor;
}
