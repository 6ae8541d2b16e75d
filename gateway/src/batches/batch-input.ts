import { parseJsonObject } from '../http/json-body.ts';
import type { JsonObject } from '../openai/fields.ts';
import type { BatchEndpoint, Problem } from './batch-record.ts';
import { type LineOrder, lineOrder } from './line-order.ts';
import { type Line, readLines } from './lines.ts';
import type { ProblemCode } from './problems.ts';

/** Problems told of one file; it is not read beyond them. */
const MOST_PROBLEMS = 100;

const MAX_CUSTOM_ID_LENGTH = 512;

/** A request of a batch: where it is in the input file, and where it stands in the order. */
export interface InputLine extends LineOrder {
  readonly customId: string;
  readonly offset: number;
  readonly length: number;
}

export interface InputLimits {
  readonly maxLines: number;
  readonly maxLineBytes: number;
}

/** A batch's input file as a whole; where there are problems, the lines are not all there. */
export interface BatchInput {
  readonly lines: readonly InputLine[];
  readonly problems: readonly Problem[];
}

/** Reads and checks a batch's input file. Bodies are checked when they are run: a wrong one fails its line alone. */
export async function readBatchInput(
  path: string,
  endpoint: BatchEndpoint,
  { maxLines, maxLineBytes }: InputLimits,
): Promise<BatchInput> {
  const lines: InputLine[] = [];
  const problems: Problem[] = [];
  const firstUses = new Map<string, number>();
  for await (const line of readLines(path, maxLineBytes)) {
    if (line.bytes !== null && isBlank(line.bytes)) continue;
    if (lines.length === maxLines) {
      const message = `The batch has more than ${maxLines} requests. Split it into several.`;
      problems.push(problem('too_many_tasks', message, null, line.number));
      break;
    }
    const read = readLine(line, endpoint, maxLineBytes);
    if ('code' in read) {
      problems.push(read);
    } else {
      const earlier = firstUses.get(read.customId);
      if (earlier !== undefined) {
        const message = `Line ${earlier} has the same 'custom_id'. It must be unique in a batch.`;
        problems.push(problem('duplicate_custom_id', message, 'custom_id', line.number));
      }
      firstUses.set(read.customId, earlier ?? line.number);
      lines.push(read);
    }
    if (problems.length === MOST_PROBLEMS) break;
  }
  if (lines.length === 0 && problems.length === 0) {
    problems.push(problem('empty_file', 'The input file has no requests.', null, null));
  }
  return { lines, problems };
}

function problem(
  code: ProblemCode,
  message: string,
  param: string | null,
  line: number | null,
): Problem & { code: ProblemCode } {
  return { code, message, param, line };
}

function readLine(line: Line, endpoint: BatchEndpoint, maxLineBytes: number): InputLine | Problem {
  const { number, offset, length, bytes } = line;
  const wrong = (code: ProblemCode, message: string, param: string | null) =>
    problem(code, message, param, number);
  if (bytes === null)
    return wrong('line_too_long', `A request may have at most ${maxLineBytes} bytes.`, null);
  const request = parseLine(bytes);
  if (request === null) {
    return wrong('invalid_json_line', 'This line is not parseable as a JSON object.', null);
  }
  for (const param of ['custom_id', 'method', 'url', 'body']) {
    if ((request[param] ?? null) === null) {
      return wrong('missing_required_parameter', `Missing required parameter: '${param}'.`, param);
    }
  }
  const { custom_id: customId, method, url, body } = request;
  if (typeof customId !== 'string' || customId === '' || customId.length > MAX_CUSTOM_ID_LENGTH) {
    const message = `'custom_id' must be a string of 1 to ${MAX_CUSTOM_ID_LENGTH} characters.`;
    return wrong('invalid_type', message, 'custom_id');
  }
  if (method !== 'POST') return wrong('invalid_method', "'method' must be 'POST'.", 'method');
  if (url !== endpoint) {
    return wrong('mismatched_endpoint', `'url' must be the batch's endpoint, '${endpoint}'.`, 'url');
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    return wrong('invalid_type', "'body' must be an object.", 'body');
  }
  return { customId, offset, length, ...orderOf(body as JsonObject) };
}

/** The fields that matter to the order, whatever they are: what is wrong with them shows when the line is run. */
function orderOf(body: JsonObject): LineOrder {
  const { model, cache_salt: salt } = body;
  const prompt = JSON.stringify(body.messages ?? body.prompt ?? null);
  return lineOrder(textOrNone(model), textOrNone(salt), prompt);
}

function textOrNone(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function parseLine(bytes: Buffer): JsonObject | null {
  try {
    return parseJsonObject(bytes);
  } catch {
    return null;
  }
}

function isBlank(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d);
}
