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
export function startRequest(signed: SignedRequest): ClientRequest {
  const { protocol, hostname, port, method, path, headers, connectTimeout = 0 } = signed;
  const options = { host: hostname, port, method, path, headers, agent: agents[protocol] };
  const request = protocol === 'https:' ? httpsRequest(options) : httpRequest(options);
  if (connectTimeout > 0) limitConnecting(request, connectTimeout);
  return request;
}

/** As the SDK's own handler does it: until the socket stands, without TLS's handshake; a connection that was kept has no limit. */
function limitConnecting(request: ClientRequest, timeout: number): void {
  request.once('socket', (socket) => {
    if (!socket.connecting) return;
    const timer = setTimeout(() => {
      request.destroy(Object.assign(new Error(`no connection within ${timeout} ms`), { code: 'ETIMEDOUT' }));
    }, timeout);
    const stop = (): void => clearTimeout(timer);
    socket.once('connect', stop);
    request.once('close', stop);
  });
}

/** Ends a request that nobody waits for any more. */
export function cancelRequest(request: ClientRequest): void {
  request.destroy(Object.assign(new Error('the request was cancelled'), { name: 'AbortError', code: 'ABORT_ERR' }));
}

/** A response with the beginning of its body. What lies beyond is not waited for, as it may have no end: its connection is given up. */
export async function readAnswer(response: IncomingMessage): Promise<RawAnswer> {
  let body = '';
  response.setEncoding('utf8');
  for await (const chunk of response as AsyncIterable<string>) {
    body += chunk;
    // Leaving the loop destroys the response.
    if (body.length >= bodyLimit) break;
  }
  const headers = Object.fromEntries(
    Object.entries(response.headers).map(([name, value]) => [
      name,
      Array.isArray(value) ? value.join(', ') : (value ?? ''),
    ]),
  );
  return { status: response.statusCode ?? 0, headers, body };
}
