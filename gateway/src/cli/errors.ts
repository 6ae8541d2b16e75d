/** The command line is not one; said with a hint at the right one. Exit status 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** What was asked for could not be done; the message is for whoever asked. Exit status 1. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
}
