/** Whether a client of the SDK is as the SDK made it, so that its requests can leave without it and nobody would notice. */
import http, { Agent as HttpAgent } from 'node:http';
import https, { Agent as HttpsAgent } from 'node:https';
import net from 'node:net';
import tls from 'node:tls';
import { KMSClient } from '@aws-sdk/client-kms';
import { S3Client } from '@aws-sdk/client-s3';

/** A client of the SDK, as far as it is looked at here. */
export type AwsClient = S3Client | KMSClient;

/**
 * Whether requests of this client can leave by other sockets than its own without anybody noticing: no request handler,
 * agent or middleware but the SDK's, and Node's modules as Node has them. A caller who has put in a proxy, a certificate or a
 * middleware gets all requests there.
 */
export function isPlainClient(client: AwsClient): boolean {
  const { requestHandler } = client.config as { requestHandler?: Handler };
  return hasPlainModules({ watched: true }) && hasPlainAgents(requestHandler) && hasPlainMiddleware(client);
}

/**
 * Whether requests can be made without the client: besides {@link isPlainClient}, nothing is put into its place (a stub of
 * `send`, an instrumentation), nothing is logged, endpoints and authentication are the SDK's, and no time limits are its own.
 */
export function isUntouchedClient(client: AwsClient): boolean {
  if (inLambda) return false;
  const fresh = freshOf(client);
  const { send } = client as { readonly send: object };
  if (fresh === undefined || send !== fresh.send || '__wrapped' in send) return false;
  const config = client.config as unknown as Record<string, unknown>;
  const { logger, requestHandler } = config as { logger?: object; requestHandler?: Handler };
  if (logger !== undefined && logger.constructor.name !== 'NoOpLogger') return false;
  if (decisiveSettings.some((name) => config[name] !== fresh.config[name])) return false;
  if (madeAnew.some((name) => !isSameSource(config[name], fresh.config[name]))) return false;
  if (!handlesItself(client)) return false;
  const { requestTimeout = 0, socketTimeout = 0 } = handlerSettings(requestHandler);
  return requestTimeout === 0 && socketTimeout === 0 && hasPlainModules({ watched: false }) && isPlainClient(client);
}

/** Whether a client's handler is not stubbed in place, as tests and instrumentations do. */
export function handlesItself(client: AwsClient): boolean {
  const handleOf = ({ config }: Pick<FreshClient, 'config'>): unknown => (config.requestHandler as Handler)?.handle;
  const fresh = freshOf(client);
  return fresh !== undefined && handleOf(client as never) === handleOf(fresh);
}

type NodeFunction = ((...args: never[]) => unknown) & { readonly __original?: NodeFunction };

/** Node's own, as far as they were looked at. */
const nodesOwn = new WeakSet<NodeFunction>();

/**
 * Whether nobody has put anything in the place of what the SDK sends by: a proxy for all requests of the process, authorities
 * to trust, a stub for tests. Of these a worker, or other sockets, would know nothing.
 * @param watched whether wrappers that only watch, as OpenTelemetry's are marked to do, are let pass
 */
