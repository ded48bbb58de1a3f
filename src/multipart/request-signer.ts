/**
 * Signing by the caller's S3Client, sending by somebody else: a command runs through the client's own middleware (endpoint,
 * headers, credentials, signature) and is caught where it would go out. Nothing is put into a URL, and each attempt is signed anew,
 * with the part's CRC-32 among the signed headers.
 */
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { S3Client } from '@aws-sdk/client-s3';
import { type TunableCommand, withoutSdkRetries } from '../s3-command.ts';
import type { RawAnswer, SignedRequest } from './workers/worker-protocol.ts';

interface CaughtRequest {
  readonly protocol: string;
  readonly hostname: string;
  readonly port?: number | undefined;
  readonly method: string;
  readonly path: string;
  readonly query?: Record<string, string | string[] | null> | undefined;
  readonly headers: Record<string, string>;
}

/** The request that the client would send for a command, signed. The command cannot be used again. */
export async function signByClient(client: S3Client, command: TunableCommand): Promise<SignedRequest> {
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
  const { protocol, hostname, port, method, path, query, headers } = caught;
  return {
    protocol: protocol === 'http:' ? 'http:' : 'https:',
    // As Node takes it: an IPv6 address without brackets.
    hostname: hostname.replace(/^\[(.*)\]$/, '$1'),
    port,
    method,
    path: path + queryString(query),
    headers,
  };
}

/**
 * Whether requests of this client can leave by other sockets than its own without anybody noticing: no request handler,
 * agent or middleware but the SDK's. A caller who has put in a proxy, a certificate or a middleware gets all requests there.
 */
export function isPlainClient(client: S3Client): boolean {
  const { requestHandler } = client.config as {
    requestHandler?: { constructor?: { name?: string }; httpHandlerConfigs?: () => object; externalAgent?: boolean };
  };
  if (requestHandler?.constructor?.name !== 'NodeHttpHandler' || requestHandler.externalAgent === true) return false;
  const { httpAgent, httpsAgent } = (requestHandler.httpHandlerConfigs?.() ?? {}) as {
    httpAgent?: object;
    httpsAgent?: object;
  };
  return [httpAgent, httpsAgent].every(isPlainAgent) && middlewareOf(client) === plainMiddleware();
}

let plainStack: string | undefined;

/** The middleware of a client that nobody has added anything to. */
function plainMiddleware(): string {
  plainStack ??= middlewareOf(new S3Client({ region: 'us-east-1' }));
  return plainStack;
}

function middlewareOf(client: S3Client): string {
  return JSON.stringify(client.middlewareStack.identify());
}

/** Settings of an agent that say nothing about where or as whom it connects. */
const harmless = new Set([
  'keepAlive',
  'keepAliveMsecs',
  'maxSockets',
  'maxFreeSockets',
  'maxTotalSockets',
  'noDelay',
  'path',
  'scheduling',
  'timeout',
  'defaultPort',
  'protocol',
  'agentKeepAliveTimeoutBuffer',
]);

function isPlainAgent(agent: object | undefined): boolean {
  if (agent === undefined) return true;
  if (agent.constructor !== HttpAgent && agent.constructor !== HttpsAgent) return false;
  const { options } = agent as { options?: Record<string, unknown> };
  return Object.keys(options ?? {}).every((name) => harmless.has(name));
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
  const escaped = (text: string): string =>
    encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
  const pairs = Object.keys(query ?? {})
    .sort()
    .flatMap((name) => {
      const value = query?.[name];
      if (value === null || value === undefined) return [escaped(name)];
      return [value].flat().map((each) => `${escaped(name)}=${escaped(each)}`);
    });
  return pairs.length === 0 ? '' : `?${pairs.join('&')}`;
}
