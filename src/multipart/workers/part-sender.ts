/** Sends parts from a worker: plain requests of node:http and node:https over connections that stay open. */
import { type ClientRequest, Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { RawAnswer, SignedRequest } from './worker-protocol.ts';

/** Bytes of an error's body that are read. */
const bodyLimit = 64 * 1024;

const agents = {
  'http:': new HttpAgent({ keepAlive: true, scheduling: 'lifo' }),
  'https:': new HttpsAgent({ keepAlive: true, scheduling: 'lifo' }),
};

/** One send that can be cancelled. */
export interface RunningSend {
  readonly answer: Promise<RawAnswer>;
  cancel(): void;
}

/** Sends `body` with a signed request. Rejects with Node's own error when the connection fails. */
export function sendPart(
  { protocol, hostname, port, method, path, headers }: SignedRequest,
  body: Uint8Array,
): RunningSend {
  const options = { host: hostname, port, method, path, headers, agent: agents[protocol] };
  const request = protocol === 'https:' ? httpsRequest(options) : httpRequest(options);
  const answer = new Promise<RawAnswer>((resolve, reject) => {
    request.once('error', reject);
    request.once('response', (response) => {
      readAnswer(response).then(resolve, reject);
    });
  });
  request.end(body);
  return { answer, cancel: () => cancel(request) };
}

function cancel(request: ClientRequest): void {
  request.destroy(Object.assign(new Error('the send was cancelled'), { name: 'AbortError', code: 'ABORT_ERR' }));
}

async function readAnswer(response: IncomingMessage): Promise<RawAnswer> {
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
