import assert from 'node:assert/strict';
import type { RequestLogEntry } from '../../src/local/index.ts';

/**
 * One data key, one message, by what the endpoint received: every upload had a key of its own, and a part number under it has one
 * content, whoever sent it and however often. The part with the tag is one of them, so no second tag was let out either.
 */
export function assertOneMessageEach(entries: readonly RequestLogEntry[]): void {
  const identities = entries
    .filter(({ operation, status }) => operation === 'CreateMultipartUpload' && status === 200)
    .map(({ headers }) => headers['x-amz-meta-x-amz-i'] ?? headers['x-amz-meta-x-amz-iv']);
  assert.ok(identities.every((identity) => identity !== undefined));
  assert.equal(new Set(identities).size, identities.length, 'two uploads had one data key');
  const contents = new Map<string, string>();
  for (const { operation, uploadId, partNumber, bodySha256, complete } of entries) {
    if (operation !== 'UploadPart' || !complete || bodySha256 === undefined) continue;
    const place = `${uploadId} ${partNumber}`;
    const known = contents.get(place) ?? bodySha256;
    assert.equal(known, bodySha256, `part ${partNumber} was sent with two contents under one key`);
    contents.set(place, bodySha256);
  }
}
