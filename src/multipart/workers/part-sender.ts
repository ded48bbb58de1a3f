/** Sends parts from a worker: plain requests of node:http and node:https over connections that stay open. */
import type { ClientRequest } from 'node:http';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { cancelRequest, readAnswer, startRequest } from './connections.ts';
import type { RawAnswer, SignedRequest } from './worker-protocol.ts';

/** One send that can be cancelled. */
export interface RunningSend {
  readonly answer: Promise<RawAnswer>;
  cancel(): void;
}

/**
 * Bytes that are handed to TLS at once. It encrypts all that it is given into memory of its own, and keeps that until the kernel
 * has taken it: of four parts of 16 MiB that were as much again as the parts.
 */
const tlsSliceLength = 512 * 1024;

/** Sends `body` with a signed request. Rejects with Node's own error when the connection fails. */
export function sendPart(signed: SignedRequest, body: Uint8Array): RunningSend {
  const request = startRequest(signed);
  const answer = new Promise<RawAnswer>((resolve, reject) => {
    request.on('error', reject);
    request.once('response', (response) => {
      readAnswer(response).then(resolve, reject);
    });
  }).finally(async () => {
    // A quick answer is read in the turn in which the last bytes left, before Node says so of them: that connection is a good one.
    if (!request.writableFinished) await nextTurn();
    // Answered before all of it was taken: what is still waiting to go out lies in memory that another part gets next.
    if (!request.writableFinished) request.destroy();
  });
  if (signed.protocol === 'https:') writeSliced(request, body);
  else request.end(body);
  return { answer, cancel: () => cancelRequest(request) };
}

/** A request that is destroyed meanwhile asks for nothing more. */
function writeSliced(request: ClientRequest, body: Uint8Array): void {
  let at = 0;
  const writeOn = (): void => {
    while (at + tlsSliceLength < body.length) {
      const slice = body.subarray(at, at + tlsSliceLength);
      at += tlsSliceLength;
      if (!request.write(slice)) return;
    }
    request.off('drain', writeOn);
    request.end(body.subarray(at));
  };
  request.on('drain', writeOn);
  writeOn();
}
