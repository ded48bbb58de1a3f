import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { CreateBucketCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import { columnarScenarios } from '../../bench/budgets/columnar-scenarios.ts';
import { objectScenarios } from '../../bench/budgets/object-scenarios.ts';
import { type BudgetPlace, openBudgetPlace } from '../../bench/budgets/place.ts';
import { excessOf } from '../../bench/budgets/run-budgets.ts';
import { budgetTable } from '../../bench/report/budget-table.ts';
import type { BudgetFigures } from '../../bench/report/figures.ts';
import { startLocalEndpoint } from '../../src/local/index.ts';

// Footers as large as those that others were measured with, columns an eighth: they cost time and no requests. The object of
// random reads has the length that is promised.
const scenarios = [...columnarScenarios(1 / 8), ...objectScenarios(1024 ** 3)];

let place: BudgetPlace;
before(async () => {
  place = await openBudgetPlace({ endpointUrl: undefined, kmsEndpointUrl: undefined, bucket: 'budgets', kmsKey: '' });
});
after(() => place.close());

const counted: BudgetFigures[] = [];
for (const { name, title, budget, other, prepare, run } of scenarios) {
  test(`${title}: ${name} keeps its budget, and is no worse than any other reader that was measured`, async () => {
    await prepare(place);
    const requests = await place.requestsOf(() => run(place));
    counted.push({ name, title, budget, other, requests });
    assert.equal(excessOf(requests, budget), undefined);
    if (other === undefined) return;
    assert.ok(requests.get + requests.head <= other.requests, `${requests.get} GETs, ${other.name} ${other.requests}`);
    // An encrypted object's tail ends in its tag.
    assert.ok(requests.bytes <= other.bytes + 16, `${requests.bytes} bytes, ${other.name} ${other.bytes}`);
  });
}

test('the sums of requests and of bytes are below those of the best other reader of each', () => {
  const compared = counted.filter(({ other }) => other !== undefined);
  assert.equal(compared.length, 11);
  const sum = (value: (figures: BudgetFigures) => number): number =>
    compared.reduce((total, figures) => total + value(figures), 0);
  assert.ok(sum(({ requests }) => requests.get + requests.head) < sum(({ other }) => other?.requests ?? 0));
  assert.ok(sum(({ requests }) => requests.bytes) < sum(({ other }) => other?.bytes ?? 0));
});

test('the table has a row a scenario, and the sums of those that are compared', () => {
  const { rows } = budgetTable(
    counted.filter(({ name }) => /orc-(wide-)?footer|list/.test(name)),
    'log',
  );
  assert.deepEqual(
    rows.map((row) => row.slice(1)),
    [
      ['GET', 'HEAD', 'LIST', 'KMS', 'bytes', 'budget', 'best other, plaintext', 'its HEAD + GET', 'its bytes'],
      ['1', '0', '0', '1', '16 400', '1 GET, 1 KMS', 'all', '2', '16 384'],
      ['2', '0', '0', '1', '82 948', '2 GET, 1 KMS', 'pyarrow, pyorc', '3', '99 288'],
      ['0', '0', '1', '0', rows[3]?.[5], '1 LIST', '–', '–', '–'],
      ['3', '0', '0', '2', '99 348', '–', 'the best of each', '5', '115 672'],
    ],
  );
});

test('at an endpoint that was named the clients count the same, and nothing is left there', async () => {
  await using local = await startLocalEndpoint();
  const { accessKeyId, secretAccessKey } = local.credentials;
  Object.assign(process.env, { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey });
  const client = new S3Client(local.s3Config);
  const Bucket = 'named';
  await client.send(new CreateBucketCommand({ Bucket }));
  const named = { endpointUrl: local.endpoint, kmsEndpointUrl: undefined, bucket: Bucket, kmsKey: 'alias/sealpipe' };
  const there = await openBudgetPlace(named);
  const chosen = [...columnarScenarios(1 / 64), ...objectScenarios(1024 ** 2)].filter(({ name }) =>
    /orc-column$|legacy/.test(name),
  );
  for (const { prepare, run } of chosen) {
    await prepare(there);
    const requests = await there.requestsOf(() => run(there));
    await local.requests.settled();
    const { bytes, ...counts } = requests;
    assert.deepEqual(
      counts,
      counts.head === 0
        ? { get: 2, head: 0, list: 0, kms: 1, other: 0 }
        : { get: 100, head: 100, list: 0, kms: 0, other: 0 },
    );
    assert.ok(bytes > 3000, `${bytes}`);
  }
  await there.close();
  assert.equal((await client.send(new ListObjectsV2Command({ Bucket }))).KeyCount, 0);
  client.destroy();
});

test('what is beyond a budget is said', () => {
  const requests = { get: 3, head: 1, list: 0, kms: 1, other: 2, bytes: 0 };
  assert.equal(
    excessOf(requests, { get: 2, head: 1, list: 0, kms: 1 }),
    '3 get requests, 2 are allowed; 2 other requests, 0 are allowed',
  );
});
