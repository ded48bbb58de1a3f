import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { instructionFileMarker, type WrappingAlgorithm } from '../../src/format/envelope.ts';
import { locateEnvelope, parseEnvelope } from '../../src/format/parse-envelope.ts';
import {
  edited,
  envelopeV1,
  envelopeV2,
  envelopeV2Cbc,
  envelopeV2Kms,
  envelopeV3,
  envelopeV3Kms,
} from '../support/envelopes.ts';
import { failure } from '../support/failure.ts';
import { runs } from '../support/properties.ts';

const all = { envelopeV1, envelopeV2, envelopeV2Kms, envelopeV2Cbc, envelopeV3, envelopeV3Kms };

describe('a complete envelope', () => {
  test('of each format is read for what it is', () => {
    const seen = Object.values(all).map((fields) => {
      const { format, suite, wrappingAlgorithm, storage } = parseEnvelope(fields);
      return [format, suite.id, wrappingAlgorithm, storage];
    });
    assert.deepEqual(seen, [
      ['V1', 0x70, 'AES', 'metadata'],
      ['V2', 0x72, 'AES/GCM', 'metadata'],
      ['V2', 0x72, 'kms+context', 'metadata'],
      ['V2', 0x70, 'AESWrap', 'metadata'],
      ['V3', 0x73, 'AES/GCM', 'metadata'],
      ['V3', 0x73, 'kms+context', 'metadata'],
    ]);
  });

  test('reads the same beside metadata that has nothing to do with it', () => {
    for (const fields of Object.values(all)) {
      const among = { ...fields, owner: 'me', 'x-amz-foo': 'y', 'x-amz-key-v3': '?', toString: 'z' };
      assert.deepEqual(parseEnvelope(among), parseEnvelope(fields));
    }
  });

  test('of V3 ignores claims and names of older formats that are no wrapped key', () => {
    const extra = { 'x-amz-unencrypted-content-length': '5', 'x-amz-tag-len': '96', 'x-amz-wrap-alg': 'AES' };
    assert.deepEqual(parseEnvelope({ ...envelopeV3, ...extra }), parseEnvelope(envelopeV3));
  });

  test('without a description has the empty one, except in V1, which always wrote one', () => {
    assert.deepEqual(parseEnvelope(edited(envelopeV2, { 'x-amz-matdesc': undefined })).description, {});
    assert.deepEqual(parseEnvelope(edited(envelopeV3, { 'x-amz-m': undefined })).description, {});
    assert.throws(
      () => parseEnvelope(edited(envelopeV1, { 'x-amz-matdesc': undefined })),
      failure('ENVELOPE_INVALID', /x-amz-matdesc is missing/),
    );
  });
});

describe('an envelope that lacks a field', () => {
  const needed: [string, Readonly<Record<string, string>>, string[]][] = [
    ['V1', envelopeV1, ['x-amz-key', 'x-amz-iv', 'x-amz-matdesc']],
    ['V2', envelopeV2, ['x-amz-key-v2', 'x-amz-iv', 'x-amz-cek-alg', 'x-amz-wrap-alg', 'x-amz-tag-len']],
    ['V2 with CBC', envelopeV2Cbc, ['x-amz-key-v2', 'x-amz-iv', 'x-amz-cek-alg', 'x-amz-wrap-alg']],
    ['V3', envelopeV3, ['x-amz-3', 'x-amz-c', 'x-amz-d', 'x-amz-i', 'x-amz-w']],
  ];
  for (const [format, fields, names] of needed) {
    for (const name of names) {
      test(`is refused with the field's name: ${format} without ${name}`, () => {
        assert.throws(
          () => parseEnvelope(edited(fields, { [name]: undefined })),
          failure('ENVELOPE_INVALID', new RegExp(name)),
        );
      });
    }
  }

  test('lacks it also where an object would inherit the name', () => {
    assert.throws(() => parseEnvelope(Object.create(envelopeV2) as typeof envelopeV2), failure('ENVELOPE_INVALID'));
  });
});

