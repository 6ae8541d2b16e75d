import { bars, buckets, choice, dashboard, heat, lines, number, percentiles } from './panels.mjs';
import { MODEL, mean, rate, SERVER, share, sum } from './queries.mjs';

/** @type {('projections' | 'attention' | 'head' | 'sampling' | 'graph')[]} */
const KERNELS = ['projections', 'attention', 'head', 'sampling', 'graph'];

export const engine = dashboard({
  uid: 'polylora-engine',
  title: 'Engine',
  description: 'What the engine’s steps consist of, what its page pool holds, and what leaves it.',
  variables: [choice('model_name', 'Model', 'vllm:num_requests_running{job=~"$job"}')],
  sections: [
    {
      title: 'The batch',
      panels: [
        lines({
          title: 'Sequences',
          description: 'Sequences in the batch, and those that wait for their turn.',
          unit: 'short',
          stacked: true,
          queries: [
            { expr: sum('vllm:num_requests_running', MODEL), legend: 'running' },
            { expr: sum('vllm:num_requests_waiting', MODEL), legend: 'waiting' },
          ],
        }),
        lines({
          title: 'Sequences in a step',
          description:
            'How many sequences a step computes together. Large batches use the machine better; each stream has a little less of it.',
          unit: 'short',
          queries: [
            ...percentiles('polylora_batch_sequences', SERVER),
            { expr: mean('polylora_batch_sequences', SERVER), legend: 'mean' },
          ],
        }),
        heat({
          title: 'Tokens in a step',
          description:
            'How many steps computed how many tokens, of prompts and of answers together. The top is `maxBatchTokens`; steps that only decode are at the bottom.',
          unit: 'short',
          queries: buckets('vllm:iteration_tokens_total', MODEL),
        }),
      ],
    },
    {
      title: 'Time of a step',
      panels: [
        lines({
          title: 'A step by kernel',
          description:
            'Mean time of a step, by what took it: projections (linear layers, with adapters and norms in them), attention, the head (logits), sampling, and graph: all else of ONNX Runtime’s.',
          unit: 's',
          stacked: true,
          series: KERNELS,
          queries: [
            {
              expr: `${rate('polylora_step_seconds_total', SERVER, 'kernel')} / on () group_left () (${rate('polylora_steps_total', SERVER)} > 0)`,
              legend: '{{kernel}}',
            },
          ],
        }),
        lines({
          title: 'Busy',
          description:
            'Share of the time that is spent in steps, by kernel, of all servers that are chosen together. What is missing to 100 % a server is idle.',
          unit: 'percentunit',
          stacked: true,
          series: KERNELS,
          queries: [{ expr: rate('polylora_step_seconds_total', SERVER, 'kernel'), legend: '{{kernel}}' }],
        }),
        lines({
          title: 'Steps and tokens',
          description: 'Steps a second, and tokens that they generate.',
          unit: 'suffix: /s',
          queries: [
            { expr: rate('polylora_steps_total', SERVER), legend: 'steps' },
            { expr: rate('vllm:generation_tokens_total', MODEL), legend: 'generated' },
          ],
        }),
      ],
    },
    {
      title: 'The page pool',
      panels: [
        lines({
          title: 'Pages by kind',
          description:
            'What the pool holds: KV blocks of running sequences, prefixes that are kept for prompts that begin the same, adapters in use, idle ones (which make room when pages are needed, as prefixes do), and nothing.',
          unit: 'short',
          stacked: true,
          series: ['kv', 'prefix', 'adapter', 'idle_adapter', 'free'],
          queries: [{ expr: sum('polylora_pool_pages', SERVER, 'kind'), legend: '{{kind}}' }],
        }),
        lines({
          title: 'Used by running sequences',
          description:
            'KV blocks of running sequences, as a share of the pages that are not adapters’ in use. Near 100 % others wait, or are set back.',
          unit: 'percentunit',
          max: 1,
          queries: [{ expr: `vllm:kv_cache_usage_perc{${MODEL}}`, legend: '{{instance}}' }],
        }),
        lines({
          title: 'What leaves the pool, by reason',
          description:
            'Blocks of prefixes and adapters that left a second: adapters for a KV block (`kv`), for another adapter, because they were removed, or because they could not be read (`failed`).',
          unit: 'suffix: /s',
          queries: [
            { expr: rate('polylora_prefix_evictions_total', SERVER), legend: 'prefix blocks' },
            {
              expr: rate('polylora_adapter_evictions_total', SERVER, 'reason'),
              legend: 'adapters: {{reason}}',
            },
          ],
        }),
        lines({
          title: 'Preemptions',
          description:
            'Sequences that were set back for want of pages and computed again. More than now and then means that the pool is too small.',
          unit: 'suffix: /s',
          queries: [
            { expr: `rate(vllm:num_preemptions_total{${MODEL}}[$__rate_interval])`, legend: '{{instance}}' },
          ],
        }),
        lines({
          title: 'Prompt tokens found in the prefix cache',
          description:
            'Share of prompt tokens that were computed for an earlier prompt and need not be computed again.',
          unit: 'percentunit',
          max: 1,
          queries: [
            {
              expr: share(
                rate('vllm:prefix_cache_hits_total', MODEL, 'instance'),
                rate('vllm:prefix_cache_queries_total', MODEL, 'instance'),
              ),
              legend: '{{instance}}',
            },
          ],
        }),
        lines({
          title: 'Prompt tokens, looked up and found',
          description:
            'Prompt tokens a second that were looked up in the prefix cache, and those that were found there.',
          unit: 'suffix: tok/s',
          area: true,
          queries: [
            { expr: rate('vllm:prefix_cache_queries_total', MODEL), legend: 'looked up' },
            { expr: rate('vllm:prefix_cache_hits_total', MODEL), legend: 'found' },
          ],
        }),
      ],
    },
    {
      title: 'A sequence’s way',
      panels: [
        lines({
          title: 'In the queue',
          description: 'From a sequence’s arrival to its first step. Points are requests that have a trace.',
          unit: 's',
          width: 6,
          queries: percentiles('vllm:request_queue_time_seconds', MODEL, { exemplars: true }),
        }),
        lines({
          title: 'Prefill',
          description: 'From a sequence’s first step to its first token: its prompt is read.',
          unit: 's',
          width: 6,
          queries: percentiles('vllm:request_prefill_time_seconds', MODEL),
        }),
        lines({
          title: 'Decode',
          description: 'From a sequence’s first token to its last.',
          unit: 's',
          width: 6,
          queries: percentiles('vllm:request_decode_time_seconds', MODEL),
        }),
        lines({
          title: 'Prefill and decode',
          description:
            'From a sequence’s first step to its last token: what it takes without its time in the queue.',
          unit: 's',
          width: 6,
          queries: percentiles('vllm:request_inference_time_seconds', MODEL),
        }),
        heat({
          title: 'Length of prompts',
          description: 'How many finished sequences had how many prompt tokens.',
          unit: 'short',
          width: 12,
          queries: buckets('vllm:request_prompt_tokens', MODEL),
        }),
        heat({
          title: 'Length of answers',
          description: 'How many finished sequences had how many generated tokens.',
          unit: 'short',
          width: 12,
          queries: buckets('vllm:request_generation_tokens', MODEL),
        }),
      ],
    },
    {
      title: 'Speculation and grammars',
      panels: [
        lines({
          title: 'Drafted tokens',
          description:
            'Tokens a second that were guessed from what was read before and computed ahead, and those of them that were right.',
          unit: 'suffix: tok/s',
          queries: [
            { expr: rate('vllm:spec_decode_num_draft_tokens_total', MODEL), legend: 'drafted' },
            { expr: rate('vllm:spec_decode_num_accepted_tokens_total', MODEL), legend: 'right' },
          ],
        }),
        number({
          title: 'Right guesses',
          description:
            'Share of guessed tokens that were right, over the time that is shown. Nothing where nothing was guessed.',
          unit: 'percentunit',
          height: 8,
          trend: false,
          thresholds: [[null, 'blue']],
          queries: [
            {
              expr: share(
                `sum (increase(vllm:spec_decode_num_accepted_tokens_total{${MODEL}}[$__range]))`,
                `sum (increase(vllm:spec_decode_num_draft_tokens_total{${MODEL}}[$__range]))`,
              ),
              legend: 'right',
            },
          ],
        }),
        lines({
          title: 'Time for grammars (p95)',
          description:
            'Of answers that keep to a schema, a pattern or a grammar: 95 of 100 compilations, and of the masks that say which tokens may come next, take less.',
          unit: 's',
          width: 6,
          queries: [
            {
              expr: `histogram_quantile(0.95, ${rate('polylora_grammar_compile_seconds_bucket', SERVER, 'le')})`,
              legend: 'compile',
            },
            {
              expr: `histogram_quantile(0.95, ${rate('polylora_grammar_mask_seconds_bucket', SERVER, 'le')})`,
              legend: 'mask',
            },
          ],
        }),
        lines({
          title: 'Waiting for masks',
          description:
            'Share of the time in which the choice of a token waited for its mask; masks are made beside the model’s steps, so that it should be near 0.',
          unit: 'percentunit',
          width: 6,
          queries: [
            {
              expr: `rate(polylora_grammar_mask_wait_seconds_total{${SERVER}}[$__rate_interval])`,
              legend: '{{instance}}',
            },
          ],
        }),
        lines({
          title: 'Grammars: compiled, or had already',
          description:
            'Sequences a second whose grammar had to be compiled, and those whose grammar was there, or was being compiled.',
          unit: 'suffix: /s',
          width: 12,
          queries: [
            { expr: rate('polylora_grammar_compile_seconds_count', SERVER), legend: 'compiled' },
            { expr: rate('polylora_grammar_cache_hits_total', SERVER), legend: 'there already' },
          ],
        }),
        number({
          title: 'Grammars kept',
          description: 'Compiled grammars that are kept for requests to come.',
          unit: 'short',
          height: 8,
          width: 6,
          thresholds: [[null, 'blue']],
          queries: [{ expr: sum('polylora_grammars_cached', SERVER), legend: 'grammars' }],
        }),
        number({
          title: 'Memory of grammars',
          description: 'About how much memory the compiled grammars take.',
          unit: 'bytes',
          height: 8,
          width: 6,
          thresholds: [[null, 'blue']],
          queries: [{ expr: sum('polylora_grammar_cache_bytes', SERVER), legend: 'memory' }],
        }),
      ],
    },
    {
      title: 'Embeddings and batches',
      panels: [
        lines({
          title: 'Embedded texts and tokens',
          description:
            'Texts a second that vectors were made of at clients’ wish (`/v1/embeddings`), and their tokens.',
          unit: 'suffix: /s',
          queries: [
            { expr: rate('polylora_embedding_inputs_total', SERVER), legend: 'texts' },
            { expr: rate('polylora_embedding_tokens_total', SERVER), legend: 'tokens' },
          ],
        }),
        lines({
          title: 'Time of embedding requests',
          description: 'From a request’s arrival at the embedding model to the last of its vectors.',
          unit: 's',
          queries: percentiles('polylora_embedding_request_seconds', SERVER),
        }),
        lines({
          title: 'The embedding model',
          description:
            'Share of the time that it computes, and the texts that it was given and has no vector of yet; the answer cache’s are among them.',
          unit: 'short',
          queries: [
            { expr: rate('polylora_encoder_seconds_total', SERVER), legend: 'busy' },
            { expr: sum('polylora_encoder_inputs_waiting', SERVER), legend: 'waiting' },
          ],
        }),
        lines({
          title: 'Batches of the embedding model',
          description: 'Batches a second that the embedding model computes.',
          unit: 'suffix: /s',
          queries: [{ expr: rate('polylora_encoder_batches_total', SERVER), legend: 'batches' }],
        }),
        lines({
          title: 'Lines of batches, by outcome',
          description: 'Lines of batches (`/v1/batches`) a second, by how they ended.',
          unit: 'suffix: /s',
          stacked: true,
          series: ['completed', 'failed'],
          queries: [{ expr: rate('polylora_batch_lines_total', SERVER, 'outcome'), legend: '{{outcome}}' }],
        }),
        bars({
          title: 'Lines of batches that wait',
          description: 'Lines of running batches that wait for their turn, by server.',
          unit: 'short',
          queries: [{ expr: `polylora_batch_lines_waiting{${SERVER}}`, legend: '{{instance}}' }],
        }),
      ],
    },
  ],
});
