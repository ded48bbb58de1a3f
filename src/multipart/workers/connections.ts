/** The connections of one thread: plain requests of node:http and node:https that keep them open. */
import { type ClientRequest, Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { RawAnswer, SignedRequest } from './worker-protocol.ts';

/** Bytes of an error's body that are read. */
const bodyLimit = 64 * 1024;

const agents = {
  'http:': new HttpAgent({ keepAlive: true, scheduling: 'lifo' }),
  'https:': new HttpsAgent({ keepAlive: true, scheduling: 'lifo' }),
};

/** A request whose body, if any, is still to be ended. */
export function startRequest({ protocol, hostname, port, method, path, headers }: SignedRequest): ClientRequest {
  const options = { host: hostname, port, method, path, headers, agent: agents[protocol] };
  return protocol === 'https:' ? httpsRequest(options) : httpRequest(options);
}

/** Ends a request that nobody waits for any more. */
export function cancelRequest(request: ClientRequest): void {
  request.destroy(Object.assign(new Error('the request was cancelled'), { name: 'AbortError', code: 'ABORT_ERR' }));
}

/** A response with the beginning of its body. */
export async function readAnswer(response: IncomingMessage): Promise<RawAnswer> {
  let body = '';
  response.setEncoding('utf8');
  for await (const chunk of response as AsyncIterable<string>) if (body.length < bodyLimit) body += chunk;
  const headers = Object.fromEntries(
    Object.entries(response.headers).map(([name, value]) => [
      name,
      Array.isArray(value) ? value.join(', ') : (value ?? ''),
    ]),
  );
  return { status: response.statusCode ?? 0, headers, body };
}