test('two wrapped keys side by side are refused, whichever two', () => {
  const keys = { 'x-amz-key': envelopeV1['x-amz-key'], 'x-amz-key-v2': envelopeV2['x-amz-key-v2'] };
  for (const fields of [
    { ...envelopeV2, ...keys },
    { ...envelopeV3, ...keys },
    { ...envelopeV3, 'x-amz-key': '' },
    { ...envelopeV1, 'x-amz-3': '' },
    { ...envelopeV2, 'x-amz-3': 'AAAA' },
  ] as Record<string, string>[])
    assert.throws(() => parseEnvelope(fields), failure('ENVELOPE_INVALID', /side by side/));
});

test('a field of V3 beside a wrapped key of V1 or V2 is refused', () => {
  for (const name of ['x-amz-c', 'x-amz-d', 'x-amz-i']) {
    for (const fields of [envelopeV1, envelopeV2])
      assert.throws(() => parseEnvelope({ ...fields, [name]: '115' }), failure('ENVELOPE_INVALID', /tampered/));
  }
});

describe('a field with a value that is none', () => {
  const wrong: [string, Readonly<Record<string, string>>, string, string[]][] = [
    ['V3', envelopeV3, 'x-amz-c', ['', '114', '112', '0115', ' 115', 'AES/GCM/NoPadding']],
    ['V3', envelopeV3, 'x-amz-w', ['', '2', '01', '11', '12 ', '21', 'AES/GCM', 'kms+context', '__proto__']],
    ['V2', envelopeV2, 'x-amz-cek-alg', ['', '115', 'AES/CTR/NoPadding', 'aes/gcm/nopadding', 'AES/GCM/NoPadding ']],
    ['V2', envelopeV2, 'x-amz-wrap-alg', ['', 'aes/gcm', 'AES/GCM/NoPadding', 'RSA-OAEP', 'KMS', '__proto__']],
    ['V2', envelopeV2, 'x-amz-tag-len', ['', '96', '120', '16', ' 128', '0128', '128.0']],
    ['V1', envelopeV1, 'x-amz-wrap-alg', ['', 'AES/GCM', 'kms+context', 'RSA-OAEP-SHA1', 'none']],
    ['V1', envelopeV1, 'x-amz-cek-alg', ['', 'AES', 'AES/CTR/NoPadding']],
  ];
  for (const [format, fields, name, values] of wrong) {
    for (const value of values) {
      test(`is refused: ${format} with ${name} = ${JSON.stringify(value)}`, () => {
        assert.throws(
          () => parseEnvelope(edited(fields, { [name]: value })),
          failure('ENVELOPE_INVALID', new RegExp(name)),
        );
      });
    }
  }

  test('is quoted in the error, but never at length', () => {
    const fields = edited(envelopeV3, { 'x-amz-w': 'w'.repeat(5000) });
    assert.throws(
      () => parseEnvelope(fields),
      (error: Error) => error.message.length < 300,
    );
  });
});

describe('base64 is taken strictly', () => {
  const fields: [Readonly<Record<string, string>>, string][] = [
    [envelopeV1, 'x-amz-key'],
    [envelopeV2, 'x-amz-key-v2'],
    [envelopeV2, 'x-amz-iv'],
    [envelopeV3, 'x-amz-3'],
    [envelopeV3, 'x-amz-d'],
    [envelopeV3, 'x-amz-i'],
  ];
  const spoil: Record<string, (good: string) => string> = {
    empty: () => '',
    'white space inside': (good) => `${good.slice(0, 4)} ${good.slice(4)}`,
    'a line end': (good) => `${good}\n`,
    'the alphabet of URLs': () => '-_-_'.repeat(16),
    'a character of no alphabet': (good) => `${good.slice(0, 3)}!${good.slice(4)}`,
    'too much padding': (good) => `${good}====`,
    'bytes after the padding': (good) => `${good}=AAA`,
  };
  for (const [envelope, name] of fields) {
    test(`in ${name}`, () => {
      for (const [how, change] of Object.entries(spoil)) {
        const value = change(envelope[name] as string);
        assert.throws(
          () => parseEnvelope(edited(envelope, { [name]: value })),
          failure('ENVELOPE_INVALID', new RegExp(name)),
          how,
        );
      }
    });
  }

  test('also in the bits that padding leaves over, of which only zeros are canonical', () => {
    const good = envelopeV3['x-amz-i'] as string;
    assert.match(good, /[AQgw]==$/);
    const loose = good.replace(/.==$/, 'x==');
    assert.throws(
      () => parseEnvelope(edited(envelopeV3, { 'x-amz-i': loose })),
      failure('ENVELOPE_INVALID', /x-amz-i/),
    );
    const unpadded = good.replace(/=+$/, '');
    assert.throws(() => parseEnvelope(edited(envelopeV3, { 'x-amz-i': unpadded })), failure('ENVELOPE_INVALID'));
  });
});

