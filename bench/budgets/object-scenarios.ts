/** Random access, listings and lengths: what no columnar format is needed for. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { PutObjectCommand } from '@aws-sdk/client-s3';
import pMap from 'p-map';
import { aesKeyring, type EncryptedObject } from '../../src/index.ts';
import { legacyObject, legacyPolicy } from '../../test/support/legacy-objects.ts';
import { places } from '../cases/ranged-reads.ts';
import type { BudgetScenario } from './budget-spec.ts';
import type { BudgetPlace } from './place.ts';
import { putRepeatedObject, type RepeatedObject } from './repeated-object.ts';

const readLength = 64 * 1024;
const reads = 1000;
const listed = 1000;
const legacyObjects = 100;
const legacyKey = randomBytes(32);

/** @param objectLength plaintext bytes of the object that is read from at random */
export function objectScenarios(objectLength: number): BudgetScenario[] {
  const stage = (place: BudgetPlace): Promise<RepeatedObject> =>
    place.once('large', () => putRepeatedObject(place, 'large', objectLength));
  const open = async (place: BudgetPlace): Promise<EncryptedObject> => {
    const object = await place.encrypted().open(place.at('large'), { authenticate: 'never' });
    assert.equal(object.size, objectLength);
    return object;
  };
  return [
    {
      name: 'budgets/random-reads',
      title: `1 000 random reads of 64 KiB of ${sizeText(objectLength)}`,
      budget: { get: reads + 1, head: 0, list: 0, kms: 1 },
      prepare: stage,
      async run(place) {
        const content = await stage(place);
        await using object = await open(place);
        const random = places(objectLength - readLength);
        for (let read = 0; read < reads; read++) {
          const start = random();
          assert.ok(content.has(start, await object.read(start, start + readLength)), 'the bytes differ');
        }
      },
    },
    {
      name: 'budgets/touching-reads',
      title: 'the same reads in pairs that touch, by readMany',
      budget: { get: reads / 2 + 1, head: 0, list: 0, kms: 1 },
      prepare: stage,
      async run(place) {
        const content = await stage(place);
        await using object = await open(place);
        const random = places(objectLength - 2 * readLength);
        for (let read = 0; read < reads; read += 2) {
          const start = random();
          const pair = [start, start + readLength].map((at) => ({ start: at, end: at + readLength }));
          for (const [index, bytes] of (await object.readMany(pair)).entries())
            assert.ok(content.has(start + index * readLength, bytes), 'the bytes differ');
        }
      },
    },
    {
      name: 'budgets/list',
      title: 'lengths of 1 000 objects that are promised to be GCM, listed',
      budget: { get: 0, head: 0, list: 1, kms: 0 },
      prepare: (place) =>
        place.once('listed', () =>
          pMap(
            Array.from({ length: listed }, (_, index) => place.at(`listed/${index}`)),
            (address) => place.client.send(new PutObjectCommand({ ...address, Body: Buffer.alloc(116) })),
            { concurrency: 16 },
          ),
        ),
      async run(place) {
        const { Bucket, Key } = place.at('listed/');
        let count = 0;
        for await (const entry of place.encrypted().list({ Bucket, Prefix: Key }, { contents: 'gcm' })) {
          assert.deepEqual([entry.plaintextSize, entry.exact], [100, true]);
          count += 1;
        }
        assert.equal(count, listed);
      },
    },
    {
      name: 'budgets/legacy-lengths',
      title: `exact lengths of ${legacyObjects} V1 objects (CBC)`,
      budget: { get: legacyObjects, head: legacyObjects, list: 0, kms: 0 },
      prepare: (place) =>
        place.once('legacy', () =>
          pMap(
            Array.from({ length: legacyObjects }, (_, index) => index),
            (index) => {
              const { body, metadata } = legacyObject(legacyKey, Buffer.alloc(1000 + index));
              return place.client.send(
                new PutObjectCommand({ ...place.at(`legacy/${index}`), Body: body, Metadata: metadata }),
              );
            },
            { concurrency: 16 },
          ),
        ),
      async run(place) {
        const reader = place.encrypted({ keyring: aesKeyring({ key: legacyKey }), ...legacyPolicy });
        for (let index = 0; index < legacyObjects; index++) {
          const { plaintextSize, exact } = await reader.head(place.at(`legacy/${index}`), { exact: true });
          assert.deepEqual([plaintextSize, exact], [1000 + index, true]);
        }
      },
    },
  ];
}

function sizeText(bytes: number): string {
  const MiB = 1024 * 1024;
  return bytes % (1024 * MiB) === 0 ? `${bytes / MiB / 1024} GiB` : `${Math.round(bytes / MiB)} MiB`;
}
