import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { changes, type StoredObject } from '../../interop/changes.ts';
import { knownFailureOf, knownFailures, knownFlakes, type Situation } from '../../interop/known-failures.ts';
import { changedSpecs } from '../../interop/matrix.ts';
import { objectSpecs } from '../../interop/objects.ts';
import { officialPeers, type PeerName } from '../../interop/peer.ts';
import { Tally } from '../../interop/tally.ts';

const peers: readonly PeerName[] = ['sealpipe', ...officialPeers];
const root = join(import.meta.dirname, '../../..');

/** An object with the entries of either format; what the values mean does not matter here. */
function sample(format: 'v2' | 'v3', seed: number): StoredObject {
  const value = (length: number) => Buffer.alloc(length, seed).toString('base64');
  const context = JSON.stringify({ department: 'finance' });
  const metadata: Record<string, string> =
    format === 'v2'
      ? { 'x-amz-key-v2': value(48), 'x-amz-iv': value(12), 'x-amz-matdesc': context }
      : { 'x-amz-3': value(48), 'x-amz-i': value(28), 'x-amz-d': value(28), 'x-amz-t': context };
  return { body: Buffer.alloc(1016, seed), metadata, instructions: undefined };
}

test('every change changes the object or the request, except the controls, which change nothing', () => {
  for (const spec of changedSpecs) {
    for (const change of changes.filter(({ applies }) => applies?.(spec) ?? true)) {
      const object = sample(spec.format, 1);
      change.edit?.(object, sample(spec.format, 2));
      const { delayedAuthentication: _, ...asked } = change.twist ?? {};
      const changed = !isSame(object, sample(spec.format, 1)) || Object.keys(asked).length > 0;
      assert.equal(changed, change.harmless !== true, `${change.name} of ${spec.name}`);
    }
  }
});

test('no writer is asked for two objects of one name, and no two changes share one', () => {
  for (const peer of peers) assertUnique(objectSpecs(peer).map(({ name }) => name));
  assertUnique(changes.map(({ name }) => name));
});

test('every known failure is described in docs/interop.md, and nothing is described there that is not asserted', () => {
  const text = readFileSync(join(root, 'docs/interop.md'), 'utf8');
  const described = [...text.matchAll(/^\| `((?:java|go|python)-[a-z0-9-]+)` \|/gm)].map((match) => match[1]);
  const asserted = [...knownFailures, ...knownFlakes].map(({ id }) => id);
  assertUnique(asserted);
  assert.deepEqual(described.sort(), asserted.sort());
});

test('every known failure applies to some case of the matrix', () => {
  const situations: Situation[] = peers.flatMap((writer) =>
    peers.flatMap((peer) => [
      ...objectSpecs(writer).flatMap((spec) =>
        (['write', 'read'] as const).map((operation) => ({ operation, peer, writer, spec })),
      ),
      ...changedSpecs.flatMap((spec) =>
        changes.map((change) => ({ operation: 'refuse' as const, peer, writer, spec, change: change.name })),
      ),
    ]),
  );
  for (const entry of knownFailures)
    assert.ok(
      situations.some((situation) => knownFailureOf(situation) === entry),
      entry.id,
    );
  for (const entry of knownFlakes)
    assert.ok(
      situations.some((situation) => entry.applies(situation)),
      entry.id,
    );
});

test('the table tells passed, known and failed cases apart, and what was not run from what is zero', () => {
  const tally = new Tally('wrote');
  for (const verdict of ['passed', 'passed', 'known'] as const) tally.add('java', 'go', verdict);
  tally.add('java', 'python', 'failed');
  assert.equal(
    tally.table(['java', 'go'], ['go', 'python']),
    ['wrote      go       python', 'java   2 + 1k  0, 1 FAILED', 'go          -            -'].join('\n'),
  );
  assert.equal(tally.total('passed'), 2);
  assert.equal(tally.total('failed'), 1);
});

function isSame(left: StoredObject, right: StoredObject): boolean {
  return Buffer.from(left.body).equals(right.body) && JSON.stringify(left.metadata) === JSON.stringify(right.metadata);
}

function assertUnique(names: readonly string[]): void {
  assert.deepEqual([...new Set(names)], [...names]);
}
