/** An abort while S3 does not answer what must not be cut off at once. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, beforeEach, test } from 'node:test';
import { ListMultipartUploadsCommand } from '@aws-sdk/client-s3';
import { committingSuite } from '../../src/format/suites.ts';
import { runUploadAttempt, type UploadedObject } from '../../src/multipart/upload-attempt.ts';
import { Bucket, TestEndpoint } from '../support/endpoint.ts';
import { failure, rejection } from '../support/failure.ts';
import { until } from '../support/stream-ends.ts';

const partSize = 5 * 1024 * 1024;
const content = randomBytes(partSize + 1000);
let endpoint: TestEndpoint;

before(async () => {
  endpoint = await TestEndpoint.start();
});
beforeEach(() => {
  endpoint.local.faults.clear();
  endpoint.local.requests.clear();
});
after(() => endpoint.close());

const observer = { started: () => undefined, stored: () => undefined, retried: () => undefined };

/** An upload that is aborted as soon as a request of the operation is met, whose answer does not come. */
async function abortedDuring(operation: string, Key: string): Promise<UploadedObject> {
  const controller = new AbortController();
  const stalled = endpoint.local.faults.add({ operation, stallResponseAfter: 0, times: 'always' });
  const { client, keyring } = endpoint;
  const running = runUploadAttempt(
    {
      client,
      keyring,
      suite: committingSuite,
      storage: 'metadata',
      instructionSuffix: '.instruction',
      params: { Bucket, Key },
      body: content,
      encryptionContext: undefined,
      materialsDescription: undefined,
      partSize,
      queueSize: 2,
      workers: 0,
      transport: 'auto',
      partAttempts: 5,
      partTimeout: 60_000,
      grace: 100,
      leavePartsOnError: false,
      journal: undefined,
      segmentSize: undefined,
    },
    observer,
    controller.signal,
  );
  void until(() => stalled.hits > 0, operation).then(() => controller.abort('reason'));
  return running;
}

test('a Create that is not answered is given up, and what it may leave is said', { timeout: 20_000 }, async () => {
  const error = await rejection(abortedDuring('CreateMultipartUpload', 'created'));
  failure('ABORTED', /CreateMultipartUpload was cut off: .* may be left on S3/)(error);
  assert.equal(error.cause, 'reason');
  assert.equal(endpoint.local.requests.count('AbortMultipartUpload'), 0);
  const { Uploads = [] } = await endpoint.client.send(new ListMultipartUploadsCommand({ Bucket, Prefix: 'created' }));
  assert.equal(Uploads.length, 1);
});

test('of a Complete that is not answered it is looked what came of it', { timeout: 20_000 }, async () => {
  const { plaintextSize } = await abortedDuring('CompleteMultipartUpload', 'completed');
  assert.equal(plaintextSize, content.length);
});

test('where S3 does not say what came of it, the outcome is unknown, though it was an abort', {
  timeout: 20_000,
}, async () => {
  for (const operation of ['HeadObject', 'AbortMultipartUpload'])
    endpoint.local.faults.add({ operation, status: 403, times: 'always' });
  failure('OUTCOME_UNKNOWN')(await rejection(abortedDuring('CompleteMultipartUpload', 'unknown')));
  assert.equal(endpoint.local.requests.count('AbortMultipartUpload'), 1);
});
