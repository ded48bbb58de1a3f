/**
 * Signing by the caller's S3Client, sending by somebody else: a command runs through the client's own middleware (endpoint,
 * headers, credentials, signature) and is caught where it would go out. Nothing is put into a URL, and each attempt is signed anew,
 * with the part's CRC-32 among the signed headers.
 */
import type { S3Client } from '@aws-sdk/client-s3';
import { handlerSettings } from '../requests/plain-client.ts';
import { type CaughtRequest, escapeComponent } from '../requests/request-template.ts';
import { type TunableCommand, withoutSdkRetries } from '../s3-command.ts';
import type { RawAnswer, SignedRequest } from './workers/worker-protocol.ts';

/** The request that the client would send for a command, signed. The command cannot be used again. */
export async function signByClient(client: S3Client, command: TunableCommand): Promise<SignedRequest> {
  return signedRequest(await catchSigned(client, command), connectTimeoutOf(client));
}

/** The same, as the client's middleware has it. */
export async function catchSigned(client: S3Client, command: TunableCommand): Promise<CaughtRequest> {
  let caught: CaughtRequest | undefined;
  const stack = withoutSdkRetries(command as never) as {
    middlewareStack: { add: (middleware: unknown, options: object) => void };
  };
  stack.middlewareStack.add(
    () => (args: { request: CaughtRequest }) => {
      caught = args.request;
      return Promise.resolve({ response: {}, output: { $metadata: {} } });
    },
    // Behind the signature, which is in this step too; what comes after would send and parse.
    { name: 'sealpipeCatch', step: 'finalizeRequest', priority: 'low', override: true },
  );
  // Typed by the command's kind in the SDK, which plays no part here.
  await (client as { send: (command: unknown) => Promise<unknown> }).send(command);
  if (caught === undefined) throw new Error('internal error: the request was not caught');
  return caught;
}

/** How long the client itself would wait for a connection. */
export function connectTimeoutOf({ config: { requestHandler } }: S3Client): number | undefined {
  return handlerSettings(requestHandler).connectionTimeout;
}

/** What a worker needs of it. */
export function signedRequest(
  { protocol, hostname, port, method, path, query, headers }: CaughtRequest,
  connectTimeout?: number,
): SignedRequest {
  return {
    protocol: protocol === 'http:' ? 'http:' : 'https:',
    // As Node takes it: an IPv6 address without brackets.
    hostname: hostname.replace(/^\[(.*)\]$/, '$1'),
    port,
    method,
    path: path + queryString(query),
    headers,
    connectTimeout,
  };
}

/** Milliseconds that a signature made ahead is good for: S3 takes one for 15 minutes, and credentials can change meanwhile. */
const aheadLimit = 60_000;

/** A request that is signed before it is known when it can go. Each attempt gets a signature of its own. */
export class SignatureAhead {
  readonly #sign: () => Promise<SignedRequest>;
  #ahead: { readonly request: SignedRequest; readonly at: number } | undefined;

  private constructor(sign: () => Promise<SignedRequest>) {
    this.#sign = sign;
  }

  /** Signs for the first attempt. A failure shows when it is sent: there it is retried and reported. */
  static async of(sign: () => Promise<SignedRequest>): Promise<SignatureAhead> {
    const signature = new SignatureAhead(sign);
    const request = await sign().catch(() => undefined);
    if (request !== undefined) signature.#ahead = { request, at: performance.now() };
    return signature;
  }

  /** The request for the next attempt. */
  async take(): Promise<SignedRequest> {
    const ahead = this.#ahead;
    this.#ahead = undefined;
    return ahead !== undefined && performance.now() - ahead.at < aheadLimit ? ahead.request : this.#sign();
  }
}

/** A worker's raw answer that is no success, as the exception that the SDK would have thrown for it. */
export function answerFailure({ status, headers, body }: RawAnswer): Error {
  const element = (name: string): string | undefined => new RegExp(`<${name}>([^<]*)</${name}>`).exec(body)?.[1];
  const code = element('Code') ?? (status >= 500 ? 'InternalError' : 'UnknownError');
  return Object.assign(new Error(element('Message') ?? ''), {
    name: code,
    Code: code,
    $metadata: { httpStatusCode: status, requestId: headers['x-amz-request-id'] },
    $response: { statusCode: status, headers },
  });
}

function queryString(query: CaughtRequest['query']): string {
  const pairs = Object.keys(query ?? {})
    .sort()
    .flatMap((name) => {
      const value = query?.[name];
      if (value === null || value === undefined) return [escapeComponent(name)];
      return [value].flat().map((each) => `${escapeComponent(name)}=${escapeComponent(each)}`);
    });
  return pairs.length === 0 ? '' : `?${pairs.join('&')}`;
}