describe('the byte length of a field', () => {
  const sized: [Readonly<Record<string, string>>, string, number][] = [
    [envelopeV1, 'x-amz-iv', 16],
    [envelopeV2, 'x-amz-iv', 12],
    [envelopeV2Cbc, 'x-amz-iv', 16],
    [envelopeV3, 'x-amz-i', 28],
    [envelopeV3, 'x-amz-d', 28],
  ];
  for (const [envelope, name, length] of sized) {
    test(`is exact: ${parseEnvelope(envelope).format} ${parseEnvelope(envelope).suite.name} has ${length} in ${name}`, () => {
      for (const wrong of [1, length - 1, length + 1, length * 2, 12, 16, 28].filter((n) => n !== length)) {
        const value = Buffer.alloc(wrong, 7).toString('base64');
        assert.throws(
          () => parseEnvelope(edited(envelope, { [name]: value })),
          failure('ENVELOPE_INVALID', new RegExp(name)),
        );
      }
    });
  }

  test('of IV and message id is not enough: all zero is the sign of a broken generator', () => {
    const zeros: [Readonly<Record<string, string>>, string, number][] = [
      [envelopeV1, 'x-amz-iv', 16],
      [envelopeV2, 'x-amz-iv', 12],
      [envelopeV3, 'x-amz-i', 28],
    ];
    for (const [envelope, name, length] of zeros) {
      const value = Buffer.alloc(length).toString('base64');
      assert.throws(() => parseEnvelope(edited(envelope, { [name]: value })), failure('ENVELOPE_INVALID', /all zero/));
    }
  });
});

describe('format V1', () => {
  test('tells RSA from AES by the length of the wrapped key where no algorithm is named', () => {
    const wrapping = (length: number): WrappingAlgorithm =>
      parseEnvelope(edited(envelopeV1, { 'x-amz-key': Buffer.alloc(length, 1).toString('base64') })).wrappingAlgorithm;
    assert.deepEqual([1, 32, 40, 48, 49, 256, 512].map(wrapping), ['AES', 'AES', 'AES', 'AES', 'RSA', 'RSA', 'RSA']);
  });

  test('of strict writers names its algorithms', () => {
    const strict = edited(envelopeV1, {
      'x-amz-cek-alg': 'AES/GCM/NoPadding',
      'x-amz-wrap-alg': 'AESWrap',
      'x-amz-tag-len': '128',
      'x-amz-iv': Buffer.alloc(12, 9).toString('base64'),
    });
    const { suite, wrappingAlgorithm } = parseEnvelope(strict);
    assert.deepEqual([suite.id, wrappingAlgorithm], [0x72, 'AESWrap']);
    assert.equal(parseEnvelope(edited(strict, { 'x-amz-tag-len': undefined })).suite.id, 0x72);
    assert.throws(
      () => parseEnvelope(edited(strict, { 'x-amz-tag-len': '96' })),
      failure('ENVELOPE_INVALID', /x-amz-tag-len/),
    );
  });
});

