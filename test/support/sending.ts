import { setImmediate as turn } from 'node:timers/promises';
import type { RequestLogEntry } from '../../src/local/index.ts';
import { loadTransport } from '../../src/requests/transport.ts';
import type { TestEndpoint } from './endpoint.ts';
import type { RecordedRequest } from './recording-server.ts';

// Now, so that how many requests have been made before decides nothing.
loadTransport();

/** Whether a request left without the SDK: node:http writes a request's own headers first, undici host and connection. */
export function leftDirectly({ headers }: Pick<RecordedRequest | RequestLogEntry, 'headers'>): boolean {
  return Object.keys(headers)[0] === 'host';
}

/** Sends until a request has left without the SDK. @returns how many went through it before */
export async function untilDirect(
  send: () => Promise<unknown>,
  last: () => Promise<Pick<RecordedRequest, 'headers'>>,
): Promise<number> {
  for (let sent = 0; sent < 10; sent++) {
    await send();
    if (leftDirectly(await last())) return sent;
    // What is learned, and the transport, come a moment after the answer.
    for (let turns = 0; turns < 20; turns++) await turn();
  }
  throw new Error('no request left without the SDK');
}

/** The newest request of an endpoint's log. */
export async function lastOf({ local }: TestEndpoint, operation?: string): Promise<RequestLogEntry> {
  await local.requests.settled();
  const entry = local.requests.all(operation).at(-1);
  if (entry === undefined) throw new Error('nothing was sent');
  return entry;
}
