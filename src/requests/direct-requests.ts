/**
 * Requests of a plain client without the client: where objects are small, nine tenths of the time go into what the SDK does for a
 * request. The first request of each kind goes through the SDK, and those like it are made after its example once there are some. An answer that is no
 * success goes back into the SDK, which then does what it does with its own: names the error, asks again, follows to another region.
 */
import { Readable } from 'node:stream';
import type { Agent } from 'undici';
import { type TunableCommand, withFirstAnswer, withLookAtRequest } from '../s3-command.ts';
import { identityOf, timeOf } from './client-identity.ts';
import { isSamePlace, placeOf, successRecorder } from './client-standing.ts';
import { exchange, exchangeWhole, type HttpAnswer } from './http-exchange.ts';
import { type AwsClient, type HandlerSettings, handlerSettings, isUntouchedClient } from './plain-client.ts';
import {
  type CaughtRequest,
  fillTemplate,
  isPlainValue,
  learnTemplate,
  maxLessons,
  type RequestParts,
  type RequestTemplate,
} from './request-template.ts';
import { signingTimestamp } from './signature.ts';
import { wantTransport } from './transport.ts';

export interface DirectCall<Body, Output> {
  /** What is equal in all requests of a kind, as a name for it: they differ in `parts` alone. */
  readonly kind: string;
  readonly parts: RequestParts;
  /** The same request for the client. */
  readonly command: () => TunableCommand;
  /** What a success says, as the client would have put it. Undefined: it is not understood, and the SDK may try. */
  readonly read: (answer: HttpAnswer<Body>) => Output | undefined;
  readonly signal: AbortSignal;
}

/** Kinds of request that are remembered of a client: one for a bucket and a set of parameters. */
const maxKinds = 256;

/** The SDK's default, https://docs.aws.amazon.com/sdk-for-javascript/v3/developer-guide/node-configuring-maxsockets.html */
const defaultConnections = 50;

/** Of a kind: how to make it, or how many requests have taught nothing. */
type Lesson = RequestTemplate | number;

const byClient = new WeakMap<AwsClient, DirectRequests>();

/** Sends what is small and comes whole: KMS's answers, PutObject's. Through the client where nothing else is safe. */
export async function sendWhole<Output>(client: AwsClient, call: DirectCall<Buffer, Output>): Promise<Output> {
  return directRequests(client).send(call, exchangeWhole);
}

/** Sends a request whose answer has a body to stream. Through the client where nothing else is safe. */
export async function sendForStream<Output>(client: AwsClient, call: DirectCall<Readable, Output>): Promise<Output> {
  return directRequests(client).send(call, exchange);
}

function directRequests(client: AwsClient): DirectRequests {
  let requests = byClient.get(client);
  if (requests === undefined) {
    requests = new DirectRequests(client);
    byClient.set(client, requests);
  }
  return requests;
}

type Exchange<Body> = (
  agent: Agent,
  request: ReturnType<typeof fillTemplate>,
  signal: AbortSignal,
) => Promise<HttpAnswer<Body>>;

class DirectRequests {
  readonly #client: AwsClient;
  readonly #lessons = new Map<string, Lesson>();
  /** What the lessons hold for. */
  #place: readonly unknown[] | undefined;
  #recordSuccess: (() => void) | undefined;
  #agent: Agent | undefined;
  /** What the agent was made by. */
  #agentSettings: HandlerSettings | undefined;

  constructor(client: AwsClient) {
    this.#client = client;
  }