describe('what the wrapping is bound to must be what the envelope names', () => {
  test('CBC never goes with a wrapping that binds GCM keys', () => {
    for (const wrap of ['AES/GCM', 'kms+context', 'RSA-OAEP-SHA1']) {
      assert.throws(
        () => parseEnvelope(edited(envelopeV2Cbc, { 'x-amz-wrap-alg': wrap })),
        failure('ENVELOPE_INVALID', /content algorithm was altered/),
      );
    }
  });

  test('CBC has no tag length: one that stands there is from a GCM object with its label changed', () => {
    assert.throws(
      () => parseEnvelope(edited(envelopeV2Cbc, { 'x-amz-tag-len': '128' })),
      failure('ENVELOPE_INVALID', /x-amz-tag-len/),
    );
  });

  test('kms+context without the reserved entry, or with another suite in it, is refused', () => {
    for (const context of ['{}', '{"dataset":"a"}', '{"aws:x-amz-cek-alg":"115"}', '{"aws:x-amz-cek-alg":""}']) {
      assert.throws(
        () => parseEnvelope(edited(envelopeV2Kms, { 'x-amz-matdesc': context })),
        failure('ENVELOPE_INVALID', /refused as altered/),
      );
    }
    for (const context of ['{}', '{"aws:x-amz-cek-alg":"AES/GCM/NoPadding"}', '{"AWS:x-amz-cek-alg":"115"}']) {
      assert.throws(
        () => parseEnvelope(edited(envelopeV3Kms, { 'x-amz-t': context })),
        failure('ENVELOPE_INVALID', /refused as altered/),
      );
    }
  });

  test('kms+context in V3 takes its context from x-amz-t alone, never from x-amz-m', () => {
    const moved = edited(envelopeV3Kms, { 'x-amz-t': undefined, 'x-amz-m': envelopeV3Kms['x-amz-t'] });
    assert.throws(() => parseEnvelope(moved), failure('ENVELOPE_INVALID', /lacks aws:x-amz-cek-alg/));
    assert.deepEqual(parseEnvelope({ ...envelopeV3, 'x-amz-t': '{"other":"x"}' }).description, { key: 'a' });
  });

  test('kms with the reserved entry is kms+context with its label changed', () => {
    assert.throws(
      () => parseEnvelope(edited(envelopeV2Kms, { 'x-amz-wrap-alg': 'kms' })),
      failure('ENVELOPE_INVALID', /label changed/),
    );
  });

  test('kms without it is what Amazon SES and the first SDKs wrote, with GCM and CBC', () => {
    const mail = edited(envelopeV2Kms, { 'x-amz-wrap-alg': 'kms', 'x-amz-matdesc': '{"kms_cmk_id":"k"}' });
    assert.equal(parseEnvelope(mail).wrappingAlgorithm, 'kms');
    assert.equal(parseEnvelope(edited(envelopeV2Cbc, { 'x-amz-wrap-alg': 'kms' })).suite.id, 0x70);
  });
});

describe('where the envelope is looked for', () => {
  test('in the metadata, as soon as one key of an envelope is there', () => {
    for (const fields of [...Object.values(all), { 'x-amz-c': '115' }, { 'x-amz-matdesc': '{}' }])
      assert.deepEqual(locateEnvelope(fields), { place: 'metadata' });
  });

  test('in an instruction file, where there is none at all', () => {
    for (const fields of [
      {},
      { owner: 'me' },
      { 'x-amz-unencrypted-content-length': '1' },
      { [instructionFileMarker]: '' },
    ])
      assert.deepEqual(locateEnvelope(fields), { place: 'instruction-file', required: false });
  });

  test('in an instruction file that must exist, where exactly the content part of V3 is', () => {
    const {
      'x-amz-c': c,
      'x-amz-d': d,
      'x-amz-i': i,
    } = envelopeV3 as Record<'x-amz-c' | 'x-amz-d' | 'x-amz-i', string>;
    const part = { 'x-amz-c': c, 'x-amz-d': d, 'x-amz-i': i };
    assert.deepEqual(locateEnvelope({ ...part, owner: 'me' }), { place: 'instruction-file', required: true });
    assert.deepEqual(locateEnvelope({ ...part, 'x-amz-w': '02' }), { place: 'metadata' });
    assert.deepEqual(locateEnvelope(edited(part, { 'x-amz-d': undefined })), { place: 'metadata' });
  });
});

