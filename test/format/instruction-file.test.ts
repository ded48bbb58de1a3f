import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { parseInstructionFile, writeInstructionFile } from '../../src/format/instruction-file.ts';
import { failure } from '../support/failure.ts';
import { runs, stringMap, unaligned } from '../support/properties.ts';

describe('an instruction file', () => {
  test('reads back as it was written, and is ASCII whatever it holds', () => {
    fc.assert(
      fc.property(stringMap, (map) => {
        const body = writeInstructionFile(map);
        assert.ok(body.every((byte) => byte >= 0x20 && byte <= 0x7e));
        assert.deepEqual(Object.entries(parseInstructionFile(unaligned(body))), Object.entries(map));
      }),
      runs(100),
    );
  });

  test('of other clients is plain UTF-8, with or without a byte order mark', () => {
    const body = Buffer.from('{ "x-amz-matdesc" : "{\\"é\\":\\"名\\"}" }\n');
    assert.deepEqual({ ...parseInstructionFile(body) }, { 'x-amz-matdesc': '{"é":"名"}' });
    const marked = Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), body]);
    assert.deepEqual({ ...parseInstructionFile(marked) }, { 'x-amz-matdesc': '{"é":"名"}' });
  });

  test('is refused when it is not one JSON object of strings', () => {
    for (const body of [
      '',
      ' ',
      '{',
      '{} {}',
      '{"a":"b"}x',
      '[]',
      'null',
      '"a"',
      '7',
      'true',
      '{"a":1}',
      '{"a":["b"]}',
    ]) {
      assert.throws(
        () => parseInstructionFile(Buffer.from(body)),
        failure('ENVELOPE_INVALID', /instruction file/),
        body,
      );
    }
  });

  test('is refused when it is not UTF-8: Latin-1, UTF-16, cut in a character', () => {
    for (const body of [
      Buffer.from('{"a":"é"}', 'latin1'),
      Buffer.from('{"a":"b"}', 'utf16le'),
      Buffer.from([0x22, 0xc3]),
    ])
      assert.throws(() => parseInstructionFile(body), failure('ENVELOPE_INVALID'));
  });

  test('that is refused tells which entry it was', () => {
    assert.throws(
      () => parseInstructionFile(Buffer.from('{"ok":"1","n\\"o":2}')),
      failure('ENVELOPE_INVALID', /"n\\"o"/),
    );
  });
});
