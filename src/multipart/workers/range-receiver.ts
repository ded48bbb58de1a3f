/** Receives a range of an object in a worker, chunk by chunk. */
import { releaseMemory } from '../../crypto/release-memory.ts';
import { SealpipeError } from '../../errors.ts';
import { cancelRequest, readAnswer, startRequest } from './connections.ts';
import type { RawAnswer, SignedRequest } from './worker-protocol.ts';

export interface ReceiveOptions {
  /** Bytes that are expected. */
  readonly length: number;
  /** What the answer has to say in Content-Range: another range, or the whole object, would be decrypted at the wrong place. */
  readonly contentRange: string;
  /** What its ETag has to be, where it has one: a store that knows no If-Match gives itself away there. */
  readonly etag: string;
  /** Milliseconds without a byte, or until the answer's head is there, after which the connection counts as broken. */
  readonly idleTimeout: number;
  /** Is done with a chunk when it returns. */
  readonly take: (chunk: Uint8Array) => void;
}

export interface RunningReceive {
  /** Undefined when all has arrived; else the answer that was not the range. */
  readonly answer: Promise<RawAnswer | undefined>;
  cancel(): void;
}

/** Rejects with Node's own error when the connection fails, and with what `take` throws. */
export function receiveRange(signed: SignedRequest, options: ReceiveOptions): RunningReceive {
  const { length, contentRange, etag, idleTimeout, take } = options;
  const request = startRequest(signed);
  let deadline: NodeJS.Timeout | undefined;
  const answer = new Promise<RawAnswer | undefined>((resolve, reject) => {
    let received = 0;
    const fail = (error: Error): void => {
      request.destroy();
      reject(error);
    };
    request.on('error', reject);
    // The body of an error counts with the head: one that drips without end is never silent.
    deadline = setTimeout(() => {
      fail(Object.assign(new Error(`no whole answer came within ${idleTimeout} ms`), { code: 'ETIMEDOUT' }));
    }, idleTimeout);
    request.setTimeout(idleTimeout, () => {
      fail(Object.assign(new Error(`no byte arrived within ${idleTimeout} ms`), { code: 'ETIMEDOUT' }));
    });
    request.once('response', (response) => {
      const { statusCode: status = 0, headers } = response;
      const { 'content-range': foundRange = 'none', etag: foundEtag = etag } = headers;
      if (status !== 206 || foundRange !== contentRange || foundEtag !== etag) {
        if (status >= 300) {
          readAnswer(response).then(resolve, reject);
          return;
        }
        // The body of another range may be a whole object: it is not waited for.
        resolve({ status, headers: { 'content-range': foundRange, etag: foundEtag }, body: '' });
        request.destroy();
        return;
      }
      clearTimeout(deadline);
      response.on('data', (chunk: Buffer) => {
        received += chunk.length;
        if (received > length) {
          fail(new SealpipeError('OBJECT_CHANGED', 'S3 sent more bytes than the range has: open it again'));
          return;
        }
        try {
          take(chunk);
          releaseMemory(chunk);
        } catch (error) {
          fail(error as Error);
        }
      });
      response.once('end', () => {
        if (received === length) resolve(undefined);
        else fail(closedEarly(received, length));
      });
      response.once('error', fail);
      // A response that is cut emits close without end, on some Node versions without an error.
      response.once('close', () => fail(closedEarly(received, length)));
    });
  }).finally(() => clearTimeout(deadline));
  request.end();
  return { answer, cancel: () => cancelRequest(request) };
}

function closedEarly(received: number, length: number): Error {
  return Object.assign(new Error(`the connection was closed after ${received} of ${length} bytes`), {
    code: 'ECONNRESET',
  });
}
