import { openApiDocument } from './document.ts';
import { OPERATIONS } from './operations.ts';

interface Field {
  readonly type?: string | readonly string[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Field[];
  readonly items?: Field;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly maxLength?: number;
  readonly maxItems?: number;
  readonly default?: unknown;
  readonly description?: string;
}

interface Body {
  readonly properties: Readonly<Record<string, Field>>;
  readonly required?: readonly string[];
}

/** Routes whose fields are told one by one, by the name of their body. */
const ROUTES = {
  'POST /v1/chat/completions': 'ChatCompletionRequest',
  'POST /v1/completions': 'CompletionRequest',
  'POST /v1/responses': 'ResponseRequest',
  'POST /v1/embeddings': 'EmbeddingRequest',
} as const;

/** The text of the part of docs/openai-api.md that is about fields. */
export function fieldsOfRequests(): string {
  const routes = Object.keys(OPERATIONS).map((named) => {
    const [method = '', path = ''] = named.split(' ');
    return { method, path };
  });
  const { components } = openApiDocument(routes) as {
    components: { schemas: Readonly<Record<string, Body>> };
  };
  return Object.entries(ROUTES)
    .map(([route, name]) => `## ${route}\n${fieldsTable(components.schemas[name] as Body)}`)
    .join('\n\n');
}

function fieldsTable({ properties, required = [] }: Body): string {
  // What must be there first, and last what is known and can ask for nothing.
  const rank = (name: string, { description }: Field) =>
    required.includes(name) ? 0 : description === undefined ? 2 : 1;
  const rows = Object.entries(properties)
    .sort(([a, x], [b, y]) => rank(a, x) - rank(b, y))
    .map(([name, field]) => {
      const preset = field.default === undefined ? '' : `\`${JSON.stringify(field.default)}\``;
      const told = required.includes(name) ? 'required' : preset;
      return `| \`${name}\` | ${takes(field)} | ${told} | ${field.description ?? 'Only this value.'} |`;
    });
  return `| Field | Takes | Default | |\n| --- | --- | --- | --- |\n${rows.join('\n')}`;
}

function takes(field: Field): string {
  if (field.anyOf !== undefined) {
    const options = field.anyOf.filter(({ type }) => type !== 'null').map(takes);
    return [...new Set(options)].join(' or ');
  }
  if (field.const !== undefined) return `\`${JSON.stringify(field.const)}\``;
  if (field.enum !== undefined) return field.enum.map((value) => `\`${JSON.stringify(value)}\``).join(', ');
  const { type, minimum, maximum, maxLength, maxItems, items } = field;
  if (type === 'array') {
    if (maxItems === 0) return '`[]`';
    return `${maxItems === undefined ? '' : `up to ${maxItems} `}[${items === undefined ? '' : takes(items)}]`;
  }
  const bounds = minimum === undefined || maximum === undefined ? '' : `, ${minimum} to ${maximum}`;
  const length = maxLength === undefined ? '' : `, up to ${maxLength} characters`;
  const types = [type ?? 'any'].flat().filter((each) => each !== 'null');
  return `${types.join(' or ')}${bounds}${length}`;
}
