/**
 * Requests through the caller's S3Client, each with settings of its own. They are put on the command, never on the client:
 * what a caller passes in is not changed.
 */
/** A command of the SDK, as far as it is touched here. */
export interface TunableCommand {
  readonly middlewareStack: { add: (middleware: never, options: never) => void };
}

interface MiddlewareArguments {
  readonly input: object;
  /** An HTTP request from the step `build` on. */
  readonly request?: { protocol?: string; hostname?: string; headers: Record<string, string> };
}

type Next = (args: MiddlewareArguments) => Promise<unknown>;

function add(command: TunableCommand, middleware: (next: Next) => Next, options: object): void {
  command.middlewareStack.add(middleware as never, { override: true, ...options } as never);
}

/** Turns the SDK's own retries off for this command, where ours count the sends (DECISIONS section 8). */
export function withoutSdkRetries<C extends TunableCommand>(command: C): C {
  // The same name, step and priority as the SDK's own: the stack then takes this one in its place.
  add(command, (next) => next, { name: 'retryMiddleware', step: 'finalizeRequest', priority: 'high' });
  return command;
}

/**
 * Settings for a request with a body whose CRC-32 is in a header already.
 *
 * No SHA-256 of the payload where TLS or the loopback protects it: hashing costs as much as the encryption. Over plain HTTP
 * elsewhere the payload stays hashed and signed. No `Expect: 100-continue`: with it the SDK opens a connection for every
 * part above 2 MiB.
 */
export function withLeanBody<C extends TunableCommand>(command: C): C {
  const lean =
    (next: Next): Next =>
    (args) => {
      if (args.request !== undefined) leanRequest(args.request);
      return next(args);
    };
  add(command, lean, { name: 'sealpipeLeanBody', step: 'build', priority: 'low' });
  return command;
}

/** What {@link withLeanBody} does to a request that is about to be signed. */
export function leanRequest(request: NonNullable<MiddlewareArguments['request']>): void {
  const { headers } = request;
  const hasBody = headers['content-length'] !== undefined || headers['Content-Length'] !== undefined;
  const chunked = (headers['x-amz-content-sha256'] ?? '').startsWith('STREAMING-');
  if (hasBody && !chunked && (request.protocol === 'https:' || isLoopback(request.hostname ?? '')))
    headers['x-amz-content-sha256'] = 'UNSIGNED-PAYLOAD';
  delete headers.Expect;
  delete headers['x-amz-checksum-mode'];
}

/**
 * Asks for a body without having the SDK check a checksum of the store's choosing: CRC64NVME in JavaScript costs several times
 * the decryption, and the tag proves more.
 */
export function withoutResponseChecksum<C extends TunableCommand>(command: C): C {
  const unchecked =
    (next: Next): Next =>
    (args) =>
      // The SDK asks for checksums when this is unset; a value that is not ENABLED stays as it is.
      next({ ...args, input: { ...args.input, ChecksumMode: 'DISABLED' } });
  const dropHeader =
    (next: Next): Next =>
    (args) => {
      delete args.request?.headers['x-amz-checksum-mode'];
      return next(args);
    };
  add(command, unchecked, { name: 'sealpipeUncheckedInput', step: 'initialize', priority: 'low' });
  add(command, dropHeader, { name: 'sealpipeUncheckedHeader', step: 'build', priority: 'low' });
  return command;
}

/** Shows the request of this command when it is signed and about to leave. */
export function withLookAtRequest<C extends TunableCommand>(command: C, look: (request: object) => void): C {
  const looking =
    (next: Next): Next =>
    (args) => {
      if (args.request !== undefined) look(args.request);
      return next(args);
    };
  // Behind the signature, which is in this step, too.
  add(command, looking, { name: 'sealpipeLook', step: 'finalizeRequest', priority: 'low' });
  return command;
}

/** An answer as the SDK's request handlers give it. */
export interface HandlerAnswer {
  readonly statusCode: number;
  readonly headers: Record<string, string>;
  readonly body: unknown;
}

/** Has each send of this command made by `handle` in place of the client's request handler, unless that resolves to undefined. */
export function withHandler<C extends TunableCommand>(
  command: C,
  handle: (request: object) => Promise<object | undefined>,
): C {
  const handling =
    (next: Next): Next =>
    async (args) =>
      (args.request && (await handle(args.request))) ?? next(args);
  // The last step: what comes after would send.
  add(command, handling, { name: 'sealpipeHandler', step: 'deserialize', priority: 'low' });
  return command;
}

/** Has the SDK take its first answer, or failure, from here instead of sending, in the place of {@link withHandler}; what it sends after that is its own. */
export function withFirstAnswer<C extends TunableCommand>(command: C, answer: () => Promise<HandlerAnswer>): C {
  let first = true;
  return withHandler(command, async () => {
    if (!first) return undefined;
    first = false;
    return { response: await answer() };
  });
}

/** Whether a host name is this machine's own: nothing leaves it, so nothing on the way can change a payload. */
export function isLoopback(hostname: string): boolean {
  const host = hostname.replace(/^\[|\]$/g, '').toLowerCase();
  return (
    host === 'localhost' ||
    host.endsWith('.localhost') ||
    host === '::1' ||
    /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host)
  );
}
