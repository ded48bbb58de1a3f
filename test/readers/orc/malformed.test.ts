import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { deflateRawSync } from 'node:zlib';
import { fixture } from '../../support/project.ts';
import { malformedFiles } from '../columnar-folder.ts';
import { judgeOrc, malformedOrcCheck } from './columnar-checks.ts';
import { CountingSource } from './columnar-files.ts';

for (const file of malformedFiles(/\.orc$/)) {
  const { title, run } = malformedOrcCheck(file);
  test(title, () => run(new CountingSource(file.bytes)));
}

test('no malformed file has a range outside of it asked for, nor data fetched once its footer is known to lie', async () => {
  const bytes = new Uint8Array(readFileSync(fixture('columnar/malformed/stripe-beyond-file.orc')));
  const source = new CountingSource(bytes);
  const { code } = await judgeOrc(source);
  assert.equal(code, 'ERR_SEALPIPE_FORMAT_INVALID');
  assert.deepEqual(source.reads, [[0, bytes.length]]);
});

test('a footer of a few kilobytes that expands to millions of messages is refused in bounded memory', async () => {
  // 64 MiB of empty column statistics from 64 KiB.
  const content = new Uint8Array(1 << 22);
  for (let at = 0; at < content.length; at += 2) content[at] = 0x3a;
  const deflated = deflateRawSync(content);
  const header = deflated.length << 1;
  const chunk = Buffer.concat([Uint8Array.from([header & 255, (header >> 8) & 255, header >> 16]), deflated]);
  const footer = Buffer.concat(Array.from({ length: 16 }, () => chunk));
  const length = [(footer.length & 127) | 128, ((footer.length >> 7) & 127) | 128, footer.length >> 14];
  const postscript = [0x08, ...length, 0x10, 1, 0x18, 0x80, 0x80, 0x80, 2, 0x82, 0xf4, 0x03, 3, 0x4f, 0x52, 0x43];
  const bytes = Buffer.concat([Buffer.from('ORC'), footer, Uint8Array.from([...postscript, postscript.length])]);
  const before = process.memoryUsage().heapUsed;
  const { code, error } = await judgeOrc(new CountingSource(bytes));
  assert.equal(code, 'ERR_SEALPIPE_FORMAT_INVALID');
  assert.match(error!.message, /more messages/);
  assert.ok(process.memoryUsage().heapUsed - before < 1 << 30);
});
