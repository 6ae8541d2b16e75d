/** Bodies that can be sent as they are, for those who try the API in the viewer: it would fill in every field there is. */

const messages = [{ role: 'user', content: 'What is the capital of France?' }];

/** By method and path, as the router has them. Of answers, `base` is always there to be asked. */
export const EXAMPLES: Readonly<Record<string, object>> = {
  'POST /v1/chat/completions': { model: 'base', messages, max_tokens: 64 },
  'POST /v1/completions': { model: 'base', prompt: 'The capital of France is', max_tokens: 16 },
  'POST /v1/responses': { model: 'base', input: 'What is the capital of France?', max_output_tokens: 64 },
  'POST /v1/embeddings': { model: 'base', input: ['The capital of France is Paris.'] },
  'POST /tokenize': { model: 'base', prompt: 'The capital of France is Paris.' },
  'POST /detokenize': { model: 'base', tokens: [504, 3575, 282, 4649] },
  'POST /admin/v1/tenants': {
    id: 'acme',
    name: 'Acme Ltd',
    models: ['*'],
    limits: { requests_per_minute: 600, budgets: { month: { tokens: 1_000_000 } } },
  },
  'PATCH /admin/v1/tenants/:id': { weight: 2 },
  'POST /admin/v1/keys': { tenant: 'acme', alias: 'website' },
  'PATCH /admin/v1/keys/:id': { alias: 'website' },
  'POST /admin/v1/keys/:id/rotate': { overlap_seconds: 3600 },
  'PUT /admin/v1/prices/:model': { input: 0.2, output: 0.6 },
  'POST /admin/v1/cache/purge': { category: 'general', dry_run: true },
  'POST /admin/v1/cache/classify': { text: 'How do I sort a list in Python?' },
  'POST /key/generate': { team_id: 'acme', key_alias: 'website', max_budget: 10, budget_duration: '30d' },
};
