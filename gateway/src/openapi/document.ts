import { z } from 'zod';
import { VERSION } from '../version.ts';
import { errorAnswer } from './answers.ts';
import { EXAMPLES } from './examples.ts';
import type { Operation } from './operation.ts';
import { OPERATIONS } from './operations.ts';

interface Route {
  readonly method: string;
  readonly path: string;
}

type Json = Record<string, unknown>;

const JSON_TYPE = 'application/json';
/** Hono's, for all methods. */
const EVERY_METHOD = 'ALL';

/** Method and path of each route, as `OPERATIONS` names them; the router has what comes before routes in its list too. */
export function operationsOf(routes: readonly Route[]): string[] {
  const named = routes
    .filter(({ method }) => method !== EVERY_METHOD)
    .map(({ method, path }) => `${method} ${path}`);
  return [...new Set(named)];
}

/** The OpenAPI document of the routes that there are. */
export function openApiDocument(routes: readonly Route[]): object {
  const components = new Components();
  const paths: Record<string, Json> = {};
  const tags = new Set<string>();
  for (const named of operationsOf(routes)) {
    const operation = OPERATIONS[named];
    if (operation === undefined) continue;
    const [method = '', pattern = ''] = named.split(' ');
    const path = pattern.replaceAll(/:(\w+)(\{[^}]*\})?/g, '{$1}');
    const item = paths[path] ?? {};
    paths[path] = item;
    item[method.toLowerCase()] = operationBody(operation, path, method, components, EXAMPLES[named]);
    tags.add(operation.tag);
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Polylora',
      version: VERSION,
      description:
        'Many LoRA adapters on one base model, over the OpenAI API. Failures have the codes of docs/errors.md.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    security: [{ key: [] }],
    tags: [...tags].map((name) => ({ name })),
    paths,
    components: {
      securitySchemes: { key: { type: 'http', scheme: 'bearer' } },
      schemas: components.schemas,
    },
  };
}

/** Schemas that the document has under a name. */
class Components {
  readonly schemas: Record<string, Json> = {};

  /** A schema, or where it is. */
  of({ name, schema }: { readonly name?: string; readonly schema: z.ZodType }): Json {
    if (name === undefined) return jsonSchema(schema);
    this.schemas[name] ??= jsonSchema(schema);
    return { $ref: `#/components/schemas/${name}` };
  }
}

function operationBody(
  { summary, tag, access, query, request, answer, events, status = 200 }: Operation,
  path: string,
  method: string,
  components: Components,
  example: object | undefined,
): Json {
  const content = {
    ...(answer === undefined ? {} : { [answer.type ?? JSON_TYPE]: { schema: components.of(answer) } }),
    ...(events === undefined ? {} : { 'text/event-stream': { schema: components.of(events) } }),
  };
  const parameters = [...pathParameters(path), ...(query === undefined ? [] : queryParameters(query))];
  const failure = components.of({ name: 'Error', schema: errorAnswer });
  return {
    operationId: `${method.toLowerCase()}${path.replaceAll(/[^a-zA-Z0-9]+/g, '_').replace(/_$/, '')}`,
    summary,
    tags: [tag],
    ...(access === 'client' ? {} : { description: ACCESS[access] }),
    ...(access === 'everybody' ? { security: [] } : {}),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(request === undefined
      ? {}
      : {
          requestBody: {
            required: true,
            content: {
              [request.type ?? JSON_TYPE]: {
                schema: components.of(request),
                ...(example === undefined ? {} : { example }),
              },
            },
          },
        }),
    responses: {
      [status]: { description: 'As asked.', ...(Object.keys(content).length === 0 ? {} : { content }) },
      default: {
        description: 'A failure.',
        content: { [JSON_TYPE]: { schema: failure } },
      },
    },
  };
}

const ACCESS = {
  everybody: 'Needs no key.',
  administrator: 'Needs the key of an operator or of a tenant administrator.',
  operator: "Needs an operator's key.",
} as const;

function pathParameters(path: string): Json[] {
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }));
}

function queryParameters(query: z.ZodObject): Json[] {
  const { properties = {} } = jsonSchema(query) as { properties?: Record<string, Json> };
  return Object.entries(properties).map(([name, schema]) => ({ name, in: 'query', required: false, schema }));
}

function jsonSchema(schema: z.ZodType): Json {
  const { $schema: _, ...body } = z.toJSONSchema(schema, {
    // Of what is sent; answers may get fields, which clients of today must take.
    io: 'input',
    unrepresentable: 'any',
    override: ({ zodSchema, jsonSchema: json }) => {
      if (zodSchema._zod.def.type === 'object') leaveOutUnsupported(json as Json);
    },
  });
  return body as Json;
}

/** Fields that nothing can be asked by are none of the document's. */
function leaveOutUnsupported(json: Json): void {
  const properties = (json.properties ?? {}) as Record<string, { anyOf?: readonly Json[] }>;
  for (const [name, { anyOf = [] }] of Object.entries(properties)) {
    if (anyOf.some((option) => 'not' in option)) delete properties[name];
  }
}