describe('an envelope from an instruction file', () => {
  const contentPart = Object.fromEntries(
    ['x-amz-c', 'x-amz-d', 'x-amz-i'].map((name) => [name, envelopeV3[name] as string]),
  );
  const keyPart = edited(envelopeV3, { 'x-amz-c': undefined, 'x-amz-d': undefined, 'x-amz-i': undefined });

  test('of V3 is joined from both, of V1 and V2 is all in the file', () => {
    assert.deepEqual(parseEnvelope(contentPart, keyPart), {
      ...parseEnvelope(envelopeV3),
      storage: 'instruction-file',
    });
    for (const fields of [envelopeV1, envelopeV2])
      assert.deepEqual(parseEnvelope({}, fields), { ...parseEnvelope(fields), storage: 'instruction-file' });
  });

  test('must not bring the content part of V3: commitment and message id would move with the key', () => {
    for (const name of ['x-amz-c', 'x-amz-d', 'x-amz-i']) {
      assert.throws(
        () => parseEnvelope(contentPart, { ...keyPart, [name]: contentPart[name] as string }),
        failure('ENVELOPE_INVALID', new RegExp(`holds ${name}.*tampered`)),
      );
    }
  });

  test('of another format beside the content part of V3 is refused', () => {
    for (const fields of [envelopeV1, envelopeV2])
      assert.throws(() => parseEnvelope(contentPart, fields), failure('ENVELOPE_INVALID', /tampered/));
  });

  test('of V3 beside an object without the content part is incomplete', () => {
    assert.throws(() => parseEnvelope({}, keyPart), failure('ENVELOPE_INVALID', /x-amz-c is missing/));
  });

  test('without a wrapped key says so', () => {
    assert.throws(() => parseEnvelope({}, {}), failure('ENVELOPE_INVALID', /^the instruction file has no wrapped key/));
  });

  test('is plain UTF-8: encoded words in it are text', () => {
    const word = '=?UTF-8?Q?=C3=83=C2=A9?=';
    const file = { ...envelopeV2, 'x-amz-matdesc': JSON.stringify({ k: 'é', [word]: word }) };
    assert.deepEqual(parseEnvelope({}, file).description, { k: 'é', [word]: word });
  });

  test("keeps the length claim of either place, the file's first", () => {
    const claim = (value: string): Record<string, string> => ({ 'x-amz-unencrypted-content-length': value });
    assert.equal(parseEnvelope(claim('7'), envelopeV2).claimedLength, 7);
    assert.equal(parseEnvelope(claim('7'), { ...envelopeV2, ...claim('8') }).claimedLength, 8);
  });
});

test('a claimed length that is no number is none', () => {
  const claimed = (value: string): number | undefined =>
    parseEnvelope({ ...envelopeV2, 'x-amz-unencrypted-content-length': value }).claimedLength;
  assert.deepEqual(['', '-1', '1.5', '1e3', '0x10', ' 1', '9'.repeat(17)].map(claimed), Array(7).fill(undefined));
  assert.deepEqual([claimed('0'), claimed('42')], [0, 42]);
});

test('whatever stands in the fields, parsing ends in an envelope or in ERR_SEALPIPE_ENVELOPE_INVALID', () => {
  const names = [...new Set(Object.values(all).flatMap((fields) => Object.keys(fields)))];
  const values = [...new Set(Object.values(all).flatMap((fields) => Object.values(fields)))];
  const field = fc.tuple(fc.constantFrom(...names), fc.oneof(fc.constantFrom(...values), fc.string()));
  fc.assert(
    fc.property(fc.constantFrom(...Object.values(all)), fc.array(field, { maxLength: 4 }), (fields, changes) => {
      try {
        const { wrappedKey, suite, iv } = parseEnvelope({ ...fields, ...Object.fromEntries(changes) });
        assert.ok(wrappedKey.length > 0 && iv.length === (suite.committing ? 28 : suite.ivLength));
      } catch (error) {
        failure('ENVELOPE_INVALID')(error);
      }
    }),
    runs(300),
  );
});