  async send<Body, Output>(
    { kind, parts, command, read, signal }: DirectCall<Body, Output>,
    exchangeBy: Exchange<Body>,
  ): Promise<Output> {
    if (!isUntouchedClient(this.#client)) return this.#throughClient(command(), signal);
    const lesson = this.#lessons.get(kind) ?? 0;
    if (typeof lesson === 'number') {
      return this.#throughClient(lesson < maxLessons ? this.#learning(kind, parts, command()) : command(), signal);
    }
    const agent = this.#readyAgent();
    const [identity, place] =
      agent === undefined ? [] : await Promise.all([identityOf(this.#client), placeOf(this.#client)]);
    if (agent === undefined || identity === undefined || !arePlain(parts) || !this.#isLearnedAt(place))
      return this.#throughClient(command(), signal);
    const request = fillTemplate(lesson, parts, { identity, timestamp: signingTimestamp(timeOf(this.#client)) });
    let answer: HttpAnswer<Body>;
    try {
      answer = await exchangeBy(agent, request, signal);
    } catch (error) {
      const fail = async (): Promise<never> => {
        throw handlerError(error);
      };
      return this.#throughClient(withFirstAnswer(command(), fail), signal);
    }
    const { status: statusCode, headers, body } = answer;
    const output = statusCode >= 200 && statusCode < 300 ? read(answer) : undefined;
    if (output !== undefined) {
      this.#recordSuccess?.();
      return output;
    }
    // The SDK reads what the service says of it, which may never come.
    if (body instanceof Readable) destroyOnAbort(body, signal);
    return this.#throughClient(
      withFirstAnswer(command(), async () => ({ statusCode, headers, body })),
      signal,
    );
  }

  #throughClient<Output>(command: TunableCommand, abortSignal: AbortSignal): Promise<Output> {
    const client = this.#client as unknown as { send: (command: unknown, options: object) => Promise<Output> };
    return client.send(command, { abortSignal });
  }

  /** A command whose request is looked at on its way out. */
  #learning(kind: string, parts: RequestParts, command: TunableCommand): TunableCommand {
    return withLookAtRequest(command, (request) => {
      const caught = { ...(request as CaughtRequest), headers: { ...(request as CaughtRequest).headers } };
      // Nobody waits for it, and nothing is lost where it fails.
      this.#learn(kind, parts, caught).catch(() => undefined);
    });
  }

  async #learn(kind: string, parts: RequestParts, caught: CaughtRequest): Promise<void> {
    const [identity, place, recordSuccess] = await Promise.all([
      identityOf(this.#client),
      placeOf(this.#client),
      successRecorder(this.#client),
    ]);
    if (!this.#isLearnedAt(place)) this.#place = place;
    this.#recordSuccess = recordSuccess;
    const lesson = this.#lessons.get(kind) ?? 0;
    if (typeof lesson !== 'number') return;
    const teaches = identity !== undefined && place !== undefined && recordSuccess !== undefined && arePlain(parts);
    const template = teaches ? learnTemplate(caught, parts, identity) : undefined;
    if (this.#lessons.size >= maxKinds && !this.#lessons.has(kind))
      this.#lessons.delete(this.#lessons.keys().next().value as string);
    this.#lessons.set(kind, template ?? lesson + 1);
  }

  /** Forgets what was learned where the client sends to another place by now. */
  #isLearnedAt(place: readonly unknown[] | undefined): boolean {
    if (isSamePlace(place, this.#place)) return true;
    this.#lessons.clear();
    return false;
  }

  #readyAgent(): Agent | undefined {
    const AgentClass = wantTransport();
    // A handler that was set anew knows its own settings from the next request on.
    const settings = handlerSettings(this.#client.config.requestHandler);
    if (AgentClass === undefined || settings.httpsAgent === undefined) return undefined;
    if (this.#agent === undefined || settings !== this.#agentSettings) {
      void this.#agent?.close();
      this.#agent = newAgent(AgentClass, settings);
      this.#agentSettings = settings;
    }
    return this.#agent;
  }
}

/**
 * As many connections as the client's own handler would open, kept for the next request as it keeps them. Waiting is limited by the
 * signal of each request.
 */
function newAgent(AgentClass: typeof Agent, { httpAgent, httpsAgent, connectionTimeout }: HandlerSettings): Agent {
  const agents = [httpAgent, httpsAgent];
  const keepAlive = agents.every((agent) => agent?.options?.keepAlive !== false);
  const limits = agents.map((agent) => agent?.maxSockets ?? defaultConnections);
  const connections = Math.min(...limits);
  return new AgentClass({
    connections: Number.isFinite(connections) ? connections : null,
    pipelining: keepAlive ? 1 : 0,
    headersTimeout: 0,
    bodyTimeout: 0,
    connect: { timeout: connectionTimeout ?? 0 },
  });
}

/** What HTTP takes as it is, and every name once. The path without a key, or with that of a wrong type, is another resource. */
function arePlain(parts: RequestParts): boolean {
  const { headers, objectKey } = parts;
  return (
    (!('objectKey' in parts) || (typeof objectKey === 'string' && objectKey !== '')) &&
    headers.every(([name, value]) => /^[\w!#$%&'*+.^`|~-]+$/.test(name) && isPlainValue(value)) &&
    new Set(headers.map(([name]) => name)).size === headers.length
  );
}

function destroyOnAbort(body: Readable, signal: AbortSignal): void {
  const onAbort = (): void => {
    body.destroy(Object.assign(new Error('the request was aborted'), { name: 'AbortError' }));
  };
  signal.addEventListener('abort', onAbort, { once: true });
  body.once('close', () => signal.removeEventListener('abort', onAbort));
  if (signal.aborted) onAbort();
}

/** As the SDK's own handler names it, by which the SDK knows that it may ask again. */
function handlerError(error: unknown): unknown {
  const { code } = error as { code?: unknown };
  return code === 'ECONNRESET' || code === 'EPIPE' || code === 'ETIMEDOUT'
    ? Object.assign(error as Error, { name: 'TimeoutError' })
    : error;
}
