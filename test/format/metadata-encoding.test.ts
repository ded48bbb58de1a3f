import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { decodeMetadataValue } from '../../src/format/metadata-encoding.ts';
import { fromAmazonS3, fromPlainStore } from '../support/metadata-stores.ts';
import { runs, unicode } from '../support/properties.ts';

const text = fc
  .tuple(fc.constantFrom('', 'a ', 'ä', '{"k":"'), unicode, fc.constantFrom('', '"}', ' z'))
  .map((p) => p.join(''));
/** HTTP cannot carry these in a header at all, and strips white space around a value. */
const carriable = text.filter((value) => !/[\0\r\n]/.test(value) && value === value.trim());

describe('a metadata value comes back as it was meant', () => {
  for (const encoding of ['Q', 'B'] as const) {
    test(`from Amazon S3, which encodes it twice, as ${encoding} words of any length`, () => {
      fc.assert(
        fc.property(carriable, fc.nat({ max: 40 }), (value, wordLength) => {
          assert.equal(decodeMetadataValue(fromAmazonS3(value, { encoding, wordLength })), value);
        }),
        runs(200),
      );
    });
  }

  test('from stores that return the UTF-8 bytes as they were', () => {
    fc.assert(
      fc.property(carriable, (value) => {
        assert.equal(decodeMetadataValue(fromPlainStore(value)), value);
      }),
      runs(200),
    );
  });

  test('from S3 as trials on it have shown: é and 名 in a Q word', () => {
    assert.equal(decodeMetadataValue('=?UTF-8?Q?{"k":"=C3=83=C2=A9"}?='), '{"k":"é"}');
    assert.equal(decodeMetadataValue('=?UTF-8?B?w6XCkMKN?='), '名');
    assert.equal(decodeMetadataValue('=?utf-8?q?=c3=a5=c2=90=c2=8d?='), '名');
  });

  test('when it is text that already was in characters', () => {
    assert.equal(decodeMetadataValue('名é'), '名é');
  });
});

describe('a value is left alone', () => {
  const alone = [
    '',
    'plain',
    'before =?UTF-8?Q?=C3=83=C2=A9?=',
    '=?UTF-8?Q?=C3=83=C2=A9?= after',
    '{"k":"=?UTF-8?Q?=C3=83=C2=A9?="}',
    '{"k":"=?UTF-8?B?w6XCkMKN?="}',
    '=?ISO-8859-1?Q?=E9?=',
    '=?UTF-8?X?abc?=',
    '=?UTF-8?Q?not closed',
    '=?UTF-8?Q?a b?=',
    '=?UTF-8?Q?a?= =?UTF-8?Q?b?= c',
    '=?UTF-8?Q?a?==?UTF-8?Q?b?=',
    'a_b=41',
  ];
  for (const value of alone) {
    test(`when it only looks like an encoded word: ${JSON.stringify(value)}`, () => {
      assert.equal(decodeMetadataValue(value), value);
    });
  }

  test('when an encoded word holds no UTF-8', () => {
    assert.equal(decodeMetadataValue('=?UTF-8?Q?=FF=FE?='), '=?UTF-8?Q?=FF=FE?=');
  });

  test('when it is Latin-1 that is no UTF-8: a store or writer that meant Latin-1', () => {
    assert.equal(decodeMetadataValue('caf\u00e9'), 'café');
    assert.equal(decodeMetadataValue('\u00ff\u00fe'), 'ÿþ');
  });
});

test('a value of 2 KB that almost is an encoded word is judged at once', () => {
  const started = performance.now();
  for (const value of [`=?UTF-8?Q?a?=${' '.repeat(2000)}x`, `${' '.repeat(2000)}x`, `${'=?UTF-8?Q?a?= '.repeat(150)}x`])
    assert.equal(decodeMetadataValue(value), value);
  assert.ok(performance.now() - started < 5000, 'took too long');
});