export function hasPlainModules({ watched }: { readonly watched: boolean }): boolean {
  return (
    isNodesOwn(http.request, /^function request\(.*ClientRequest/s, watched) &&
    isNodesOwn(https.request, /^function request\(.*ClientRequest/s, watched) &&
    isNodesOwn(net.connect, /^function connect\(/, watched) &&
    isNodesOwn(tls.connect, /^function connect\(/, watched) &&
    isNodesOwn(tls.createSecureContext, /^function createSecureContext\(/, watched)
  );
}

function isNodesOwn(found: NodeFunction, source: RegExp, watched: boolean): boolean {
  if (nodesOwn.has(found)) return true;
  if (watched && found.__original !== undefined) return isNodesOwn(found.__original, source, watched);
  if (!source.test(String(found))) return false;
  nodesOwn.add(found);
  return true;
}

/** There the SDK marks each request with the invocation that it is made for, by which endless loops of functions are ended. */
const inLambda = process.env.AWS_LAMBDA_FUNCTION_NAME !== undefined;

/** The SDK's own functions, which are the same in all clients unless they were set. */
const decisiveSettings = [
  'endpointProvider',
  'httpAuthSchemeProvider',
  'signerConstructor',
  'streamCollector',
  'urlParser',
];

/** The SDK's own functions, of which each client has copies. */
const madeAnew = ['signer', 'retryStrategy'];
/** Copies that were compared. */
const copies = new WeakSet();

function isSameSource(found: unknown, expected: unknown): boolean {
  if (typeof found !== 'function') return found === expected;
  if (copies.has(found)) return true;
  if (String(found) !== String(expected)) return false;
  copies.add(found);
  return true;
}

interface Handler {
  readonly handle?: unknown;
  readonly constructor?: { readonly name?: string };
  readonly httpHandlerConfigs?: () => object;
  readonly externalAgent?: boolean;
}

interface AgentSettings {
  readonly maxSockets?: number;
  readonly options?: { readonly keepAlive?: boolean };
}

/** What a client's request handler was given. */
export interface HandlerSettings {
  readonly httpAgent?: AgentSettings | undefined;
  readonly httpsAgent?: AgentSettings | undefined;
  /** Milliseconds. */
  readonly connectionTimeout?: number | undefined;
  readonly requestTimeout?: number | undefined;
  readonly socketTimeout?: number | undefined;
}

/** Empty before the client's first request. */
export function handlerSettings(handler: object | undefined): HandlerSettings {
  return (handler as Handler | undefined)?.httpHandlerConfigs?.() ?? {};
}

/** A handler that has not been looked at yet, and how it comes by its settings then. */
interface UnsettledHandler extends Handler {
  config?: SettlingSettings | undefined;
  readonly configProvider?: Promise<SettlingSettings>;
}

interface SettlingSettings extends Omit<HandlerSettings, 'httpAgent'> {
  httpAgent?: AgentSettings | undefined;
  readonly httpAgentProvider?: () => Promise<AgentSettings>;
}

/**
 * Settles a handler as its own first request would, which may never come. The settings are the same object as long as they are the same.
 * @returns undefined where they cannot be had, or the agents are a caller's
 */
export async function settledSettings(handler: object): Promise<HandlerSettings | undefined> {
  const unsettled = handler as UnsettledHandler;
  const { configProvider } = unsettled;
  const settings = unsettled.config ?? (await configProvider);
  if (settings === undefined) return undefined;
  settings.httpAgent ??= await settings.httpAgentProvider?.();
  // Others may have been set in the meantime.
  if (unsettled.configProvider === configProvider) unsettled.config = settings;
  return hasPlainAgents(unsettled) && settings.httpAgent && settings.httpsAgent ? settings : undefined;
}

function hasPlainAgents(handler: Handler | undefined): boolean {
  if (handler?.constructor?.name !== 'NodeHttpHandler' || handler.externalAgent === true) return false;
  const { httpAgent, httpsAgent } = handlerSettings(handler);
  return isPlainAgent(httpAgent) && isPlainAgent(httpsAgent);
}

interface FreshClient {
  readonly prototype: object;
  readonly send: unknown;
  readonly config: Record<string, unknown>;
  readonly middleware: readonly string[];
}

/** `send` as it is when this module is loaded: what is put over it later is somebody's. */
const [kmsSend, s3Send] = [KMSClient, S3Client].map(({ prototype }) => (prototype as { readonly send: object }).send);
let freshClients: readonly FreshClient[] | undefined;

/** A client of the same kind that nobody has done anything to: `S3` is an `S3Client`, too. Undefined for what is none. */
function freshOf(client: AwsClient): FreshClient | undefined {
  freshClients ??= [fresh(new S3Client(anywhere), s3Send), fresh(new KMSClient(anywhere), kmsSend)];
  return freshClients.find(({ prototype }) => Object.prototype.isPrototypeOf.call(prototype, client));
}

const anywhere = { region: 'us-east-1' } as const;

function fresh(client: AwsClient, send: unknown): FreshClient {
  return {
    prototype: Object.getPrototypeOf(client) as object,
    send,
    config: client.config as unknown as Record<string, unknown>,
    middleware: describeMiddleware(client),
  };
}

type Middleware = (...args: never[]) => unknown;

/** What was found to be the SDK's own middleware, client by client: comparing functions takes a microsecond. */
const known = new WeakMap<AwsClient, readonly Middleware[]>();

function hasPlainMiddleware(client: AwsClient): boolean {
  const middleware = middlewareOf(client).map(([each]) => each);
  if (areSame(middleware, known.get(client))) return true;
  if (!areSame(describeMiddleware(client), freshOf(client)?.middleware)) return false;
  known.set(client, middleware);
  return true;
}

/** Names, places and source text: one that is put into the place of another by its name is told, too. */
function describeMiddleware(client: AwsClient): string[] {
  return middlewareOf(client).map(([middleware, { name, step, relation, toMiddleware }]) =>
    [name, step, relation, toMiddleware, middleware].map(String).join(' '),
  );
}

/** `identify` would say less, and takes longer than everything else that is done for a small object. */
function middlewareOf(client: AwsClient): [Middleware, Record<string, unknown>][] {
  const found: [Middleware, Record<string, unknown>][] = [];
  const note = (middleware: Middleware, place: Record<string, unknown>): void => {
    found.push([middleware, place]);
  };
  client.middlewareStack.applyToStack({ add: note, addRelativeTo: note } as never);
  return found;
}

function areSame(found: readonly unknown[], expected: readonly unknown[] | undefined): boolean {
  return found.length === expected?.length && found.every((each, i) => each === expected[i]);
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

/** By which an agent comes by its connections: set on the agent itself, as some proxies do, they are not Node's. */
const madeConnections = ['addRequest', 'createConnection', 'createSocket', 'getName'];

function isPlainAgent(agent: object | undefined): boolean {
  if (agent === undefined) return true;
  if (agent.constructor !== HttpAgent && agent.constructor !== HttpsAgent) return false;
  if (madeConnections.some((name) => Object.hasOwn(agent, name))) return false;
  const { options } = agent as { options?: Record<string, unknown> };
  return Object.keys(options ?? {}).every((name) => harmless.has(name));
}
