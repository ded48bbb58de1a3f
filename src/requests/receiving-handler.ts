/** Has a plain client's GETs leave by connections of ours, whose bodies can be diverted; all else about them is the client's. */
import type { AgentOptions } from 'node:http';
import { type TunableCommand, withHandler } from '../s3-command.ts';
import {
  type AwsClient,
  type HandlerSettings,
  handlesItself,
  hasPlainModules,
  isPlainClient,
  settledSettings,
} from './plain-client.ts';
import { receivingAgents } from './receiving-agent.ts';

/** A request handler of the SDK, as far as it is used here. */
interface RequestHandler {
  handle(request: object, options: { readonly abortSignal?: AbortSignal }): Promise<{ response: unknown }>;
}

interface Substitute {
  /** What it was made by. */
  readonly settings: HandlerSettings;
  readonly handler: RequestHandler;
}

const substitutes = new WeakMap<object, Substitute>();

/**
 * A command that is sent over such connections where the client is plain, and as ever where it is not, or somebody watches requests: one
 * whose body was diverted looks to them as if it had been given up.
 */
export function sentByReceivingConnections<C extends TunableCommand>(
  command: C,
  client: AwsClient,
  abortSignal: AbortSignal,
): C {
  return withHandler(command, async (request) => {
    if (!hasPlainModules({ watched: false }) || !isPlainClient(client) || !handlesItself(client)) return undefined;
    const handler = await substituteOf(client.config.requestHandler);
    return handler?.handle(request, { abortSignal });
  });
}

/** A handler of the same kind with the same settings, but for the agents. */
async function substituteOf(original: object): Promise<RequestHandler | undefined> {
  const settings = await settledSettings(original);
  if (settings === undefined) return undefined;
  const found = substitutes.get(original);
  if (found !== undefined && found.settings === settings) return found.handler;
  const { httpAgent, httpsAgent } = settings;
  const agents = receivingAgents({ http: agentOptions(httpAgent), https: agentOptions(httpsAgent) });
  const Handler = original.constructor as new (options: object) => RequestHandler;
  const handler = new Handler({ ...settings, ...agents });
  substitutes.set(original, { settings, handler });
  return handler;
}

/** Milliseconds that an unused connection is kept, as undici keeps those of short bodies: `destroy` of the client knows nothing of it. */
const keptUnused = 4_000;

function agentOptions(agent: HandlerSettings['httpAgent']): AgentOptions {
  const { options, maxSockets } = (agent ?? {}) as { readonly options?: AgentOptions; readonly maxSockets?: number };
  return { ...options, ...(maxSockets !== undefined && { maxSockets }), timeout: options?.timeout ?? keptUnused };
}
