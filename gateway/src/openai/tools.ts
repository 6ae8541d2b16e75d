import type { Tool, ToolCall, ToolChoice, ToolUse } from '@polylora/engine';
import { z } from 'zod';
import { invalidValue, quoted } from './fields.ts';
import { refuseCostlyText } from './json-cost.ts';
import { hints, list, optional, text } from './schema-parts.ts';
import { assertStrict, itsName, jsonSchema } from './structured-output.ts';

/** As with OpenAI. */
const MAX_TOOLS = 128;
/** Of one message. */
export const MAX_CALLS = 1024;

const functionType = z.literal('function');
hints.add(functionType, { unsupported: ['custom'] });

const functionShape = z.object({
  name: itsName,
  description: optional(z.string(), 'What it does, for the model.'),
  parameters: optional(jsonSchema, 'A JSON schema of its arguments.'),
  strict: optional(z.boolean(), 'Every call keeps to the schema.', false),
});

const tool = z.object({ type: functionType, function: functionShape });
const flatFunctionType = z.literal('function');
hints.add(flatFunctionType, {
  unsupported: [
    'code_interpreter',
    'computer_use_preview',
    'custom',
    'file_search',
    'image_generation',
    'local_shell',
    'mcp',
    'web_search',
    'web_search_preview',
  ],
});
const flatTool = z.object({ type: flatFunctionType, ...functionShape.shape });

const mode = z.enum(['none', 'auto', 'required']);
const namedTool = z.object({ type: functionType, function: z.object({ name: text() }) });
const flatNamedTool = z.object({ type: flatFunctionType, name: text() });

type Choice = z.output<typeof mode> | { readonly name: string };

const TOOLS = 'Functions that the model may call.';
const CHOICE = 'Whether it calls one: none, if it wants to (`auto`), in any case, or this one.';
const parallel_tool_calls = optional(z.boolean(), 'Several calls in one answer.', true);

export const toolFields = {
  tools: optional(list(tool, 'objects', { max: MAX_TOOLS }), TOOLS),
  tool_choice: optional(z.union([mode, namedTool]), CHOICE),
  parallel_tool_calls,
};

/** The same as the Responses API writes it. */
export const flatToolFields = {
  tools: optional(list(flatTool, 'objects', { max: MAX_TOOLS }), TOOLS),
  tool_choice: optional(z.union([mode, flatNamedTool]), CHOICE),
  parallel_tool_calls,
};

const shape = z.object(toolFields);
const flatShape = z.object(flatToolFields);

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
  const { tools, tool_choice: choice, parallel_tool_calls: parallel } = body;
  if (tools == null && choice == null) return null;
  const functions = (tools ?? []).map((tool) => tool.function);
  return useOf(
    functions,
    typeof choice === 'object' ? (choice?.function ?? null) : choice,
    parallel,
    (index) => `tools[${index}].function`,
  );
}

/**
 * As `toolUseOf`, of what is asked for in the Responses API's way.
 * @throws ApiError as `toolUseOf`
 */
export function flatToolUseOf(body: z.output<typeof flatShape>): ToolUse | null {
  const { tools, tool_choice: choice, parallel_tool_calls: parallel } = body;
  if (tools == null && choice == null) return null;
  return useOf(tools ?? [], choice, parallel, (index) => `tools[${index}]`);
}

function useOf(
  functions: readonly z.output<typeof functionShape>[],
  choice: Choice | null | undefined,
  parallel: boolean | null | undefined,
  where: (index: number) => string,
): ToolUse | null {
  const tools = functions.map(({ name, description, parameters, strict }, index): Tool => {
    const param = `${where(index)}.parameters`;
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
    if (names.has(name)) throw invalidValue(`${where(index)}.name`, `two functions are called '${name}'.`);
    names.add(name);
  }
  const chosen = choiceOf(choice ?? 'auto', names);
  if (chosen === null || tools.length === 0) return null;
  return { tools, choice: chosen, parallel: parallel ?? true };
}

function choiceOf(choice: Choice, names: ReadonlySet<string>): ToolChoice | null {
  if (choice === 'none' || choice === 'auto') return choice === 'none' ? null : 'auto';
  if (choice === 'required') {
    if (names.size === 0) throw invalidValue('tool_choice', "it is only allowed when 'tools' are specified.");
    return 'required';
  }
  const { name } = choice;
  if (!names.has(name))
    throw invalidValue('tool_choice', `there is no function '${quoted(name)}' in 'tools'.`);
  return { name };
}

/**
 * A message's calls as the engine knows them.
 *
 * @throws ApiError for arguments that nest too deeply: templates get them read
 */
export function callsOf(calls: z.output<typeof toolCalls>, param: string): ToolCall[] {
  return calls.map(({ id, function: { name, arguments: given } }, index) => {
    refuseCostlyText(given, `${param}[${index}].function.arguments`);
    return { id, name, arguments: given };
  });
}
