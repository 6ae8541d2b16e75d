import type { Tool, ToolCall, ToolChoice, ToolUse } from '@polylora/engine';
import { z } from 'zod';
import { invalidValue } from './fields.ts';
import { hints, list, optional, text } from './schema-parts.ts';
import { assertStrict, itsName, jsonSchema } from './structured-output.ts';

/** As with OpenAI. */
const MAX_TOOLS = 128;
const MAX_CALLS = 1024;

const functionType = z.literal('function');
hints.add(functionType, { unsupported: ['custom'] });

const tool = z.object({
  type: functionType,
  function: z.object({
    name: itsName,
    description: optional(z.string(), 'What it does, for the model.'),
    parameters: optional(jsonSchema, 'A JSON schema of its arguments.'),
    strict: optional(z.boolean(), 'Every call keeps to the schema.', false),
  }),
});

const namedTool = z.object({ type: functionType, function: z.object({ name: text() }) });

export const toolFields = {
  tools: optional(list(tool, 'objects', { max: MAX_TOOLS }), 'Functions that the model may call.'),
  tool_choice: optional(
    z.union([z.enum(['none', 'auto', 'required']), namedTool]),
    'Whether it calls one: none, if it wants to (`auto`), in any case, or this one.',
  ),
  parallel_tool_calls: optional(z.boolean(), 'Several calls in one answer.', true),
};

const shape = z.object(toolFields);

/** Calls in an assistant's message, as the client was given them. */
export const toolCalls = list(
  z.object({
    id: text(),
    type: functionType,
    function: z.object({ name: text(), arguments: z.string() }),
  }),
  'objects',
  { min: 1, max: MAX_CALLS },
);

/**
 * @returns null where no tool may be called
 * @throws ApiError for a choice that no tool is for, a name that two have, or a schema that is not what `strict` asks of it
 */
export function toolUseOf(body: z.output<typeof shape>): ToolUse | null {
  const tools = (body.tools ?? []).map(({ function: given }, index): Tool => {
    const { name, description, parameters, strict } = given;
    const param = `tools[${index}].function.parameters`;
    if (strict) assertStrict(parameters ?? { type: 'object' }, `function '${name}'`, param);
    return {
      name,
      description: description ?? null,
      parameters: parameters ?? null,
      strict: strict ?? false,
    };
  });
  const names = new Set<string>();
  for (const [index, { name }] of tools.entries()) {
    if (names.has(name))
      throw invalidValue(`tools[${index}].function.name`, `two functions are called '${name}'.`);
    names.add(name);
  }
  const choice = choiceOf(body.tool_choice ?? 'auto', names);
  if (choice === null || tools.length === 0) return null;
  return { tools, choice, parallel: body.parallel_tool_calls ?? true };
}

function choiceOf(
  choice: NonNullable<z.output<typeof shape>['tool_choice']>,
  names: ReadonlySet<string>,
): ToolChoice | null {
  if (choice === 'none' || choice === 'auto') return choice === 'none' ? null : 'auto';
  if (choice === 'required') {
    if (names.size === 0) throw invalidValue('tool_choice', "it is only allowed when 'tools' are specified.");
    return 'required';
  }
  const { name } = choice.function;
  if (!names.has(name)) throw invalidValue('tool_choice', `there is no function '${name}' in 'tools'.`);
  return { name };
}

/** A message's calls as the engine knows them. */
export function callsOf(calls: z.output<typeof toolCalls>): ToolCall[] {
  return calls.map(({ id, function: { name, arguments: given } }) => ({ id, name, arguments: given }));
}
