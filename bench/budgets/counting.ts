/** Requests counted: by the log of the service, or where there is none by the clients that make them. */
import type { KMSClient } from '@aws-sdk/client-kms';
import type { S3Client } from '@aws-sdk/client-s3';
import type { RequestLog } from '../../src/local/index.ts';
import type { RequestCounts } from './budget-spec.ts';

const s3Operations: Readonly<Record<string, 'get' | 'head' | 'list'>> = {
  GetObject: 'get',
  HeadObject: 'head',
  ListObjectsV2: 'list',
};

class Tally {
  readonly #counts = { get: 0, head: 0, list: 0, kms: 0, other: 0, bytes: 0 };

  add(operation: string, bytes: number): void {
    const kind = operation.startsWith('KMS.') ? 'kms' : (s3Operations[operation] ?? 'other');
    this.#counts[kind] += 1;
    if (kind !== 'kms') this.#counts.bytes += bytes;
  }

  get counts(): RequestCounts {
    return { ...this.#counts };
  }
}

/** Counts by the log of a local endpoint, which has what was cut off, too. */
export function countLog(log: RequestLog): { start(): Promise<void>; counts(): Promise<RequestCounts> } {
  return {
    async start() {
      await log.settled();
      log.clear();
    },
    async counts() {
      await log.settled();
      const tally = new Tally();
      for (const { operation, bytesOut } of log) tally.add(operation, bytesOut);
      return tally.counts;
    },
  };
}

/** Counts each attempt that clients send, repeats included; bytes as the answers announce them. */
export class ClientTally {
  #tally = new Tally();

  watch(s3: S3Client, kms: KMSClient): void {
    const { middlewareStack } = s3;
    middlewareStack.add(
      (next, { commandName = '' }) =>
        async (args) => {
          const done = await next(args).catch((error: unknown) => {
            this.#tally.add(commandName.replace(/Command$/, ''), 0);
            throw error;
          });
          this.#tally.add(commandName.replace(/Command$/, ''), announcedBytes(done.response));
          return done;
        },
      { step: 'deserialize', name: 'benchTally', priority: 'low' },
    );
    kms.middlewareStack.add(
      (next, { commandName = '' }) =>
        (args) => {
          this.#tally.add(`KMS.${commandName.replace(/Command$/, '')}`, 0);
          return next(args);
        },
      { step: 'deserialize', name: 'benchTally', priority: 'low' },
    );
  }

  async start(): Promise<void> {
    this.#tally = new Tally();
  }

  async counts(): Promise<RequestCounts> {
    return this.#tally.counts;
  }
}

function announcedBytes(response: unknown): number {
  const { headers = {} } = response as { headers?: Record<string, string> };
  return Number(headers['content-length'] ?? 0);
}
