import assert from 'node:assert/strict';
import { test } from 'node:test';
import { envelopeKeys } from '../../src/format/envelope.ts';
import { assertUserMetadata } from '../../src/format/user-metadata.ts';

test('metadata that S3 gives back as it was is taken', () => {
  for (const metadata of [
    {},
    { a: '' },
    { 'a.b_c-1': 'x  y' },
    { A: '~!"#%/\\' },
    { 'x-amz-meta-like': '=?UTF-8?Q?x?=' },
  ])
    assert.doesNotThrow(() => assertUserMetadata(metadata));
});

for (const [what, metadata, message] of [
  ['a name with a space', { 'a b': '1' }, /"a b" cannot be a name/],
  ['an empty name', { '': '1' }, /"" cannot be a name/],
  ['a name outside of ASCII', { ä: '1' }, /"ä" cannot be a name/],
  ['two names that S3 takes for one', { Team: '1', team: '2' }, /"team" is given twice/],
  ['a value outside of ASCII', { a: 'ä' }, /other than printable US-ASCII/],
  ['a value that no header can hold', { a: '漢' }, /other than printable US-ASCII/],
  ['a line end', { a: 'x\r\nx-amz-meta-b: y' }, /other than printable US-ASCII/],
  ['a tab', { a: 'x\ty' }, /other than printable US-ASCII/],
  ['space around a value', { a: ' x' }, /space at its beginning or end/],
  ['a number', { a: 1 as never }, /no string/],
] as const) {
  test(`${what} is refused by name`, () => {
    assert.throws(() => assertUserMetadata(metadata), { name: 'TypeError', message });
  });
}

test('a name of the envelope is refused in any case', () => {
  for (const name of [...envelopeKeys, 'x-amz-unencrypted-content-length'])
    assert.throws(() => assertUserMetadata({ [name.toUpperCase()]: 'x' }), /name of the encryption envelope/);
});

test('what is no map is refused', () => {
  for (const metadata of ['a', null, [], 1]) assert.throws(() => assertUserMetadata(metadata as never), TypeError);
});
