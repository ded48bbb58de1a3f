/** A client once more, with a middleware stack of its own, where all that it sends goes by that stack. */
import { HeadBucketCommand, type S3Client } from '@aws-sdk/client-s3';

const remedy =
  'add middleware (client.middlewareStack) in its place before withEncryption is called, or put it around the client that withEncryption returns';

let signalUnderWay: AbortSignal | undefined;

/** The signal of the call of `send` that is being made: older SDKs do not tell middleware of it. */
export function signalOfSend(): AbortSignal | undefined {
  return signalUnderWay;
}

/**
 * @param first is called before all middleware of the client, in the very call of `send`
 * @throws TypeError for what is no client or has that middleware, and for one whose commands might leave by another stack than the twin's
 */
export function twinOf<Client extends S3Client>(
  client: Client,
  first: { readonly name: string; readonly middleware: unknown },
): Client {
  if (typeof (client as Partial<S3Client> | undefined)?.send !== 'function')
    throw new TypeError('client is missing: expected an S3Client of @aws-sdk/client-s3');
  if (client.middlewareStack.identify().some((entry) => entry.startsWith(first.name)))
    throw new TypeError('the client encrypts already');
  assertCommandsOfClass(client);
  const twin = Object.assign(Object.create(Object.getPrototypeOf(client) as object) as Client, client);
  // A command's is empty: of one step and priority, what was added first is called first.
  const { middlewareStack } = new HeadBucketCommand({ Bucket: undefined }) as unknown as S3Client;
  middlewareStack.add(first.middleware as never, { name: first.name, step: 'initialize', priority: 'high' });
  client.middlewareStack.applyToStack(middlewareStack);
  twin.middlewareStack = middlewareStack;
  // Handlers that were resolved for the original's stack.
  Reflect.deleteProperty(twin, 'handlers');
  assertSendsByItself(twin);
  const send = twin.send.bind(twin) as (...args: unknown[]) => unknown;
  twin.send = ((...args: unknown[]): unknown => {
    const outer = signalUnderWay;
    signalUnderWay = (args[1] as { readonly abortSignal?: AbortSignal } | undefined)?.abortSignal;
    try {
      return send(...args);
    } finally {
      signalUnderWay = outer;
    }
  }) as never;
  return twin;
}

/** S3's putObject and its like call `send` of what they are called on; one that an instance has may be bound to that. */
function assertCommandsOfClass(client: S3Client): void {
  const ofClass = Object.getPrototypeOf(client) as object;
  for (const [name, value] of Object.entries(client)) {
    if (typeof value === 'function' && name in ofClass && name !== 'send' && name !== 'destroy')
      throw new TypeError(
        `the client has a ${name} of its own beside that of its class: bound to this client it would send plaintext past the encryption. Instead, ${remedy}`,
      );
  }
}

/** Sends a command that tells which stack it came to. It never leaves: it has no bucket, should somebody make another of it. */
function assertSendsByItself(twin: S3Client): void {
  let seen: unknown;
  let failure: unknown;
  const probe = new HeadBucketCommand({ Bucket: undefined });
  probe.resolveMiddleware = (stack) => {
    seen = stack;
    return () => Promise.resolve({ response: {}, output: { $metadata: {} } });
  };
  try {
    Promise.resolve(twin.send(probe, {})).catch(() => undefined);
  } catch (error) {
    failure = error;
  }
  if (failure !== undefined)
    throw new TypeError(
      `the client's send fails when it is called on a copy of the client (${(failure as Error).message}): withEncryption makes one, and no copy has #private fields. Instead, ${remedy}`,
      { cause: failure },
    );
  if (seen !== twin.middlewareStack)
    throw new TypeError(
      `the client's send does not go by the middleware of what it is called on, or not at once: it would send plaintext past the encryption. Instead, ${remedy}`,
    );
}
