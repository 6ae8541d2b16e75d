/** The command line is not one; said with a hint at the right one. Exit status 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** What was asked for could not be done; the message is for whoever asked. Exit status 1. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
}

/** What was asked for was done, and something is wrong with what it was done to. */
export class FoundWrong extends CommandError {
  /** What is printed all the same. */
  readonly output: string;

  constructor(message: string, output: string) {
    super(message);
    this.output = output;
  }
}

/** The connection broke, or could not be made: what was asked for may work later. */
export class ConnectionError extends CommandError {}

/** The server's answer is a refusal. */
export class RefusalError extends CommandError {
  readonly status: number;
  /** The API's stable code; null where the answer is not the API's. */
  readonly code: string | null;

  constructor(message: string, status: number, code: string | null) {
    super(message);
    this.status = status;
    this.code = code;
  }
}
