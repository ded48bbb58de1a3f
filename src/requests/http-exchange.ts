/** One HTTP request and its answer over undici, which costs a third of what node:http does where bodies are small. */
import { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import { streamBufferLength } from '../buffer-length.ts';

export interface HttpRequest {
  readonly origin: string;
  readonly method: string;
  /** With the query. */
  readonly path: string;
  /** Names and values in turn. */
  readonly headers: string[];
  readonly body: Uint8Array | string | undefined;
}

export interface HttpAnswer<Body> {
  readonly status: number;
  /** Names in lower case; a header that came several times is as Node has it: joined by commas, or the first. */
  readonly headers: Record<string, string>;
  readonly body: Body;
}

/** Resolves when the head of the answer is there. Who does not read the body destroys it. */
export function exchange(
  dispatcher: Dispatcher,
  request: HttpRequest,
  signal: AbortSignal,
): Promise<HttpAnswer<Readable>> {
  return new Promise((resolve, reject) => {
    let body: AnswerBody | undefined;
    dispatch(dispatcher, request, signal, {
      streams: true,
      head(controller, status, headers) {
        body = new AnswerBody(controller);
        resolve({ status, headers, body });
      },
      chunk(controller, bytes) {
        if (body?.push(bytes) === false) controller.pause();
      },
      end: () => body?.push(null),
      fail(error) {
        if (body === undefined) reject(error);
        else body.destroy(error);
      },
    });
  });
}

/** Answers of commands are far smaller; whatever sends more is not the service that was asked. */
const maxWholeAnswer = 1024 * 1024;

/** Resolves when all of an answer is there that is small. */
export function exchangeWhole(
  dispatcher: Dispatcher,
  request: HttpRequest,
  signal: AbortSignal,
): Promise<HttpAnswer<Buffer>> {
  return new Promise((resolve, reject) => {
    let head: Omit<HttpAnswer<Buffer>, 'body'>;
    const chunks: Buffer[] = [];
    let length = 0;
    dispatch(dispatcher, request, signal, {
      streams: false,
      head(_, status, headers) {
        head = { status, headers };
      },
      chunk(controller, bytes) {
        length += bytes.length;
        if (length > maxWholeAnswer) controller.abort(new Error(`the answer has more than ${maxWholeAnswer} bytes`));
        else chunks.push(bytes);
      },
      end() {
        const [only = Buffer.alloc(0), ...more] = chunks;
        resolve({ ...head, body: more.length === 0 ? only : Buffer.concat(chunks) });
        // A key may be in them, and who overwrites the body has no hold of its pieces.
        if (more.length > 0) for (const chunk of chunks) chunk.fill(0);
      },
      fail: reject,
    });
  });
}

interface Receiver {
  /** Whether its own body takes over when the head of the answer is there: the signal ends nothing from then on. */
  readonly streams: boolean;
  head(controller: Dispatcher.DispatchController, status: number, headers: Record<string, string>): void;
  chunk(controller: Dispatcher.DispatchController, bytes: Buffer): void;
  end(): void;
  fail(error: Error): void;
}

function dispatch(
  dispatcher: Dispatcher,
  { origin, method, path, headers, body }: HttpRequest,
  signal: AbortSignal,
  receiver: Receiver,
): void {
  let under: Dispatcher.DispatchController | undefined;
  const onAbort = (): void => {
    const error = Object.assign(new Error('the request was aborted'), { name: 'AbortError' });
    // One that waits for a connection has no controller yet: it is let go when it gets one.
    if (under === undefined) receiver.fail(error);
    else under.abort(error);
  };
  if (signal.aborted) {
    onAbort();
    return;
  }
  signal.addEventListener('abort', onAbort, { once: true });
  const settle = (): void => signal.removeEventListener('abort', onAbort);
  dispatcher.dispatch(
    { origin, method: method, path, headers, body: body ?? null },
    {
      onRequestStart(controller) {
        under = controller;
        if (signal.aborted) onAbort();
      },
      onResponseStart(controller, status, parsed) {
        if (status < 200) return;
        if (receiver.streams) settle();
        receiver.head(controller, status, joined(parsed));
      },
      onResponseData: (controller, bytes) => receiver.chunk(controller, bytes),
      onResponseEnd() {
        settle();
        receiver.end();
      },
      onResponseError(_, error) {
        settle();
        receiver.fail(socketError(error));
      },
    },
  );
}

/** A broken connection under the codes that Node has for it, which is what callers go by. */
function socketError(error: Error): Error {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'UND_ERR_SOCKET' || code === 'UND_ERR_CLOSED' || code === 'UND_ERR_DESTROYED')
    return Object.assign(new Error('the connection was closed before the answer was whole', { cause: error }), {
      code: 'ECONNRESET',
    });
  if (code === 'UND_ERR_CONNECT_TIMEOUT')
    return Object.assign(new Error('no connection within the time limit', { cause: error }), { code: 'ETIMEDOUT' });
  // undici's own parser has no codes that Node knows.
  if (error.name === 'HTTPParserError')
    return Object.assign(new Error('the answer is no HTTP', { cause: error }), { code: 'HPE_INVALID_CONSTANT' });
  return error;
}

/** Of these Node takes the first where they come twice, https://nodejs.org/api/http.html#messageheaders */
const single = new Set([
  'age',
  'authorization',
  'content-length',
  'content-type',
  'etag',
  'expires',
  'from',
  'host',
  'if-modified-since',
  'if-unmodified-since',
  'last-modified',
  'location',
  'max-forwards',
  'proxy-authorization',
  'referer',
  'retry-after',
  'server',
  'user-agent',
]);

function joined(headers: Record<string, string | string[] | undefined>): Record<string, string> {
  for (const name in headers) {
    const value = headers[name];
    if (Array.isArray(value)) headers[name] = single.has(name) ? value[0] : value.join(', ');
  }
  return headers as Record<string, string>;
}

/** The body of an answer, at its reader's pace. Destroyed early, it takes its connection with it. */
class AnswerBody extends Readable {
  readonly #controller: Dispatcher.DispatchController;

  constructor(controller: Dispatcher.DispatchController) {
    super({ highWaterMark: streamBufferLength });
    this.#controller = controller;
    // As with Node's own answers: a connection that breaks before anybody has begun to read is no uncaught error.
    this.on('error', () => undefined);
  }

  override _read(): void {
    if (this.#controller.paused) this.#controller.resume();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    // After the last byte there is nothing to cut off: the connection serves others by now.
    if (!this.readableEnded) this.#controller.abort(error ?? new Error('the answer was not read to its end'));
    callback(error);
  }
}
