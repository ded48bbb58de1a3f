/** Wrong usage of the command line: exit status 2. The message says what to give instead. */
export class UsageError extends Error {}
