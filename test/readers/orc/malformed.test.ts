import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { deflateRawSync } from 'node:zlib';
import { SealpipeError } from '../../../src/errors.ts';
import { openOrc, readOrcRows } from '../../../src/readers/orc/index.ts';
import { CountingSource, columnarFolders } from './columnar-files.ts';

/** The codes of the list, as sealpipe's. Opening, or where the fault lies deeper reading, has to end in one of them. */
const codes: Record<string, string> = {
  'too-short': 'ERR_SEALPIPE_FORMAT_INVALID',
  'bad-magic': 'ERR_SEALPIPE_FORMAT_INVALID',
  'footer-length-out-of-range': 'ERR_SEALPIPE_FORMAT_INVALID',
  'malformed-postscript': 'ERR_SEALPIPE_FORMAT_INVALID',
  'malformed-footer': 'ERR_SEALPIPE_FORMAT_INVALID',
  'bad-range': 'ERR_SEALPIPE_FORMAT_INVALID',
  unsupported: 'ERR_SEALPIPE_FORMAT_UNSUPPORTED',
  ok: 'ok',
};

async function judge(bytes: Uint8Array): Promise<{ code: string; source: CountingSource; error?: SealpipeError }> {
  const source = new CountingSource(bytes);
  try {
    const file = await openOrc(source);
    for await (const rows of readOrcRows(file)) assert.ok(rows.length > 0);
    return { code: 'ok', source };
  } catch (error) {
    assert.ok(error instanceof SealpipeError, `an untyped error: ${String(error)}`);
    return { code: error.code, source, error };
  }
}

const folders = new Set(columnarFolders().map(({ malformed }) => malformed));
for (const folder of folders) {
  const { files } = JSON.parse(readFileSync(join(folder, 'expect.json'), 'utf8')) as {
    files: { file: string; code: string; meaning: string }[];
  };
  for (const { file, code, meaning } of files.filter((entry) => entry.file.endsWith('.orc'))) {
    test(`${file} is judged ${code}: ${meaning}`, async () => {
      const bytes = new Uint8Array(readFileSync(join(folder, file)));
      const { code: actual, error } = await judge(bytes);
      const allowed = code.split(/-or-(?!range)| or /).map((name) => codes[name]);
      assert.ok(!allowed.includes(undefined), `the test does not know ${code}`);
      assert.ok(allowed.includes(actual), `${actual}: ${error?.message}`);
      if (error?.code === 'ERR_SEALPIPE_FORMAT_INVALID') assert.equal(typeof error.offset, 'number');
    });
  }
}

test('no malformed file has a range outside of it asked for, nor data fetched once its footer is known to lie', async () => {
  const bytes = new Uint8Array(readFileSync(join([...folders][0]!, 'stripe-beyond-file.orc')));
  const { source, code } = await judge(bytes);
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
  const { code, error } = await judge(bytes);
  assert.equal(code, 'ERR_SEALPIPE_FORMAT_INVALID');
  assert.match(error!.message, /more messages/);
  assert.ok(process.memoryUsage().heapUsed - before < 1 << 30);
});
