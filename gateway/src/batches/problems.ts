/**
 * Why a batch as a whole fails: its input cannot be read. Codes are OpenAI's where it has one; `docs/errors.md` is
 * generated from this table.
 */
export const PROBLEMS = {
  empty_file: 'The input file has no requests.',
  too_many_tasks: 'The input file has more requests than a batch may have.',
  line_too_long: 'A line is longer than `requestBodyLimitBytes`.',
  invalid_json_line: 'A line is not a JSON object in UTF-8.',
  missing_required_parameter: 'A line lacks `custom_id`, `method`, `url` or `body`.',
  invalid_type: 'A field of a line has the wrong JSON type, or is empty or too long.',
  duplicate_custom_id: 'An earlier line has the same `custom_id`.',
  invalid_method: "A line's `method` is not `POST`.",
  mismatched_endpoint: "A line's `url` is not the batch's `endpoint`.",
} as const;

export type ProblemCode = keyof typeof PROBLEMS;

/** Why a line was not answered, in the `error` of its line of the error file. */
export const LINE_ERRORS = {
  batch_expired: 'This request could not be executed before the completion window expired.',
  batch_cancelled: 'This request was not executed because the batch was cancelled.',
} as const;

export type LineErrorCode = keyof typeof LINE_ERRORS;
