/** Random reads in one object, one after the other, as a reader of a columnar file makes them. */
import assert from 'node:assert/strict';
import { GetObjectCommand } from '@aws-sdk/client-s3';
import { type EncryptedObject, EncryptedS3 } from '../../src/index.ts';
import { type CaseRunner, type RangesWork, servedKey, type World } from '../case-spec.ts';
import { clientOf, keyringOf } from './clients.ts';

/** Bytes of each read. */
const readLength = 64 * 1024;

/** @param objectLength plaintext bytes of the object that is read from */
export function rangedReadsCase(work: RangesWork, world: World, objectLength: number): CaseRunner {
  const { keyring, kms } = keyringOf(world);
  const client = clientOf(world, work.tuned);
  const Bucket = world.bucket;
  const Key = servedKey(world, work.client === 'sdk' ? 'plain' : 'sealed', objectLength);
  let latencies: number[] = [];

  const readBySdk = async (start: number): Promise<Uint8Array> => {
    const Range = `bytes=${start}-${start + readLength - 1}`;
    const { Body } = await client.send(new GetObjectCommand({ Bucket, Key, Range }));
    return (await Body?.transformToByteArray()) ?? new Uint8Array(0);
  };
  // Without authentication: no object that a sink serves has an index.
  const open = (): Promise<EncryptedObject> =>
    new EncryptedS3({ client, keyring }).open({ Bucket, Key }, { authenticate: 'never' });
  const reader = async (): Promise<(start: number) => Promise<Uint8Array>> => {
    if (work.client === 'sdk') return readBySdk;
    const object = await open();
    assert.equal(object.size, objectLength);
    return (start) => object.read(start, start + readLength);
  };
  return {
    get latencies() {
      return latencies;
    },
    async run(count) {
      const read = await reader();
      const random = places(objectLength - readLength);
      latencies = [];
      for (let i = 0; i < count; i++) {
        const began = performance.now();
        const { length } = await read(random());
        latencies.push(performance.now() - began);
        assert.equal(length, readLength);
      }
    },
    async check() {
      if (work.client === 'sdk') return;
      // The first bytes of the object by a read that is authenticated as a whole.
      const object = await open();
      const { body } = await new EncryptedS3({ client, keyring }).get({ Bucket, Key }, { release: 'delayed' });
      const expected: Buffer[] = [];
      let length = 0;
      for await (const chunk of body as AsyncIterable<Buffer>) {
        expected.push(chunk);
        length += chunk.length;
        if (length >= 2 * readLength) break;
      }
      const got = await object.read(1, 1 + readLength);
      assert.deepEqual(Buffer.from(got), Buffer.concat(expected).subarray(1, 1 + readLength));
    },
    async close() {
      client.destroy();
      kms.destroy();
    },
  };
}

/** The same places in every run (a linear congruential generator: Knuth's MMIX constants, the upper bits). */
export function places(limit: number): () => number {
  let state = 1n;
  return () => {
    state = BigInt.asUintN(64, state * 6364136223846793005n + 1442695040888963407n);
    return Number((state >> 33n) % BigInt(limit));
  };
}
