import { SealpipeError } from '../errors.ts';

/** The longest delay that setTimeout takes, in milliseconds; above it fires at once. */
export const longestTimeout: number = 2 ** 31 - 1;

/** Milliseconds until a request that carries no body to speak of counts as lost, where nobody says otherwise. */
export const answerTimeout = 60_000;

export interface DeadlineOptions {
  /** Milliseconds until the send counts as lost. */
  readonly timeout: number;
  /** Ends the send early. */
  readonly signal: AbortSignal | undefined;
  /** Milliseconds that the send may still take after the signal has fired. Default 0; Infinity: the signal does not end it. */
  readonly grace?: number | undefined;
  /** What is sent, for the error. */
  readonly what: string;
}

/**
 * Runs one send with a deadline; one that failed is ended, whatever of it is still under way. A timer and a listener that are both gone
 * when it ends: `AbortSignal.timeout` would leave one timer a request behind for the whole deadline.
 * @throws SealpipeError NETWORK, retryable, when the deadline passed
 */
export async function withDeadline<T>(
  send: (signal: AbortSignal) => Promise<T>,
  { timeout, signal, grace = 0, what }: DeadlineOptions,
): Promise<T> {
  const controller = new AbortController();
  let late = false;
  const timer = setTimeout(
    () => {
      late = true;
      controller.abort();
    },
    Math.min(timeout, longestTimeout),
  );
  let lastOrders: NodeJS.Timeout | undefined;
  const end = (): void => controller.abort(signal?.reason);
  const onAbort = (): void => {
    if (grace === 0) end();
    else if (grace !== Number.POSITIVE_INFINITY) lastOrders = setTimeout(end, grace);
  };
  if (signal?.aborted === true) onAbort();
  else signal?.addEventListener('abort', onAbort, { once: true });
  try {
    return await send(controller.signal);
  } catch (cause) {
    // A refusal can come before the whole body was taken: the rest would go out later, from memory that by then holds something else.
    controller.abort();
    if (!late) throw cause;
    throw new SealpipeError('NETWORK', `${what} was not answered within ${timeout} ms`, { cause, retryable: true });
  } finally {
    clearTimeout(timer);
    clearTimeout(lastOrders);
    signal?.removeEventListener('abort', onAbort);
  }
}
